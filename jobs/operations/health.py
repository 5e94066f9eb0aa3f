"""Is it working? One answer, and the findings that it rests on, in plain words."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from django.conf import settings

from jobs.operations import causes
from jobs.operations.snapshot import Counted, Desk, Pulse
from jobs.operations.trends import Failing
from jobs.templatetags.jobsite import duration

#: No heartbeat for so long: nothing is at work. A cluster that is started again needs less.
BEAT_LATE = timedelta(seconds=40)
#: Due for so long and not picked up: something is behind.
LAG_LATE = timedelta(seconds=60)
#: Tasks in the queue. There are a sweep or two, and a message now and then.
LONG_QUEUE = 50
#: So many failures within the last hour are worth a word, where they are most of what settled.
MANY_FAILURES = 5
#: The reason of a running job whose provider does not answer (`outcomes.SILENT`).
SILENT = "provider_silent"


class Level(IntEnum):
    """How bad a finding is. A note changes nothing about whether it works."""

    NOTE = 0
    ATTENTION = 1
    DOWN = 2


@dataclass(frozen=True)
class Finding:
    """`text` says what is wrong, `todo` what to do. `rows` filters the list of jobs down to those
    concerned, `ref` names one, `page` an admin page, `part` a part of the operations page, `url`
    any other list of what is concerned."""

    code: str
    level: Level
    text: str
    todo: str
    rows: Mapping[str, str] | None = None
    ref: str = ""
    page: str = ""
    part: str = ""
    url: str = ""


@dataclass(frozen=True)
class Health:
    """The findings, the worst first."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        return max((finding.level for finding in self.findings), default=Level.NOTE)

    @property
    def word(self) -> str:
        return ("Working", "Needs attention", "Not working")[self.level]

    @property
    def sentence(self) -> str:
        urgent = sum(finding.level > Level.NOTE for finding in self.findings)
        things = "One thing needs" if urgent == 1 else f"{urgent} things need"
        return (
            "Everything that should be moving is moving.",
            f"Jobs are being worked on. {things} a look.",
            "Jobs are not getting done. What to do is said below.",
        )[self.level]


def examine(
    pulse: Pulse, desk: Desk, failing: Failing, others: Iterable[Finding] = (), *, now: datetime
) -> Health:
    """What is wrong, by what was found of the machine, the jobs and the failures; `others` is what
    other apps have found."""
    found = [
        *_about_cluster(pulse, now),
        *_about_account(pulse, desk, failing, now),
        *_about_provider(pulse, desk, failing),
        *_about_people(desk),
        *_about_rows(desk),
        *others,
        *_about_setup(pulse),
    ]
    return Health(tuple(sorted(found, key=lambda finding: -finding.level)))


def beats(beat_at: datetime | None, *, now: datetime, within: timedelta = BEAT_LATE) -> bool:
    """Whether a cluster is at work, by its last heartbeat."""
    return beat_at is not None and now - beat_at <= within


def _about_cluster(pulse: Pulse, now: datetime) -> Iterator[Finding]:
    late = pulse.late_by(now)
    due = "One attempt is due" if pulse.due.number == 1 else f"{pulse.due} attempts are due"
    silent = pulse.heard_at is None or now - pulse.heard_at > LAG_LATE
    more = "If that does not shrink by itself, start another cluster: manage.py qcluster."
    if not beats(pulse.beat_at, now=now):
        last = (
            f"The last sign of life was {duration(now - pulse.beat_at)} ago."
            if pulse.beat_at
            else "There has never been a sign of life."
        )
        yield Finding(
            "no_heartbeat",
            Level.DOWN,
            f"No cluster is at work. {last}",
            "Start one: manage.py qcluster, or restart manage.py run. Nothing is lost meanwhile.",
        )
        return
    if late > LAG_LATE and silent:
        heard = f"was last heard of {_ago(pulse.heard_at, now)}" if pulse.heard_at else "is silent"
        yield Finding(
            "nothing_polled",
            Level.DOWN,
            f"The cluster is alive, but nothing gets done. {due}, the oldest for "
            f"{duration(late)}, and OpenAI {heard}.",
            "Read the cluster's log, then restart it. Nothing is lost.",
        )
    elif late > LAG_LATE:
        text = f"Work is picked up late. {due}, the oldest for {duration(late)}."
        yield Finding("behind", Level.ATTENTION, text, more)
    if pulse.tasks.number > LONG_QUEUE:
        text = f"{pulse.tasks} tasks wait in the queue."
        page = "admin:django_q_ormq_changelist"
        yield Finding("long_queue", Level.ATTENTION, text, more, page=page)
    if pulse.failed_tasks:
        one = pulse.failed_tasks.number == 1
        yield Finding(
            "failed_tasks",
            Level.ATTENTION,
            f"{'One queue task' if one else f'{pulse.failed_tasks} queue tasks'} failed within "
            f"24 hours. The last was {pulse.failed_task}.",
            "Jobs lose nothing by it. The error is in the admin, under Failed tasks; delete it "
            "there once it is understood.",
            page="admin:django_q_failure_changelist",
        )


def _about_account(pulse: Pulse, desk: Desk, failing: Failing, now: datetime) -> Iterator[Finding]:
    refused_at = failing.refused_at
    # Whatever OpenAI has accepted since shows that the account is good again.
    if refused_at and (pulse.accepted_at is None or pulse.accepted_at < refused_at):
        why = causes.explain(failing.refused)
        yield Finding(
            "account_refused",
            Level.DOWN,
            f"OpenAI refuses the account, last {_ago(refused_at, now)}. {why.text}",
            why.todo,
            rows={"status": "failed", "reason": failing.refused},
        )
    for code in sorted(desk.reasons.keys() & causes.ACCOUNT.keys()):
        number = desk.reasons[code]
        yield Finding(
            "lookup_refused",
            Level.DOWN,
            f"OpenAI refuses to say how {_jobs(number)} {'stands' if number == 1 else 'stand'}. "
            f"{causes.explain(code).text}",
            "Check OPENAI_API_KEY and its project at OpenAI. Once it is accepted, they go on by "
            "themselves.",
            rows={"status": "running", "reason": code},
        )


def _about_provider(pulse: Pulse, desk: Desk, failing: Failing) -> Iterator[Finding]:
    for code, number in sorted(desk.reasons.items()):
        if code == SILENT:
            yield Finding(
                "silent",
                Level.ATTENTION,
                f"OpenAI does not answer about {_jobs(number)}.",
                "It is asked again by itself. See status.openai.com.",
                rows={"status": "running", "reason": code},
            )
        elif code.startswith("not_started_"):
            yield Finding(
                "not_taken",
                Level.ATTENTION,
                f"OpenAI does not take {_jobs(number)} yet ({code.removeprefix('not_started_')}).",
                "It is tried again by itself. Where it lasts, see status.openai.com, or ask OpenAI "
                "for a higher limit.",
                rows={"status": "queued", "reason": code},
            )
    if failing.failed >= MANY_FAILURES and failing.failed * 2 > failing.settled:
        yield Finding(
            "most_fail",
            Level.ATTENTION,
            f"Most jobs fail: {failing.failed} of {failing.settled} that ended within the last "
            "hour.",
            "See why below.",
            part="failures",
        )
    if pulse.unannounced_since and settings.OPENAI_WEBHOOK_SECRET:
        last = "has come since" if pulse.webhook_at else "has ever come"
        yield Finding(
            "webhooks_missing",
            Level.ATTENTION,
            f"Responses end at OpenAI, but no webhook {last}.",
            "Polling does the work, a little later. At OpenAI, check the endpoint's address "
            "(/webhooks/openai/ on this site) and its signing secret.",
        )


def _about_people(desk: Desk) -> Iterator[Finding]:
    if desk.doubts:
        yield Finding(
            "in_doubt",
            Level.ATTENTION,
            f"Nobody knows whether {_jobs(len(desk.doubts))} started at OpenAI.",
            "Settle each. A retry may pay for the same work twice.",
            part="to-settle",
        )
    if desk.overdue:
        one = desk.overdue.number == 1
        yield Finding(
            "overdue",
            Level.ATTENTION,
            "One review is overdue." if one else f"{desk.overdue} reviews are overdue.",
            "Remind the reviewers.",
            part="overdue",
        )


def _about_rows(desk: Desk) -> Iterator[Finding]:
    if desk.struck:
        yield Finding(
            "struck_out",
            Level.ATTENTION,
            f"The process that works on it dies, again and again: {_jobs(len(desk.struck))}.",
            "The answer will be stored without being read. Read the cluster's log, and see whether "
            "the machine ran out of memory.",
            ref=desk.struck[0],
        )
    if desk.put_off:
        yield Finding(
            "put_off",
            Level.ATTENTION,
            f"Handling it fails, so it is put off, longer each time: {_jobs(len(desk.put_off))}.",
            "The cluster's log has the error. Once that is mended, it goes on by itself.",
            ref=desk.put_off[0],
        )


def _about_setup(pulse: Pulse) -> Iterator[Finding]:
    if settings.SANDBOX:
        yield Finding(
            "stand_in",
            Level.NOTE,
            "No OpenAI key is set: answers come from the stand-in on this machine.",
            "Set OPENAI_API_KEY and restart, to have OpenAI answer.",
        )
    if not settings.OPENAI_WEBHOOK_SECRET:
        yield Finding(
            "no_webhooks",
            Level.NOTE,
            "No webhooks are set up: results are found by polling.",
            "Set OPENAI_WEBHOOK_SECRET, to have them within a second.",
        )


def _jobs(number: int) -> str:
    return "one job" if number == 1 else f"{Counted(number)} jobs"


def _ago(at: datetime, now: datetime) -> str:
    return f"{duration(now - at)} ago"
