"""Follow-up questions, over real HTTP: what goes along, what is reviewed, and what is paid."""

import pytest
from django.conf import settings

from jobs import following, requests, shipped
from jobs.access import Action, NotAllowed, NotNow, allowed_actions, live_rule, may_watch
from jobs.actions import submit
from jobs.admin.coherence import misgivings
from jobs.documents import Upload
from jobs.inputs import BadInput
from jobs.models import (
    Carriage,
    GateKind,
    Job,
    JobType,
    Lane,
    Live,
    Result,
    Review,
    Role,
    State,
    Status,
)
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests import payloads
from tests.factories import JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory, last_turn

pytestmark = pytest.mark.django_db

TIDES = "# Tides\n\nThe moon pulls.\n\n# Ebbs\n\nThe water falls twice a day."
NOTES = Upload("notes.txt", b"The harbour opens at nine. The tide turns at noon.")
GONE = {
    "status": 400,
    "error": {
        "code": "previous_response_not_found",
        "message": "Previous response with id 'resp_x' not found.",
        "param": "previous_response_id",
    },
}


@pytest.fixture(autouse=True)
def types(db):
    shipped.load()


@pytest.fixture
def parent(driver, sandbox, clock):
    """A completed job whose result has two sections."""
    return completed(driver, sandbox, clock)


def completed(driver, sandbox, clock, *, text=TIDES, uploads=(), **type_fields):
    answers(sandbox, text)
    job_type = JobTypeFactory(**{"review": Review.NEVER, **type_fields})
    job = driver.settle(JobFactory(job_type=job_type, uploads=uploads, now=clock()))
    assert job.status == Status.COMPLETED, job.reason_text
    return job


def answers(sandbox, text, **life):
    output = [payloads.message(text)]
    sandbox.script(
        {
            "on": "create",
            "do": {"life": {"queued": 0, "running": 0, "output": output, **life}},
        }
    )


def ask(job, clock, question="When is low tide?", **more):
    return following.follow_up(
        job, requester=job.requester, question=question, now=clock(), **more
    ).job


def sent(sandbox):
    """The bodies of the accepted creates, the first one first, as the stand-in understood them."""
    return [sandbox.response(one["id"]) for one in sandbox.responses()]


def reviewer(job):
    return UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])


# What goes along


def test_a_question_goes_on_from_the_response_of_the_job_that_it_follows(
    driver, sandbox, clock, parent
):
    job = ask(parent, clock, section="Ebbs")
    answers(sandbox, "At six.")
    driver.settle(job)
    assert (job.status, job.parent) == (Status.COMPLETED, parent)
    assert list(parent.follow_ups.all()) == [job]
    first, second = sent(sandbox)
    assert second["request"]["previous_response_id"] == first["id"]
    assert second["text"].splitlines() == ["Section: Ebbs", "When is low tide?"]
    assert "only from that result" in second["request"]["instructions"]
    assert Result.objects.get(attempt__job=job).text == "At six."


def test_a_follow_up_can_be_followed_and_the_stand_in_still_knows_the_documents(
    driver, sandbox, clock
):
    parent = completed(driver, sandbox, clock, uploads=[NOTES])
    first = driver.settle(ask(parent, clock, "When does the harbour open?"))
    second = driver.settle(ask(first, clock, "When does the tide turn?"))
    assert second.status == Status.COMPLETED
    ids = [one["id"] for one in sent(sandbox)]
    followed = [one["request"]["previous_response_id"] for one in sent(sandbox)]
    assert followed == [None, ids[0], ids[1]]
    assert "noon" in Result.objects.get(attempt__job=second).text
    assert second.documents.count() == 0


@pytest.mark.parametrize("section", ["", "Ebbs", "Nowhere"])
def test_an_expired_response_is_told_again_with_the_section_first(
    driver, sandbox, clock, parent, section
):
    clock.advance(settings.OPENAI_RESPONSES_KEPT_DAYS * 86_400 + 60)
    job = driver.settle(ask(parent, clock, section=section))
    assert job.status == Status.COMPLETED
    body = sent(sandbox)[-1]
    assert body["request"]["previous_response_id"] is None
    assert requests.RETOLD in body["text"]
    assert TIDES in body["text"]
    assert body["text"].endswith("When is low tide?")
    told = body["text"].count("The water falls twice a day.")
    assert told == (2 if section == "Ebbs" else 1)
    if section == "Ebbs":
        assert body["text"].index("The water falls") < body["text"].index("The moon pulls")
    assert sandbox.stats()["creates"] == 2


def test_a_long_result_is_cut_and_the_section_that_is_asked_about_is_not(
    driver, sandbox, clock, monkeypatch
):
    monkeypatch.setattr(requests, "PREVIOUS_RESULT_LENGTH", 100)
    text = "# One\n\n" + "word " * 200 + "\n\n# Two\n\nThe last words."
    parent = completed(driver, sandbox, clock, text=text)
    clock.advance(40 * 86_400)
    driver.settle(ask(parent, clock, section="Two"))
    said = sent(sandbox)[-1]["text"]
    assert "The last words." in said
    assert said.count("word ") < 20


def test_a_section_of_structured_output_goes_along_as_a_document(driver, sandbox, clock):
    digest = JobType.objects.get(slug="document-digest")
    requester = UserFactory(workspace=WorkspaceFactory(), roles=[Role.REQUESTER])
    parent = submit(
        digest,
        requester=requester,
        workspace=requester.workspaces.get(),
        input={},
        uploads=[Upload("a.md", b"# Costs\n\nIt costs 12 crowns.\n\n# Dates\n\nIt ends in May.")],
        now=clock(),
    ).job
    driver.settle(parent)
    decide(parent.pk, Ask(Ruling.APPROVE, reviewer(parent), clock()))
    parent.refresh_from_db()
    clock.advance(40 * 86_400)
    result = Result.objects.get(attempt__job=parent)
    name = result.structured["sections"][-1]["heading"]
    job = ask(parent, clock, section=name)
    driver.settle(job)
    said = sent(sandbox)[-1]["text"]
    assert said.index(f"# {name}") < said.index("The whole:")
    assert '"sections"' not in said
    assert job.status == Status.NEEDS_REVIEW


@pytest.mark.parametrize("how", ["searched", "incomplete"])
def test_a_response_that_is_not_whole_any_more_is_not_followed(driver, sandbox, clock, how):
    if how == "searched":
        parent = completed(driver, sandbox, clock, uploads=[NOTES], carriage=Carriage.SEARCH)
    else:
        answers(sandbox, TIDES, end="incomplete")
        parent = driver.settle(JobFactory(now=clock()))
        decide(parent.pk, Ask(Ruling.APPROVE, reviewer(parent), clock()))
        parent.refresh_from_db()
    driver.settle(ask(parent, clock))
    body = sent(sandbox)[-1]
    assert body["request"]["previous_response_id"] is None
    assert requests.RETOLD in body["text"]


# What OpenAI has forgotten


def test_a_refusal_falls_back_to_the_stored_text_once_and_is_paid_once(
    driver, sandbox, clock, parent, nothing_paid_twice
):
    sandbox.reset()
    usage = payloads.usage(1_000_000, 0)
    answers(sandbox, "At six.", usage=usage)
    job = ask(parent, clock)
    driver.settle(job)
    attempt = job.attempts.get()
    turn = attempt.turns.get()
    assert (job.status, attempt.state, turn.previous_gone) == (
        Status.COMPLETED,
        State.SUCCEEDED,
        True,
    )
    assert sandbox.stats()["creates"] == 2
    assert sandbox.stats()["responses"] == 1
    [body] = sent(sandbox)
    assert requests.RETOLD in body["text"] and TIDES in body["text"]
    assert job.cost_usd == attempt.cost_usd == turn.cost_usd
    assert job.cost_usd > 0
    assert "previous_gone" in job.events.values_list("reason_code", flat=True)


def test_a_second_refusal_is_the_end(driver, sandbox, clock, parent):
    sandbox.script({"on": "create", "times": 5, "do": GONE})
    job = driver.settle(ask(parent, clock))
    assert (job.status, job.reason_code) == (Status.FAILED, "previous_response_not_found")
    assert sandbox.stats()["creates"] == 3
    assert job.cost_usd == 0


def test_what_is_gone_is_not_asked_for_again_by_a_retry(driver, sandbox, clock, parent):
    sandbox.script({"on": "create", "times": 2, "do": GONE})
    job = driver.settle(ask(parent, clock))
    decide(job.pk, Ask(Ruling.RETRY, job.requester, clock()))
    driver.settle(job)
    assert job.status == Status.COMPLETED
    assert sandbox.stats()["creates"] == 4
    assert sent(sandbox)[-1]["request"]["previous_response_id"] is None


def test_the_same_refusal_of_a_job_that_follows_nothing_ends_it(driver, sandbox, clock):
    sandbox.script({"on": "create", "do": GONE})
    job = driver.settle(JobFactory(now=clock()))
    assert (job.status, sandbox.stats()["creates"]) == (Status.FAILED, 1)


def test_a_kill_at_any_moment_starts_nothing_twice(
    driver, sandbox, clock, parent, nothing_paid_twice
):
    """The sweep dies after every tick on which no create is on its way."""
    sandbox.reset()
    answers(sandbox, "At six.")
    job = ask(parent, clock)
    for _round in range(8):
        driver.sweep.tick()
        if any(getattr(call, "kind", "") == "create" for call in driver.sweep.calls.values()):
            driver.reach(lambda: not driver.sweep.calls)
            continue
        driver.drop_calls()
    driver.settle(job)
    assert job.status == Status.COMPLETED
    assert sandbox.stats()["creates"] == 2
    assert sandbox.stats()["responses"] == 1


def test_a_kill_before_the_refusal_is_written_sends_nothing_more(
    driver, sandbox, clock, parent, nothing_paid_twice
):
    sandbox.reset()
    job = ask(parent, clock)
    with driver.holding("create"):
        driver.reach(lambda: sandbox.stats()["creates"] == 1)
        driver.drop_calls()
    driver.settle(job)
    assert job.reason_code == "submit_outcome_unknown"
    assert (sandbox.stats()["creates"], sandbox.stats()["responses"]) == (1, 0)


# What a person approves


@pytest.mark.parametrize("forgotten", [False, True])
def test_what_is_approved_is_the_question_whichever_way_the_result_goes_along(
    driver, sandbox, clock, parent, forgotten
):
    parent.job_type.lane = Lane.APPROVAL
    parent.job_type.save()
    job = ask(parent, clock)
    assert (job.lane, job.open_gate.kind) == (Lane.APPROVAL, GateKind.BEFORE_RUN)
    assert "What it follows is approved" in job.open_gate.reasons[0]["text"]
    driver.work()
    assert sandbox.stats()["creates"] == 1
    seen = job.open_gate.content_hash
    decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock(), content_hash=seen))
    if forgotten:
        sandbox.reset()
    driver.settle(job)
    assert job.status == Status.COMPLETED
    turn = last_turn(job)
    assert turn.previous_gone is forgotten
    assert requests.content_hash(turn.request) == seen
    result = Result.objects.get(attempt__job=parent)
    assert result.content_hash in turn.request["previous_response_id"]


def test_another_result_than_was_approved_is_not_sent(driver, sandbox, clock, parent):
    parent.job_type.lane = Lane.APPROVAL
    parent.job_type.save()
    job = ask(parent, clock)
    decide(job.pk, Ask(Ruling.APPROVE, reviewer(job), clock()))
    Result.objects.filter(attempt__job=parent).update(content_hash="another")
    driver.settle(job)
    assert job.status == Status.FAILED
    assert "not what was approved" in job.reason_text
    assert sandbox.stats()["creates"] == 1


def test_a_withdrawn_result_is_not_asked_about(driver, sandbox, clock, parent):
    job = ask(parent, clock)
    Result.objects.filter(attempt__job=parent).update(deliverable=False)
    driver.settle(job)
    assert job.status == Status.FAILED
    assert "has been withdrawn" in job.reason_text
    assert sandbox.stats()["creates"] == 1


def test_a_chain_is_reviewed_as_strictly_as_its_first_job(driver, sandbox, clock, parent):
    JobType.objects.filter(slug="follow-up").update(review=Review.NEVER, live=Live.REQUESTER)
    first = driver.settle(ask(parent, clock))
    assert first.status == Status.COMPLETED
    JobType.objects.filter(pk=parent.job_type_id).update(review=Review.ALWAYS, lane=Lane.APPROVAL)
    first = Job.objects.select_related("job_type").get(pk=first.pk)
    second = ask(first, clock)
    assert second.lane == Lane.APPROVAL
    decide(second.pk, Ask(Ruling.APPROVE, reviewer(second), clock()))
    driver.settle(second)
    assert (second.status, second.open_gate.kind) == (Status.NEEDS_REVIEW, GateKind.OUTPUT)
    assert second.open_gate.reasons[0]["text"].startswith("What it follows is always reviewed")
    assert live_rule(second) == Live.OFF
    JobType.objects.filter(pk=parent.job_type_id).update(live=Live.STAFF)
    assert live_rule(second) == Live.STAFF
    assert not may_watch(second.requester, second)
    assert may_watch(reviewer(second), second)


def test_a_follow_up_is_not_approved_by_its_requester_where_its_parent_would_not_be(
    driver, sandbox, clock, parent
):
    JobType.objects.filter(slug="follow-up").update(own_approval=True, review=Review.ALWAYS)
    job = driver.settle(ask(parent, clock))
    job.requester.memberships.create(workspace=job.workspace, role=Role.REVIEWER)
    job = Job.objects.get(pk=job.pk)
    assert allowed_actions(job.requester, job)[Action.APPROVE].forbidden
    JobType.objects.filter(pk=parent.job_type_id).update(own_approval=True)
    assert allowed_actions(job.requester, job)[Action.APPROVE].allowed


# Who asks, and about what


def test_the_same_form_asks_once_and_about_one_job(driver, sandbox, clock, parent):
    first = ask(parent, clock, idempotency_key="k")
    again = following.follow_up(
        parent,
        requester=parent.requester,
        question="When is low tide?",
        idempotency_key="k",
        now=clock(),
    )
    assert (again.job, again.created, again.same_request) == (first, False, True)
    driver.settle(first)
    other = following.follow_up(
        first,
        requester=parent.requester,
        question="When is low tide?",
        idempotency_key="k",
        now=clock(),
    )
    assert (other.created, other.same_request) == (False, False)


def test_only_a_completed_job_is_asked_about_and_only_by_those_who_may(clock):
    job = JobFactory(status=Status.NEEDS_REVIEW)
    with pytest.raises(NotNow, match="only a completed job with a result can be asked about"):
        ask(job, clock)
    done = JobFactory(status=Status.COMPLETED, workspace=job.workspace)
    for user in (job.requester, UserFactory(workspace=WorkspaceFactory(), roles=list(Role))):
        with pytest.raises(NotAllowed, match="no job"):
            following.follow_up(done, requester=user, question="Why?", now=clock())
    with pytest.raises(NotAllowed, match=r"Your role \(reviewer\) does not allow"):
        following.follow_up(done, requester=reviewer(done), question="Why?", now=clock())
    assert not Job.objects.filter(job_type__follows=True).exists()


@pytest.mark.parametrize(
    ("question", "section", "said"),
    [
        ("", "", "question: is required"),
        (" \n", "", "question: is required"),
        ("x" * 4001, "", "4000 characters at most"),
        ("Why?", "x" * 301, "300 characters at most"),
        ("Why\x00?", "", "cannot be stored"),
    ],
)
def test_a_question_that_cannot_be_taken_is_said(clock, question, section, said):
    job = JobFactory(status=Status.COMPLETED)
    with pytest.raises(BadInput, match=said):
        ask(job, clock, question, section=section)


def test_the_type_is_reached_through_a_job_alone(client, clock):
    job = JobFactory(status=Status.COMPLETED)
    follows = JobType.objects.get(slug="follow-up")
    common = {"requester": job.requester, "input": {"question": "Why?"}, "now": clock()}
    with pytest.raises(BadInput, match="needs a job to follow"):
        submit(follows, workspace=job.workspace, **common)
    elsewhere = WorkspaceFactory()
    job.requester.memberships.create(workspace=elsewhere, role=Role.REQUESTER)
    with pytest.raises(BadInput, match="is not a job of"):
        submit(follows, workspace=elsewhere, parent=job, **common)
    client.force_login(job.requester)
    assert b"Follow-up question" not in client.get(f"/w/{job.workspace.slug}/jobs/new/").content
    assert client.get(f"/w/{job.workspace.slug}/jobs/new/follow-up/").status_code == 404


def test_a_workspace_may_have_its_own_type_or_none(clock):
    job = JobFactory(status=Status.COMPLETED)
    own = JobTypeFactory(
        slug="ask-us", follows=True, workspace=job.workspace, version__template="{question}"
    )
    assert following.find_type(job.workspace) == own
    assert ask(job, clock).job_type == own
    JobType.objects.filter(follows=True).update(enabled=False)
    with pytest.raises(NotNow, match="switched off"):
        ask(job, clock)


def test_a_job_that_began_with_anothers_input_is_no_follow_up(driver, sandbox, clock, parent):
    again = submit(
        parent.job_type,
        requester=parent.requester,
        workspace=parent.workspace,
        input=parent.input,
        parent=parent,
        now=clock(),
    ).job
    driver.settle(again)
    assert not again.is_follow_up
    assert sent(sandbox)[-1]["request"]["previous_response_id"] is None
    assert following.follow_ups(parent.requester, parent) == []
    assert again.ruling_types() == [parent.job_type]


# The pages


def page(client, user, path, data=None):
    client.force_login(user)
    answer = client.post(path, data) if data is not None else client.get(path)
    return answer, answer.content.decode()


def address(job):
    return f"/jobs/{job.ref}/follow-up/"


def test_a_result_leads_to_the_form_from_each_section(driver, sandbox, clock, parent, client):
    _answer, html = page(client, parent.requester, f"/jobs/{parent.ref}/")
    assert 'aria-label="Sections"' in html
    assert 'href="#r1-text-ebbs"' in html and 'id="r1-text-ebbs"' in html
    assert f'href="{address(parent)}?section=Ebbs"' in html
    answer, form = page(client, parent.requester, f"{address(parent)}?section=Ebbs")
    assert answer.status_code == 200
    assert '<option value="Ebbs" selected>' in form
    _answer, form = page(client, parent.requester, f"{address(parent)}?section=<b>")
    assert "selected" not in form.partition("input-section")[2].partition("</select>")[0].replace(
        '<option value="" selected>', ""
    )


def test_the_form_makes_one_job_and_both_pages_lead_to_each_other(
    driver, sandbox, clock, parent, client
):
    key = "3f2c5a52-3d2b-4a57-9d53-9a2f0f4bb7aa"
    said = {"key": key, "input-question": "When?", "input-section": "Ebbs"}
    answer, _html = page(client, parent.requester, address(parent), said)
    job = parent.follow_ups.get()
    assert (answer.status_code, answer["Location"]) == (303, f"/jobs/{job.ref}/")
    answer, _html = page(client, parent.requester, address(parent), said)
    assert answer.status_code == 303 and parent.follow_ups.count() == 1
    other = {**said, "input-question": "Where?"}
    answer, html = page(client, parent.requester, address(parent), other)
    assert answer.status_code == 409 and "already asked with this form" in html
    assert "Where?" in html and parent.follow_ups.count() == 1
    assert job.input == {"question": "When?", "section": "Ebbs"}
    _answer, html = page(client, parent.requester, f"/jobs/{parent.ref}/")
    assert f'href="/jobs/{job.ref}/"' in html
    _answer, html = page(client, parent.requester, f"/jobs/{job.ref}/")
    assert "Follows up" in html and f'href="/jobs/{parent.ref}/"' in html
    assert "Submit again with changes" not in html


def test_problems_are_said_at_their_fields(driver, sandbox, clock, parent, client):
    said = {"input-question": " ", "input-section": "No such section"}
    answer, html = page(client, parent.requester, address(parent), said)
    assert answer.status_code == 422
    assert "2 things to correct" in html
    assert "Question is required." in html
    assert "Section must be one of the choices." in html
    assert not parent.follow_ups.exists()


def test_a_result_without_sections_offers_none(driver, sandbox, clock, client):
    parent = completed(driver, sandbox, clock, text="Only words.")
    _answer, html = page(client, parent.requester, f"/jobs/{parent.ref}/")
    assert "data-contents" not in html and "Ask about this section" not in html
    assert "Ask a follow-up" in html
    _answer, form = page(client, parent.requester, address(parent))
    assert "input-section" not in form


def test_who_may_not_ask_sees_no_way_to_and_is_refused(driver, sandbox, clock, parent, client):
    user = reviewer(parent)
    _answer, html = page(client, user, f"/jobs/{parent.ref}/")
    assert "data-contents" in html
    assert "follow-up/" not in html
    answer, html = page(client, user, address(parent))
    assert answer.status_code == 403 and "Your role (reviewer) does not allow" in html
    _answer, html = page(client, user, f"/jobs/{parent.ref}/review/")
    assert "Ask about this section" not in html
    decide(
        parent.pk,
        Ask(
            Ruling.REOPEN,
            UserFactory(workspace=parent.workspace, roles=[Role.LEAD]),
            clock(),
            note="Again.",
        ),
    )
    answer, html = page(client, parent.requester, address(parent), {"input-question": "Why so?"})
    assert answer.status_code == 409
    assert "only a completed job" in html and "Why so?" in html
    assert not parent.follow_ups.exists()


def test_where_nobody_answers_there_is_no_way_to_ask(driver, sandbox, clock, parent, client):
    JobType.objects.filter(slug="follow-up").update(enabled=False)
    _answer, html = page(client, parent.requester, f"/jobs/{parent.ref}/")
    assert "follow-up/" not in html
    answer, html = page(client, parent.requester, address(parent))
    assert answer.status_code == 409 and "switched off" in html


def test_a_requester_sees_only_the_follow_ups_that_are_theirs(
    driver, sandbox, clock, parent, client
):
    colleague = UserFactory(workspace=parent.workspace, roles=[Role.REQUESTER, Role.REVIEWER])
    theirs = following.follow_up(
        parent, requester=colleague, question="A colleague asks.", now=clock()
    ).job
    _answer, html = page(client, parent.requester, f"/jobs/{parent.ref}/")
    assert theirs.ref not in html
    _answer, html = page(client, colleague, f"/jobs/{parent.ref}/")
    assert theirs.ref in html
    colleague.memberships.filter(role=Role.REVIEWER).delete()
    _answer, html = page(client, colleague, f"/jobs/{theirs.ref}/")
    assert parent.ref not in html


def test_a_reviewer_sees_what_the_answer_is_about(driver, sandbox, clock, parent, client):
    JobType.objects.filter(slug="follow-up").update(review=Review.ALWAYS)
    job = driver.settle(ask(parent, clock))
    _answer, html = page(client, reviewer(job), f"/jobs/{job.ref}/review/")
    assert "Follows up" in html and f'href="/jobs/{parent.ref}/"' in html


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"min_documents": 1, "max_documents": 1}, "asked without documents"),
        ({"input_schema": {"required": ["question", "client"]}}, "never gives client"),
        (
            {"input_schema": {"properties": {"question": {}}, "additionalProperties": False}},
            "not both inputs",
        ),
    ],
)
def test_an_admin_is_told_of_a_type_with_which_nobody_can_ask(changes, said):
    follows = JobType.objects.get(slug="follow-up")
    for name, value in changes.items():
        setattr(follows, name, value)
    told = list(misgivings(follows))
    assert any(said in one for one in told) if said else told == []


# The commands


def test_the_command_asks_and_both_jobs_are_told_of(driver, sandbox, clock, parent, shell):
    named = ("--as", parent.requester.username)
    # The command has the real clock; the parent's answer is old by it.
    asking = ("submit", "--follow", parent.ref, "--question", "When?", "--section", "Ebbs")
    said = shell(*asking, *named, "--json").json
    assert (said["type"], said["parent"]) == ("follow-up", parent.ref)
    assert said["follows"]["ref"] == parent.ref
    assert said["input"] == {"question": "When?", "section": "Ebbs"}
    told = shell("job", parent.ref, *named, "--json").json
    assert [one["ref"] for one in told["follow_ups"]] == [said["ref"]]
    assert f"follow-up {said['ref']}, queued: When?" in shell("job", parent.ref).out
    assert f"follows {parent.ref}: tides" in shell("job", said["ref"]).out
    outsider = UserFactory(workspace=parent.workspace, roles=[Role.REQUESTER])
    assert shell("job", parent.ref, "--as", outsider.username).code == 1


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ((), 2, "Say what to submit: a TYPE, or --follow REF."),
        (("--question", "Why?"), 2, "Say which job to ask about: --follow REF."),
        (("research-brief", "--section", "A"), 2, "Say which job to ask about"),
        (("--follow", "REF"), 2, "Say what to ask: --question TEXT."),
        (("--follow", "REF", "--question", " "), 2, "Say what to ask"),
        (("research-brief", "--follow", "REF", "--question", "Why?"), 2, "not with TYPE."),
        (("--follow", "REF", "--question", "Why?", "--input", "a=b"), 2, "not with --input."),
        (("--follow", "REF", "--question", "x" * 4001), 2, "4000 characters at most"),
        (("--follow", "J-0000000", "--question", "Why?"), 1, "There is no job J-0000000."),
        (("follow-up", "--input", "question=Why?"), 2, "needs a job to follow"),
    ],
)
def test_a_command_that_asks_wrongly_says_so(shell, args, code, said):
    job = JobFactory(status=Status.COMPLETED)
    args = [job.ref if arg == "REF" else arg for arg in args]
    ran = shell("submit", *args, "--as", job.requester.username)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert Job.objects.count() == 1
