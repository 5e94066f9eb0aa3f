"""What machines ask: /healthz, /readyz and /metrics."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from jobs.models import Gate, Status, SweepSlot, WebhookReceipt
from jobs.operations import snapshot
from jobsite import health
from reviews.models import Channel, Delivery, DeliveryState, Route
from tests.factories import JobFactory, WorkspaceFactory, become_unknown

KEY = "a key for metrics"


@pytest.fixture
def away(monkeypatch):
    """The database does not answer, and says why in words that are nobody else's business."""

    def asked(*args, **kwargs):
        raise OperationalError("could not connect to server: password authentication failed")

    monkeypatch.setattr(snapshot, "last_beat", asked)
    monkeypatch.setattr(snapshot, "live_counts", asked)


def beat(seconds_ago):
    SweepSlot.objects.create(
        number=0,
        beat_at=timezone.now() - timedelta(seconds=seconds_ago),
        sweeps=5,
        requests=11,
    )


def test_healthz_asks_nothing_of_the_database(client):
    """Without the `db` fixture a query would fail the test."""
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok")
    assert answer["Content-Type"] == "text/plain"
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize(
    ("seconds_ago", "status", "heartbeat"),
    [(29, 200, "ok"), (31, 503, "late"), (None, 503, "late")],
)
def test_readyz_wants_a_heartbeat(db, client, seconds_ago, status, heartbeat):
    if seconds_ago is not None:
        beat(seconds_ago)
    answer = client.get("/readyz")
    assert answer.status_code == status
    checks = {"database": "ok", "heartbeat": heartbeat}
    assert answer.json() == {"ready": status == 200, "checks": checks}
    assert "no-store" in answer["Cache-Control"]


def test_readyz_says_that_the_database_is_away_and_nothing_more(db, client, away, caplog):
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "unreachable", "heartbeat": "unknown"}
    assert b"password" not in answer.content
    assert caplog.records == [], "a probe every few seconds must not fill the log"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_speak_plain_http(db, client, settings, path):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(path).status_code != 301
    assert client.get("/metrics").status_code == 301, "its key must not travel in the clear"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_they_only_answer(client, path):
    assert client.post(path).status_code == 405


def test_without_a_key_there_are_no_metrics(client, settings):
    settings.METRICS_KEY = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (None, 401),
        ("Basic YTpi", 401),
        (KEY, 401),
        ("Bearer", 403),
        ("Bearer wrong", 403),
        ("Bearer clé", 403),
        (f"Bearer {KEY}x", 403),
    ],
)
def test_another_key_reads_no_metrics(client, settings, sent, status):
    settings.METRICS_KEY = KEY
    answer = client.get("/metrics", headers={"Authorization": sent} if sent else {})
    assert answer.status_code == status
    assert b"jobsite_" not in answer.content
    assert answer.has_header("WWW-Authenticate") == (status == 401)


@pytest.fixture
def scrape(client, settings):
    """`scrape()` reads the metrics as Prometheus does: (name, labels) to value."""
    settings.METRICS_KEY = KEY

    def read():
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
        families = list(text_string_to_metric_families(answer.content.decode()))
        return families, {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    return read


def test_metrics_say_what_the_rows_say(db, scrape):
    beat(3)
    here, now = WorkspaceFactory(slug="here"), timezone.now()
    JobFactory(workspace=here, now=now - timedelta(seconds=30))
    become_unknown(JobFactory(workspace=here, now=now), now=now)
    JobFactory(workspace=here, status=Status.COMPLETED, now=now - timedelta(minutes=1))
    late = JobFactory(workspace=here, status=Status.NEEDS_REVIEW, now=now)
    Gate.objects.filter(job=late).update(due_at=now - timedelta(hours=1))
    WebhookReceipt.objects.create(webhook_id="wh_1", event_type="x", body=b"", received_at=now)
    _families, values = scrape()

    def jobs(status):
        labels = [("lane", "background"), ("status", status), ("workspace", "here")]
        return values["jobsite_jobs", *labels]

    assert (jobs("queued"), jobs("running"), jobs("needs_review")) == (1, 1, 1)
    settled = [("status", "completed"), ("workspace", "here")]
    assert values["jobsite_jobs_settled_last_hour", *settled] == 1
    assert values["jobsite_attempts", ("state", "submitting")] == 1
    assert values["jobsite_attempts", ("state", "unknown")] == 1
    assert values["jobsite_attempts", ("state", "live")] == 0
    assert values["jobsite_attempts_due",] >= 1
    assert 30 <= values["jobsite_attempts_due_lag_seconds",] < 90
    assert 3 <= values["jobsite_heartbeat_age_seconds",] < 30
    assert values["jobsite_sweeps_total",] == 5
    assert values["jobsite_provider_requests_total",] == 11
    assert values["jobsite_webhooks_last_hour",] == 1
    assert 0 <= values["jobsite_webhook_age_seconds",] < 30
    assert (values["jobsite_reviews_open",], values["jobsite_reviews_overdue",]) == (1, 1)
    assert values["jobsite_queue_tasks",] >= 0
    assert values["jobsite_cost_today_usd",] > 0
    assert values["jobsite_database_up",] == 1


def test_metrics_count_what_was_not_delivered(db, scrape):
    here = WorkspaceFactory(slug="here")
    Route.objects.create(workspace=here, channel=Channel.LIBRARY)
    for _ in range(3):
        JobFactory(workspace=here, status=Status.COMPLETED)
    assert scrape()[1]["jobsite_deliveries_dead",] == 0
    rows = Delivery.objects.filter(pk__in=Delivery.objects.values("pk")[:2])
    rows.update(state=DeliveryState.DEAD, ended_at=timezone.now(), next_check_at=None)
    assert scrape()[1]["jobsite_deliveries_dead",] == 2


def test_metrics_keep_to_the_conventions(db, scrape):
    families, _values = scrape()
    for family in families:
        assert family.name.startswith("jobsite_")
        assert family.documentation.endswith(".")
        assert family.type in ("gauge", "counter")
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
    assert len({family.name for family in families}) == len(families)


def test_what_was_never_measured_is_left_out(db, scrape):
    _families, values = scrape()
    assert ("jobsite_heartbeat_age_seconds",) not in values
    assert ("jobsite_webhook_age_seconds",) not in values


def test_metrics_say_that_the_database_is_away(db, scrape, away):
    _families, values = scrape()
    assert values == {("jobsite_database_up",): 0}


def test_two_scrapes_agree_as_nothing_is_counted_in_the_process(db, scrape):
    beat(0)
    assert scrape()[1]["jobsite_sweeps_total",] == scrape()[1]["jobsite_sweeps_total",] == 5
    assert list(health.FromDatabase().describe()) == []
