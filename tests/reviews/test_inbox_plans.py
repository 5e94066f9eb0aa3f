"""The inbox stays quick however much is stored: its questions walk an index, and stop."""

import json
import os
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import OuterRef, Subquery
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.ids import new_ref, uuid7
from jobs.models import Event, Gate, GateKind, Job, Role, Status, Verb
from reviews import history, inbox
from reviews.inbox import Sort, Tab, Wanted
from reviews.models import Decision, Ruling
from tests.factories import NOW, JobFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

#: More by hand: INBOX_JOBS=100000 INBOX_OPEN=20000.
JOBS = int(os.environ.get("INBOX_JOBS", "3000"))
#: A large table, or the alias of one, read from end to end. The history is read in the order of ids.
WHOLE = re.compile(r"SCAN (jobs_job|jobs_gate|jobs_event|reviews_decision|V0)(?! USING)")
OPEN = int(os.environ.get("INBOX_OPEN", "1500"))


@pytest.fixture(scope="module")
def many(django_db_setup, django_db_blocker):
    """As `stored`, once for all tests here: each of them takes back what it changes."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield stored()
        transaction.set_rollback(True)


def stored():
    """A workspace with many jobs, of which some wait, and people of each kind. Rows are written as
    they would be in the end: to walk there takes too long for so many."""
    workspace = WorkspaceFactory(slug="many")
    reviewer = UserFactory(workspace=workspace, roles=[Role.REVIEWER])
    first = JobFactory(workspace=workspace)
    copied = {
        name: getattr(first, name)
        for name in ("job_type", "prompt_version", "requester", "lane", "start_by", "finish_by")
    }
    made = [
        Job(
            **copied,
            id=uuid7(),
            ref=new_ref(),
            workspace=workspace,
            input_summary=f"Tides {number}",
            created_at=NOW,
            updated_at=NOW,
        )
        for number in range(JOBS)
    ]
    Job.objects.bulk_create(made, batch_size=500)
    Gate.objects.bulk_create(
        [
            Gate(
                job=job,
                workspace=workspace,
                prompt_version=first.prompt_version,
                kind=GateKind.BEFORE_RUN,
                level=2 if number % 100 == 7 else 1,
                content_hash=f"{number:064x}",
                reasons=[{"code": "before_run", "text": "Always."}],
                opened_at=NOW + timedelta(seconds=number),
                due_at=NOW + timedelta(seconds=(number * 7_919) % OPEN),
            )
            for number, job in enumerate(made[:OPEN])
        ],
        batch_size=500,
    )
    # Before anything is asked of so many rows: PostgreSQL knows of none in this transaction, and would
    # read the whole of one table for each row of another.
    analyze()
    gate = Gate.objects.filter(job=OuterRef("pk")).order_by().values("pk")[:1]
    waits = Job.objects.filter(pk__in=Gate.objects.order_by().values("job"))
    waits.update(status=Status.NEEDS_REVIEW, open_gate=Subquery(gate))
    Decision.objects.bulk_create(
        [
            Decision(
                job=job,
                workspace=workspace,
                ruling=Ruling.CANCEL,
                actor=reviewer,
                role=Role.REVIEWER,
                requester=first.requester,
                at=NOW,
            )
            for job in made[OPEN:]
        ],
        batch_size=500,
    )
    few = {0: Verb.ESCALATED, 1: Verb.EXPIRED}
    Event.objects.bulk_create(
        [
            Event(
                job=job,
                seq=2,
                at=NOW + timedelta(seconds=number),
                verb=few.get(number % 50, Verb.WAITING),
                actor_name="system",
                hash=f"{number:064x}",
            )
            for number, job in enumerate(made)
        ],
        batch_size=500,
    )
    analyze()
    return workspace, reviewer


def analyze():
    tables = [model._meta.db_table for model in (Job, Gate, Event, Decision)]
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ANALYZE {table}")


def plan(rows):
    return rows.explain(**({"format": "json"} if connection.vendor == "postgresql" else {}))


def reads_whole(rows):
    """What of a plan reads a whole table, or sorts."""
    said = plan(rows)
    if connection.vendor == "sqlite":
        return [
            line.strip()
            for line in said.splitlines()
            if "TEMP B-TREE FOR ORDER BY" in line or WHOLE.search(line)
        ]

    def walk(node):
        yield node
        for inner in node.get("Plans", []):
            yield from walk(inner)

    [top] = json.loads(said)
    large = {"jobs_job", "jobs_gate", "jobs_event", "reviews_decision"}
    return [
        f"{node['Node Type']} {node.get('Relation Name', '')}"
        for node in walk(top["Plan"])
        if node["Node Type"] == "Sort"
        or (node["Node Type"] == "Seq Scan" and node.get("Relation Name") in large)
    ]


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("everyone", [True, False])
def test_a_page_walks_the_open_gates_in_its_order_and_stops(many, sort, everyone):
    workspace, reviewer = many
    wanted = Wanted(everyone=everyone, sort=sort)
    rows = inbox.matching(reviewer, workspace, wanted, now=NOW)[: inbox.PAGE]
    assert reads_whole(rows) == [], plan(rows)
    index = "gate_inbox" if sort is Sort.DUE else "gate_inbox_opened"
    assert index in plan(rows)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="steps are counted on SQLite")
@pytest.mark.parametrize("wanted", [Wanted(text="nothing like this"), Wanted(warned=True)])
def test_whom_a_review_waits_for_is_asked_of_those_that_match(many, wanted):
    workspace, reviewer = many

    def steps(wanted):
        rows, taken = inbox.matching(reviewer, workspace, wanted, now=NOW), []
        connection.connection.set_progress_handler(lambda: taken.append(1), 100)
        try:
            assert list(rows[: inbox.PAGE]) == []
        finally:
            connection.connection.set_progress_handler(None, 0)
        return len(taken)

    assert steps(wanted) < 1.5 * steps(replace(wanted, everyone=True))


@pytest.mark.skipif(connection.vendor != "sqlite", reason="steps are counted on SQLite")
def test_what_waits_for_leads_alone_costs_a_reviewer_little(many):
    workspace, reviewer = many
    lead = UserFactory(workspace=workspace, roles=[Role.LEAD])
    Gate.objects.update(role=Role.LEAD)

    def steps(user):
        taken = []
        connection.connection.set_progress_handler(lambda: taken.append(1), 10)
        found = inbox.count(inbox.waiting(user, workspace, everyone=False), 10_000)
        connection.connection.set_progress_handler(None, 0)
        return found, len(taken)

    every, most = steps(lead)
    none, least = steps(reviewer)
    assert (every, none) == (OPEN, 0)
    assert least < most / 4


@pytest.mark.skipif(connection.vendor != "sqlite", reason="steps are counted on SQLite")
@pytest.mark.parametrize("sort", Sort)
def test_where_the_first_stands_is_known_without_walking_all(many, sort):
    workspace, reviewer = many
    wanted = Wanted(sort=sort)
    job = inbox.after(reviewer, workspace, wanted, "", NOW)
    taken = []
    connection.connection.set_progress_handler(lambda: taken.append(1), 100)
    found = inbox.position(reviewer, workspace, wanted, job, NOW)
    connection.connection.set_progress_handler(None, 0)
    assert found.number == "1"
    assert len(taken) * 100 < OPEN * 6


@pytest.mark.parametrize(
    ("tab", "index"), [(Tab.OVERDUE, "gate_inbox"), (Tab.ESCALATED, "gate_escalated")]
)
def test_a_tab_of_few_is_counted_by_its_index(many, tab, index):
    workspace, reviewer = many
    wanted = Wanted(everyone=True, tab=tab)
    rows = inbox.matching(reviewer, workspace, wanted, now=NOW - timedelta(days=1))
    assert index in plan(rows.order_by()[: inbox.MOST_COUNTED])


def test_what_one_has_open_or_was_asked_is_found_by_its_index(many):
    workspace, reviewer = many
    rows = inbox.matching(reviewer, workspace, Wanted(everyone=True, tab=Tab.MINE), now=NOW)
    said = plan(rows.order_by()[: inbox.MOST_COUNTED])
    # The few that are found are sorted to be named once.
    assert not [step for step in reads_whole(rows.order_by()) if "scan" in step.lower()], said
    assert "_claimed" in said and "_assign" in said, said


def test_the_history_walks_decisions_and_the_few_events_of_reviews(many):
    workspace, reviewer = many
    decisions = history._decision_rows(workspace, None, None, history.Cursor())
    assert reads_whole(decisions[: history.PAGE]) == [], plan(decisions)
    # Not those of all workspaces, however many others have decided since.
    others = history._decision_rows(WorkspaceFactory(), None, None, history.Cursor())
    assert "decision_by_workspace" in plan(others[: history.PAGE])
    with CaptureQueriesContext(connection) as queries:
        assert history.count(workspace, 100) == 100
    [counted] = queries
    assert "LIMIT 100" in counted["sql"] and "ORDER BY" not in counted["sql"]
    for verb in (Verb.ESCALATED, Verb.EXPIRED):
        events = history._event_rows(workspace, verb, history.Cursor())[: history.PAGE]
        assert f"event_{verb}" in plan(events), plan(events)


def test_a_full_inbox_asks_a_fixed_number_of_questions(many, client):
    workspace, reviewer = many
    client.force_login(reviewer)
    asked = []
    for query in ({}, {"after": f"{NOW.isoformat()}~1"}, {"tab": "history"}):
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(reverse("reviews:inbox", args=["many"]), query)
        assert answer.status_code == 200
        asked.append(len(queries))
    assert max(asked) <= 28, asked
