"""What load balancers and Prometheus ask: is it up, can it work, how is it going."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jobs.operations import snapshot, trends
from jobs.operations.health import beats
from reviews import dispatch

DATABASE_AWAY = (DatabaseError, InterfaceError)
#: Sooner than the operations page says that nothing is at work: traffic can go elsewhere meanwhile.
READY_WITHIN = timedelta(seconds=30)


@never_cache
@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers. Asks nothing else, so that no fault elsewhere gets it restarted."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@login_not_required
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 where the database answers and a cluster is at work, else 503; each check by its name."""
    checks = {"database": "ok", "heartbeat": "ok"}
    try:
        if not beats(snapshot.last_beat(), now=timezone.now(), within=READY_WITHIN):
            checks["heartbeat"] = "late"
    except DATABASE_AWAY:
        connection.close()
        checks = {"database": "unreachable", "heartbeat": "unknown"}
    ready = set(checks.values()) == {"ok"}
    answer = JsonResponse({"ready": ready, "checks": checks}, status=200 if ready else 503)
    # Or Django logs an error, and tells of it by mail, each time that a load balancer looks.
    answer._has_been_logged = True  # type: ignore[attr-defined]
    return answer


@never_cache
@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus, which sends ``Authorization: Bearer METRICS_KEY``. 404 where none is set."""
    if not settings.METRICS_KEY:
        return HttpResponseNotFound("not found", content_type="text/plain")
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        refused = HttpResponse("a key is needed", status=401, content_type="text/plain")
        refused["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return refused
    if not constant_time_compare(key.strip(), settings.METRICS_KEY):
        return HttpResponse("another key is needed", status=403, content_type="text/plain")
    return HttpResponse(generate_latest(_REGISTRY), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class FromDatabase(Collector):
    """Reads the rows at each scrape: so all web processes say the same, and none has to be asked
    alone. Where the database is away, it says that and nothing else."""

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering it must not ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        try:
            found = [metric for group in _GROUPS for metric in group()]
        except DATABASE_AWAY:
            connection.close()
            found = []
        yield _gauge("database_up", "Whether the database answers.", float(bool(found)))
        yield from found


def _gauge(name: str, says: str, value: float | None = None, unit: str = "") -> GaugeMetricFamily:
    """One value without labels; none at all where there is nothing to measure."""
    gauge = GaugeMetricFamily(f"jobsite_{name}", says, unit=unit)
    if value is not None:
        gauge.add_metric([], value)
    return gauge


def _age(at: datetime | None) -> float | None:
    return max((timezone.now() - at).total_seconds(), 0.0) if at else None


def _jobs() -> Iterator[Metric]:
    labels = ["workspace", "lane", "status"]
    live = GaugeMetricFamily("jobsite_jobs", "Jobs that are not settled.", labels=labels)
    for slug, lane, status, number in snapshot.live_counts():
        live.add_metric([slug, lane, status], number)
    yield live
    ended = GaugeMetricFamily(
        "jobsite_jobs_settled_last_hour",
        "Jobs that settled within the last hour, by how.",
        labels=["workspace", "status"],
    )
    hour_ago = timezone.now() - timedelta(hours=1)
    for slug, status, number in trends.settled_counts(since=hour_ago):
        ended.add_metric([slug, status], number)
    yield ended
    today = trends.cost_today(timezone.now())
    yield _gauge(
        "cost_today_usd", "US dollars for jobs that settled today (UTC).", float(today.usd)
    )
    yield _gauge("cost_today_unknown_jobs", "Jobs of today of unknown cost.", today.unknown)


def _attempts() -> Iterator[Metric]:
    states = GaugeMetricFamily("jobsite_attempts", "Attempts under way.", labels=["state"])
    for state, number in snapshot.open_attempts().items():
        states.add_metric([state], number)
    yield states
    due, oldest_due_at = snapshot.due_attempts(timezone.now())
    lag = _age(oldest_due_at) or 0.0
    yield _gauge("attempts_due", "Attempts that wait to be picked up, up to 10,000.", due.number)
    yield _gauge("attempts_due_lag", "How long the oldest of them has.", lag, unit="seconds")


def _cluster() -> Iterator[Metric]:
    beat_at, sweeps, requests = snapshot.sweep_totals()
    age = _age(beat_at)
    yield _gauge("heartbeat_age", "Since a cluster last gave a sign of life.", age, unit="seconds")
    yield CounterMetricFamily("jobsite_sweeps", "Sweeps begun.", sweeps)
    yield CounterMetricFamily("jobsite_provider_requests", "Requests made to OpenAI.", requests)
    yield _gauge("queue_tasks", "Tasks in django-q's queue.", snapshot.queued_tasks().number)


def _webhooks() -> Iterator[Metric]:
    age = _age(snapshot.last_webhook())
    recent = snapshot.webhooks_since(timezone.now() - timedelta(hours=1))
    yield _gauge("webhooks_last_hour", "Verified webhooks, up to 10,000.", recent.number)
    yield _gauge("webhook_age", "Since the last verified webhook.", age, unit="seconds")


def _reviews() -> Iterator[Metric]:
    waiting, overdue = snapshot.open_reviews(timezone.now())
    yield _gauge("reviews_open", "Jobs that wait for a person.", waiting)
    yield _gauge("reviews_overdue", "Those that should have been decided by now.", overdue)


def _deliveries() -> Iterator[Metric]:
    dead = dispatch.dead_in(None)
    says = "Deliveries that were given up and wait for an operator, up to 10,000."
    yield _gauge("deliveries_dead", says, dead.number)


_GROUPS: list[Callable[[], Iterable[Metric]]] = [
    _jobs,
    _attempts,
    _cluster,
    _webhooks,
    _reviews,
    _deliveries,
]
_REGISTRY = CollectorRegistry()
_REGISTRY.register(FromDatabase())
