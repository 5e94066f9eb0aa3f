"""The operations page: what it finds, what it says of it, and where its numbers lead."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone
from django_q.models import OrmQ, Task

from jobs import engine, lapses, outcomes
from jobs.models import (
    Attempt,
    FunctionCall,
    Gate,
    Job,
    Lane,
    Review,
    Role,
    Status,
    SweepSlot,
    WebhookReceipt,
)
from jobs.operations import causes, charts, health, overview, snapshot, trends
from jobs.operations.charts import Point
from jobs.operations.health import Level, examine
from jobs.operations.snapshot import Counted, Desk, Pulse
from jobs.operations.trends import Failing
from jobs.provider import errors
from jobs.provider.errors import AccountProblem, NotStarted, Unavailable
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import (
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    become_unknown,
    finish,
    last_turn,
    start,
    wants,
)

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_kept():
    overview.kept.clear()


@pytest.fixture
def now():
    """The real time: ids are made by it, and ranges of ids are looked for."""
    return timezone.now()


@pytest.fixture
def workspace(db):
    return WorkspaceFactory(slug="here", name="Here")


@pytest.fixture
def operator(workspace):
    return UserFactory(workspace=workspace, roles=[Role.OPERATOR])


def beat(at, *, number=0):
    SweepSlot.objects.create(
        number=number,
        holder="machine:1",
        beat_at=at,
        lease_token=uuid.uuid4(),
        lease_until=at + timedelta(seconds=2),
        sweeps=3,
        requests=7,
    )


def failed(workspace, at, *, code="invalid_prompt", **kwargs):
    job = JobFactory(workspace=workspace, now=at, **kwargs)
    start(job, now=at)
    finish(job, "failed", now=at, error={"code": code, "message": "No, it said."})
    return Job.objects.get(pk=job.pk)


def found(workspace, now):
    """The findings by their code."""
    seen = overview.overview(workspace, now=now)
    return {finding.code: finding for finding in seen.health.findings}


# The one answer ------------------------------------------------------------------------------------


def pulse(**changes):
    """Of a machine with nothing to do and nothing wrong."""
    fields = {
        "beat_at": NOW,
        "holders": ("machine:1",),
        "wanted": 2,
        "sweeps": 1,
        "requests": 1,
        "due": Counted(0),
        "oldest_due_at": None,
        "heard_at": NOW,
        "accepted_at": NOW,
        "webhook_at": NOW,
        "unannounced_since": None,
        "tasks": Counted(0),
        "failed_tasks": Counted(0),
        "failed_task": "",
    }
    return Pulse(**{**fields, **changes})


def desk(**changes):
    fields = {
        "overdue": Counted(0),
        "overdue_jobs": (),
        "doubts": (),
        "reasons": {},
        "struck": (),
        "put_off": (),
    }
    return Desk(**{**fields, **changes})


def ago(**span):
    return NOW - timedelta(**span)


BEHIND = {"due": Counted(3), "oldest_due_at": ago(seconds=90)}
#: code: (what the machine does, what waits, what has failed, how bad it is)
WRONG = {
    "no_heartbeat": ({"beat_at": ago(seconds=41)}, {}, Failing(), Level.DOWN),
    "nothing_polled": (BEHIND | {"heard_at": ago(minutes=3)}, {}, Failing(), Level.DOWN),
    "behind": (BEHIND, {}, Failing(), Level.ATTENTION),
    "long_queue": ({"tasks": Counted(51)}, {}, Failing(), Level.ATTENTION),
    "failed_tasks": (
        {"failed_tasks": Counted(1), "failed_task": "jobs.tasks.sweep"},
        {},
        Failing(),
        Level.ATTENTION,
    ),
    "account_refused": (
        {"accepted_at": ago(minutes=9)},
        {},
        Failing(refused="insufficient_quota", refused_at=ago(minutes=8)),
        Level.DOWN,
    ),
    "lookup_refused": ({}, {"reasons": {"invalid_api_key": 2}}, Failing(), Level.DOWN),
    "silent": ({}, {"reasons": {"provider_silent": 2}}, Failing(), Level.ATTENTION),
    "not_taken": (
        {},
        {"reasons": {"not_started_rate_limit_exceeded": 1}},
        Failing(),
        Level.ATTENTION,
    ),
    "most_fail": ({}, {}, Failing(failed=5, settled=8), Level.ATTENTION),
    "webhooks_missing": ({"unannounced_since": ago(hours=1)}, {}, Failing(), Level.ATTENTION),
    "overdue": ({}, {"overdue": Counted(2)}, Failing(), Level.ATTENTION),
    "struck_out": ({}, {"struck": ("J-1",)}, Failing(), Level.ATTENTION),
    "put_off": ({}, {"put_off": ("J-1", "J-2")}, Failing(), Level.ATTENTION),
}


@pytest.mark.parametrize("code", WRONG)
def test_what_is_wrong_is_said_with_what_to_do(code, settings):
    settings.SANDBOX = False
    machine, waiting, failing, level = WRONG[code]
    answer = examine(pulse(**machine), desk(**waiting), failing, now=NOW)
    assert [(f.code, f.level) for f in answer.findings] == [(code, level)]
    assert answer.level is level
    assert answer.word == {Level.ATTENTION: "Needs attention", Level.DOWN: "Not working"}[level]
    for said in (answer.findings[0].text, answer.findings[0].todo):
        assert said.endswith(".") and "None" not in said and "{" not in said


def test_where_nothing_is_wrong_it_works(settings):
    settings.SANDBOX = False
    answer = examine(pulse(), desk(), Failing(), now=NOW)
    assert (answer.word, answer.findings) == ("Working", ())


def test_it_works_without_a_key_and_without_webhooks_and_says_so(settings):
    settings.SANDBOX, settings.OPENAI_WEBHOOK_SECRET = True, ""
    answer = examine(pulse(unannounced_since=ago(hours=1)), desk(), Failing(), now=NOW)
    assert answer.word == "Working"
    assert [finding.code for finding in answer.findings] == ["stand_in", "no_webhooks"]


def test_the_worst_comes_first(settings):
    settings.SANDBOX = True
    answer = examine(pulse(beat_at=None), desk(overdue=Counted(1)), Failing(), now=NOW)
    assert [finding.code for finding in answer.findings] == ["no_heartbeat", "overdue", "stand_in"]
    assert answer.word == "Not working"


def test_a_heartbeat_is_late_after_forty_seconds():
    assert health.beats(ago(seconds=40), now=NOW)
    assert not health.beats(ago(seconds=40, microseconds=1), now=NOW)
    assert not health.beats(None, now=NOW)


def test_an_account_that_was_accepted_since_is_good_again(settings):
    settings.SANDBOX = False
    refused = Failing(refused="insufficient_quota", refused_at=ago(minutes=8))
    assert examine(pulse(accepted_at=ago(minutes=7)), desk(), refused, now=NOW).word == "Working"


def test_a_dead_cluster_is_not_also_called_slow():
    answer = examine(pulse(beat_at=None, **BEHIND), desk(), Failing(), now=NOW)
    assert "behind" not in {finding.code for finding in answer.findings}


def test_what_the_engine_says_is_what_is_looked_for():
    assert snapshot.MOST_STRIKES == engine.MOST_STRIKES
    assert snapshot.MOST_FAILURES == outcomes.SAYS_SO_AFTER
    assert health.SILENT == outcomes.SILENT


# What is found in the database ---------------------------------------------------------------------


def test_the_machine_is_read_from_its_rows(workspace, now):
    beat(now - timedelta(seconds=1))
    beat(now - timedelta(seconds=9), number=1)
    waits = JobFactory(workspace=workspace, now=now - timedelta(seconds=5))
    Attempt.objects.update(next_check_at=now - timedelta(seconds=5))
    running = JobFactory(workspace=workspace, now=now)
    start(running, now=now - timedelta(seconds=1))
    held = JobFactory(workspace=workspace, now=now - timedelta(minutes=1))
    Attempt.objects.filter(job=held).update(
        lease_token=uuid.uuid4(), lease_until=now + timedelta(seconds=9)
    )
    seen = snapshot.pulse(now)
    assert seen.beat_at == now - timedelta(seconds=1)
    assert (seen.holders, seen.sweeps, seen.requests) == (("machine:1",), 6, 14)
    assert (seen.due, seen.oldest_due_at) == (Counted(1), now - timedelta(seconds=5))
    assert seen.late_by(now) == timedelta(seconds=5)
    assert seen.accepted_at == seen.heard_at == now - timedelta(seconds=1)
    assert waits.status == Status.QUEUED


def test_nothing_at_all_is_no_error(db, now):
    seen = overview.overview(None, now=now)
    assert seen.pulse.beat_at is None
    assert seen.health.word == "Not working"
    assert seen.numbers.today.usd == 0
    assert seen.queued is seen.running is None


def test_responses_that_no_webhook_announced_are_noticed(workspace, now):
    for _ in range(snapshot.UNANNOUNCED):
        JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, now=now - timedelta(minutes=30))
    assert found(workspace, now)["webhooks_missing"].level is Level.ATTENTION
    WebhookReceipt.objects.create(
        webhook_id="wh_1",
        event_type="response.completed",
        body=b"",
        received_at=now - timedelta(minutes=29),
    )
    assert "webhooks_missing" not in found(workspace, now)


def test_a_response_that_an_operator_named_is_no_webhook(workspace, now):
    WebhookReceipt.objects.create(
        webhook_id="operator-1", event_type="operator", body=b"", received_at=now
    )
    assert snapshot.last_webhook() is None
    assert snapshot.webhooks_since(now - timedelta(hours=1)) == Counted(0)


def test_a_refused_account_is_found_until_openai_takes_a_job_again(workspace, now):
    job = JobFactory(workspace=workspace, now=now)
    refused = AccountProblem("insufficient_quota", "You exceeded your quota.")
    outcomes.not_accepted(last_turn(job).pk, refused, now=now - timedelta(minutes=5))
    finding = found(workspace, now)["account_refused"]
    assert "no quota left" in finding.text and "credit" in finding.todo
    start(JobFactory(workspace=workspace, now=now), now=now - timedelta(minutes=1))
    assert "account_refused" not in found(workspace, now)


def test_a_key_that_is_refused_while_jobs_run_is_found(workspace, now):
    job = JobFactory(workspace=workspace, now=now)
    turn = start(job, now=now)
    for _ in range(3):
        outcomes.lookup_failed(turn.pk, AccountProblem("invalid_api_key", "No."), now=now)
    finding = found(workspace, now)["lookup_refused"]
    assert finding.text.startswith("OpenAI refuses to say how one job stands.")


def test_a_provider_that_is_silent_or_takes_nothing_is_found(workspace, now):
    turn = start(JobFactory(workspace=workspace, now=now), now=now)
    for _ in range(3):
        outcomes.lookup_failed(turn.pk, Unavailable("timeout", "No answer."), now=now)
    waits = last_turn(JobFactory(workspace=workspace, now=now))
    outcomes.not_accepted(waits.pk, NotStarted("rate_limit_exceeded", "Slowly."), now=now)
    codes = found(workspace, now).keys()
    assert {"silent", "not_taken"} <= codes
    assert "put_off" not in codes


def test_what_was_put_aside_is_found(workspace, now):
    struck, put_off = (JobFactory(workspace=workspace, now=now) for _ in range(2))
    start(put_off, now=now)
    Attempt.objects.filter(job=struck).update(strikes=4)
    Attempt.objects.filter(job=put_off).update(failures=3)
    seen = snapshot.desk(workspace, now)
    assert (seen.struck, seen.put_off) == ((struck.ref,), (put_off.ref,))
    other = snapshot.desk(WorkspaceFactory(), now)
    assert (other.struck, other.put_off) == ((), ())


def test_failed_tasks_and_a_long_queue_are_found(workspace, now):
    beat(now)
    Task.objects.create(
        id="a" * 32, name="a", func="jobs.tasks.sweep", started=now, stopped=now, success=False
    )
    OrmQ.objects.bulk_create(OrmQ(key="jobsite", payload="", lock=now) for _ in range(51))
    seen = found(workspace, now)
    assert (
        seen["failed_tasks"].text
    ) == "One queue task failed within 24 hours. The last was jobs.tasks.sweep."
    assert seen["long_queue"].text.startswith("51 tasks")


def test_a_submit_in_doubt_is_listed_until_it_is_settled(workspace, now):
    job = JobFactory(workspace=workspace, now=now)
    turn = become_unknown(job, now=now)
    [doubt] = snapshot.desk(workspace, now).doubts
    assert (doubt.ref, doubt.until, doubt.arrived) == (
        job.ref,
        now + timedelta(seconds=60),
        False,
    )
    assert snapshot.desk(WorkspaceFactory(), now).doubts == ()
    lapses.unknown_wait_over(turn.pk, now=now + timedelta(seconds=60))
    [doubt] = snapshot.desk(workspace, now).doubts
    assert (doubt.ref, doubt.until, doubt.arrived) == (job.ref, None, False)
    start(job, now=now + timedelta(minutes=5))
    finish(job, "completed", now=now + timedelta(minutes=6))
    [doubt] = snapshot.desk(workspace, now).doubts
    assert doubt.arrived
    decide(job.pk, Ask(Ruling.USE_RESULT, job.requester, now))
    assert snapshot.desk(workspace, now).doubts == ()


def test_overdue_reviews_are_counted_and_the_longest_overdue_comes_first(workspace, now):
    late, later, in_time = (
        JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, now=now) for _ in range(3)
    )
    Gate.objects.filter(job=late).update(due_at=now - timedelta(hours=1))
    Gate.objects.filter(job=later).update(due_at=now - timedelta(hours=2))
    seen = snapshot.desk(workspace, now)
    assert seen.overdue == Counted(2)
    assert [job.ref for job in seen.overdue_jobs] == [later.ref, late.ref]
    assert in_time.ref not in [job.ref for job in seen.overdue_jobs]
    assert snapshot.open_reviews(now) == (3, 2)


def test_the_oldest_is_the_one_that_has_been_there_the_longest(workspace, now):
    """Not the one that was submitted first: that one has been retried."""
    retried = failed(workspace, now - timedelta(days=2))
    waits = JobFactory(workspace=workspace, now=now - timedelta(minutes=9))
    decide(retried.pk, Ask(Ruling.RETRY, retried.requester, now - timedelta(minutes=1)))
    oldest = snapshot.oldest(workspace, Status.QUEUED)
    assert (oldest.ref, oldest.since) == (waits.ref, now - timedelta(minutes=9))
    start(waits, now=now - timedelta(minutes=8))
    assert snapshot.oldest(workspace, Status.QUEUED).ref == retried.ref
    assert snapshot.oldest(workspace, Status.RUNNING).since == now - timedelta(minutes=8)
    assert snapshot.oldest(WorkspaceFactory(), Status.QUEUED) is None


def test_jobs_are_counted_by_status_and_lane(workspace, now, monkeypatch):
    approval = JobTypeFactory(lane=Lane.APPROVAL)
    JobFactory(workspace=workspace, job_type=approval)
    for status in (Status.COMPLETED, Status.COMPLETED, Status.CANCELED):
        job = JobFactory(workspace=workspace, status=status)
    decide(job.pk, Ask(Ruling.ARCHIVE, job.requester, now))
    JobFactory(status=Status.RUNNING)
    here, everywhere = snapshot.counts(workspace), snapshot.counts(None)
    assert here.lanes == (Lane.BACKGROUND, Lane.APPROVAL)
    assert here.of(Status.COMPLETED) == Counted(2)
    assert here.of(Status.CANCELED) == Counted(0)
    [row] = [row for row in here.rows if row.status is Status.NEEDS_REVIEW]
    assert row.by_lane == ((Lane.BACKGROUND, Counted(0)), (Lane.APPROVAL, Counted(1)))
    assert (here.running, everywhere.running) == (Counted(0), Counted(1))
    monkeypatch.setattr(snapshot, "MOST", 1)
    assert str(snapshot.counts(workspace).of(Status.COMPLETED)) == "1+"


# What has happened ---------------------------------------------------------------------------------


def test_failures_are_grouped_by_their_cause(workspace, now):
    failed(workspace, now - timedelta(days=3))
    newest = failed(workspace, now - timedelta(hours=2))
    failed(workspace, now - timedelta(days=8))
    failed(workspace, now - timedelta(hours=1), code="model_not_found")
    expired = JobFactory(workspace=workspace, now=now - timedelta(hours=7), status=Status.EXPIRED)
    failed(WorkspaceFactory(), now)
    seen = {(c.status, c.code): c for c in trends.causes_of_failure(workspace, now)}
    assert seen.keys() == {
        (Status.FAILED, "invalid_prompt"),
        (Status.FAILED, "model_not_found"),
        (Status.EXPIRED, "not_started"),
    }
    cause = seen[Status.FAILED, "invalid_prompt"]
    assert (cause.day, cause.week, cause.newest_ref) == (1, 2, newest.ref)
    assert cause.said == "No, it said."
    assert seen[Status.EXPIRED, "not_started"].newest_ref == expired.ref
    assert sum(c.week for c in trends.causes_of_failure(None, now)) == 5


def test_a_failure_that_was_retried_is_none_any_more(workspace, now):
    job = failed(workspace, now, job_type=JobTypeFactory(review=Review.NEVER))
    assert trends.causes_of_failure(workspace, now) != ()
    decide(job.pk, Ask(Ruling.RETRY, job.requester, now))
    assert trends.causes_of_failure(workspace, now) == ()
    start(job, now=now)
    finish(job, "completed", now=now)
    assert Job.objects.get(pk=job.pk).status == Status.COMPLETED
    assert trends.causes_of_failure(workspace, now) == ()


def test_what_a_person_rejected_is_no_fault(workspace, now):
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, now=now)
    lead = UserFactory(workspace=workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.REJECT, lead, now, note="Wrong."))
    found = trends.causes_of_failure(workspace, now)
    assert [cause.explanation.fault for cause in found] == [False]
    assert trends.failing(found, workspace, now) == Failing(failed=0, settled=1)
    assert overview.overview(workspace, now=now).numbers.failed_today == 0


def test_every_refusal_of_the_account_is_explained():
    assert causes.ACCOUNT.keys() >= errors.QUOTA_CODES
    for code in [
        *causes.ACCOUNT,
        "server_error",
        "http_404",
        "http_502",
        "empty_image_file",
        "new",
    ]:
        explanation = causes.explain(code)
        assert explanation.text.endswith(".") and explanation.todo.endswith(".")


def settled_at(workspace, at, *, cost="0.5", status=Status.COMPLETED, ran=True):
    job = JobFactory(workspace=workspace, status=status, now=at)
    Job.objects.filter(pk=job.pk).update(
        cost_usd=None if cost is None else Decimal(cost), started_at=at if ran else None
    )
    return job


def test_what_settled_is_counted_by_hour_and_by_day(workspace):
    since = datetime(2026, 3, 1, 22, tzinfo=UTC)
    settled_at(workspace, since)
    settled_at(workspace, since + timedelta(minutes=59, seconds=59), cost="0.25")
    settled_at(workspace, since + timedelta(hours=2), status=Status.FAILED, cost=None)
    settled_at(workspace, since + timedelta(hours=2), status=Status.CANCELED, cost=None, ran=False)
    settled_at(workspace, since - timedelta(seconds=1))
    settled_at(workspace, since + timedelta(hours=4))
    settled_at(WorkspaceFactory(), since)
    hours = trends.settled_by_hour(workspace, since=since, until=since + timedelta(hours=4))
    assert [hour.total for hour in hours] == [2, 0, 2, 0]
    assert (hours[0].usd, hours[0].unknown) == (Decimal("0.75"), 0)
    assert (hours[2].usd, hours[2].unknown) == (0, 1), "what never ran cost nothing"
    assert hours[2].by_status == {Status.FAILED: 1, Status.CANCELED: 1}
    first, second = trends.by_day(hours)
    assert (first.at.day, first.total, first.usd) == (1, 2, Decimal("0.75"))
    assert (second.at.day, second.total, second.unknown) == (2, 2, 1)
    everywhere = trends.settled_by_hour(None, since=since, until=since + timedelta(hours=1))
    assert everywhere[0].total == 3


def test_the_last_hours_and_days_include_those_that_go_on():
    assert trends.first_hour(NOW) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert trends.first_day(NOW) == datetime(2026, 2, 17, tzinfo=UTC)
    just_before = datetime(2026, 3, 2, 23, 59, tzinfo=UTC)
    assert trends.first_hour(just_before) == datetime(2026, 3, 2, tzinfo=UTC)


def test_what_is_in_review_has_been_paid_for_and_does_not_count_yet(workspace, now):
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, now=now)
    Job.objects.filter(pk=job.pk).update(cost_usd=Decimal("0.3"))
    JobFactory(workspace=workspace, job_type=JobTypeFactory(lane=Lane.APPROVAL), now=now)
    seen = trends.pending_cost(workspace)
    assert (seen.usd, seen.jobs, seen.unknown) == (Decimal("0.3"), 1, 0)
    assert overview.overview(workspace, now=now).numbers.today.usd == 0


def test_durations_are_those_of_attempts_by_hour_and_type(workspace, now):
    slow = JobTypeFactory(name="Slow", review=Review.NEVER)
    for seconds in (10, 20, 90):
        job = JobFactory(workspace=workspace, job_type=slow, now=now)
        start(job, now=now)
        finish(job, "completed", now=now + timedelta(seconds=seconds))
    failed(workspace, now)
    JobFactory(status=Status.COMPLETED, now=now)
    span = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
    taken = trends.sample(workspace, **span)
    assert sorted(took.seconds for took in taken) == [10, 20, 90]
    assert len(trends.sample(None, **span)) == 4
    assert trends.sample(workspace, since=span["until"], until=now + timedelta(hours=2)) == ()
    [(_at, spread)] = trends.durations({now: taken}).by_hour
    assert (spread.number, spread.median, spread.most) == (3, 20, 90)
    assert trends.durations({now: taken}).by_type == (("Slow", spread),)
    assert trends.spread([]).median is None


def test_the_part_of_the_past_that_is_kept_is_kept_apart(workspace, now):
    """One workspace's numbers are never another's."""
    failed(workspace, now)
    other = WorkspaceFactory()
    assert len(overview.overview(workspace, now=now).numbers.causes) == 1
    assert overview.overview(other, now=now).numbers.causes == ()
    assert len(overview.overview(None, now=now).numbers.causes) == 1


# Charts --------------------------------------------------------------------------------------------


def test_bars_stand_on_each_other_and_fill_no_more_than_the_chart():
    chart = charts.stacked(
        [Point("a", "", [("one", 30), ("two", 30)]), Point("b", "", [("one", 0), ("two", 15)])],
        said="",
    )
    assert (chart.top, chart.width) == (60, 20)
    one, two = chart.columns[0].bars
    assert (one.y, one.height, two.y, two.height) == (50, 50, 0, 50)
    [bar] = chart.columns[1].bars
    assert (bar.name, bar.y, bar.height, bar.x) == ("two", 75, 25, 11.5)


def test_little_is_still_seen_and_nothing_is_not():
    chart = charts.layered([Point("a", "", [("one", 1000), ("two", 1), ("three", 0)])], said="")
    assert [bar.name for bar in chart.columns[0].bars] == ["one", "two"]
    assert chart.columns[0].bars[1].height == charts.LEAST
    assert charts.stacked([], said="").columns == ()


@pytest.mark.parametrize(
    ("value", "top"), [(0, 0.001), (1, 1), (41, 50), (110, 150), (0.034, 0.04)]
)
def test_the_top_of_a_chart_is_a_round_number(value, top):
    assert charts.nice(value) == top


@pytest.mark.parametrize(("value", "top"), [(0, 1), (61, 120), (172_801, 259_200)])
def test_the_top_of_a_clock_is_a_round_span(value, top):
    assert charts.nice_seconds(value) == top


@pytest.mark.parametrize(("columns", "ticks"), [(24, [0, 6, 12, 17, 23]), (3, [0, 1, 2]), (1, [0])])
def test_ticks_are_few_and_evenly_apart(columns, ticks):
    chart = charts.stacked([Point(str(at), "", []) for at in range(columns)], said="")
    assert chart.ticks == tuple(str(at) for at in ticks)


# The page ------------------------------------------------------------------------------------------


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.hrefs = []
        self.attributes = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.attributes += [name for name, _value in attrs]
        self.hrefs += [value for name, value in attrs if name == "href"]


def page(client, user, url="/w/here/operations/", **headers):
    client.force_login(user)
    answer = client.get(url, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def busy(workspace, now):
    """Something of everything that the page shows."""
    beat(now)
    JobFactory(workspace=workspace, now=now)
    start(JobFactory(workspace=workspace, now=now), now=now)
    become_unknown(JobFactory(workspace=workspace, now=now), now=now)
    failed(workspace, now - timedelta(minutes=5), code="<b>odd</b>")
    JobFactory(workspace=workspace, now=now, status=Status.COMPLETED)
    late = JobFactory(workspace=workspace, now=now, status=Status.NEEDS_REVIEW)
    Gate.objects.filter(job=late).update(due_at=now - timedelta(hours=1))
    Task.objects.create(
        id="a" * 32, name="a", func="jobs.tasks.sweep", started=now, stopped=now, success=False
    )


@pytest.mark.parametrize("url", ["/w/here/operations/", "/operations/"])
def test_every_number_leads_to_its_rows(client, busy, workspace, url):
    root = UserFactory(is_superuser=True, is_staff=True)
    text = page(client, root, url)
    hrefs = {href for href in Links(text).hrefs if href.startswith("/") and "static" not in href}
    lists = {h for h in hrefs if urlsplit(h).path in ("/w/here/jobs/", "/admin/jobs/job/")}
    asked = [parse_qs(urlsplit(href).query) for href in lists]
    assert len([query for query in asked if "status" in str(query)]) >= 5
    for href in sorted(hrefs - {"/w/here/reviews/"}):
        answer = client.get(href)
        assert answer.status_code in (200, 302), href
        if answer.status_code == 302:
            assert "e=1" not in answer.url, f"{href} is no filter that the admin knows"


def test_a_count_and_its_list_agree(client, busy, workspace, operator):
    text = page(client, operator)
    assert 'href="/w/here/jobs/?status=failed&amp;reason=%3Cb%3Eodd%3C%2Fb%3E"' in text
    listed = client.get("/w/here/jobs/", {"status": "failed", "reason": "<b>odd</b>"})
    assert [job.reason_code for job in listed.context["page"].jobs] == ["<b>odd</b>"]
    assert client.get("/w/here/jobs/", {"reason": "none of them"}).context["page"].jobs == []


def test_what_others_wrote_is_text(client, busy, operator):
    text = page(client, operator)
    assert "<b>odd" not in text and "&lt;b&gt;odd" in text


def test_nothing_on_the_page_needs_inline_code_or_style(client, busy, operator):
    text = page(client, operator)
    attributes = Links(text).attributes
    assert "style" not in attributes
    assert [name for name in attributes if name.startswith(("on", "hx-on"))] == []
    assert "<style" not in text


def test_the_page_renews_itself_with_the_part_that_changes(client, busy, operator):
    whole = page(client, operator)
    part = page(client, operator, **{"HX-Request": "true"})
    assert "<html" in whole and "<html" not in part
    assert part.strip().startswith('<div id="live"')
    assert 'hx-trigger="every 10s, look"' in part


def test_the_page_of_one_workspace_shows_no_other_ones_jobs(client, busy, workspace, now):
    elsewhere = WorkspaceFactory(slug="elsewhere")
    stranger = UserFactory(workspace=elsewhere, roles=[Role.OPERATOR])
    text = page(client, stranger, "/w/elsewhere/operations/")
    for ref in Job.objects.values_list("ref", flat=True):
        assert ref not in text


def test_looking_writes_nothing(client, busy, operator, django_assert_max_num_queries):
    client.force_login(operator)
    with django_assert_max_num_queries(72) as queries:
        client.get("/w/here/operations/")
    wrote = [q["sql"] for q in queries if not q["sql"].lstrip("( ").upper().startswith("SELECT")]
    assert wrote == []
    with django_assert_max_num_queries(28):
        client.get("/w/here/operations/")


def test_a_slot_that_never_beat_hides_no_heartbeat(db):
    """PostgreSQL sorts what is not there first."""
    now = timezone.now()
    SweepSlot.objects.create(number=8)
    SweepSlot.objects.create(number=9, beat_at=now)
    assert snapshot.last_beat() == now


@pytest.mark.django_db
def test_a_tool_call_that_nobody_runs_is_due_work():
    job = wants()
    now = timezone.now()
    before, _at = snapshot.due_work(now)
    FunctionCall.objects.filter(turn__attempt__job=job).update(
        next_check_at=now - timedelta(minutes=5)
    )
    after, oldest = snapshot.due_work(now)
    assert after.number == before.number + 1
    assert oldest <= now - timedelta(minutes=5)
