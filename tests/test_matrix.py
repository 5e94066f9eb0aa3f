"""Every door about a job × every role × every situation × one's own job or another's: each is really
tried, and `docs/permissions.md` says what must come of it. A door that it does not name fails."""

import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.db import transaction
from django.urls import reverse

from jobs import lapses, outcomes
from jobs.documents import Upload
from jobs.models import Job, Lane, Result, ResultFile, Role, Status
from reviews import exhibits
from reviews.models import Decision
from tests import payloads
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    become_unknown,
    finish,
    start,
    wants,
)
from tests.test_doors import client_of, doors

pytestmark = pytest.mark.django_db

PAGE = Path(__file__).resolve().parent.parent / "docs" / "permissions.md"
#: The letters that the page uses, and a job in each situation. Made for `workspace`.
SITUATIONS = {
    "q": lambda **given: JobFactory(**given),
    "r": lambda **given: JobFactory(status=Status.RUNNING, **given),
    "u": lambda **given: unknown(JobFactory(**given)),
    "b": lambda **given: JobFactory(job_type=JobTypeFactory(lane=Lane.APPROVAL), **given),
    "t": lambda **given: wants(**given),
    "v": lambda **given: reviewed(JobFactory(**given)),
    "c": lambda **given: JobFactory(status=Status.COMPLETED, **given),
    "f": lambda **given: JobFactory(status=Status.FAILED, **given),
    "l": lambda **given: late(JobFactory(**given)),
    "x": lambda **given: JobFactory(status=Status.CANCELED, **given),
    "e": lambda **given: JobFactory(status=Status.EXPIRED, **given),
}
ROLES = [role.value for role in Role]


@cache
def table():
    """(door, role, whether it is one's own job) → the letters of the situations in which it opens."""
    said, own = {}, False
    every = "".join(SITUATIONS)
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            own = "own" in line
        if row := re.match(r"\| `(\w+:\w+)` \|(.*)\|$", line):
            cells = [cell.strip() for cell in row[2].split("|")]
            for role, cell in zip(ROLES, cells, strict=True):
                said[row[1], role, own] = set(
                    "" if cell == "–" else every if cell.lower() == "all" else cell
                )
    return said


def about_a_job():
    """The doors of one job, from the URL map."""
    return sorted(name for name, route in doors() if "<str:ref>" in route and ":" in name)


def test_the_page_names_every_door_about_a_job_and_no_other():
    for own in (True, False):
        named = sorted({door for door, _role, whose in table() if whose is own})
        assert named == about_a_job()


def address(name, job):
    route = next(route for known, route in doors() if known == name)
    given = {"ref": job.ref, "position": 1, "attempt": 1}
    return reverse(name, kwargs={k: v for k, v in given.items() if f":{k}>" in route})


def unknown(job):
    become_unknown(job)
    return job


def reviewed(job):
    """With a step of a tool to look at."""
    start(job)
    searched = {
        "id": "ws_1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "tides"},
    }
    finish(job, "completed", output=[searched, payloads.message("The answer.")])
    return job


def late(job):
    turn = become_unknown(job)
    lapses.unknown_wait_over(turn.pk, now=NOW)
    answer = payloads.response("completed", id="resp_late")
    outcomes.accepted(turn.pk, answer, now=NOW, adopted=True)
    return job


def scene(letter):
    """A job with a document, in a workspace where follow-ups can be asked for."""
    workspace = WorkspaceFactory()
    JobTypeFactory(workspace=workspace, follows=True, input_schema={"type": "object"})
    job = SITUATIONS[letter](workspace=workspace, uploads=(Upload("notes.txt", b"Some words."),))
    job.refresh_from_db()
    UserFactory(username=f"lead-of-{job.ref}", workspace=workspace, roles=[Role.LEAD])
    return job


def with_a_file(job):
    result = Result.objects.filter(attempt__job=job).last()
    if result:
        file = ResultFile(result=result, position=1, name="a.png", content_type="image/png")
        file.size, file.sha256 = 4, "0"
        file.file.save("a.png", ContentFile(b"\x89PNG"))


def ticks(job):
    return job.open_gate is not None and bool(exhibits.at_gate(job, job.open_gate))


def tried(client, name, job):
    """Whether the door opens, for a POST that says all it has to or, where it takes none, a GET;
    and what is decided then. It is taken back."""
    sent = {
        "note": "Because.",
        "text": "A note.",
        "title": "A title",
        "assignee": f"lead-of-{job.ref}",
        "tick": exhibits.at_gate(job, job.open_gate)[0].key if ticks(job) else "",
        "content_hash": job.open_gate.content_hash if job.open_gate else "",
    }
    url = address(name, job)
    with transaction.atomic():
        if name == "jobs:result_file":
            with_a_file(job)
        answer = client.post(url, sent)
        if answer.status_code == 405:
            answer = client.get(url)
        if answer.streaming:
            list(answer)
        decided = Decision.objects.filter(job=job, note="Because.").count()
        after = Job.objects.values_list("status", "event_count").get(pk=job.pk)
        transaction.set_rollback(True)
    assert answer.status_code < 500
    return answer.status_code not in (403, 404, 409), decided, after


@pytest.mark.parametrize("letter", SITUATIONS)
def test_each_door_opens_as_the_page_says(letter):
    job = scene(letter)
    before = (job.status, job.event_count)
    wrong = defaultdict(set)
    for role in ROLES:
        person = UserFactory(workspace=job.workspace, roles=[Role(role)])
        client = client_of(person)
        for own in (False, True):
            with transaction.atomic():
                if own:
                    Job.objects.filter(pk=job.pk).update(requester=person)
                seen = Job.objects.select_related("open_gate").get(pk=job.pk)
                for name in about_a_job():
                    opens, decided, after = tried(client, name, seen)
                    if opens != (letter in table().get((name, role, own), set())):
                        wrong[f"{name} {'own' if own else 'other'}"].add(role)
                    # What is refused leaves nothing behind.
                    assert opens or (decided == 0 and after == before), f"{name} {role} {letter}"
                transaction.set_rollback(True)
    assert wrong == {}
