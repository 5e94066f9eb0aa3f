"""Approving with edits: both versions are kept, and the edited one is what leaves."""

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from jobs import audit, edits, evidence, library, lifecycle, requests, results
from jobs.access import Action, NotAllowed, NotNow, allowed_actions
from jobs.documents import Upload
from jobs.edits import BadEdit
from jobs.models import Cause, Event, Job, Result, ResultEdit, Role, Status, Turn, Verb
from jobs.reextract import re_extract
from jobs.report import job_document
from reviews.actions import Ask, NotLooked, ReasonUnknown, decide
from reviews.content import Content
from reviews.edits import _fields
from reviews.models import REASONS, Channel, Decision, Delivery, ReasonCode, Route, Ruling
from reviews.notes import NoteMissing
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory, finish, start, wants
from tests.payloads import message

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "risk": {"enum": ["low", "high"]},
        "cost": {"type": "number"},
    },
    "required": ["title", "risk", "cost"],
    "additionalProperties": False,
}
FOUND = {"title": "The bridge", "risk": "low", "cost": 12}
NESTED = {"type": "object", "properties": {"rows": {"type": "array", "items": SCHEMA}}}


@pytest.fixture(autouse=True)
def histories_verify():
    """Whatever a test does, every chain, result and edit is as written afterwards."""
    yield
    assert list(audit.verify()) == []


@pytest.fixture
def job():
    return JobFactory(status=Status.NEEDS_REVIEW)


@pytest.fixture
def lead(job):
    return UserFactory(username="lee", workspace=job.workspace, roles=[Role.LEAD])


def shaped(value=FOUND, schema=SCHEMA):
    """A job in review whose result is structured."""
    job = JobFactory(job_type=JobTypeFactory(version__output_schema=schema))
    start(job)
    finish(job, "completed", output=[message(json.dumps(value))])
    job.refresh_from_db()
    assert job.status == Status.NEEDS_REVIEW
    return job


def fresh(job):
    return Job.objects.select_related("open_gate__result__edit", "job_type").get(pk=job.pk)


def rule(job, ruling, actor, **more):
    decision = decide(job.pk, Ask(ruling, actor, more.pop("now", LATER), **more))
    job.refresh_from_db()
    return decision


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


def lead_of(job):
    return UserFactory(workspace=job.workspace, roles=[Role.LEAD])


# What is decided ----------------------------------------------------------------------------------


def test_both_versions_are_kept_and_the_edited_one_is_what_leaves(job, lead):
    looked_at = job.open_gate.content_hash
    decision = rule(job, Ruling.APPROVE, lead, content_hash=looked_at, edit="A better answer.")
    edit = ResultEdit.objects.get()
    assert (edit.text, edit.number, edit.made_by, edit.made_at) == (
        "A better answer.",
        1,
        lead,
        LATER,
    )
    assert edit.content_hash == evidence.content_hash("A better answer.", [])
    assert edit.of_hash == looked_at
    assert (decision.edit, decision.content_hash) == (edit, edit.content_hash)
    assert (decision.data, decision.deed) == ({"edited": 1}, "Approved with edits")
    assert job.status == Status.COMPLETED
    produced = Result.objects.get()
    assert (produced.text, produced.content_hash) == ("The answer.", looked_at)
    leaving = results.leaving(job)
    assert (leaving.text, leaving.data, leaving.edit) == ("A better answer.", None, edit)
    assert leaving.content_hash == decision.content_hash
    event = job.events.get(verb=Verb.APPROVED)
    assert event.data == {
        "content_hash": edit.content_hash,
        "evidence_hash": results.evidence_hash(leaving.evidence),
        "role": "lead",
        "edit": 1,
        "produced": looked_at,
    }


@pytest.mark.parametrize("edit", [None, "The answer."])
def test_an_edit_that_changes_nothing_is_a_plain_approval(edit, job, lead):
    decision = rule(job, Ruling.APPROVE, lead, edit=edit)
    assert (decision.edit, decision.data, decision.deed) == (None, {}, "Approved")
    assert not ResultEdit.objects.exists()
    assert results.leaving(job).content_hash == Result.objects.get().content_hash


def test_what_leaves_is_hashed_as_it_is_stored_now(job, lead):
    decision = rule(job, Ruling.APPROVE, lead)
    Result.objects.update(text="Tampered with.")
    assert results.leaving(job).content_hash != decision.content_hash
    Result.objects.update(text="The answer.")


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.COMPLETED}))
def test_nothing_leaves_a_job_that_is_not_completed(status):
    with pytest.raises(NotNow, match="no result that may leave"):
        results.leaving(JobFactory(status=status))


def test_nothing_leaves_while_it_is_reviewed_again(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="Better.")
    stale = Job.objects.get(pk=job.pk)
    rule(job, Ruling.REOPEN, lead, note="Look again.")
    with pytest.raises(NotNow):
        results.leaving(stale)


def test_reopened_it_is_judged_as_it_left_and_the_last_approval_counts(job, lead):
    first = rule(job, Ruling.APPROVE, lead, edit="Better.")
    rule(job, Ruling.REOPEN, lead, note="Look again.")
    assert job.open_gate.content_hash == first.content_hash
    with pytest.raises(NotNow, match="you looked at"):
        rule(job, Ruling.APPROVE, lead, content_hash=Result.objects.get().content_hash)
    second = rule(
        job, Ruling.APPROVE, lead, content_hash=first.content_hash, edit="The best of all."
    )
    assert (second.edit.number, second.edit.of_hash) == (2, first.content_hash)
    assert results.leaving(job).text == "The best of all."
    rule(job, Ruling.REOPEN, lead, note="Once more.")
    third = rule(job, Ruling.APPROVE, lead)
    assert (third.edit, third.data) == (second.edit, {})
    rule(job, Ruling.REOPEN, lead, note="Back to what it was.")
    fourth = rule(job, Ruling.APPROVE, lead, edit="The answer.")
    assert fourth.edit is None
    assert results.leaving(job).text == "The answer."
    assert [edit.text for edit in ResultEdit.objects.all()] == ["Better.", "The best of all."]


def test_whoever_comes_after_an_edit_judges_the_edited_version(job, lead):
    """As where several must approve: the gate asks about the edit from then on."""
    looked_at = job.open_gate.content_hash
    with lifecycle.locked(job.pk) as held:
        edits.store(held, held.open_gate, "Better.", actor=lead, now=NOW)
    second = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    with pytest.raises(NotNow, match="you looked at"):
        rule(job, Ruling.APPROVE, second, content_hash=looked_at)
    page = client_of(second).get(reverse("reviews:job_review", args=[job.ref])).content.decode()
    assert "Edited by lee" in page
    assert fresh(job).open_gate.content_hash in page
    decision = rule(job, Ruling.APPROVE, second, content_hash=fresh(job).open_gate.content_hash)
    assert (decision.edit.made_by, decision.deed) == (lead, "Approved")
    assert results.leaving(job).text == "Better."


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("", "nothing left"),
        (" \n", "nothing left"),
        ("x" * 1_000_001, "1,000,000 characters"),
    ],
)
def test_what_cannot_be_a_version_is_not_taken(edit, said, job, lead):
    with pytest.raises(BadEdit, match=said):
        rule(job, Ruling.APPROVE, lead, edit=edit)
    assert (fresh(job).status, Decision.objects.count()) == (Status.NEEDS_REVIEW, 0)
    assert not ResultEdit.objects.exists()


def test_what_no_database_stores_is_cleaned(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="A\x00B\ud800C")
    assert results.leaving(job).text == "A\ufffdB\ufffdC"


@pytest.mark.parametrize("ruling", sorted(set(Ruling) - {Ruling.APPROVE}))
def test_only_an_approval_comes_with_edits(ruling, job, lead):
    for person in (lead, UserFactory(workspace=job.workspace, roles=[Role.OPERATOR])):
        with pytest.raises((BadEdit, NotNow, NotAllowed)):
            rule(job, ruling, person, note="Because.", edit="Better.")
    assert not ResultEdit.objects.exists()


def test_only_a_result_can_be_edited():
    job = wants()
    with pytest.raises(BadEdit, match="no result that could be edited"):
        rule(job, Ruling.APPROVE, lead_of(job), edit="Better.")


def test_a_result_that_was_tampered_with_is_no_ground_for_edits(job, lead):
    Result.objects.update(text="Tampered with.")
    with pytest.raises(NotNow, match="not what was produced"):
        rule(job, Ruling.APPROVE, lead, edit="Better.")
    Result.objects.update(text="The answer.")


def test_an_edit_that_was_tampered_with_is_found(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="Better.")
    [row] = ResultEdit.objects.all()
    forged = ResultEdit(
        result=row.result,
        number=2,
        text="Worse.",
        content_hash=row.content_hash,
        of_hash=row.of_hash,
        made_by=lead,
        made_at=NOW,
    )
    forged.save()
    said = "edit 2 of the result of attempt 1 was changed."
    assert [str(finding) for finding in audit.verify()] == [f"{job.ref}: {said}"]
    forged.delete()


def test_a_result_that_was_changed_with_its_hash_after_the_approval_is_found(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="Better.")
    assert list(audit.verify()) == []
    forged = {"text": "Worse.", "content_hash": evidence.content_hash("Worse.", [])}
    Result.objects.update(edit=None, **forged)
    said = "its result is not the one that it was completed with."
    assert [str(finding) for finding in audit.verify()] == [f"{job.ref}: {said}"]
    text = "The answer."
    edit = ResultEdit.objects.get()
    Result.objects.update(text=text, content_hash=evidence.content_hash(text, []), edit=edit)


def test_a_version_is_never_stored_over_the_result(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="Better.")
    with pytest.raises(TypeError, match="never takes the place"):
        Result.objects.select_related("edit").get().as_judged().save()
    with pytest.raises(TypeError, match="append-only"):
        ResultEdit.objects.get().save()


# Structured output --------------------------------------------------------------------------------


def test_structured_output_is_held_against_its_schema():
    job = shaped()
    edited = {**FOUND, "risk": "high"}
    decision = rule(job, Ruling.APPROVE, lead_of(job), edit=json.dumps(edited, indent=4))
    leaving = results.leaving(job)
    assert (leaving.data, json.loads(leaving.text)) == (edited, edited)
    assert leaving.content_hash == decision.content_hash
    assert Result.objects.get().structured == FOUND


def test_every_violation_is_told_with_its_path_and_nothing_is_stored():
    job = shaped()
    with pytest.raises(BadEdit) as refused:
        rule(job, Ruling.APPROVE, lead_of(job), edit='{"title": 1, "risk": "huge", "cost": "much"}')
    assert [problem.path for problem in refused.value.problems] == ["$.cost", "$.risk", "$.title"]
    assert "$.risk: 'huge' is not one of ['low', 'high']" in str(refused.value)
    assert (fresh(job).status, ResultEdit.objects.count()) == (Status.NEEDS_REVIEW, 0)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "Better.",
        '{"title": "a", "title": "b", "risk": "low", "cost": 1}',
        '{"title": "a", "risk": "low", "cost": NaN}',
        '{"title": "a", "risk": "low", "cost": 1e400}',
        '{"title": "a", "risk": "low", "cost": 0e99999999999999999999}',
        '{"title": "a", "risk": "low", "cost": 0.12345678901234567890}',
        "[" * 100_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        "9" * 5_000,
    ],
)
def test_what_is_no_plain_json_is_not_taken(text):
    job = shaped()
    with pytest.raises(BadEdit):
        rule(job, Ruling.APPROVE, lead_of(job), edit=text)
    assert not ResultEdit.objects.exists()


@pytest.mark.parametrize("depth", range(50, 1_200, 50))
def test_whatever_the_depth_it_is_taken_or_refused_in_words(depth):
    job = shaped(["a"], {"type": "array"})
    nested = "[" * depth + "1" + "]" * depth
    try:
        rule(job, Ruling.APPROVE, lead_of(job), edit=nested)
    except BadEdit as refused:
        assert "nested too deeply" in str(refused)
        return
    assert results.leaving(job).text == nested
    client = client_of(job.requester)
    assert client.get(job.get_absolute_url()).status_code == 200


def test_another_layout_of_the_same_json_is_no_edit():
    job = shaped()
    again = json.dumps(dict(reversed(FOUND.items())), indent=8)
    assert rule(job, Ruling.APPROVE, lead_of(job), edit=again).edit is None


def test_an_edit_mends_what_did_not_fit():
    job = shaped({**FOUND, "risk": "huge"})
    assert [warning["code"] for warning in job.warnings] == ["schema_violation"]
    rule(job, Ruling.APPROVE, lead_of(job), edit=json.dumps(FOUND))
    assert job.warnings == []


# Reading anew -------------------------------------------------------------------------------------


def test_read_anew_with_the_same_words_an_edit_still_counts(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="Better.")
    re_extract(job, actor=lead, now=LATER)
    assert results.leaving(job).text == "Better."
    rule(job, Ruling.REOPEN, lead, note="Look again.")
    re_extract(job, actor=lead, now=LATER)
    assert fresh(job).open_gate.content_hash == evidence.content_hash("Better.", [])


def test_read_anew_what_an_edit_mended_stays_mended():
    job = shaped({**FOUND, "risk": "huge"})
    lead = lead_of(job)
    rule(job, Ruling.APPROVE, lead, edit=json.dumps(FOUND))
    re_extract(job, actor=lead, now=LATER)
    assert fresh(job).warnings == []


def test_read_anew_with_other_words_the_edit_of_the_old_ones_counts_no_more(job, lead, monkeypatch):
    rule(job, Ruling.APPROVE, lead, edit="Better.")
    read = evidence.read

    def otherwise(data, **more):
        return replace(read(data, **more), text="Read otherwise.")

    monkeypatch.setattr(evidence, "read", otherwise)
    with pytest.raises(NotNow, match="reads differently now"):
        re_extract(job, actor=lead, now=LATER)
    rule(job, Ruling.REOPEN, lead, note="Look again.")
    re_extract(job, actor=lead, now=LATER)
    gate = fresh(job).open_gate
    assert (gate.result.edit, gate.content_hash) == (
        None,
        evidence.content_hash("Read otherwise.", []),
    )
    assert ResultEdit.objects.count() == 1


# Who reads what -----------------------------------------------------------------------------------


def test_the_requester_reads_the_edited_version_alone(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="Better by far.")
    client = client_of(job.requester)
    page = client.get(job.get_absolute_url()).content.decode()
    assert "Better by far." in page and "The answer." not in page
    assert "Edited by a reviewer before approval." in page
    assert "What the model wrote" not in page
    download = reverse("jobs:result_download", args=[job.ref])
    assert client.get(download).content.decode() == "Better by far."
    asked = client.get(download, {"format": "json"}).json()
    assert (asked["text"], asked["edited"]["by"]) == ("Better by far.", "lee")
    assert "The answer." not in json.dumps(asked)
    assert client.get(download, {"version": "produced"}).status_code == 403
    document = job_document(job, reader=job.requester)["result"]
    assert (document["text"], document["produced"]) == ("Better by far.", None)
    jobs = reverse("jobs:job_list", args=[job.workspace.slug])
    assert job.ref in client.get(jobs, {"q": "far"}).content.decode()
    assert job.get_absolute_url() not in client.get(jobs, {"q": "answer"}).content.decode()


def test_reviewers_read_both(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="Better by far.")
    client = client_of(lead)
    page = client.get(job.get_absolute_url()).content.decode()
    assert "Better by far." in page and "What the model wrote" in page
    download = reverse("jobs:result_download", args=[job.ref])
    assert client.get(download, {"version": "produced"}).content.decode() == "The answer."
    produced = job_document(job, reader=lead)["result"]["produced"]
    assert produced["text"] == "The answer."


def test_quotes_that_were_edited_out_are_not_given_along():
    schema = {"type": "object", "properties": {"rows": {"type": "array"}}}
    job_type = JobTypeFactory(version__output_schema=schema, check_quotes=True)
    notes = Upload("notes.txt", b"The bridge is closed. The ferry runs.")
    job = JobFactory(job_type=job_type, uploads=(notes,))
    start(job)
    rows = [{"quote": "The bridge is closed."}, {"quote": "The ferry runs."}]
    finish(job, "completed", output=[message(json.dumps({"rows": rows}))])
    rule(job, Ruling.APPROVE, lead_of(job), edit=json.dumps({"rows": rows[1:]}))
    document = job_document(job, reader=job.requester)["result"]
    assert [citation["quote"] for citation in document["citations"]] == ["The ferry runs."]
    page = client_of(job.requester).get(job.get_absolute_url()).content.decode()
    assert "The bridge is closed." not in page
    notes_page = reverse("jobs:document_detail", args=[job.ref, 1])
    for person, marks in ((job.requester, 0), (lead_of(job), 1)):
        page = client_of(person).get(notes_page, {"quote": 1}).content.decode()
        assert page.count("<mark") == marks


def test_nothing_that_was_edited_out_leaves_as_evidence():
    schema = {"type": "object", "properties": {"rows": {"type": "array"}}}
    job_type = JobTypeFactory(version__output_schema=schema, check_quotes=True)
    notes = Upload("notes.txt", b"The bridge is closed. The ferry runs.")
    job = JobFactory(job_type=job_type, uploads=(notes,))
    Route.objects.create(workspace=job.workspace, channel=Channel.FOLDER)
    start(job)
    said = ["The bridge is closed.", "The ferry runs.", "The mayor resigned."]
    rows = [{"quote": quote} for quote in said]
    finish(job, "completed", output=[message(json.dumps({"rows": rows}))])
    rule(job, Ruling.APPROVE, lead_of(job), edit=json.dumps({"rows": rows[1:2]}))
    delivery, completed = Delivery.objects.get(), job.events.order_by("seq").last()
    content = Content(delivery, job, results.leaving(job), None, completed)
    left = content.body().decode()
    assert "The ferry runs." in left
    assert "bridge" not in left and "mayor" not in left


def test_a_source_stays_without_the_words_that_were_edited_out():
    job = JobFactory()
    start(job)
    text = "The bridge is closed."
    cited = {"type": "url_citation", "url": "https://tides.example/", "title": "Tides"}
    note = {**cited, "start_index": 0, "end_index": len(text)}
    finish(job, "completed", output=[message(text, annotations=[note])])
    rule(job, Ruling.APPROVE, lead_of(job), edit="The ferry runs.")
    [citation] = job_document(job, reader=job.requester)["result"]["citations"]
    assert (citation["url"], citation["quote"]) == (cited["url"], "")


def test_the_library_takes_the_edited_version(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="Better.")
    result = library.result_of(job)
    kept = library.keep_result(result, "Tides", actor=job.requester, now=LATER)
    assert kept.document.text == "Better."
    assert library.kept_from(result) == kept.document
    rule(job, Ruling.REOPEN, lead, note="Look again.")
    rule(job, Ruling.APPROVE, lead, edit="Better still.")
    assert library.kept_from(library.result_of(job)) is None
    with pytest.raises(NotNow, match="another version"):
        library.withdraw(kept.document, actor=lead, now=LATER)
        library.keep_result(result, "Tides again", actor=job.requester, now=LATER)


def test_a_follow_up_is_asked_about_the_edited_version(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="Better.")
    asking = JobTypeFactory(follows=True, version__template="{question}")
    job_type = asking
    child = JobFactory(
        workspace=job.workspace,
        job_type=job_type,
        requester=job.requester,
        input={"question": "Why?"},
        parent=job,
    )
    turn = Turn.objects.get(attempt__job=child)
    body = requests.create_body(turn, now=LATER)
    # OpenAI's own response knows nothing of the edit.
    assert "previous_response_id" not in body
    said = json.dumps(body["input"])
    assert "Better." in said and "The answer." not in said
    assert results.leaving(job).content_hash in requests.describe(turn)["previous_response_id"]


# Rounds -------------------------------------------------------------------------------------------


def round_of(job, lead, note):
    decision = rule(job, Ruling.REQUEST_CHANGES, lead, note=note)
    start(job)
    finish(job, "completed", output=[message(f"The answer to {note}")])
    job.refresh_from_db()
    return decision


def test_rounds_are_numbered_and_bounded(lead, job):
    decisions = [round_of(job, lead, note) for note in ("Shorter.", "Longer.", "Kinder.")]
    assert [decision.data for decision in decisions] == [{"round": n} for n in (1, 2, 3)]
    events = job.events.filter(verb=Verb.CHANGES_REQUESTED)
    assert [event.data for event in events] == [{"round": n} for n in (1, 2, 3)]
    refused = allowed_actions(lead, fresh(job))[Action.REQUEST_CHANGES]
    assert "this was round 3 of 3. Approve, reject or escalate it." in refused.why
    assert not refused.forbidden
    with pytest.raises(NotNow, match="round 3 of 3"):
        rule(job, Ruling.REQUEST_CHANGES, lead, note="Once more.")
    assert rule(job, Ruling.APPROVE, lead).content_hash


def test_a_type_says_how_many_rounds_there_are():
    job = JobFactory(job_type=JobTypeFactory(max_rounds=1), status=Status.NEEDS_REVIEW)
    lead = lead_of(job)
    round_of(job, lead, "Shorter.")
    with pytest.raises(NotNow, match="round 1 of 1"):
        rule(job, Ruling.REQUEST_CHANGES, lead, note="Longer.")


def sent(job):
    turn = Turn.objects.filter(attempt__job=job).order_by("-attempt__number")[0]
    return requests.describe(turn)["input"][0]["content"][-1]["text"]


def test_a_later_round_is_told_what_the_earlier_ones_were(lead, job):
    round_of(job, lead, "Shorter.")
    rule(job, Ruling.REQUEST_CHANGES, lead, note="Kinder.")
    said = sent(job)
    assert said.index("In round 1") < said.index("Shorter.") < said.index("Kinder.")
    assert "The answer to Shorter." in said


def test_a_passing_fault_loses_no_feedback_and_a_retry_begins_without(lead, job):
    rule(job, Ruling.REQUEST_CHANGES, lead, note="Shorter.")
    start(job)
    fault = {"code": "server_error", "message": "It broke."}
    finish(job, "failed", error=fault)
    assert job.attempts.latest("number").cause == Cause.AUTOMATIC
    assert "Shorter." in sent(job)
    start(job)
    finish(job, "completed")
    rule(job, Ruling.RETRY, lead)
    assert "Shorter." not in sent(job)


def test_the_next_round_is_given_what_was_judged(job, lead):
    rule(job, Ruling.APPROVE, lead, edit="As edited.")
    rule(job, Ruling.REOPEN, lead, note="Look again.")
    rule(job, Ruling.REQUEST_CHANGES, lead, note="Shorter.")
    assert "As edited." in sent(job)
    assert "The answer." not in sent(job)


# Reasons and seconds ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ruling", "code"), [(ruling, code) for ruling, codes in REASONS.items() for code in codes]
)
def test_a_reason_is_stored_with_the_decision_and_its_event(ruling, code):
    if ruling is Ruling.REOPEN:
        job = JobFactory(status=Status.COMPLETED)
    else:
        job = wants() if ruling is Ruling.REFUSE else JobFactory(status=Status.NEEDS_REVIEW)
    decision = rule(job, ruling, lead_of(job), note="Because.", reason_code=code)
    assert decision.reason_code == code
    told = [
        event.data.get("reason") for event in Event.objects.filter(job=job, actor__isnull=False)
    ]
    assert told[-1] == code


def test_a_reason_for_something_else_is_refused(job, lead):
    with pytest.raises(ReasonUnknown, match="Reject is not given for that reason"):
        rule(job, Ruling.REJECT, lead, note="No.", reason_code=ReasonCode.CONFLICT)
    with pytest.raises(ReasonUnknown, match="Its reasons: none"):
        rule(job, Ruling.APPROVE, lead, reason_code="wrong")
    assert not Decision.objects.exists()


def test_a_reason_does_not_stand_in_for_words(job, lead):
    with pytest.raises(NoteMissing):
        rule(job, Ruling.REJECT, lead, reason_code=ReasonCode.WRONG)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, None), (0, 0), (75, 75), (-1, None), (3600, 3600), (3601, 3600), (10**12, 3600)],
)
def test_nobody_looks_longer_than_it_has_been_there(given, kept, job, lead):
    assert rule(job, Ruling.APPROVE, lead, seconds=given).seconds == kept


def test_without_a_gate_nobody_knows_how_long(lead):
    job = JobFactory(status=Status.COMPLETED, workspace=lead.memberships.get().workspace)
    assert rule(job, Ruling.REOPEN, lead, note="Look.", seconds=5).seconds is None


# On the page --------------------------------------------------------------------------------------


def posted(job, **fields):
    return {"content_hash": fresh(job).open_gate.content_hash, **fields}


def verb(job, ruling):
    return reverse(f"reviews:job_{ruling.value}", args=[job.ref])


def test_the_page_offers_the_text_for_editing(job, lead):
    page = client_of(lead).get(reverse("reviews:job_review", args=[job.ref])).content.decode()
    assert "Edit before approving" in page
    assert '<textarea id="edit" name="edit" form="verbs"' in page
    assert "\nThe answer.</textarea>" in page


def test_who_may_not_approve_edits_nothing(lead):
    workspace = lead.memberships.get().workspace
    lead.memberships.create(workspace=workspace, role=Role.REQUESTER)
    own = JobFactory(requester=lead, workspace=workspace, status=Status.NEEDS_REVIEW)
    page = client_of(lead).get(reverse("reviews:job_review", args=[own.ref])).content.decode()
    assert "Edit before approving" not in page


def test_approving_from_the_page_takes_what_was_typed(job, lead):
    fields = posted(job, edit="Better,\r\nby far.", seconds="42", next="/")
    assert client_of(lead).post(verb(job, Ruling.APPROVE), fields).status_code == 302
    decision = Decision.objects.get()
    assert (decision.edit.text, decision.seconds) == ("Better,\nby far.", 42)


def test_what_the_page_sends_untouched_is_a_plain_approval(lead):
    text = "One.\r\nTwo.\n\nThree.\n"
    job = JobFactory(workspace=lead.memberships.get().workspace)
    start(job)
    finish(job, "completed", output=[message(text)])
    fields = posted(job, edit=text.replace("\r\n", "\n").replace("\n", "\r\n"))
    assert client_of(lead).post(verb(job, Ruling.APPROVE), fields).status_code == 302
    assert Decision.objects.get().edit is None


@pytest.mark.parametrize("seconds", ["", "soon", "-4", "1.5", "٣", "9" * 30, "\x00"])
def test_nonsense_in_place_of_seconds_is_no_error(seconds, job, lead):
    answer = client_of(lead).post(verb(job, Ruling.APPROVE), posted(job, seconds=seconds))
    assert answer.status_code == 302
    assert Decision.objects.get().seconds is None


def test_a_flat_result_is_edited_value_by_value():
    job = shaped()
    client = client_of(lead_of(job))
    page = client.get(reverse("reviews:job_review", args=[job.ref])).content.decode()
    keys = list(Result.objects.get().structured)
    names = {key: f"edit-{keys.index(key) + 1}" for key in keys}
    assert f'<input id="{names["risk"]}" name="{names["risk"]}" form="verbs"' in page
    typed = {names["title"]: "The ferry", names["risk"]: "high", names["cost"]: "12"}
    assert client.post(verb(job, Ruling.APPROVE), posted(job, **typed)).status_code == 302
    assert results.leaving(fresh(job)).data == {"title": "The ferry", "risk": "high", "cost": 12}


def test_a_problem_stands_at_its_field_and_nothing_typed_is_lost():
    job = shaped()
    keys = list(Result.objects.get().structured)
    names = {key: f"edit-{keys.index(key) + 1}" for key in keys}
    typed = {names["title"]: "The <ferry>", names["risk"]: "huge", names["cost"]: "much"}
    client = client_of(lead_of(job))
    answer = client.post(verb(job, Ruling.APPROVE), posted(job, note="Mine.", **typed))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "The &lt;ferry&gt;" in page and "Mine." in page
    assert f'id="{names["cost"]}-error" tabindex="-1" autofocus' in page
    typed[names["cost"]] = "12"
    page = client.post(verb(job, Ruling.APPROVE), posted(job, **typed)).content.decode()
    assert f'id="{names["risk"]}-error"' in page
    assert "is not one of" in page
    assert not Decision.objects.exists()


def test_the_fields_of_a_deep_result_are_no_larger_than_a_form_may_be():
    deep = [1] * 600
    for _ in range(25):
        deep = [deep]
    job = shaped({"numbers": [deep] * 90}, {"type": "object"})
    client = client_of(lead_of(job))
    answer = client.get(reverse("reviews:job_review", args=[job.ref]))
    fields = {field.key: field.value for field in answer.context["edit"].fields}
    assert sum(map(len, fields.values())) < 4 * len(job.open_gate.result.text)
    assert client.post(verb(job, Ruling.APPROVE), posted(job, **fields)).status_code == 302


DIGEST = {
    "title": "The bridge",
    "sections": [{"heading": "Cost", "quotes": ["It is low.", "It is 12."]}, {"heading": "Risk"}],
    "open": [],
}


def fields_of(page):
    """Label and name of each field to edit the result with."""
    said = page[page.index('id="editing"') : page.index("Look at what I changed")]
    labels = re.findall(r'<label for="(edit[-\d]*)">(.*?)</label>', said)
    return {" ".join(re.sub("<[^>]*>", " ", label).split()): name for name, label in labels}


def test_a_nested_result_is_edited_value_by_value():
    job = shaped(DIGEST, {"type": "object"})
    client = client_of(lead_of(job))
    page = client.get(reverse("reviews:job_review", args=[job.ref])).content.decode()
    assert fields_of(page) == {
        "Title": "edit-1",
        "Sections 1: Heading": "edit-2",
        "Sections 1: Quotes 1": "edit-3",
        "Sections 1: Quotes 2": "edit-4",
        "Sections 2: Heading": "edit-5",
        "Open JSON": "edit-6",
        "All of it JSON": "edit",
    }
    typed = {"edit-4": "It is 13.", "edit-5": "Risks", "edit-6": '["Who pays?"]'}
    assert client.post(verb(job, Ruling.APPROVE), posted(job, **typed)).status_code == 302
    assert results.leaving(fresh(job)).data == {
        "title": "The bridge",
        "sections": [
            {"heading": "Cost", "quotes": ["It is low.", "It is 13."]},
            {"heading": "Risks"},
        ],
        "open": ["Who pays?"],
    }


def test_what_is_wrong_inside_stands_at_its_field():
    job = shaped({"rows": [FOUND, FOUND]}, NESTED)
    client = client_of(lead_of(job))
    answer = client.post(verb(job, Ruling.APPROVE), posted(job, **{"edit-5": "huge"}))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'id="edit-5-error"' in page and "is not one of" in page
    assert not Decision.objects.exists()


def test_parts_are_added_and_removed_in_the_whole():
    job = shaped({"rows": [FOUND, FOUND]}, NESTED)
    client = client_of(lead_of(job))
    wrong = posted(job, edit='{"rows": [{"risk": 1}]}')
    answer = client.post(verb(job, Ruling.APPROVE), wrong)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "$.rows[0].risk" in page and "Your edits could not be accepted" in page
    assert "{&quot;rows&quot;: [{&quot;risk&quot;: 1}]}" in page
    assert '<details class="edit-whole" open>' in page
    fields = posted(job, edit=json.dumps({"rows": [FOUND]}))
    assert client.post(verb(job, Ruling.APPROVE), fields).status_code == 302
    assert results.leaving(fresh(job)).data == {"rows": [FOUND]}


def test_a_field_and_the_whole_are_not_changed_both():
    job = shaped()
    fields = posted(
        job, **{"edit-1": "The ferry", "edit": json.dumps({**FOUND, "title": "A raft"})}
    )
    answer = client_of(lead_of(job)).post(verb(job, Ruling.APPROVE), fields)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "were both changed" in page and "The ferry" in page and "A raft" in page
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    "value",
    [["text"] * 201, "A text.", 7],
    ids=["too many fields", "a text", "a number"],
)
def test_what_has_no_fields_is_edited_as_a_whole(value):
    job = shaped(value, {})
    job.prompt_version.output_schema = {"title": "anything"}
    fields = [field.key for field in _fields(job, Result.objects.get())]
    assert fields == ["edit"]


def test_what_stands_too_deep_is_one_field():
    value = "bottom"
    for _level in range(400):
        value = {"inner": value}
    job = shaped(value, {"type": "object"})
    client = client_of(lead_of(job))
    page = client.get(reverse("reviews:job_review", args=[job.ref]))
    assert list(fields_of(page.content.decode()).values()) == ["edit-1", "edit"]


def test_one_can_look_at_what_one_changed_before_approving(job, lead):
    client = client_of(lead)
    fields = posted(job, edit="The better answer.", note="Fine.", ask="first")
    answer = client.post(verb(job, Ruling.APPROVE), fields)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Your edits" in page and "Approve with edits" in page
    assert "<ins>" in page
    assert "The better answer.</textarea>" in page
    assert not Decision.objects.exists()
    assert client.post(verb(job, Ruling.APPROVE), {**fields, "ask": ""}).status_code == 200
    del fields["ask"]
    assert client.post(verb(job, Ruling.APPROVE), fields).status_code == 302
    assert results.leaving(fresh(job)).text == "The better answer."


def test_looking_at_what_cannot_be_taken_says_why(job, lead):
    answer = client_of(lead).post(verb(job, Ruling.APPROVE), posted(job, edit=" ", ask="first"))
    assert "nothing left of the result" in answer.content.decode()
    assert not Decision.objects.exists()


def test_whoever_is_second_keeps_what_they_wrote(job, lead):
    fields = posted(job, edit="My version.")
    rule(job, Ruling.APPROVE, lead_of(job), edit="Their version.")
    answer = client_of(lead).post(verb(job, Ruling.APPROVE), fields)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "\nMy version.</textarea>" in page
    untouched = client_of(lead).post(verb(job, Ruling.APPROVE), {**fields, "edit": "The answer."})
    assert "kept-edit" not in untouched.content.decode()


def test_a_result_too_long_for_a_page_is_approved_as_it_is(lead):
    job = JobFactory(workspace=lead.memberships.get().workspace)
    start(job)
    finish(job, "completed", output=[message("long " * 50_000)])
    client = client_of(lead)
    page = client.get(reverse("reviews:job_review", args=[job.ref])).content.decode()
    assert "too long to be edited on a page" in page
    assert client.post(verb(job, Ruling.APPROVE), posted(job)).status_code == 302


def test_the_difference_from_the_attempt_before_is_on_the_page(job, lead):
    round_of(job, lead, "Shorter.")
    page = client_of(lead).get(reverse("reviews:job_review", args=[job.ref])).content.decode()
    assert "Against attempt 1" in page
    assert "1 of 3 rounds" in page
    assert '<ins><span class="visually-hidden"> added: </span>' in page
    assert page.count('id="changes"') == 1
    assert page.index('id="changes"') < page.index('id="result"')


def test_a_reason_is_chosen_on_the_page(job, lead):
    client = client_of(lead)
    url = verb(job, Ruling.REJECT)
    assert "Not supported by its sources" in client.get(url).content.decode()
    wrong = client.post(url, posted(job, note="No.", reason="conflict"))
    assert (wrong.status_code, Decision.objects.count()) == (422, 0)
    assert "a reason for something else" in wrong.content.decode()
    fields = posted(job, note="No.", reason="unsupported")
    assert client.post(url, fields).status_code == 302
    assert Decision.objects.get().reason_code == "unsupported"
    page = client.get(reverse("reviews:job_review", args=[job.ref])).content.decode()
    assert "not supported by its sources" in page


def test_a_reason_left_over_from_another_verb_stops_no_approval(job, lead):
    fields = posted(job, reason="conflict")
    assert client_of(lead).post(verb(job, Ruling.APPROVE), fields).status_code == 302
    assert Decision.objects.get().reason_code == ""


def test_the_admin_shows_edit_reason_and_seconds(job, lead, client):
    decision = rule(job, Ruling.APPROVE, lead, edit="Better by far.", seconds=42)
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    page = client.get(reverse("admin:reviews_decision_change", args=[decision.pk])).content.decode()
    assert "Better by far." in page and ">42<" in page
    assert reverse("admin:jobs_resultedit_change", args=[decision.edit.pk]) in page


def test_the_admins_confirmation_shows_what_would_be_approved(job, lead, client):
    rule(job, Ruling.APPROVE, lead, edit="Better by far.")
    rule(job, Ruling.REOPEN, lead, note="Look.")
    staff = {"is_staff": True, "is_superuser": True}
    client.force_login(UserFactory(workspace=job.workspace, roles=[Role.LEAD], **staff))
    sent = {"action": "approve", "_selected_action": [str(job.pk)]}
    page = client.post(reverse("admin:jobs_job_changelist"), sent).content.decode()
    assert "Better by far." in page


def test_nothing_is_edited_without_looking(job, lead):
    with pytest.raises(NotLooked):
        rule(job, Ruling.APPROVE, lead, content_hash="", edit="Better.")
    assert not ResultEdit.objects.exists()


def test_a_form_that_cannot_be_read_shows_nobody_what_they_may_not_see():
    job = shaped()
    page = reverse("reviews:job_approve", args=[job.ref])
    for name in ("note", "content_hash", "next"):
        answer = client_of(job.requester).post(page, {"edit-1": "Mine.", name: "\x00"})
        assert "The bridge" not in answer.content.decode()
        assert answer.status_code == 403
