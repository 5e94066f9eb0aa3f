"""What must never be true is refused by the database itself, whatever the code above it does."""

import uuid
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

from jobs import audit, library
from jobs.documents import Upload
from jobs.models import (
    Attempt,
    CallState,
    Carried,
    Citation,
    Event,
    FetchedFile,
    FunctionCall,
    Job,
    LibraryDocument,
    LiveText,
    Price,
    PromptVersion,
    ProviderFile,
    ProviderStore,
    Result,
    ResultEdit,
    ResultFile,
    Role,
    Seal,
    State,
    Status,
    SweepSlot,
    ToolCall,
    ToolFee,
    Turn,
    User,
    WebhookReceipt,
    Workspace,
    immutable,
)
from reviews import preflight
from reviews.actions import Ask, decide
from reviews.models import (
    BulkAction,
    BulkItem,
    Channel,
    Decision,
    Delivery,
    DigestTime,
    Endpoint,
    How,
    Letter,
    LetterKind,
    Notice,
    NoticeChoice,
    NoticeKind,
    Occurrence,
    ReviewerNote,
    Route,
    Ruling,
    SavedView,
    Seen,
)
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    approve,
    start,
    wants,
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


def _fetched():
    return FetchedFile.objects.create(
        turn=_answered_turn(), container_id="cntr_1", file_id="cfile_1", name="a", problem="Gone."
    )


def _decision():
    job = _in_review()
    approve(job)
    return Decision.objects.get(job=job)


def _documented():
    return JobFactory(uploads=(Upload("a.txt", b"one"), Upload("b.txt", b"two")))


def _library_document():
    person = UserFactory(workspace=WorkspaceFactory(), roles=[Role.LEAD])
    here = person.memberships.get().workspace
    return library.add(here, [Upload("a.txt", b"Some words.")], actor=person, now=NOW)[0].document


def _level():
    return JobTypeFactory(ladder=[("Legal", Role.LEAD)]).levels.get()


def _call():
    return FunctionCall.objects.get(turn__attempt__job=wants())


def _copy(**changes):
    document = _documented().documents.first()
    fields = {"job": document.job, "purpose": "user_data", "keeps_for": 86_400, "created_at": NOW}
    return ProviderFile.objects.create(document=document, **{**fields, **changes})


def _store(**changes):
    return ProviderStore.objects.create(job=_queued(), created_at=NOW, **changes)


def _live():
    return LiveText.objects.create(turn=_answered_turn(), began_at=NOW, updated_at=NOW)


def _price():
    return Price.objects.create(model="made-up", input=1, output=1, effective_from=NOW)


def _fee():
    return ToolFee.objects.create(tool="made_up_call", usd=1, effective_from=NOW)


def _edit():
    job = _in_review()
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    ask = Ask(Ruling.APPROVE, lead, NOW, edit="As a lead would say it.")
    return decide(job.pk, ask).edit


def _rejection():
    job = _in_review()
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    return decide(job.pk, Ask(Ruling.REJECT, lead, NOW, note="No."))


def _note():
    job = _queued()
    return ReviewerNote.objects.create(job=job, author=job.requester, text="x", created_at=NOW)


def _endpoint():
    return Endpoint.objects.create(
        workspace=WorkspaceFactory(), name="CMS", url="https://cms.example.com/"
    )


def _route():
    endpoint = _endpoint()
    return Route.objects.create(
        workspace=endpoint.workspace, channel=Channel.WEBHOOK, endpoint=endpoint
    )


def _delivery():
    JobFactory(workspace=_route().workspace, status=Status.COMPLETED)
    return Delivery.objects.get()


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
def _bulk(**changes):
    job = _in_review()
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    chosen = [preflight.Chosen(job.ref)]
    action = preflight.plan(lead, job.workspace, Ruling.APPROVE, chosen=chosen, now=NOW)
    if changes:
        _update(action, **changes)
    return action


def _share_a_decision():
    decision = _decision()
    for item in (_bulk().items.get(), _bulk().items.get()):
        _update(item, decision=decision, outcome="done")


def _saved_view():
    workspace = WorkspaceFactory()
    return SavedView.objects.create(user=UserFactory(), workspace=workspace, name="Mine")


BREAKS = {
    # SavedView, BulkAction, BulkItem
    "saved_view_name_once": lambda: _insert_again(_saved_view()),
    "saved_view_named": lambda: _update(_saved_view(), name=""),
    "bulk_due_iff_under_way": lambda: _bulk(next_check_at=NOW),
    "bulk_state_and_moments": lambda: _bulk(ended_at=NOW),
    "bulk_reassigns_to_somebody": lambda: _bulk(ruling="reassign"),
    "bulk_ruling_known": lambda: _bulk(ruling="explode"),
    "bulk_lease_whole": lambda: _bulk(lease_until=NOW),
    "bulk_item_once": lambda: _insert_again(_bulk().items.get()),
    "bulk_item_outcome_whole": lambda: _update(_bulk().items.get(), outcome="done"),
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
    "job_type_live_known": lambda: _update(JobTypeFactory(), live="tv"),
    "job_type_review_known": lambda: _update(JobTypeFactory(), review="sometimes"),
    "job_type_review_share_in_percent": lambda: _update(JobTypeFactory(), review_share=101),
    "job_type_review_share_has_floor": lambda: _update(
        JobTypeFactory(), review_share=20, review_share_adapts=True
    ),
    "job_type_review_cost_not_negative": lambda: _update(JobTypeFactory(), review_cost_over=-1),
    "job_type_has_turns": lambda: _update(JobTypeFactory(), max_turns=0),
    "job_type_has_rounds": lambda: _update(JobTypeFactory(), max_rounds=0),
    "job_type_documents_min_lte_max": lambda: _update(JobTypeFactory(), min_documents=6),
    "prompt_version_once": lambda: _insert_again(JobTypeFactory().current_version),
    # Job
    "job_status_known": lambda: _update(_queued(), status="paused"),
    "job_carry_known": lambda: _update(_queued(), carry="by hand"),
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
    # Library
    "library_source_known_and_named": lambda: _update(_library_document(), source="result"),
    "library_withdrawn_at_and_by": lambda: _update(_library_document(), withdrawn_at=NOW),
    "library_content_once": lambda: _insert_again(_library_document(), ref="D-0000001"),
    "library_passage_once": lambda: _insert_again(_library_document().passages.get()),
    "library_passage_start_lte_end": lambda: _update(_library_document().passages.get(), start=99),
    "library_term_once": lambda: _insert_again(_library_document().terms.first()),
    # Result and its evidence
    "result_has_content_hash": lambda: _update(_result(), content_hash=""),
    "result_edit_once": lambda: _insert_again(_edit()),
    "result_edit_from_one": lambda: _insert_again(_edit(), number=0),
    "result_edit_says_something": lambda: _insert_again(_edit(), number=2, text=""),
    "result_edit_changes_something": lambda: _insert_again(
        _edit(), number=2, content_hash="a", of_hash="a"
    ),
    "citation_once": lambda: _insert_again(_evidence(Citation)),
    "tool_call_once": lambda: _insert_again(_evidence(ToolCall)),
    "result_file_once": lambda: _insert_again(_evidence(ResultFile)),
    "fetched_file_once": lambda: _insert_again(_fetched()),
    "fetched_file_or_problem": lambda: _update(_fetched(), problem=""),
    # Gate
    "gate_one_open": _two_open_gates,
    "gate_closed_iff_outcome": lambda: _update(_in_review().open_gate, closed_at=NOW),
    "gate_judges_something": lambda: _update(_in_review().open_gate, content_hash=""),
    "gate_output_has_result": lambda: _update(_in_review().open_gate, result=None),
    "gate_claim_whole": lambda: _update(_in_review().open_gate, claimed_until=NOW),
    "gate_role_decides": lambda: _update(_in_review().open_gate, role=Role.AUDITOR),
    "gate_given_lte_approvals": lambda: _update(_in_review().open_gate, given=2),
    # Ladder
    "job_type_reminds_within": lambda: _update(JobTypeFactory(), remind_after=100),
    "job_type_escalates_within": lambda: _update(JobTypeFactory(), escalate_after=0),
    "review_level_once": lambda: _insert_again(_level()),
    "review_level_from_one": lambda: _update(_level(), number=0),
    "review_level_has_name": lambda: _update(_level(), name=""),
    "review_level_role_decides": lambda: _update(_level(), role=Role.OPERATOR),
    "review_level_needs_approval": lambda: _update(_level(), approvals=0),
    "review_level_has_time": lambda: _update(_level(), within=0),
    "approval_lapsed_at_and_why": lambda: _update(_decision().gate.approved.get(), lapsed_at=NOW),
    "approval_counts_once": lambda: _insert_again(_decision().gate.approved.get()),
    # Tool calls
    "call_once": lambda: _insert_again(_call(), position=2),
    "call_position_once": lambda: _insert_again(_call(), call_id="call_other"),
    "call_state_known": lambda: _update(_call(), state="resting"),
    "call_answered_iff_ended": lambda: _update(_call(), ended_at=NOW),
    "call_running_has_started": lambda: _update(_call(), state=CallState.RUNNING),
    "call_that_writes_was_approved": lambda: _update(_call(), started_at=NOW),
    "call_lease_until_and_token": lambda: _update(_call(), lease_until=NOW),
    # What is at the provider
    "provider_file_one_kept": lambda: _insert_again(_copy()),
    "provider_file_held_has_id": lambda: _update(_copy(), state=Carried.HELD, sent_at=NOW),
    "provider_file_was_sent": lambda: _update(_copy(), state=Carried.SENT),
    "provider_file_lease_until_and_token": lambda: _update(_copy(), lease_until=NOW),
    "provider_store_one_kept": lambda: _insert_again(_store()),
    "provider_store_held_has_id": lambda: _update(_store(), state=Carried.HELD),
    "provider_store_lease_until_and_token": lambda: _update(_store(), lease_until=NOW),
    # Live text
    "live_text_lease_until_and_token": lambda: _update(_live(), lease_until=NOW),
    "live_text_sequence": lambda: _update(_live(), sequence=-2),
    # Prices
    "price_once": lambda: _insert_again(_price()),
    "price_has_model": lambda: _update(_price(), model=""),
    "price_tier_known": lambda: _update(_price(), tier="gold"),
    "price_not_negative": lambda: _update(_price(), output=-1),
    "price_multipliers_not_negative": lambda: _update(
        _price(), long_context_above=1, long_input_multiplier=-1
    ),
    "price_long_multipliers_have_limit": lambda: _update(_price(), long_input_multiplier=2),
    "tool_fee_once": lambda: _insert_again(_fee()),
    "tool_fee_has_tool": lambda: _update(_fee(), tool=""),
    "tool_fee_not_negative": lambda: _update(_fee(), usd=-1),
    # Sweeps
    "receipt_lease_until_and_token": lambda: WebhookReceipt.objects.create(
        webhook_id="w", event_type="t", body=b"", received_at=NOW, lease_until=NOW
    ),
    "sweep_slot_lease_until_and_token": lambda: SweepSlot.objects.create(number=7, lease_until=NOW),
    # Decision, ReviewerNote
    "decision_ruling_known": lambda: _insert_again(_decision(), ruling="shrug"),
    "decision_closes_gate_once": lambda: _insert_again(_decision(), ruling=Ruling.REJECT),
    "decision_approval_names_content": lambda: _insert_again(_decision(), gate=None),
    "decision_only_approvals_are_partial": lambda: _insert_again(
        _decision(), ruling=Ruling.REJECT, partial=True
    ),
    "decision_no_own_approval": lambda: _break_own_approval(),
    "decision_reason_known": lambda: _insert_again(_rejection(), reason_code="mood", gate=None),
    "decision_edit_is_approved": lambda: _insert_again(_rejection(), edit=_edit(), gate=None),
    # Deliveries
    "endpoint_name_once": lambda: _insert_again(_endpoint()),
    "endpoint_failing_iff_since": lambda: _update(_endpoint(), failures=1),
    "route_channel_known": lambda: _update(_route(), channel="pigeon"),
    "route_extent_known": lambda: _update(_route(), extent="half"),
    "route_target_fits_channel": lambda: _update(_route(), endpoint=None),
    "delivery_state_known": lambda: _update(_delivery(), state="lost"),
    "delivery_channel_known": lambda: _update(_delivery(), channel="pigeon"),
    "delivery_once": lambda: _insert_again(_delivery()),
    "delivery_names_content": lambda: _update(_delivery(), content_hash=""),
    "delivery_over_is_dated_else_due": lambda: _update(_delivery(), next_check_at=None),
    "delivery_that_left_was_decided": lambda: _update(_delivery(), attempts=1, first_tried_at=NOW),
    "delivery_sent_was_tried": lambda: _update(_delivery(), state="sending"),
    "delivery_lease_until_and_token": lambda: _update(_delivery(), lease_until=NOW),
    "note_says_something": lambda: _update(_note(), text=""),
    # Seen
    "seen_once": lambda: _insert_again(_seen()),
    "seen_is_of_something": lambda: _update(_seen(), key=""),
    # Notices and letters
    "occurrence_once": lambda: _insert_again(_occurrence()),
    "occurrence_kind_known": lambda: _update(_occurrence(), kind="gossip"),
    "notice_once": lambda: _insert_again(_notice()),
    "notice_kind_known": lambda: _update(_notice(), kind="gossip"),
    "notice_done_at_and_by": lambda: _update(_notice(), done_at=NOW),
    "notice_of_something": lambda: _update(_notice(), times=0),
    "notice_choice_once": lambda: _insert_again(_choice()),
    "notice_choice_kind_known": lambda: _update(_choice(), kind="gossip"),
    "notice_choice_how_known": lambda: _update(_choice(), how="by_pigeon"),
    "notice_choice_personal_stays": lambda: _update(_choice(), how=How.OFF),
    "digest_hour_of_a_day": lambda: _update(_digest_time(), hour=24),
    "letter_one_open": lambda: _insert_again(_letter()),
    "digest_of_a_day": lambda: _insert_again(
        _letter(kind=LetterKind.DIGEST, day=NOW.date()), sealed_at=NOW
    ),
    "letter_digest_has_day": lambda: _update(_letter(), day=NOW.date()),
    "letter_ended_iff_outcome": lambda: _update(_letter(), ended_at=NOW),
    "letter_lease_whole": lambda: _update(_letter(), lease_until=NOW),
}


def _occurrence():
    _in_review()
    return Occurrence.objects.get()


def _notice():
    job = _in_review()
    return Notice.objects.create(
        person=job.requester,
        workspace=job.workspace,
        job=job,
        kind=NoticeKind.FINISHED,
        key="1",
        created_at=NOW,
    )


def _choice():
    return NoticeChoice.objects.create(person=UserFactory(), kind=NoticeKind.MENTIONED, how=How.APP)


def _digest_time():
    return DigestTime.objects.create(person=UserFactory())


def _letter(kind=LetterKind.SOON, day=None):
    return Letter.objects.create(
        person=UserFactory(), kind=kind, day=day, created_at=NOW, next_check_at=NOW
    )


def _seen():
    job = _in_review()
    return Seen.objects.create(gate=job.open_gate, person=UserFactory(), key="step:1:0", at=NOW)


def _break_own_approval():
    decision = _decision()
    _insert_again(decision, actor=decision.requester, gate=_in_review().open_gate)


#: What else breaks a constraint that has two sides.
OTHER_SIDES = {
    "a file that is there, and missing": (
        "fetched_file_or_problem",
        lambda: _update(_fetched(), file="somewhere"),
    ),
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
    "from nowhere": (
        "library_source_known_and_named",
        lambda: _update(_library_document(), source="heaven"),
    ),
    "uploaded, and of a job": (
        "library_source_known_and_named",
        lambda: _update(_library_document(), job=_queued()),
    ),
    "withdrawn at no time": (
        "library_withdrawn_at_and_by",
        lambda: _update(_library_document(), withdrawn_by=UserFactory()),
    ),
    "mail that is posted": (
        "route_target_fits_channel",
        lambda: _update(_route(), channel=Channel.EMAIL),
    ),
    "a webhook with recipients": (
        "route_target_fits_channel",
        lambda: _update(_route(), recipients="a@example.com"),
    ),
    "delivered, and due": (
        "delivery_over_is_dated_else_due",
        lambda: _update(_delivery(), state="dropped", ended_at=NOW),
    ),
    "failing for no time": (
        "endpoint_failing_iff_since",
        lambda: _update(_endpoint(), failing_since=NOW),
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
    (LibraryDocument, "ref"): lambda: _update(_library_document(), ref=_library_document().ref),
    (ProviderFile, "file_id"): lambda: _update(
        _copy(file_id="file_1"), file_id=_copy(file_id="file_2").file_id
    ),
    (ProviderStore, "store_id"): lambda: _update(
        _store(store_id="vs_1"), store_id=_store(store_id="vs_2").store_id
    ),
    (BulkAction, "ref"): lambda: _update(_bulk(), ref=_bulk().ref),
    (BulkItem, "decision"): _share_a_decision,
    (LiveText, "turn"): lambda: _insert_again(_live()),
    (Result, "attempt"): lambda: _insert_again(_result()),
    (DigestTime, "person"): lambda: _insert_again(_digest_time()),
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
    "delivery_state_known": {"delivery_over_is_dated_else_due"},
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
        "jobs_resultedit": (_edit(), {"text": "Another."}),
        "jobs_seal": (seal, {"heads": []}),
        "reviews_decision": (decision, {"note": "Another."}),
    }


def test_every_append_only_table_is_tried():
    tables = {model._meta.db_table for model in (Event, PromptVersion, ResultEdit, Seal, Decision)}
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
