"""The review rules on real results: what is read for them, what they ask, what is stored of it."""

import json
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs import evidence, lifecycle, review_facts, reviewing
from jobs.models import Gate, Job, JobType, Membership, Price, PromptVersion, Review, Role, Status
from jobs.reextract import re_extract
from jobs.report import job_document
from jobs.review_facts import approvals
from jobs.reviewing import Approvals
from reviews.actions import Ask, decide
from reviews.models import Decision, Ruling
from tests import payloads
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    approve,
    finish,
    start,
    wants,
)
from tests.jobs.test_races import at_once

pytestmark = pytest.mark.django_db

SEARCH = {
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "tides"},
}
CITED = {"type": "url_citation", "url": "https://x.example/", "start_index": 0, "end_index": 3}
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}


def rules(**fields):
    return JobTypeFactory(**{"review": Review.RULES, **fields})


def done(job_type, *, status="completed", workspace=None, **answer):
    """A job of this type whose running attempt has just been answered."""
    more = {"workspace": workspace} if workspace else {}
    job = JobFactory(job_type=job_type, **more)
    start(job)
    finish(job, status, **answer)
    return fresh(job)


def fresh(job):
    return Job.objects.select_related("open_gate", "job_type").get(pk=job.pk)


def codes(job):
    return [reason["code"] for reason in job.open_gate.reasons] if job.open_gate else []


def ruled(job, ruling, note="Because."):
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(ruling, lead, NOW, note=note))


@pytest.fixture
def drawn(monkeypatch):
    """Sets every draw."""
    return lambda value: monkeypatch.setattr(reviewing, "draw", lambda job_id, *, key: value)


# Over the stand-in --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "life", "expected"),
    [
        ({}, {"usage": payloads.usage(100_000, 50_000)}, []),
        (
            {"review_cost_over": Decimal("0.99")},
            {"usage": payloads.usage(100_000, 50_000)},
            ["It cost $1.00, over the limit of $0.99."],
        ),
        ({"review_cost_over": Decimal(1)}, {"usage": payloads.usage(100_000, 50_000)}, []),
        ({"review_tools": ["web_search"]}, {}, []),
        (
            {"review_tools": ["web_search"]},
            {"output": [SEARCH, payloads.message("Done.")]},
            ["It asked for tools whose use is reviewed: Web search."],
        ),
        ({"review_without_citations": True}, {}, ["It cites nothing."]),
        (
            {"review_without_citations": True},
            {"output": [payloads.message("The tides.", annotations=[CITED])]},
            [],
        ),
        (
            {"review_on_warnings": False, "review_roles": ["requester"]},
            {},
            ["It is reviewed for the roles of whoever asked for it: Requester."],
        ),
        ({"review_roles": ["operator"]}, {}, []),
        (
            {"review_first": 1},
            {},
            ["The first result of a prompt version is reviewed, and this is it."],
        ),
    ],
)
def test_a_rule_puts_a_result_before_a_person(driver, sandbox, clock, rule, life, expected):
    job = JobFactory(now=clock(), job_type=rules(**rule))
    sandbox.script({"on": "create", "do": {"life": {"queued": 0, "running": 0, **life}}})
    driver.settle(job)
    job = fresh(job)
    said = [reason["text"] for reason in job.open_gate.reasons] if job.open_gate else []
    assert said == expected
    assert job.status == (Status.NEEDS_REVIEW if expected else Status.COMPLETED)
    if expected:
        approve(job, now=clock())
        assert [one["text"] for one in Decision.objects.get(job=job).policy] == expected


def test_a_cost_that_nobody_knows_is_over_any_limit():
    Price.objects.all().delete()
    job = done(rules(review_cost_over=Decimal(1_000)))
    assert job.cost_usd is None
    assert codes(job) == ["cost"]


def test_the_cost_is_that_of_all_attempts_together():
    job_type = rules(review_cost_over=Decimal("1.50"))
    job = done(job_type, usage=payloads.usage(100_000, 50_000), status="incomplete")
    assert codes(job)[0] == "incomplete" and "cost" not in codes(job)
    ruled(job, Ruling.RETRY)
    start(job)
    finish(job, "completed", usage=payloads.usage(100_000, 50_000))
    assert codes(fresh(job)) == ["cost"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"title": "Tides"}', []),
        ('{"title": 3}', ["violations"]),
        ("no JSON at all", ["violations"]),
        ("", ["violations"]),
        ("null", ["violations"]),
    ],
)
def test_output_that_was_not_found_to_fit_its_schema_is_reviewed(text, expected):
    job_type = rules(
        review_on_warnings=False, review_on_violations=True, version__output_schema=SCHEMA
    )
    assert codes(done(job_type, output=[payloads.message(text)])) == expected


def test_text_without_a_schema_violates_none():
    assert codes(done(rules(review_on_violations=True))) == []


def test_functions_of_ours_are_known_by_their_names():
    tools = [{"type": "function", "name": "send_email"}]
    job = wants(rules(review_tools=["send_email"], version__tools=tools))
    ruled(job, Ruling.REFUSE)
    start(job)
    finish(job, "completed")
    assert codes(fresh(job)) == ["tools"]


def test_an_answer_that_cannot_be_read_may_hold_any_tool(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("a fault in the reading")

    monkeypatch.setattr(evidence, "read", broken)
    job = done(rules(review_on_warnings=False, review_tools=["web_search"]))
    assert codes(job) == ["tools"]


def test_somebody_who_has_left_is_nobody_to_trust():
    job_type = rules(review_roles=["requester"])
    workspace = WorkspaceFactory()
    lead = UserFactory(workspace=workspace, roles=[Role.LEAD, Role.REQUESTER])

    def asked_for():
        job = JobFactory(job_type=job_type, workspace=workspace, requester=lead)
        start(job)
        return job

    trusted, left = asked_for(), asked_for()
    finish(trusted, "completed")
    Membership.objects.filter(user=lead).delete()
    finish(left, "completed")
    assert (codes(fresh(trusted)), codes(fresh(left))) == ([], ["role"])


@pytest.mark.parametrize(
    "fields",
    [
        {"review": Review.SAMPLED, "review_share": 100},
        {"review_share": 100},
        {"review_without_citations": True},
        {"review_first": 5},
    ],
)
def test_a_requester_cannot_tell_a_draw_from_a_rule(client, fields):
    """Whoever knew that it was drawn could cancel, and submit the same again."""
    job = done(rules(**fields))
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    [why] = job_document(job, reader=lead)["gate"]["reasons"]
    assert why["code"] in reviewing.OF_THE_POLICY
    told = job_document(job, reader=job.requester)
    policy = {"code": "policy", "text": "The policy of its type asks for a review of it."}
    assert told["gate"]["reasons"] == [policy]
    assert told["reason"] == policy
    client.force_login(job.requester)
    listed = reverse("jobs:job_list", args=[job.workspace.slug])
    for page in (job.get_absolute_url(), reverse("jobs:job_live", args=[job.ref]), listed):
        shown = client.get(page).content.decode()
        assert why["text"] not in shown
    assert job.ref not in client.get(listed, {"reason": why["code"]}).content.decode()
    assert policy["text"] in client.get(job.get_absolute_url()).content.decode()
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, NOW))
    assert why["text"] not in client.get(job.get_absolute_url()).content.decode()
    assert why["text"] not in json.dumps(job_document(job, reader=job.requester), default=str)
    assert Decision.objects.get().policy == [why]


def test_what_hides_no_draw_is_told_as_it_is():
    always = JobTypeFactory(review_without_citations=True)
    sampled = JobTypeFactory(review=Review.SAMPLED, review_share=100)
    for job_type, status, code in (
        (always, "completed", "always"),
        (sampled, "incomplete", "incomplete"),
    ):
        job = done(job_type, status=status)
        assert len(job.open_gate.reasons) == 2
        [reason] = job_document(job, reader=job.requester)["gate"]["reasons"]
        assert reason["code"] == job.reason_code == code


def test_the_requester_reads_nothing_of_the_result(client):
    job_type = rules(
        review_on_violations=True, review_without_citations=True, version__output_schema=SCHEMA
    )
    job = done(job_type, output=[payloads.message('{"title": "Atlantis", "secret": 1}')])
    client.force_login(job.requester)
    shown = client.get(job.get_absolute_url()).content.decode()
    assert "The policy of its type asks for a review of it." in shown
    assert "Atlantis" not in shown and "secret" not in shown


# The first of a version ---------------------------------------------------------------------------


def test_the_first_results_of_a_version_are_reviewed_and_then_those_of_the_next():
    job_type, workspace = rules(review_first=2), WorkspaceFactory()
    asked = [bool(codes(done(job_type, workspace=workspace))) for _number in range(3)]
    assert asked == [True, True, False]
    job_type.current_version = PromptVersion.objects.create(
        job_type=job_type, number=2, model="gpt-5.6-terra", instructions="Answer well."
    )
    job_type.save()
    assert codes(done(job_type, workspace=workspace)) == ["first"]


def test_what_others_have_reviewed_does_not_count():
    job_type = rules(review_first=1)
    assert codes(done(job_type)) == codes(done(job_type)) == ["first"]


def test_a_job_that_failed_or_was_withdrawn_is_none_of_the_first():
    job_type, workspace = rules(review_first=1), WorkspaceFactory()
    done(job_type, workspace=workspace, status="failed")
    withdrawn = done(job_type, workspace=workspace)
    decide(withdrawn.pk, Ask(Ruling.CANCEL, withdrawn.requester, NOW))
    assert codes(done(job_type, workspace=workspace)) == ["first"]


def test_a_second_attempt_of_one_of_the_first_is_still_one_of_them():
    job = done(rules(review_first=1))
    ruled(job, Ruling.REQUEST_CHANGES)
    start(job)
    finish(job, "completed")
    assert codes(fresh(job)) == ["sent_back", "first"]


@pytest.mark.django_db(transaction=True)
def test_of_results_that_come_at_the_same_moment_none_slips_by():
    job_type, workspace = rules(review_first=2), WorkspaceFactory()
    jobs = [JobFactory(job_type=job_type, workspace=workspace) for _number in range(4)]
    for job in jobs:
        start(job)
    assert at_once(*(partial(finish, job, "completed") for job in jobs)) == [None] * 4
    assert sum("first" in codes(fresh(job)) for job in jobs) >= 2


# The share and the record -------------------------------------------------------------------------


def test_a_share_is_drawn(drawn):
    job_type = JobTypeFactory(review=Review.SAMPLED, review_share=10)
    drawn(0.0999)
    job = done(job_type)
    assert job.open_gate.reasons == [
        {"code": "drawn", "text": "It was drawn: 10% of the results are reviewed."}
    ]
    drawn(0.10)
    assert codes(done(job_type)) == []


def test_a_draw_has_the_key_of_the_installation(settings):
    job = JobFactory(job_type=JobTypeFactory(review=Review.SAMPLED, review_share=50))
    start(job)
    settings.AUDIT_KEY = next(
        key for key in map(str, range(100)) if reviewing.draw(job.pk, key=key) < 0.5
    )
    finish(job, "completed")
    assert codes(fresh(job)) == ["drawn"]


def test_a_retry_is_no_second_draw(settings):
    job = done(JobTypeFactory(review=Review.SAMPLED, review_share=100))
    before = reviewing.draw(job.pk, key=settings.AUDIT_KEY)
    ruled(job, Ruling.RETRY)
    start(job)
    finish(job, "completed")
    assert codes(fresh(job)) == ["drawn"]
    assert reviewing.draw(job.pk, key=settings.AUDIT_KEY) == before


def test_the_share_follows_the_record_of_the_version_in_its_workspace(drawn, monkeypatch):
    monkeypatch.setattr(reviewing, "RECORD", 4)
    monkeypatch.setattr(review_facts, "RECORD", 4)
    job_type = JobTypeFactory(
        review=Review.SAMPLED, review_share=90, review_share_adapts=True, review_share_floor=10
    )
    workspace = WorkspaceFactory()
    drawn(0.25)
    for number in range(4):
        job = done(job_type, workspace=workspace)
        assert codes(job) == ["drawn"], number
        approve(job)
    assert approvals(job.prompt_version, [workspace.pk]) == Approvals(4, 0)
    assert codes(done(job_type, workspace=workspace)) == []
    assert codes(done(job_type)) == ["drawn"], "elsewhere nothing is known of it"
    # One that is not approved as it is brings the share back.
    drawn(0.05)
    ruled(done(job_type, workspace=workspace), Ruling.REJECT)
    assert approvals(job.prompt_version, [workspace.pk]) == Approvals(3, 1)
    drawn(0.85)
    assert codes(done(job_type, workspace=workspace)) == ["drawn"]


@pytest.mark.parametrize(
    ("ruling", "counted"),
    [
        (Ruling.APPROVE, Approvals(1, 0)),
        (Ruling.REJECT, Approvals(0, 1)),
        (Ruling.REQUEST_CHANGES, Approvals(0, 1)),
        (Ruling.RETRY, Approvals(0, 1)),
        (Ruling.CANCEL, Approvals(0, 0)),
    ],
)
def test_the_record_counts_what_was_decided(ruling, counted):
    job = JobFactory(status=Status.NEEDS_REVIEW)
    assert approvals(job.prompt_version, None) == Approvals()
    ruled(job, ruling)
    assert approvals(job.prompt_version, [job.workspace_id]) == counted
    assert approvals(job.prompt_version, [WorkspaceFactory().pk]) == Approvals()


def test_what_was_approved_with_other_content_than_was_produced_is_not_unchanged():
    job = JobFactory(status=Status.COMPLETED)
    assert approvals(job.prompt_version, None) == Approvals(1, 0)
    Gate.objects.filter(job=job).update(content_hash="e" * 64)
    assert approvals(job.prompt_version, None) == Approvals(0, 1)


def test_a_gate_names_the_version_and_the_workspace_of_its_job():
    gate = Gate.objects.get(job=JobFactory(status=Status.NEEDS_REVIEW))
    assert gate.prompt_version == gate.job.prompt_version
    assert gate.workspace == gate.job.workspace


def test_what_no_rule_needs_is_not_read():
    plain, strict = (
        JobFactory(status=Status.NEEDS_REVIEW, job_type=JobTypeFactory(**fields))
        for fields in (
            {},
            {
                "review_tools": ["web_search"],
                "review_without_citations": True,
                "review_first": 5,
                "review_roles": ["requester"],
                "review_share": 50,
                "review_share_adapts": True,
                "review_share_floor": 5,
            },
        )
    )
    for job, most in ((plain, 1), (strict, 7)):
        with lifecycle.locked(job.pk) as held:
            result = job.open_gate.result
            with CaptureQueriesContext(connection) as queries:
                review_facts.facts(held, result, [held.job_type])
            assert len(queries) <= most


# Reading anew -------------------------------------------------------------------------------------


def test_reading_anew_keeps_what_was_asked_at_its_moment(drawn):
    drawn(0.0)
    job = done(rules(review_share=10))
    assert codes(job) == ["drawn"]
    drawn(0.99)
    JobType.objects.filter(pk=job.job_type_id).update(review_without_citations=True)
    operator = UserFactory(workspace=job.workspace, roles=[Role.OPERATOR])
    re_extract(job, actor=operator, now=NOW + timedelta(minutes=1))
    assert codes(fresh(job)) == ["drawn", "no_citations"]


def test_reading_anew_keeps_the_rules_of_what_is_followed():
    parent = done(JobTypeFactory(review=Review.ALWAYS))
    approve(parent)
    own = rules(follows=True)
    job = JobFactory(
        job_type=own, workspace=parent.workspace, requester=parent.requester, parent=fresh(parent)
    )
    start(job)
    finish(job, "completed")
    before = fresh(job).open_gate.reasons
    assert [reason["code"] for reason in before] == ["always"]
    operator = UserFactory(workspace=job.workspace, roles=[Role.OPERATOR])
    re_extract(fresh(job), actor=operator, now=NOW)
    assert fresh(job).open_gate.reasons == before


# What was stored before ---------------------------------------------------------------------------


def _before_policy():
    loader = MigrationExecutor(connection).loader
    (name,) = [key for key in loader.graph.nodes if key[0] == "jobs" and key[1].endswith("_policy")]
    (before,) = [key for key in loader.get_migration(*name).dependencies if key[0] == "jobs"]
    return before


@pytest.mark.django_db(transaction=True)
def test_types_that_were_reviewed_on_warnings_have_that_rule(transactional_db):
    before = _before_policy()
    graph = MigrationExecutor(connection).loader.graph
    leaves = [key for key in graph.leaf_nodes() if key[0] in ("jobs", "reviews")]
    old, always = JobTypeFactory(review=Review.RULES), JobTypeFactory(review=Review.ALWAYS)
    sampled = JobTypeFactory(review=Review.SAMPLED, review_share=5)
    costly = JobTypeFactory(review=Review.RULES, review_cost_over=Decimal(1))
    job = JobFactory(status=Status.NEEDS_REVIEW, job_type=always)
    try:
        MigrationExecutor(connection).migrate([before])
        then = MigrationExecutor(connection).loader.project_state([before]).apps
        stored = dict(then.get_model("jobs", "JobType").objects.values_list("pk", "review"))
        assert stored[old.pk] == "on_warnings"
        assert {stored[sampled.pk], stored[costly.pk], stored[always.pk]} == {"always"}
        history = then.get_model("jobs", "HistoricalJobType").objects.filter(id=old.pk)
        assert set(history.values_list("review", flat=True)) == {"on_warnings"}
    finally:
        MigrationExecutor(connection).migrate(leaves)
    old.refresh_from_db()
    assert (old.review, old.review_on_warnings) == (Review.RULES, True)
    assert {one.review for one in old.history.all()} == {Review.RULES}
    gate = Gate.objects.get(job=job)
    assert (gate.prompt_version, gate.workspace) == (job.prompt_version, job.workspace)
