"""The inbox and the desk of a workspace with a long queue, beside one with a short queue, in the
same database and the same run.

    .venv/bin/python -m benchmarks.inbox [--postgres] [--jobs 100000] [--open 20000]

Rows are written in bulk, as copies of jobs that walked there; the database is made for the run and
removed after it. Each page is asked for through Django's test client, the two in turn, so a figure is
what a request costs without the network; the quickest of seven counts, which others on the machine
disturb least. The ratio is what lasts; the milliseconds are this machine's.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

ROUNDS = 7
BATCH = 1_000
#: Open reviews of the workspace that the other is held against.
SHORT = 200
#: One in how many settled jobs a deadline lifted, or ended.
RARE = 50


@dataclass(frozen=True)
class Place:
    """A workspace, and who asks for its pages."""

    workspace: Any
    reviewer: Any
    lead: Any


@contextmanager
def database(postgres: bool) -> Iterator[None]:
    """An empty database of this run's own, whatever the environment names."""
    from tests.postgres import throw_away

    with tempfile.TemporaryDirectory(prefix="jobsite-benchmark-") as folder:
        if postgres:
            with throw_away() as url:
                yield _set_up(url)
        else:
            yield _set_up(f"sqlite:///{folder}/inbox.sqlite3")


def _set_up(url: str) -> None:
    os.environ.update(ENV_FILE="", SECRET_KEY="benchmark", DEBUG="true", DATABASE_URL=url)
    os.environ["DJANGO_SETTINGS_MODULE"] = "jobsite.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    # Otherwise each query is kept.
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    call_command("migrate", verbosity=0)


def fill(jobs: int, waiting: int) -> tuple[Place, Place, Place, Place]:
    """One whose decisions are all older than the others', the long queue, one that is nearly all for
    leads, and the short one."""
    from django.db import connection

    from tests.factories import JobTypeFactory

    types = [JobTypeFactory(slug=f"kind-{n}", name=f"Kind {n}") for n in range(6)]
    gated = JobTypeFactory(slug="gated", name="Gated", lane="approval")
    old = _filled("old", types, gated, jobs=30, waiting=5)
    least = max(5 * SHORT, jobs // 100)
    beside = waiting // 10
    long = _filled("long", types, gated, jobs=jobs - least - 2 * beside, waiting=waiting)
    # Nearly all of it waits for leads, and little for a reviewer.
    high = _filled("high", types, gated, jobs=2 * beside, waiting=beside, up=0.98)
    short = _filled("short", types, gated, jobs=least, waiting=SHORT)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return old, long, high, short


def _filled(
    slug: str, types: list[Any], gated: Any, *, jobs: int, waiting: int, up: float = 0.05
) -> Place:
    """A workspace with `jobs`, of which so many wait, the share `up` of them for leads."""
    from django.db.models import OuterRef, Subquery
    from django.utils import timezone

    from jobs.ids import new_ref, uuid7
    from jobs.models import Attempt, Event, Gate, Job, Result, Role, Status, Verb
    from reviews.models import Decision
    from tests.factories import JobFactory, UserFactory, WorkspaceFactory

    dice, now = random.Random(7), timezone.now()
    place = WorkspaceFactory(slug=slug)
    reviewer = UserFactory(username=f"{slug}-reviewer", workspace=place, roles=[Role.REVIEWER])
    lead = UserFactory(username=f"{slug}-lead", workspace=place, roles=[Role.LEAD])
    others = [UserFactory(workspace=place, roles=[Role.REVIEWER]) for _ in range(9)]
    askers = [UserFactory(workspace=place, roles=[Role.REQUESTER]) for _ in range(30)]
    walked = [
        JobFactory(workspace=place, job_type=one, status=Status.NEEDS_REVIEW) for one in types
    ]
    walked.append(JobFactory(workspace=place, job_type=gated))
    done = JobFactory(workspace=place, job_type=types[0], status=Status.COMPLETED)
    decision = done.decisions.get()

    waits: list[tuple[Any, Any]] = []
    settled: list[Any] = []
    made: list[Any] = []
    for number in range(jobs):
        pattern = dice.choice(walked) if number % max(1, jobs // waiting) == 0 else None
        if len(waits) == waiting:
            pattern = None
        words = f"{dice.choice(('Tides', 'Harbours', 'Ferries'))} of {number}"
        job = copy_of(
            pattern or done,
            id=uuid7(),
            ref=new_ref(),
            open_gate=None,
            requester=reviewer if number % 47 == 0 else dice.choice(askers),
            input_summary=f"{words}, rarely" if number % 2_000 == 0 else words,
            warnings=[{"code": "x", "text": "Look twice."}] if number % 11 == 0 else [],
            created_at=now,
            updated_at=now,
            # Its gate comes after it.
            **({"status": Status.QUEUED} if pattern else {}),
        )
        made.append(job)
        waits.append((job, pattern)) if pattern else settled.append(job)
    Job.objects.bulk_create(made, batch_size=BATCH)

    rows_of = {one.pk: _rows_of(one) for one in walked}
    attempts: dict[Any, Any] = {}
    results: dict[Any, Any] = {}
    gates: list[Any] = []
    for job, pattern in waits:
        attempt, result, gate = rows_of[pattern.pk]
        if attempt is not None:
            attempts[job.pk] = copy_of(attempt, job=job)
        if result is not None:
            results[job.pk] = copy_of(result, attempt=attempts[job.pk])
        told = _standing(dice, now, reviewer, others, up=dice.random() < up)
        told |= {"job": job, "attempt": None, "result": None}
        gates.append(copy_of(gate, **told))
    Attempt.objects.bulk_create(attempts.values(), batch_size=BATCH)
    Result.objects.bulk_create(results.values(), batch_size=BATCH)
    for row in gates:
        row.result = results.get(row.job_id)
        row.attempt = attempts.get(row.job_id)
    Gate.objects.bulk_create(gates, batch_size=BATCH)
    gate = Gate.objects.filter(job=OuterRef("pk")).values("pk")[:1]
    held = Job.objects.filter(workspace=place, status=Status.QUEUED, gates__isnull=False)
    held.update(status=Status.NEEDS_REVIEW, open_gate=Subquery(gate))

    Decision.objects.bulk_create(
        [
            copy_of(
                decision,
                id=uuid7(),
                job=job,
                workspace=place,
                gate=None,
                ruling="cancel" if number % 400 else "reopen",
                actor=dice.choice([lead, *others]),
                requester_id=job.requester_id,
                at=now,
            )
            for number, job in enumerate(settled)
        ],
        batch_size=BATCH,
    )
    few = {0: Verb.ESCALATED, 1: Verb.EXPIRED}
    Event.objects.bulk_create(
        [
            Event(
                job=job,
                seq=1,
                at=now - timedelta(seconds=number),
                verb=few.get(number % RARE, Verb.WAITING),
                from_status=Status.NEEDS_REVIEW,
                actor_name="system",
                hash=f"{number:064x}",
            )
            for number, job in enumerate(made)
        ],
        batch_size=BATCH,
    )
    return Place(place, reviewer, lead)


def copy_of(row: Any, **changes: Any) -> Any:
    """`row` as a new one, with these changes."""
    kept = {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if not field.primary_key
    }
    for name in changes:
        kept.pop(row._meta.get_field(name.removesuffix("_id")).attname, None)
    return type(row)(**kept, **changes)


def _rows_of(job: Any) -> tuple[Any, Any, Any]:
    """The attempt, the result and the gate of a job that waits, as far as it has them."""
    attempt = job.attempts.first()
    return attempt, getattr(attempt, "result", None), job.open_gate


def _standing(
    dice: random.Random, now: Any, reviewer: Any, others: list[Any], *, up: bool
) -> dict[str, Any]:
    """Where a gate stands: one in five overdue, `up` a level up, some asked or open."""
    luck = dice.random()
    told = {
        "level": 2 if up else 1,
        "role": "lead" if up else "reviewer",
        "opened_at": now - timedelta(seconds=dice.randrange(3 * 86_400)),
        "due_at": now + timedelta(seconds=dice.randrange(-86_400, 4 * 86_400)),
        "watch_at": None,
        "content_hash": f"{dice.getrandbits(256):064x}",
    }
    if luck < 0.01:
        until = now + timedelta(hours=9)
        told |= {"claimed_by": dice.choice(others), "claimed_at": now, "claimed_until": until}
    elif luck < 0.05:
        told["assignee"] = reviewer if luck < 0.015 else dice.choice(others)
    return told


def pages(place: Place) -> dict[str, tuple[Any, str, dict[str, str]]]:
    """What is asked for, by its name: by whom, at which address, with what."""
    from django.urls import reverse
    from django.utils import timezone

    from reviews import inbox
    from reviews.inbox import Wanted
    from reviews.models import Decision

    now, me = timezone.now(), place.reviewer
    url = reverse("reviews:inbox", args=[place.workspace.slug])
    gates = inbox.matching(me, place.workspace, Wanted(), now=now)
    deep = gates[gates.count() * 9 // 10]
    late = str(Decision.objects.filter(workspace=place.workspace).order_by("id")[60].pk)
    waits = inbox.next_for(me, place.workspace)
    assert waits is not None
    desk, onwards = (
        reverse(f"reviews:{name}", args=[waits.ref]) for name in ("job_review", "job_next")
    )
    rare = {"q": "rarely", "type": "kind-2"}
    return {
        "waiting": (me, url, {}),
        "waiting, a lead's": (place.lead, url, {}),
        "mine": (me, url, {"tab": "mine"}),
        "escalated": (me, url, {"tab": "escalated"}),
        "overdue": (me, url, {"tab": "overdue"}),
        "history": (me, url, {"tab": "history"}),
        "newest first, anybody's": (me, url, {"sort": "newest", "whose": "all"}),
        "waiting, deep": (me, url, {"after": inbox.place_at(deep)}),
        "history, deep": (me, url, {"tab": "history", "after": f"{late}~~"}),
        "history, one ruling": (me, url, {"tab": "history", "ruling": "reopen"}),
        "a type, and a word that many have": (me, url, {"q": "tides", "type": "kind-2"}),
        "a type, and a word that few have": (me, url, rare),
        "a word that none has": (me, url, {"q": "nothing like this"}),
        "with warnings": (me, url, {"warnings": "yes"}),
        "desk": (me, desk, {}),
        "next": (me, onwards, {}),
        "next, deep": (me, onwards, {"at": inbox.place_at(deep)}),
    }


def timed(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    ask()
    return (time.perf_counter() - start) * 1_000


def measure(old: Place, long: Place, high: Place, short: Place) -> dict[str, tuple[float, float]]:
    """Of each page the quickest answer in milliseconds: of the long queue, and of the short one."""
    from django.test import Client
    from django.urls import reverse

    asked = pages(long), pages(short)
    for side, place in enumerate((high, short)):
        asked[side]["waiting, nearly all for leads"] = pages(place)["waiting"]
    for side, place in enumerate((old, short)):
        url = reverse("reviews:inbox", args=[place.workspace.slug])
        behind = (place.reviewer, url, {"tab": "history"})
        asked[side]["history, older than all others'"] = behind
    said: dict[str, tuple[float, float]] = {}
    for name in asked[0]:
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(ROUNDS + 1):
            for side, place in enumerate(asked):
                user, url, query = place[name]
                client = Client()
                client.force_login(user)
                took = timed(lambda c=client, u=url, q=query: _answered(c.get(u, q)))  # type: ignore[misc]
                if number:  # the first round warms up
                    times[side].append(took)
        said[name] = min(times[0]), min(times[1])
    return said


def _answered(answer: Any) -> None:
    assert answer.status_code in (200, 302), answer.status_code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--open", type=int, default=20_000)
    options = parser.parse_args()
    with database(options.postgres):
        from django.db import connections

        start = time.perf_counter()
        places = fill(options.jobs, options.open)
        print(f"filled in {time.perf_counter() - start:.0f} s", flush=True)
        for name, (slow, quick) in measure(*places).items():
            print(
                f"{name:36} {slow:7.1f} ms   of {SHORT} {quick:7.1f} ms   ratio {slow / quick:.2f}"
            )
        connections.close_all()


if __name__ == "__main__":
    main()
