"""What must never be true is refused by the database itself, whatever the code above it does."""

import uuid
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

from jobs import audit
from jobs.documents import Upload
from jobs.models import (
    Attempt,
    Citation,
    Event,
    Job,
    PromptVersion,
    Result,
    ResultFile,
    Role,
    Seal,
    State,
    Status,
    SweepSlot,
    ToolCall,
    Turn,
    User,
    WebhookReceipt,
    Workspace,
    immutable,
)
from reviews.models import Decision, ReviewerNote, Ruling
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    approve,
    start,
)

pytestmark = pytest.mark.django_db


def _update(row, **changes):
    """Write past every method of the model."""
    assert type(row)._base_manager.filter(pk=row.pk).update(**changes) == 1


def _insert_again(row, **changes):
    """A second row like this one, but for `changes`, and for its key where it has one of its own."""
    copy = type(row)._base_manager.get(pk=row.pk)
    if isinstance(copy._meta.pk, models.UUIDField):
        copy.pk = uuid.uuid4()
    elif isinstance(copy._meta.pk, models.AutoField):
        copy.pk = None
    for name, value in changes.items():
        setattr(copy, name, value)
    type(row)._base_manager.bulk_create([copy])


def _queued():
    return JobFactory()


def _in_review():
    return JobFactory(status=Status.NEEDS_REVIEW)


def _attempt():
    return _queued().attempts.get()


def _answered_turn():
    return start(_queued())


def _result():
    return Result.objects.get(attempt__job=_in_review())


def _evidence(model):
    kinds = {
        Citation: {"kind": "quote"},
        ToolCall: {"kind": "web_search_call"},
        ResultFile: {
            "name": "a.png",
            "content_type": "image/png",
            "size": 1,
            "sha256": "0",
            "file": "a",
        },
    }
    return model.objects.create(result=_result(), position=1, **kinds[model])


def _decision():
    job = _in_review()
    approve(job)
    return Decision.objects.get(job=job)


def _documented():
    return JobFactory(uploads=(Upload("a.txt", b"one"), Upload("b.txt", b"two")))


def _note():
    job = _queued()
    return ReviewerNote.objects.create(job=job, author=job.requester, text="x", created_at=NOW)


def _break_documents(**changes):
    _first, second = _documented().documents.all()
    _update(second, **changes)


def _two_open_gates():
    gate = _in_review().open_gate
    _insert_again(gate)


def _two_memberships():
    person = UserFactory(workspace=WorkspaceFactory(), roles=[Role.LEAD])
    _insert_again(person.memberships.get())


def _same_key(key="once"):
    job = _queued()
    _update(job, idempotency_key=key)
    _insert_again(job, idempotency_key=key, ref="J-0000001")


def _second_type(**changes):
    _insert_again(JobTypeFactory(**changes))


#: Constraint → an attempt to break it, by raw update or insert.
BREAKS = {
    # Membership
    "membership_once": _two_memberships,
    "membership_role_known": lambda: _update(
        UserFactory(workspace=WorkspaceFactory(), roles=[Role.LEAD]).memberships.get(),
        role="owner",
    ),
    # JobType, PromptVersion
    "job_type_once": lambda: _second_type(workspace=WorkspaceFactory()),
    "job_type_once_everywhere": _second_type,
    "job_type_lane_known": lambda: _update(JobTypeFactory(), lane="express"),
    "job_type_documents_min_lte_max": lambda: _update(JobTypeFactory(), min_documents=6),
    "prompt_version_once": lambda: _insert_again(JobTypeFactory().current_version),
    # Job
    "job_status_known": lambda: _update(_queued(), status="paused"),
    "job_lane_known": lambda: _update(_queued(), lane="express"),
    "job_needs_review_iff_open_gate": lambda: _update(_queued(), status=Status.NEEDS_REVIEW),
    "job_settled_iff_settled_at": lambda: _update(_queued(), status=Status.COMPLETED),
    "job_bad_end_has_reason": lambda: _update(
        _queued(), status=Status.FAILED, settled_at=NOW, reason_code=""
    ),
    "job_cancel_requested_at_and_by": lambda: _update(_queued(), cancel_requested_at=NOW),
    "job_archived_at_and_by_and_settled": lambda: _update(
        JobFactory(status=Status.FAILED), archived_at=NOW
    ),
    "job_progress_in_range": lambda: _update(_queued(), progress_done=4, progress_total=3),
    "job_sealed_lte_events": lambda: _update(_queued(), sealed_count=2),
    "job_idempotency_key": _same_key,
    # Document, Event
    "document_position_once": lambda: _break_documents(position=1),
    "document_name_once": lambda: _break_documents(name="a.txt"),
    "event_seq_once": lambda: _insert_again(_queued().events.get()),
    "event_seq_from_one": lambda: _insert_again(_queued().events.get(), seq=0),
    # Attempt, Turn
    "attempt_number_once": lambda: _insert_again(
        JobFactory(status=Status.FAILED).attempts.get(), state=State.CANCELED
    ),
    "attempt_one_open": lambda: _insert_again(_attempt(), number=2),
    "attempt_state_known": lambda: _update(_attempt(), state="resting"),
    "attempt_open_is_due_ended_is_dated": lambda: _update(_attempt(), next_check_at=None),
    "attempt_lease_until_and_token": lambda: _update(_attempt(), lease_until=NOW),
    "turn_number_once": lambda: _insert_again(_answered_turn(), response_id=None),
    "turn_answered_was_sent": lambda: _update(_answered_turn(), sent_at=None),
    "turn_payload_has_ended": lambda: _update(_answered_turn(), payload=b"{}"),
    # Result and its evidence
    "result_has_content_hash": lambda: _update(_result(), content_hash=""),
    "citation_once": lambda: _insert_again(_evidence(Citation)),
    "tool_call_once": lambda: _insert_again(_evidence(ToolCall)),
    "result_file_once": lambda: _insert_again(_evidence(ResultFile)),
    # Gate
    "gate_one_open": _two_open_gates,
    "gate_closed_iff_outcome": lambda: _update(_in_review().open_gate, closed_at=NOW),
    "gate_judges_something": lambda: _update(_in_review().open_gate, content_hash=""),
    "gate_output_has_result": lambda: _update(_in_review().open_gate, result=None),
    # Sweeps
    "sweep_slot_lease_until_and_token": lambda: SweepSlot.objects.create(number=7, lease_until=NOW),
    # Decision, ReviewerNote
    "decision_ruling_known": lambda: _insert_again(_decision(), ruling="shrug"),
    "decision_closes_gate_once": lambda: _insert_again(_decision(), ruling=Ruling.REJECT),
    "decision_approval_names_content": lambda: _insert_again(_decision(), gate=None),
    "decision_no_own_approval": lambda: _break_own_approval(),
    "note_says_something": lambda: _update(_note(), text=""),
}


def _break_own_approval():
    decision = _decision()
    _insert_again(decision, actor=decision.requester, gate=_in_review().open_gate)


#: What else breaks a constraint that has two sides.
OTHER_SIDES = {
    "a gate, and no review": (
        "job_needs_review_iff_open_gate",
        lambda: _update(_in_review(), status=Status.RUNNING),
    ),
    "settled, and live": (
        "job_settled_iff_settled_at",
        lambda: _update(_queued(), settled_at=NOW),
    ),
    "archived while live": (
        "job_archived_at_and_by_and_settled",
        lambda: _update(_queued(), archived_at=NOW, archived_by=UserFactory()),
    ),
    "canceled by nobody in particular": (
        "job_cancel_requested_at_and_by",
        lambda: _update(_queued(), cancel_requested_by=UserFactory()),
    ),
    "open, and ended": (
        "attempt_open_is_due_ended_is_dated",
        lambda: _update(_attempt(), ended_at=NOW),
    ),
    "ended, and not dated": (
        "attempt_open_is_due_ended_is_dated",
        lambda: _update(_attempt(), state=State.FAILED),
    ),
    "a lease without an end": (
        "attempt_lease_until_and_token",
        lambda: _update(_attempt(), lease_token=uuid.uuid4()),
    ),
    "an outcome while open": (
        "gate_closed_iff_outcome",
        lambda: _update(_in_review().open_gate, outcome="approved"),
    ),
    "a response without a name": (
        "turn_answered_was_sent",
        lambda: _update(_answered_turn(), response_id=""),
    ),
    "an approval of nothing": (
        "decision_approval_names_content",
        lambda: _insert_again(_decision(), content_hash=""),
    ),
}

#: Unique columns, and one-to-ones.
UNIQUE = {
    (User, "username"): lambda: _update(UserFactory(), username=UserFactory().username),
    (Workspace, "slug"): lambda: _update(WorkspaceFactory(), slug=WorkspaceFactory().slug),
    (Job, "ref"): lambda: _update(_queued(), ref=_queued().ref),
    (Job, "open_gate"): lambda: _share_a_gate(),
    (Turn, "response_id"): lambda: _update(
        _answered_turn(), response_id=_answered_turn().response_id
    ),
    (Result, "attempt"): lambda: _insert_again(_result()),
}


def _share_a_gate():
    gate = _in_review().open_gate
    _update(_in_review(), open_gate=gate)


def _models():
    return [
        model
        for label in ("jobs", "reviews")
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    ]


def _constraints():
    return {c.name: c for model in _models() for c in model._meta.constraints}


def _unique_columns():
    return {
        (model, field.name)
        for model in _models()
        for field in model._meta.local_fields
        if field.unique and not field.primary_key
    }


def _refusal(breaking):
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        breaking()
        connection.check_constraints()
    return str(refused.value)


#: A word that is none breaks these as well, and PostgreSQL names the first by the alphabet.
BROKEN_WITH = {
    "job_status_known": {"job_bad_end_has_reason", "job_settled_iff_settled_at"},
    "attempt_state_known": {"attempt_open_is_due_ended_is_dated"},
}


def _is_about(message, constraint):
    """SQLite names checks and conditional indexes, and the columns of plain unique constraints."""
    names = {constraint.name, *BROKEN_WITH.get(constraint.name, ())}
    if any(name in message for name in names):
        return True
    columns = getattr(constraint, "fields", ())
    return connection.vendor == "sqlite" and all(f".{column}" in message for column in columns)


def test_every_constraint_has_a_test_that_breaks_it():
    assert set(BREAKS) == set(_constraints())
    assert set(UNIQUE) == _unique_columns()


@pytest.mark.parametrize("name", sorted(_constraints()))
def test_a_constraint_holds_against_raw_writes(name):
    message = _refusal(BREAKS[name])
    assert _is_about(message, _constraints()[name]), message


@pytest.mark.parametrize("case", OTHER_SIDES)
def test_a_constraint_holds_from_its_other_side(case):
    name, breaking = OTHER_SIDES[case]
    message = _refusal(breaking)
    assert _is_about(message, _constraints()[name]), message


@pytest.mark.parametrize("key", UNIQUE, ids=lambda key: f"{key[0].__name__}.{key[1]}")
def test_a_unique_column_is_unique(key):
    message = _refusal(UNIQUE[key])
    assert key[1] in message, message


def test_an_empty_idempotency_key_is_none():
    job = _queued()
    _insert_again(job, ref="J-0000001")
    assert Job.objects.filter(idempotency_key="").count() == 2


def test_a_webhook_is_written_down_once():
    receipt = {"webhook_id": "wh_1", "event_type": "x", "body": b"", "received_at": NOW}
    WebhookReceipt.objects.create(**receipt)
    message = _refusal(lambda: WebhookReceipt.objects.bulk_create([WebhookReceipt(**receipt)]))
    assert "webhook_id" in message or "pkey" in message


def test_what_a_job_rests_on_cannot_be_deleted():
    job = _in_review()
    for row in (job.workspace, job.job_type, job.requester, job.job_type.current_version, job):
        with pytest.raises(models.ProtectedError):
            row.delete()


def _immutable_rows():
    decision = _decision()
    seal = audit.seal(now=NOW)
    event = decision.job.events.first()
    version = decision.job.prompt_version
    return {
        "jobs_event": (event, {"reason_text": "Another."}),
        "jobs_promptversion": (version, {"instructions": "Another."}),
        "jobs_seal": (seal, {"heads": []}),
        "reviews_decision": (decision, {"note": "Another."}),
    }


def test_every_append_only_table_is_tried():
    tables = {model._meta.db_table for model in (Event, PromptVersion, Seal, Decision)}
    assert tables == set(immutable.APPEND_ONLY)


@pytest.mark.parametrize("table", immutable.APPEND_ONLY)
def test_rows_of_an_append_only_table_never_change(table):
    row, changes = _immutable_rows()[table]
    [(field, value)] = changes.items()
    before = getattr(row, field)

    def upsert():
        setattr(row, field, value)
        type(row).objects.bulk_create(
            [row], update_conflicts=True, unique_fields=[row._meta.pk.name], update_fields=[field]
        )

    def raw():
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {field} = {field}")

    def bulk():
        setattr(row, field, value)
        type(row).objects.bulk_update([row], [field])

    for way in (lambda: _update(row, **changes), raw, bulk, upsert):
        assert "never change" in _refusal(way)
    assert getattr(type(row).objects.get(pk=row.pk), field) == before


def test_saving_an_append_only_row_again_is_refused_in_words():
    event, _changes = _immutable_rows()["jobs_event"]
    with pytest.raises(TypeError, match="append-only"):
        event.save()
    version = JobTypeFactory().current_version
    with pytest.raises(Exception, match="never changes"):
        version.save()


def test_triggers_that_were_lost_come_back_with_the_next_migrate():
    event, changes = _immutable_rows()["jobs_event"]
    on = " ON jobs_event" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER jobs_event_immutable{on}")
    _update(event, **changes)
    immutable.install()
    immutable.install()
    assert "never change" in _refusal(lambda: _update(event, reason_text="A third."))


def test_leases_are_due_again_when_they_lapse():
    attempt = _attempt()
    _update(attempt, lease_token=uuid.uuid4(), lease_until=NOW + timedelta(seconds=15))
    assert not Attempt.objects.due(NOW).exists()
    assert Attempt.objects.due(NOW + timedelta(seconds=15)).get() == attempt
