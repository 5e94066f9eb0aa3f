"""Submitting: what is refused and in which words, what is stored, and that it is stored once."""

import json
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError

from jobs import actions, audit, lifecycle, requests
from jobs.access import NotAllowed
from jobs.actions import submit
from jobs.documents import Upload
from jobs.ids import read_ref
from jobs.inputs import MAX_INPUT_LENGTH, BadInput
from jobs.models import (
    Cause,
    Document,
    Event,
    GateKind,
    Job,
    Lane,
    Role,
    State,
    Status,
    Turn,
    Verb,
)
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "minLength": 1, "maxLength": 20},
        "kind": {"enum": ["short", "long"]},
        "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "pages": {"type": "integer"},
        "code": {"type": "string", "minLength": 3},
        "place": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
    "required": ["topic", "kind"],
    "additionalProperties": False,
}
GOOD = {"topic": "tides", "kind": "short"}


@pytest.fixture
def job_type():
    return JobTypeFactory(input_schema=SCHEMA, min_documents=0, max_documents=2)


@pytest.fixture
def requester():
    return UserFactory(workspace=WorkspaceFactory(), roles=[Role.REQUESTER])


def _submit(job_type, requester, **changes):
    given = {"requester": requester, "input": GOOD, "now": NOW, **changes}
    given.setdefault("workspace", requester.workspaces.first())
    return submit(job_type, **given)


def _files():
    return [path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()]


def _assert_nothing_stored():
    assert not Job.objects.exists()
    assert not Document.objects.exists()
    assert not Event.objects.exists()
    assert not Turn.objects.exists()
    assert _files() == []


def _problems(job_type, requester, **changes):
    with pytest.raises(BadInput) as refused:
        _submit(job_type, requester, **changes)
    _assert_nothing_stored()
    return [(problem.field, problem.text) for problem in refused.value.problems]


def _deep(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


#: name: (input, [(field, what the sentence says)])
BAD_INPUTS = {
    "a required input is missing": ({"kind": "short"}, [("topic", "is required.")]),
    "two required inputs are missing": (
        {},
        [("topic", "is required."), ("kind", "is required.")],
    ),
    "a required input is empty": ({**GOOD, "topic": ""}, [("topic", "must not be empty.")]),
    "an input is too short": (
        {**GOOD, "code": "ab"},
        [("code", "must have at least 3 characters.")],
    ),
    "an input is too long": (
        {**GOOD, "topic": "x" * 21},
        [("topic", "can have 20 characters at most; it has 21.")],
    ),
    "a choice is none": ({**GOOD, "kind": "odd"}, [("kind", "'odd' is not one of")]),
    "an input has the wrong form": (
        {**GOOD, "country": "India"},
        [("country", "'India' does not match")],
    ),
    "an input has the wrong type": (
        {**GOOD, "pages": "many"},
        [("pages", "'many' is not of type 'integer'.")],
    ),
    "an input is unknown": (
        {**GOOD, "focus": "x"},
        [("", "('focus' was unexpected). Known inputs: topic, kind, country,")],
    ),
    "something inside an input is missing": (
        {**GOOD, "place": {}},
        [("place.city", "is required.")],
    ),
    "an input has NUL": (
        {**GOOD, "topic": "a\x00b"},
        [("topic", "cannot be stored")],
    ),
    "an input has half a character": (
        {**GOOD, "topic": "a\ud800"},
        [("topic", "cannot be stored")],
    ),
    "two inputs are wrong": (
        {"topic": "", "kind": "odd"},
        [("topic", "must not be empty."), ("kind", "'odd' is not one of")],
    ),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_named_at_its_field_and_nothing_is_stored(case, job_type, requester):
    given, expected = BAD_INPUTS[case]
    problems = _problems(job_type, requester, input=given)
    assert [field for field, _text in problems] == [field for field, _text in expected]
    for (_field, text), (_same, said) in zip(problems, expected, strict=True):
        assert said in text
        assert text.endswith(".")


def test_a_complaint_never_repeats_a_long_input(job_type, requester):
    for given in ({**GOOD, "country": "x" * 9000}, {**GOOD, "x" * 9000: 1}):
        [(_field, text)] = _problems(job_type, requester, input=given)
        assert len(text) < 500


def test_input_as_a_whole_has_a_limit(requester):
    free = JobTypeFactory()
    [(field, text)] = _problems(free, requester, input={"topic": "x" * MAX_INPUT_LENGTH})
    assert (field, text) == ("", f"The input is longer than {MAX_INPUT_LENGTH} characters.")


def test_the_limit_counts_characters_whatever_their_alphabet(requester):
    free = JobTypeFactory()
    _submit(free, requester, input={"topic": "潮" * (MAX_INPUT_LENGTH - 100)})


def test_input_that_is_nested_without_end_is_refused(requester):
    [(field, text)] = _problems(JobTypeFactory(), requester, input={"topic": _deep(5000)})
    assert (field, text) == ("", "The input is nested too deeply.")


def test_numbers_that_are_none_are_refused(requester):
    given = json.loads('{"topic": NaN}')
    [(field, text)] = _problems(JobTypeFactory(), requester, input=given)
    assert field == "topic"
    assert "cannot be stored" in text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "Add a file: Digest takes 1 to 2 files."), (3, "Digest takes 1 to 2 files; 3 given.")],
)
def test_too_few_and_too_many_files_are_refused(count, text, requester):
    job_type = JobTypeFactory(min_documents=1, max_documents=2, name="Digest")
    uploads = [Upload(f"{n}.txt", b"x") for n in range(count)]
    problems = _problems(job_type, requester, uploads=uploads)
    assert problems == [("files", text)]


def test_files_where_none_are_taken_are_refused(requester):
    job_type = JobTypeFactory(max_documents=0, name="Brief")
    problems = _problems(job_type, requester, uploads=[Upload("a.txt", b"x")])
    assert problems == [("files", "Brief takes no files; 1 given.")]


def test_a_file_that_cannot_be_taken_is_named(job_type, requester):
    uploads = [Upload("a.txt", b"fine"), Upload("b.txt", b"")]
    assert _problems(job_type, requester, uploads=uploads) == [("files", "b.txt is empty.")]


def test_all_that_is_wrong_is_said_at_once(job_type, requester):
    problems = _problems(job_type, requester, input={}, uploads=[Upload("b.txt", b"")])
    assert [field for field, _text in problems] == ["topic", "kind", "files"]


@pytest.mark.parametrize("changes", [{"enabled": False}, {"current_version": None}])
def test_a_type_that_is_switched_off_takes_nothing(changes, job_type, requester):
    for name, value in changes.items():
        setattr(job_type, name, value)
    job_type.save()
    [(field, text)] = _problems(job_type, requester)
    assert (field, text) == ("", f"{job_type} takes no new jobs at the moment.")


@pytest.mark.parametrize("key", ["x" * 201, "a\x00"])
def test_an_idempotency_key_that_cannot_be_stored_is_refused(key, job_type, requester):
    [(field, _text)] = _problems(job_type, requester, idempotency_key=key)
    assert field == "idempotency_key"


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.REQUESTER}))
def test_only_requesters_submit(role, job_type):
    person = UserFactory(workspace=WorkspaceFactory(), roles=[role])
    with pytest.raises(NotAllowed, match="may not submit"):
        _submit(job_type, person)
    _assert_nothing_stored()


def test_nobody_submits_into_a_workspace_that_is_not_theirs(job_type, requester):
    with pytest.raises(NotAllowed):
        _submit(job_type, requester, workspace=WorkspaceFactory())
    _assert_nothing_stored()


def test_another_workspaces_job_type_cannot_be_used(requester):
    theirs = JobTypeFactory(workspace=WorkspaceFactory())
    problems = _problems(theirs, requester, input={})
    assert problems == [("", f"{theirs} is not a job type of {requester.workspaces.get()}.")]
    own = JobTypeFactory(workspace=requester.workspaces.get())
    assert _submit(own, requester, input={}).created


def test_a_follow_up_follows_a_job_that_one_may_see(job_type, requester):
    parent = _submit(job_type, requester).job
    assert _submit(job_type, requester, parent=parent).job.parent == parent
    elsewhere = JobFactory()
    with pytest.raises(NotAllowed, match="no job"):
        _submit(job_type, requester, parent=elsewhere)


def test_a_submit_stores_the_job_with_its_intent(job_type, requester):
    submitted = _submit(job_type, requester)
    assert submitted.created and submitted.same_request
    job = Job.objects.get()
    assert job.status == Status.QUEUED
    assert (job.input, job.lane) == (GOOD, Lane.BACKGROUND)
    assert job.prompt_version == job_type.current_version
    assert job.input_summary == "tides · short"
    assert read_ref(job.ref) == job.ref
    assert job.start_by == NOW + timedelta(seconds=job_type.start_within)
    assert job.finish_by == NOW + timedelta(seconds=job_type.finish_within)
    attempt = job.attempts.get()
    assert (attempt.number, attempt.state, attempt.cause) == (1, State.SUBMITTING, Cause.FIRST)
    assert attempt.next_check_at == NOW
    assert attempt.turns.get().sent_at is None
    event = job.events.get()
    assert (event.verb, event.actor, event.to_status) == (Verb.SUBMITTED, requester, "queued")
    assert list(audit.verify()) == []


def test_documents_are_stored_under_names_of_our_own(job_type, requester):
    uploads = [Upload("../../etc/a.TXT", b"one"), Upload("b", b"two")]
    job = _submit(job_type, requester, uploads=uploads).job
    first, second = job.documents.all()
    assert (first.position, first.name, first.size, first.text) == (1, "a.TXT", 3, "one")
    assert first.file.name == f"documents/{job.pk}/1.txt"
    assert second.file.name == f"documents/{job.pk}/2"
    with first.file.open() as file:
        assert file.read() == b"one"
    assert len(_files()) == 2
    assert "a.TXT, b" in job.input_summary


@pytest.mark.parametrize("breaks", ["the rows", "the second file"])
def test_a_submit_that_breaks_half_way_leaves_nothing(breaks, job_type, requester, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError

    if breaks == "the rows":
        monkeypatch.setattr(lifecycle, "open_attempt", fail)
    else:
        save = actions.default_storage.save
        monkeypatch.setattr(
            actions.default_storage,
            "save",
            lambda name, content: fail() if "/2" in name else save(name, content),
        )
    uploads = [Upload("a.txt", b"one"), Upload("b.txt", b"two")]
    with pytest.raises(ZeroDivisionError):
        _submit(job_type, requester, uploads=uploads)
    _assert_nothing_stored()


def test_an_integrity_error_that_is_not_about_the_key_is_not_hidden(
    job_type, requester, monkeypatch
):
    taken = _submit(job_type, requester).job.ref
    monkeypatch.setattr(actions, "_free_ref", lambda: taken)
    with pytest.raises(IntegrityError):
        _submit(job_type, requester, idempotency_key="other")


def test_a_reference_that_is_taken_is_not_given_again(job_type, requester, monkeypatch):
    taken = _submit(job_type, requester).job.ref
    refs = iter([taken, taken, "J-0000001"])
    monkeypatch.setattr(actions, "new_ref", lambda: next(refs))
    assert _submit(job_type, requester).job.ref == "J-0000001"


def test_the_same_key_gives_the_same_job(job_type, requester):
    uploads = [Upload("a.txt", b"one")]
    first = _submit(job_type, requester, uploads=uploads, idempotency_key="k")
    again = _submit(job_type, requester, uploads=uploads, idempotency_key="k")
    assert (again.job, again.created, again.same_request) == (first.job, False, True)
    assert Job.objects.count() == Document.objects.count() == len(_files()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {**GOOD, "topic": "ebb"}},
        {"uploads": [Upload("a.txt", b"two")]},
        {"uploads": [Upload("b.txt", b"one")]},
        {"uploads": []},
    ],
)
def test_the_same_key_with_other_content_is_flagged(changes, job_type, requester):
    uploads = [Upload("a.txt", b"one")]
    first = _submit(job_type, requester, uploads=uploads, idempotency_key="k")
    again = _submit(job_type, requester, **{"uploads": uploads, "idempotency_key": "k", **changes})
    assert (again.job, again.created, again.same_request) == (first.job, False, False)
    assert Job.objects.count() == len(_files()) == 1


def test_a_key_is_each_persons_and_workspaces_own(job_type, requester):
    workspace = requester.workspaces.get()
    colleague = UserFactory(workspace=workspace, roles=[Role.REQUESTER])
    elsewhere = WorkspaceFactory()
    requester.memberships.create(workspace=elsewhere, role=Role.REQUESTER)
    jobs = {
        _submit(job_type, person, workspace=place, idempotency_key="k").job
        for person, place in [
            (requester, workspace),
            (colleague, workspace),
            (requester, elsewhere),
        ]
    }
    assert len(jobs) == 3


def test_no_key_means_a_new_job_each_time(job_type, requester):
    assert _submit(job_type, requester).job != _submit(job_type, requester).job


def test_the_approval_lane_waits_before_anything_runs(requester):
    job_type = JobTypeFactory(lane=Lane.APPROVAL)
    job = _submit(job_type, requester, input={"topic": "tides"}).job
    job.refresh_from_db()
    assert job.status == Status.NEEDS_REVIEW
    assert not job.attempts.exists()
    gate = job.open_gate
    assert (gate.kind, gate.result, gate.attempt) == (GateKind.BEFORE_RUN, None, None)
    assert gate.due_at == NOW + timedelta(seconds=job_type.review_within)
    assert [(e.verb, e.from_status, e.to_status) for e in job.events.all()] == [
        (Verb.SUBMITTED, "", "queued"),
        (Verb.REVIEW_ASKED, "queued", "needs_review"),
    ]
    assert list(audit.verify()) == []


def test_what_is_approved_before_the_run_depends_on_all_that_is_sent(requester):
    def asked(**changes):
        job_type = changes.pop("job_type", None) or JobTypeFactory(lane=Lane.APPROVAL)
        return _submit(job_type, requester, **changes).job.open_gate.content_hash

    same_type = JobTypeFactory(lane=Lane.APPROVAL)
    hashes = [
        asked(job_type=same_type, input={"topic": "tides"}),
        asked(job_type=same_type, input={"topic": "ebb"}),
        asked(job_type=same_type, input={"topic": "ebb"}, uploads=[Upload("a.txt", b"one")]),
        asked(job_type=same_type, input={"topic": "ebb"}, uploads=[Upload("a.txt", b"two")]),
        asked(
            job_type=JobTypeFactory(lane=Lane.APPROVAL, version__instructions="Guess."),
            input={"topic": "tides"},
        ),
    ]
    assert len(set(hashes)) == len(hashes)
    assert asked(job_type=same_type, input={"topic": "tides"}) == hashes[0]


def test_a_job_keeps_the_prompt_that_it_was_submitted_with(job_type, requester):
    job = _submit(job_type, requester).job
    first = job_type.current_version
    job_type.current_version = job_type.versions.create(
        number=2, model="another", instructions="Other."
    )
    job_type.save()
    job.refresh_from_db()
    assert job.prompt_version == first
    turn = Turn.objects.get(attempt__job=job)
    assert requests.describe(turn)["instructions"] == "Answer."
