"""The admin: what is configured, what can be read, and who gets to see how much of it."""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.signing import SignedPackage

from jobs import audit
from jobs.admin.coherence import misgivings
from jobs.admin.lists import CappedPaginator
from jobs.documents import Upload
from jobs.models import (
    Attempt,
    CallEffect,
    CallKind,
    CallOutcome,
    CallState,
    Document,
    Event,
    FunctionCall,
    Gate,
    Job,
    JobType,
    Lane,
    LibraryDocument,
    Membership,
    PromptVersion,
    Result,
    ResultEdit,
    Review,
    Role,
    Seal,
    Status,
    SweepSlot,
    Turn,
    User,
    WebhookReceipt,
    Workspace,
)
from reviews.actions import Ask, decide
from reviews.models import (
    Decision,
    Delivery,
    Endpoint,
    Letter,
    LetterKind,
    Occurrence,
    ReviewerNote,
    Route,
    Ruling,
)
from reviews.notes import write_note
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

#: What happened, by the way from each row to its workspace.
ROOM = {
    Job: "workspace",
    Attempt: "job__workspace",
    Turn: "attempt__job__workspace",
    FunctionCall: "turn__attempt__job__workspace",
    Result: "attempt__job__workspace",
    ResultEdit: "result__attempt__job__workspace",
    Event: "job__workspace",
    Gate: "job__workspace",
    Document: "job__workspace",
    Decision: "job__workspace",
    ReviewerNote: "job__workspace",
}
NOBODYS = (Letter, Occurrence, Seal, SweepSlot, WebhookReceipt)


@pytest.fixture
def root(client):
    user = UserFactory(username="root", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


@pytest.fixture
def home():
    return WorkspaceFactory(name="Home", slug="home")


@pytest.fixture
def away():
    return WorkspaceFactory(name="Away", slug="away")


@pytest.fixture
def staff(client, home):
    """Logs in somebody of Home with these roles, and with every permission that Django knows."""

    def log_in(*roles):
        user = UserFactory(username="stan", workspace=home, roles=roles, is_staff=True)
        user.user_permissions.set(Permission.objects.all())
        client.force_login(user)
        return user

    return log_in


def whole_job(workspace=None, **kwargs):
    """A job with something of everything: document, tool call, result, edit, gate, decision, note."""
    workspace = workspace or WorkspaceFactory()
    upload = Upload("harbour.txt", b"The bridge costs 12 million.")
    job = JobFactory(status=Status.NEEDS_REVIEW, workspace=workspace, uploads=(upload,), **kwargs)
    lead = UserFactory(workspace=workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.ESCALATE, lead, NOW, note="Much money."))
    write_note(job, author=lead, text="Thin on figures.", now=NOW)
    result = job.open_gate.result
    ResultEdit.objects.create(
        result=result,
        number=1,
        text="Edited.",
        content_hash="e" * 64,
        of_hash=result.content_hash,
        made_by=lead,
        made_at=NOW,
    )
    FunctionCall.objects.create(
        turn=job.attempts.get().turns.get(),
        position=1,
        call_id="call_1",
        item_type="function_call",
        kind=CallKind.FUNCTION,
        name="search_library",
        effect=CallEffect.READ,
        state=CallState.ANSWERED,
        outcome=CallOutcome.DONE,
        asked_at=NOW,
        ended_at=NOW,
    )
    return job


def url_of(model, page="changelist", *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def page_of(row, page="change"):
    return url_of(type(row), page, row.pk)


def refs_shown(response):
    return {str(row.pk) for row in response.context["cl"].result_list}


def form_data(response):
    """What a browser would post back of an admin's page."""
    data = {}
    forms = [response.context["adminform"].form]
    for inline in response.context["inline_admin_formsets"]:
        formset = inline.formset
        forms += [formset.management_form, *formset.forms]
    for form in forms:
        for field in form:
            value = field.value()
            if field.field.disabled or value is None or value is False:
                continue
            data[field.html_name] = "on" if value is True else value
    return data


def said(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def errors_of(response, field):
    return " ".join(response.context["adminform"].form.errors.get(field, []))


# Pages open ---------------------------------------------------------------------------------------


def fill_the_queue():
    task = {"id": "1", "name": "sweep", "func": "jobs.tasks.sweep", "args": (), "kwargs": {}}
    moments = {"started": NOW, "stopped": NOW}
    OrmQ.objects.create(key="jobsite", payload=SignedPackage.dumps(task), lock=NOW)
    Success.objects.create(id="a" * 32, name="good", func="f", success=True, result=1, **moments)
    Failure.objects.create(id="b" * 32, name="bad", func="f", success=False, result="x", **moments)
    Schedule.objects.create(name="revive", func="jobs.tasks.sweep", task="a" * 32)


def test_every_page_of_every_model_opens_without_anything_inline(client, root):
    whole_job()
    fill_the_queue()
    Group.objects.create(name="readers")
    audit.seal(now=NOW)
    SweepSlot.objects.create(number=1)
    Letter.objects.create(person=root, kind=LetterKind.SOON, created_at=NOW, next_check_at=NOW)
    WebhookReceipt.objects.create(
        webhook_id="wh_1", event_type="response.completed", body=b'{"a": 1}', received_at=NOW
    )
    opened = set()
    for model, page in admin.site._registry.items():
        urls = [url_of(model)]
        if row := model._default_manager.first():
            urls += [page_of(row), page_of(row, "history")]
            opened.add(model)
        if page.has_add_permission(client.get("/admin/").wsgi_request):
            urls.append(url_of(model, "add"))
        for url in urls:
            response = client.get(url)
            assert response.status_code == 200, url
            assert inline_in(response.content.decode()) == [], url
    assert {*ROOM, *NOBODYS, OrmQ, Success, Failure, Schedule, JobType, User} <= opened


def inline_in(html):
    """What a strict content policy would stop."""
    tags = re.findall(r"<(?:script|style)\b[^>]*>|<[^>]+\s(?:style|on\w+)=[^>]*>", html)
    return [tag for tag in tags if not re.match(r"<script[^>]*\ssrc=", tag)]


def test_the_check_for_inline_code_can_fail():
    assert inline_in('<p style="margin: 0">')
    assert inline_in("<script>go()</script>")
    assert inline_in('<a onclick="go()">')
    assert inline_in('<script src="/x.js"></script><p class="style">') == []


def test_what_a_model_wrote_is_shown_and_never_markup(client, root):
    job = JobFactory(status=Status.NEEDS_REVIEW, input={"topic": "<script>alert(1)</script>"})
    Result.objects.filter(attempt__job=job).update(
        text="<img src=x onerror=alert(2)>", structured={"a": ["<b>", {"c": 1}]}
    )
    shown = client.get(page_of(job)).content.decode()
    assert "&lt;script&gt;alert(1)" in shown and "<script>alert(1)" not in shown
    result = client.get(page_of(Result.objects.get(attempt__job=job))).content.decode()
    assert "&lt;img src=x onerror=alert(2)&gt;" in result
    assert "{\n  &quot;a&quot;: [\n    &quot;&lt;b&gt;&quot;" in result


def test_a_payload_is_shown_indented_and_one_that_is_no_json_as_it_came(client, root):
    turn = Turn.objects.get(attempt__job=JobFactory(status=Status.COMPLETED))
    assert "&quot;object&quot;: &quot;response&quot;" in client.get(page_of(turn)).content.decode()
    Turn.objects.filter(pk=turn.pk).update(late_payload=b"\xff<broken")
    assert "\\xff&lt;broken" in client.get(page_of(turn)).content.decode()


def test_the_parts_of_a_job_lead_to_each_other_and_to_its_page(client, root):
    job = whole_job()
    attempt = job.attempts.get()
    turn, result, gate = attempt.turns.get(), attempt.result, job.gates.get()
    leads = {
        job: [attempt, gate, result, job.decisions.get(), job.notes.get(), job.documents.get()],
        attempt: [job, turn, result, gate],
        turn: [job, attempt, result],
        result: [job, attempt, turn, gate],
        gate: [job, attempt, result],
        job.decisions.get(): [job, gate, result],
        job.events.first(): [job],
        job.documents.get(): [job],
        job.notes.get(): [job],
    }
    for row, others in leads.items():
        shown = client.get(page_of(row)).content.decode()
        missing = [other for other in others if f'href="{page_of(other)}' not in shown]
        assert missing == [], row
        assert f'href="{reverse("jobs:job_detail", args=[job.ref])}"' in shown, row


def test_a_status_is_an_icon_and_a_word(client, root):
    JobFactory(status=Status.EXPIRED)
    shown = client.get(url_of(Job)).content.decode()
    assert 'class="status status-expired"' in shown
    assert "icons.svg#hourglass" in shown and "<span>Expired</span>" in shown


def test_nothing_that_happened_can_be_changed(client, root):
    job = whole_job()
    for row in (job, job.attempts.get(), job.gates.get(), job.events.first(), job.decisions.get()):
        assert client.post(page_of(row), {}).status_code == 403
        assert client.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
        assert client.get(url_of(type(row), "add")).status_code == 403


# Lists stay quick ---------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["superuser", "staff"])
def test_no_list_asks_more_queries_for_more_rows(client, who, staff, root, home):
    user = root if who == "superuser" else staff(Role.AUDITOR)
    client.force_login(user)

    def queries():
        counts = {}
        for model in [*ROOM, JobType, PromptVersion, User]:
            client.get(url_of(model))
            with CaptureQueriesContext(
                connection,
            ) as captured:
                response = client.get(url_of(model))
            counts[model] = len(captured)
            rows = len(response.context["cl"].result_list)
            assert rows >= 5, model
        return counts

    for _ in range(5):
        whole_job(home, job_type=JobTypeFactory(workspace=home))
    few = queries()
    for _ in range(15):
        whole_job(home, job_type=JobTypeFactory(workspace=home))
    assert queries() == few


def test_no_page_of_a_job_asks_more_queries_for_more_parts(client, root):
    def queries(row):
        client.get(page_of(row))
        with CaptureQueriesContext(connection) as captured:
            client.get(page_of(row))
        return len(captured)

    job = whole_job()
    few = queries(job)
    for _ in range(10):
        author = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
        write_note(job, author=author, text="More.", now=NOW)
    assert queries(job) == few


def test_lists_read_no_payloads(client, root):
    whole_job()
    long = {
        Job: ["input", "warnings", "reason_text"],
        Attempt: ["feedback", "error_text"],
        Turn: ["request", "payload", "late_payload"],
        Result: ["text", "structured", "warnings", "usage"],
        Event: ["data", "reason_text"],
        Gate: ["reasons"],
        Document: ["text"],
        Decision: ["note", "policy"],
    }
    for model, names in long.items():
        with CaptureQueriesContext(connection) as captured:
            client.get(url_of(model))
        selected = " ".join(
            query["sql"].partition(" FROM ")[0] for query in captured if "COUNT" not in query["sql"]
        )
        # The list asks the database whether there are warnings, and does not read them.
        selected = re.sub(r"CASE WHEN .*? END", "", selected)
        table = model._meta.db_table
        assert f'"{table}"."id"' in selected
        assert [n for n in names if f'"{table}"."{n}"' in selected] == [], model
        if model is not Job:
            assert '"jobs_job"."input"' not in selected, model


def test_a_count_ends_at_its_cap(client, root, monkeypatch):
    monkeypatch.setattr(CappedPaginator, "CAP", 3)
    for _ in range(3):
        JobFactory()
    assert "3 jobs" in client.get(url_of(Job)).content.decode()
    for _ in range(2):
        JobFactory()
    with CaptureQueriesContext(connection) as captured:
        shown = client.get(url_of(Job)).content.decode()
    assert "3+ jobs" in shown
    counts = [query["sql"] for query in captured if "COUNT" in query["sql"]]
    assert len(counts) == 1 and "LIMIT 4" in counts[0]


def test_staff_page_through_what_is_theirs_below_and_above_the_cap(
    client, staff, home, away, monkeypatch
):
    staff(Role.AUDITOR)
    mine = {str(JobFactory(workspace=home).pk) for _ in range(4)}
    JobFactory(workspace=away)
    assert refs_shown(client.get(url_of(Job))) == mine
    monkeypatch.setattr(CappedPaginator, "CAP", 3)
    assert refs_shown(client.get(url_of(Job))) == mine


# Search -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ROOM, ids=lambda model: model.__name__)
def test_a_reference_finds_a_job_and_its_parts_however_it_is_written(client, root, model):
    job, _other = whole_job(), whole_job()
    theirs = {
        str(pk) for pk in model.objects.filter(**under(model, job)).values_list("pk", flat=True)
    }
    spoken = job.ref.removeprefix("J-").lower().replace("0", "o").replace("1", "l")
    response_id = Turn.objects.get(attempt__job=job).response_id
    for asked in (job.ref, f" {job.ref.lower()} ", spoken, response_id, str(job.pk)):
        found = client.get(url_of(model), {"q": asked})
        assert refs_shown(found) == theirs, asked
    for nothing in ("J-0000000", "resp_none", "💥"):
        assert refs_shown(client.get(url_of(model), {"q": nothing})) == set()


def under(model, job):
    path = ROOM[model].removesuffix("workspace").removesuffix("__")
    return {path or "pk": job.pk}


def test_a_response_id_finds_its_own_turn(client, root):
    job = JobFactory(status=Status.FAILED)
    decide(job.pk, Ask(Ruling.RETRY, job.requester, NOW))
    first = Turn.objects.get(attempt__job=job, attempt__number=1)
    found = client.get(url_of(Turn), {"q": first.response_id})
    assert refs_shown(found) == {str(first.pk)}


def test_a_receipt_is_found_by_its_response(client, root):
    for number in (1, 2):
        WebhookReceipt.objects.create(
            webhook_id=f"wh_{number}", response_id=f"resp_{number}", body=b"", received_at=NOW
        )
    assert refs_shown(client.get(url_of(WebhookReceipt), {"q": "resp_2"})) == {"wh_2"}
    assert refs_shown(client.get(url_of(WebhookReceipt), {"q": "wh_1"})) == {"wh_1"}


# Job types ----------------------------------------------------------------------------------------


def change(client, row, **changes):
    data = form_data(client.get(page_of(row))) | changes
    return client.post(page_of(row), {k: v for k, v in data.items() if v is not None})


def test_json_is_edited_indented(client, root):
    schema = {"type": "object", "properties": {"topic": {"type": "string"}}}
    job_type = JobTypeFactory(input_schema=schema)
    form = client.get(page_of(job_type)).context["adminform"].form
    assert "{\n  &quot;type&quot;: &quot;object&quot;" in str(form["input_schema"])


@pytest.mark.parametrize(
    "text, sentence",
    [
        ('{"type": "object",}', "Not JSON: Illegal trailing comma"),
        ("{", "line 1, column 2"),
        ('{"properties": {"a": {"type": "nonsense"}}}', "Not a JSON Schema"),
        ('{"type": "array"}', "must be “object”"),
        ("[1]", "must be “object”"),
        ("true", "must be “object”"),
        ('{"properties": {"a": {"pattern": "["}}}', "is not a 'regex'"),
        ('{"properties": {"a": {"$ref": "http://169.254.169.254/"}}}', "nowhere in this schema"),
        ('{"properties": {"a": {"$ref": "#/$defs/b"}}}', "nowhere in this schema"),
        ('{"required": ["a"], "additionalProperties": false}', "Required, and not among"),
        ('{"maximum": NaN}', "cannot be stored"),
        ('{"title": "a\\u0000"}', "cannot be stored"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_a_form_that_cannot_work_is_refused_beside_its_field(client, root, text, sentence):
    job_type = JobTypeFactory()
    response = change(client, job_type, input_schema=text)
    assert response.status_code == 200
    told = errors_of(response, "input_schema")
    if "trailing comma" in sentence and "Illegal" not in told:
        sentence = "Not JSON:"  # Python 3.11 and 3.12 say it in other words.
    assert sentence in told
    # What was typed is still there.
    assert response.context["adminform"].form["input_schema"].value() == text
    job_type.refresh_from_db()
    assert job_type.input_schema == {}


def test_a_reference_within_the_schema_may_be_used():
    schema = {"$defs": {"a/b": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a~1b"}}}
    job_type = JobTypeFactory(input_schema=schema)
    job_type.full_clean()
    with pytest.raises(ValidationError):
        JobTypeFactory(input_schema={"$ref": "other.json"}).full_clean()


def test_an_emptied_form_is_an_empty_schema(client, root):
    job_type = JobTypeFactory(input_schema={"type": "object"})
    assert change(client, job_type, input_schema="").status_code == 302
    job_type.refresh_from_db()
    assert job_type.input_schema == {}


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"min_documents": "9", "max_documents": "2"}, "min_documents"),
        ({"finish_within": "0"}, "finish_within"),
        ({"slug": "taken"}, "slug"),
    ],
)
def test_what_is_certainly_wrong_is_said_at_its_field(client, root, changes, field):
    JobTypeFactory(slug="taken")
    response = change(client, JobTypeFactory(), **changes)
    assert response.status_code == 200
    assert errors_of(response, field)


def test_a_type_that_jobs_elsewhere_use_stays_everywhere(client, root, home, away):
    job_type = JobTypeFactory()
    JobFactory(job_type=job_type, workspace=away)
    response = change(client, job_type, workspace=str(home.pk))
    assert "Jobs of other workspaces" in errors_of(response, "workspace")
    assert change(client, job_type, workspace=str(away.pk)).status_code == 302


def test_a_type_can_only_use_its_own_versions(client, root):
    job_type, other = JobTypeFactory(), JobTypeFactory()
    response = change(client, job_type, current_version=str(other.current_version.pk))
    assert "not one of the available choices" in errors_of(response, "current_version")


def test_what_is_odd_about_a_type_is_said_in_plain_words(home):
    closed = {"properties": {"subject": {}}, "additionalProperties": False}
    job_type = JobTypeFactory(
        workspace=home,
        input_schema=closed,
        lane=Lane.APPROVAL,
        review=Review.NEVER,
        check_quotes=True,
        max_documents=0,
        start_within=100,
        finish_within=50,
    )
    sentences = list(misgivings(job_type))
    for words in (
        "names {topic}, which the form does not ask for",
        "used unseen",
        "no documents can be given",
        "may expire while it waits",
        "Nobody in Home is a reviewer or a lead",
    ):
        assert any(words in sentence for sentence in sentences), words
    job_type.current_version = None
    assert any("nobody can submit" in sentence for sentence in misgivings(job_type))


def test_nothing_is_odd_about_a_plain_type():
    assert list(misgivings(JobTypeFactory(input_schema={"properties": {"topic": {}}}))) == []


def test_what_is_odd_is_said_after_saving(client, root):
    job_type = JobTypeFactory()
    response = change(client, job_type, current_version=None)
    assert response.status_code == 302
    assert any("no prompt version in use" in sentence for sentence in said(response))


# Prompt versions ----------------------------------------------------------------------------------


def new_version(client, version, **changes):
    url = f"{url_of(PromptVersion, 'add')}?from={version.pk}"
    data = form_data(client.get(url)) | changes
    return client.post(url, data)


def test_a_type_leads_to_its_versions_and_to_a_new_one(client, root):
    job_type = JobTypeFactory()
    version = job_type.current_version
    shown = client.get(page_of(job_type)).content.decode()
    assert page_of(version) in shown
    assert f"?job_type={job_type.pk}" in shown
    assert f"?from={version.pk}" in client.get(page_of(version)).content.decode()


def test_a_new_version_begins_as_a_copy_and_is_used_only_if_that_is_ticked(client, root):
    tools = [{"type": "web_search"}]
    job_type = JobTypeFactory(version__tools=tools, version__options={"temperature": 0})
    first = job_type.current_version
    assert new_version(client, first, instructions="Answer well.").status_code == 302
    second = job_type.versions.get(number=2)
    assert (second.tools, second.options) == (tools, {"temperature": 0})
    assert (second.template, second.instructions) == (first.template, "Answer well.")
    assert second.created_by == root
    job_type.refresh_from_db()
    assert job_type.current_version == first
    response = new_version(client, second, use_for_new_jobs="on")
    job_type.refresh_from_db()
    assert job_type.current_version.number == 3
    assert any("use version 3 now" in sentence for sentence in said(response))
    first.refresh_from_db()
    assert first.instructions == "Answer."


def test_a_version_is_begun_from_the_one_in_use_not_from_the_newest(client, root):
    job_type = JobTypeFactory()
    new_version(client, job_type.current_version, instructions="Draft.")
    page = client.get(f"{url_of(PromptVersion, 'add')}?job_type={job_type.pk}")
    assert page.context["adminform"].form["instructions"].value() == "Answer."
    assert "Begun from" in page.content.decode()


def test_the_first_version_of_a_type_is_meant_for_use(client, root):
    job_type = JobTypeFactory()
    JobType.objects.filter(pk=job_type.pk).update(current_version=None)
    empty = JobType.objects.create(slug="empty", name="Empty", description="-")
    page = client.get(f"{url_of(PromptVersion, 'add')}?job_type={empty.pk}")
    form = page.context["adminform"].form
    assert form["use_for_new_jobs"].value() is True
    assert str(form["job_type"].value()) == str(empty.pk)


def test_a_version_cannot_be_edited(client, root):
    version = JobTypeFactory().current_version
    assert client.post(page_of(version), {"instructions": "Other."}).status_code == 403
    assert client.post(page_of(version, "delete"), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    "changes, field, sentence",
    [
        ({"options": '{"background": false}'}, "options", "Cannot be set here: background"),
        ({"options": "[]"}, "options", "Must be a JSON object."),
        ({"tools": '{"type": "web_search"}'}, "tools", "A list of objects"),
        ({"tools": '[{"name": "x"}]'}, "tools", "A list of objects"),
        ({"output_schema": '{"type": "string"}'}, "output_schema", "“type”: “object”"),
        ({"output_schema": '{"type": "object"}'}, "output_schema", "OpenAI refuses this schema"),
    ],
)
def test_a_version_that_openai_would_refuse_is_refused_here(client, root, changes, field, sentence):
    job_type = JobTypeFactory()
    response = new_version(client, job_type.current_version, **changes)
    assert response.status_code == 200
    assert sentence in errors_of(response, field)
    assert job_type.versions.count() == 1


def test_emptied_json_of_a_version_is_stored_as_nothing(client, root):
    job_type = JobTypeFactory(version__options={"top_p": 1}, version__tools=[{"type": "x"}])
    response = new_version(client, job_type.current_version, tools="", options="", output_schema="")
    assert response.status_code == 302
    version = job_type.versions.get(number=2)
    assert (version.tools, version.options, version.output_schema) == ([], {}, None)


def test_a_version_that_names_what_nobody_can_give_is_kept_but_not_used(client, root):
    schema = {"properties": {"topic": {}}, "additionalProperties": False}
    job_type = JobTypeFactory(input_schema=schema)
    changes = {"template": "About {topik}", "use_for_new_jobs": "on"}
    response = new_version(client, job_type.current_version, **changes)
    assert "names {topik}" in errors_of(response, "template")
    del changes["use_for_new_jobs"]
    assert new_version(client, job_type.current_version, **changes).status_code == 302


# History ------------------------------------------------------------------------------------------


def test_a_type_tells_who_changed_it_and_what(client, root):
    job_type = JobTypeFactory(review=Review.ALWAYS)
    first = job_type.current_version
    change(client, job_type, review=Review.NEVER, input_schema='{"title": "<b>new</b>"}')
    new_version(client, first, use_for_new_jobs="on")
    shown = client.get(page_of(job_type, "history")).content.decode()
    assert "root" in shown
    assert "review: <del>Always reviewed</del> → <ins>Never reviewed</ins>" in shown
    assert "&lt;b&gt;new&lt;/b&gt;" in shown
    assert f"<del>{first}</del> → <ins>{job_type.slug} v2</ins>" in shown
    assert job_type.history.first().history_user == root


def test_a_workspace_tells_who_gave_and_took_its_roles(client, root, home):
    ada = UserFactory(username="ada")
    blank = {"memberships-0-id": "", "memberships-0-workspace": str(home.pk)}
    given = {"memberships-0-user": str(ada.pk), "memberships-0-role": Role.LEAD}
    change(client, home, **blank, **given, **{"memberships-TOTAL_FORMS": "1"})
    assert Membership.objects.get(user=ada).role == Role.LEAD
    change(client, home, **{"memberships-0-role": Role.AUDITOR})
    change(client, home, **{"memberships-0-DELETE": "on"}, name="House")
    assert not ada.memberships.exists()
    expected = [
        "ada became lead in House",
        "ada is auditor in House now (before: lead)",
        "ada is no longer auditor in House",
    ]
    for row in (home, ada):
        lines = client.get(page_of(row, "history")).context["lines"]
        told = {line.said: line.who for line in lines}
        assert [told.get(sentence) for sentence in expected] == ["root"] * 3
    shown = client.get(page_of(home, "history")).content.decode()
    assert "name: <del>Home</del> → <ins>House</ins>" in shown


def test_history_is_kept_whoever_changes_it(home):
    job_type = JobTypeFactory()
    before = job_type.history.count()
    job_type.current_version = None
    job_type.save(update_fields=["current_version"])
    assert job_type.history.count() == before + 1
    assert job_type.history.first().current_version_id is None
    assert job_type.history.first().history_user is None


# Accounts -----------------------------------------------------------------------------------------


def account(**changes):
    return {
        "username": "grace",
        "email": "grace@example.com",
        "usable_password": "true",
        "password1": "correct horse battery",
        "password2": "correct horse battery",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
        **changes,
    }


def test_an_account_is_made_with_its_address_and_its_roles(client, root, home):
    roles = {
        "memberships-TOTAL_FORMS": "1",
        "memberships-0-workspace": str(home.pk),
        "memberships-0-role": Role.REVIEWER,
    }
    response = client.post(url_of(User, "add"), account(**roles))
    assert response.status_code == 302
    grace = User.objects.get(username="grace")
    assert grace.email == "grace@example.com" and grace.check_password("correct horse battery")
    assert [(m.workspace, m.role) for m in grace.memberships.all()] == [(home, Role.REVIEWER)]


@pytest.mark.parametrize("email", ["", "nonsense", "ADA@example.com"])
def test_an_account_needs_an_address_of_its_own(client, root, email):
    UserFactory(username="ada", email="ada@example.com")
    response = client.post(url_of(User, "add"), account(email=email))
    assert response.status_code == 200
    assert errors_of(response, "email")
    assert not User.objects.filter(username="grace").exists()


def test_members_are_found_as_one_types(client, root):
    UserFactory(username="ada")
    UserFactory(username="grace")
    asked = {"app_label": "jobs", "model_name": "membership", "field_name": "user", "term": "ad"}
    found = client.get(reverse("admin:autocomplete"), asked).json()["results"]
    assert [row["text"] for row in found] == ["ada"]


# Staff see their workspaces -----------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.REVIEWER, Role.AUDITOR, Role.ADMIN])
def test_staff_read_what_happened_in_their_workspaces_only(client, staff, home, away, role):
    staff(role)
    whole_job(home)
    whole_job(away)
    for model, path in ROOM.items():
        mine = model.objects.filter(**{path: home})
        assert refs_shown(client.get(url_of(model))) == {str(row.pk) for row in mine}, model
        assert client.get(page_of(mine[0])).status_code == 200
        assert client.get(page_of(mine[0], "history")).status_code == 200
        assert client.get(page_of(mine[0]) + "?_to_field=").status_code == 200
        theirs = model.objects.filter(**{path: away})[0]
        for page in ("change", "history", "delete"):
            assert client.get(page_of(theirs, page)).status_code in (302, 403), (model, page)
        found = client.get(url_of(model), {"q": Job.objects.get(workspace=away).ref})
        assert refs_shown(found) == set()


def test_a_requester_who_is_staff_reads_nothing_here_not_even_their_own_job(client, staff, home):
    user = staff(Role.REQUESTER)
    job = JobFactory(workspace=home, requester=user)
    for model in ROOM:
        assert refs_shown(client.get(url_of(model))) == set()
    assert client.get(page_of(job)).status_code == 302


def test_staff_without_permissions_see_nothing(client, home):
    user = UserFactory(workspace=home, roles=[Role.ADMIN], is_staff=True)
    client.force_login(user)
    for model in (*ROOM, JobType, PromptVersion, Workspace, User):
        assert client.get(url_of(model)).status_code == 403


def test_filters_name_nothing_of_other_workspaces(client, staff, home, away):
    staff(Role.ADMIN)
    for name in ("Ours", "Ours too"):
        JobTypeFactory(name=name, workspace=home)
    JobTypeFactory(name="Secret merger", workspace=away)
    for model in (Job, JobType, PromptVersion):
        shown = client.get(url_of(model)).content.decode()
        assert "Ours" in shown
        assert "Secret merger" not in shown and "Away" not in shown, model


def test_a_filter_for_another_workspace_shows_nothing(client, staff, home, away):
    staff(Role.ADMIN)
    whole_job(away)
    for asked in (f"workspace__id__exact={away.pk}", f"workspace={away.pk}"):
        assert refs_shown(client.get(f"{url_of(Job)}?{asked}")) == set()


SUPERUSERS_ONLY = [
    "reviews.letter",
    "reviews.occurrence",
    "jobs.price",
    "jobs.toolfee",
    "jobs.seal",
    "jobs.sweepslot",
    "jobs.webhookreceipt",
    "auth.group",
    "django_q.schedule",
    "django_q.success",
    "django_q.failure",
    "django_q.ormq",
    "mfa.authenticator",
]


@pytest.mark.parametrize("label", SUPERUSERS_ONLY)
def test_pages_through_which_one_could_become_somebody_else_are_for_superusers(
    client, staff, label
):
    staff(Role.ADMIN)
    model = apps.get_model(label)
    for page in ("changelist", "add"):
        assert client.get(url_of(model, page)).status_code == 403, page
    assert url_of(model) not in client.get("/admin/").content.decode()


def test_every_registered_model_is_scoped_or_closed():
    """A model that is registered one day has to be thought of here."""
    known = {*ROOM, JobType, LibraryDocument, PromptVersion, Workspace, User}
    # In tests/reviews/test_delivery_pages.py.
    known |= {Delivery, Endpoint, Route}
    known |= {apps.get_model(label) for label in SUPERUSERS_ONLY}
    assert set(admin.site._registry) - known == set()


@pytest.mark.parametrize(("named", "status"), [("", (200, 302)), ("pk_of_another", (400,))])
def test_a_field_that_an_address_names_breaks_no_page(client, root, named, status):
    """Django's own ``_to_field``, by which its pop-ups find a row."""
    for model in admin.site._registry:
        found = {}
        for page in ("change", "delete", "history"):
            url = reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_{page}", args=["1"])
            found[page] = client.get(f"{url}?_to_field={named}").status_code
        allowed = {"change": status, "delete": (*status, 403), "history": (200, 302, 404)}
        assert all(code in allowed[page] for page, code in found.items()), (model, found)


# Staff configure where they are admins ------------------------------------------------------------


def test_an_admin_changes_the_types_of_their_workspace(client, staff, home):
    stan = staff(Role.ADMIN)
    job_type = JobTypeFactory(workspace=home)
    assert change(client, job_type, name="Better").status_code == 302
    job_type.refresh_from_db()
    assert job_type.name == "Better"
    assert job_type.history.first().history_user == stan
    response = new_version(client, job_type.current_version, use_for_new_jobs="on")
    assert response.status_code == 302
    job_type.refresh_from_db()
    assert job_type.current_version.number == 2


def test_the_group_that_setup_makes_is_all_that_an_admin_needs(client, home, away, shell):
    assert shell("setup").code == 0
    user = UserFactory(username="stan", workspace=home, roles=[Role.ADMIN], is_staff=True)
    client.force_login(user)
    own, other = (JobTypeFactory(workspace=place) for place in (home, away))
    assert client.get(page_of(own)).status_code == 403
    user.groups.add(Group.objects.get(name="Admin pages"))
    assert 'name="_save"' in client.get(page_of(own)).content.decode()
    assert client.get(page_of(other)).status_code == 302
    assert client.get("/admin/auth/group/").status_code == 403


@pytest.mark.parametrize("where", ["shared", "away"])
def test_an_admin_changes_no_type_of_elsewhere(client, staff, home, away, where):
    staff(Role.ADMIN)
    job_type = JobTypeFactory(workspace=away if where == "away" else None, name="Theirs")
    version = job_type.current_version
    assert client.post(page_of(job_type), {"name": "Mine"}).status_code in (302, 403)
    job_type.refresh_from_db()
    assert job_type.name == "Theirs"
    # Neither by way of a version.
    mine = JobTypeFactory(workspace=home).current_version
    response = new_version(client, mine, job_type=str(job_type.pk), use_for_new_jobs="on")
    assert "not one of the available choices" in errors_of(response, "job_type")
    assert job_type.versions.count() == 1
    # What is everybody's can be read and copied from; what is another's, not even that.
    page = client.get(f"{url_of(PromptVersion, 'add')}?from={version.pk}")
    copied = page.context["adminform"].form["instructions"].value()
    assert (copied == "Answer.") is (where == "shared")
    assert "JSON Schema of structured output." in page.content.decode()
    readable = 200 if where == "shared" else 302
    for row in (job_type, version):
        assert client.get(page_of(row)).status_code == readable
    assert client.get(page_of(job_type, "history")).status_code == (
        200 if where == "shared" else 404
    )


@pytest.mark.parametrize("place", ["", "away"])
def test_an_admin_puts_a_type_nowhere_but_in_their_workspace(client, staff, home, away, place):
    staff(Role.ADMIN)
    job_type = JobTypeFactory(workspace=home)
    response = change(client, job_type, workspace=str(away.pk) if place else "")
    assert errors_of(response, "workspace")
    data = form_data(client.get(url_of(JobType, "add")))
    data |= {"name": "N", "slug": "n", "description": "d"}
    data["workspace"] = str(away.pk) if place else ""
    assert errors_of(client.post(url_of(JobType, "add"), data), "workspace")
    data["workspace"] = str(home.pk)
    assert client.post(url_of(JobType, "add"), data).status_code == 302


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_other_roles_configure_nothing(client, staff, home, role):
    staff(role)
    job_type = JobTypeFactory(workspace=home)
    before = Membership.objects.count()
    for row in (job_type, home):
        assert client.post(page_of(row), {"name": "Mine"}).status_code in (302, 403)
        row.refresh_from_db()
        assert row.name != "Mine"
    for model in (JobType, PromptVersion, Workspace):
        assert client.get(url_of(model, "add")).status_code == 403
    assert Membership.objects.count() == before


def member(number, workspace, user, role, pk=""):
    return {
        f"memberships-{number}-id": str(pk),
        f"memberships-{number}-workspace": str(workspace.pk),
        f"memberships-{number}-user": str(user),
        f"memberships-{number}-role": role,
    }


def with_members(client, workspace, *rows, initial=None):
    page = client.get(page_of(workspace))
    data = form_data(page)
    count = int(data["memberships-INITIAL_FORMS"])
    for offset, (user, role) in enumerate(rows):
        data |= member(count + offset, workspace, user, role)
    data["memberships-TOTAL_FORMS"] = str(count + len(rows))
    return client.post(page_of(workspace), data)


@pytest.mark.parametrize("named", ["ada", "ADA@example.com"])
def test_an_admin_gives_roles_to_people_that_they_can_name(client, staff, home, named):
    staff(Role.ADMIN)
    ada = UserFactory(username="ada", email="ada@example.com")
    assert with_members(client, home, (named, Role.LEAD)).status_code == 302
    assert [(m.workspace, m.role) for m in ada.memberships.all()] == [(home, Role.LEAD)]
    # And sees them from then on.
    assert client.get(page_of(ada)).status_code == 200


def test_an_admin_cannot_try_numbers_until_somebody_is_found(client, staff, home):
    staff(Role.ADMIN)
    ada = UserFactory(username="ada")
    response = with_members(client, home, (ada.pk, Role.LEAD))
    assert response.status_code == 200
    assert "There is no one account" in response.content.decode()
    shown = client.get(page_of(home)).content.decode()
    assert "ada" not in shown.replace("Metadata", "").lower().split()


def test_an_admin_gives_themselves_no_role(client, staff, home):
    stan = staff(Role.ADMIN)
    response = with_members(client, home, ("stan", Role.LEAD))
    assert "given and taken by somebody else" in response.content.decode()
    assert {m.role for m in stan.memberships.all()} == {Role.ADMIN}
    # Nor by making an admin's row into a lead's, nor by taking it away.
    data = form_data(client.get(page_of(home)))
    for changes in ({"memberships-0-role": Role.LEAD}, {"memberships-0-DELETE": "on"}):
        response = client.post(page_of(home), data | changes)
        assert "given and taken by somebody else" in response.content.decode(), changes
    assert {m.role for m in stan.memberships.all()} == {Role.ADMIN}


def test_an_admin_changes_no_membership_of_another_workspace(client, staff, home, away):
    stan = staff(Role.ADMIN)
    ada = UserFactory(username="ada", workspace=away, roles=[Role.REQUESTER])
    theirs = ada.memberships.get()
    url = page_of(away)
    forged = {"name": "Away", "memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "0"}
    assert client.post(url, forged | member(0, away, "stan", Role.LEAD)).status_code in (302, 403)
    # By their own workspace's page, with the rows of another's.
    data = form_data(client.get(page_of(home)))
    data |= {"memberships-TOTAL_FORMS": "2", "memberships-INITIAL_FORMS": "2"}
    for changes in (
        member(1, home, "ada", Role.LEAD, pk=theirs.pk),
        member(1, away, "ada", Role.LEAD, pk=theirs.pk),
        member(1, home, "ada", Role.LEAD, pk=theirs.pk) | {"memberships-1-DELETE": "on"},
    ):
        client.post(page_of(home), data | changes)
    data |= {"memberships-INITIAL_FORMS": "1"} | member(1, away, "ada", Role.LEAD)
    client.post(page_of(home), data)
    theirs.refresh_from_db()
    assert (theirs.workspace, theirs.role) == (away, Role.REQUESTER)
    assert {m.workspace for m in stan.memberships.all()} == {home}
    assert not ada.memberships.filter(workspace=away).exclude(pk=theirs.pk).exists()


def test_a_membership_keeps_its_person(client, root, home):
    ada = UserFactory(username="ada", workspace=home, roles=[Role.REQUESTER])
    grace = UserFactory(username="grace")
    change(client, home, **{"memberships-0-user": str(grace.pk)})
    assert Membership.objects.get(workspace=home).user == ada


def test_an_admin_makes_no_workspace_and_renames_no_address(client, staff, home):
    staff(Role.ADMIN)
    assert client.get(url_of(Workspace, "add")).status_code == 403
    assert client.post(page_of(home, "delete"), {"post": "yes"}).status_code == 403
    assert change(client, home, slug="stolen", name="Ours").status_code == 302
    home.refresh_from_db()
    assert (home.slug, home.name) == ("home", "Ours")


# Accounts belong to superusers --------------------------------------------------------------------


@pytest.fixture
def people(home, away):
    return {
        "colleague": UserFactory(username="colleague", workspace=home, roles=[Role.LEAD]),
        "superuser": UserFactory(
            username="super", workspace=home, roles=[Role.LEAD], is_staff=True, is_superuser=True
        ),
        "stranger": UserFactory(username="stranger", workspace=away, roles=[Role.LEAD]),
        "nobody": UserFactory(username="nobody"),
    }


def test_staff_see_the_people_of_their_workspaces(client, staff, people):
    staff(Role.ADMIN)
    shown = {row.username for row in client.get(url_of(User)).context["cl"].result_list}
    assert shown == {"stan", "colleague", "super"}
    asked = {"app_label": "jobs", "model_name": "membership", "field_name": "user", "term": ""}
    found = client.get(reverse("admin:autocomplete"), asked).json()["results"]
    assert {row["text"] for row in found} == shown
    for name in ("stranger", "nobody"):
        assert client.get(page_of(people[name])).status_code == 302
        assert client.get(page_of(people[name], "history")).status_code == 404


def test_staff_see_of_a_person_only_roles_that_concern_them(client, staff, people, away):
    staff(Role.ADMIN)
    Membership.objects.create(user=people["colleague"], workspace=away, role=Role.AUDITOR)
    for page in ("change", "history"):
        shown = client.get(page_of(people["colleague"], page)).content.decode()
        assert "Home" in shown and "Away" not in shown, page
        assert "md5$" not in shown


@pytest.mark.parametrize("who", ["colleague", "superuser", "stranger", "nobody", "oneself"])
def test_staff_change_no_account_and_no_password(client, staff, people, who):
    stan = staff(Role.ADMIN)
    target = people.get(who, stan)
    grab = {
        "username": target.username,
        "email": "evil@example.com",
        "is_staff": "on",
        "is_superuser": "on",
        "is_active": "on",
        "user_permissions": [str(pk) for pk in Permission.objects.values_list("pk", flat=True)],
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }
    before = User.objects.filter(pk=target.pk).values().get()
    url = page_of(target)
    assert client.post(url, grab).status_code in (302, 403)
    password = {"password1": "evil evil evil", "password2": "evil evil evil"}
    answer = client.post(reverse("admin:auth_user_password_change", args=[target.pk]), password)
    assert answer.status_code in (302, 403, 404)
    assert client.post(page_of(target, "delete"), {"post": "yes"}).status_code in (302, 403)
    assert User.objects.filter(pk=target.pk).values().get() == before


def test_staff_make_no_account(client, staff):
    staff(Role.ADMIN)
    assert client.get(url_of(User, "add")).status_code == 403
    assert client.post(url_of(User, "add"), account()).status_code == 403
    assert not User.objects.filter(username="grace").exists()


def test_staff_delete_no_accounts_in_bulk(client, staff, people):
    staff(Role.ADMIN)
    chosen = {"action": "delete_selected", "_selected_action": [people["colleague"].pk]}
    client.post(url_of(User), chosen | {"post": "yes"})
    assert User.objects.filter(username="colleague").exists()


def test_accounts_cannot_be_probed_by_their_password(client, staff, people):
    staff(Role.ADMIN)
    for asked in ("password__startswith=md5", "memberships__workspace__name=Away"):
        assert client.get(f"{url_of(User)}?{asked}").status_code in (302, 400)


def test_an_inactive_admin_is_out(client, staff, home):
    stan = staff(Role.ADMIN)
    User.objects.filter(pk=stan.pk).update(is_active=False)
    assert client.get(url_of(Job)).status_code == 302


def test_the_overseen_and_the_configured_workspaces_of_a_person(home, away):
    user = UserFactory(workspace=home, roles=[Role.ADMIN, Role.REQUESTER])
    Membership.objects.create(user=user, workspace=away, role=Role.AUDITOR)
    assert set(Workspace.objects.overseen_by(user)) == {home, away}
    assert set(Workspace.objects.configured_by(user)) == {home}
    user.is_active = False
    assert not Workspace.objects.overseen_by(user).exists()
    root = UserFactory(is_superuser=True)
    assert set(Workspace.objects.configured_by(root)) == {home, away}


@pytest.mark.parametrize(
    "asked",
    [
        "workspaces={away}",
        "workspaces__id__exact={away}",
        "memberships__isnull=False",
        "authenticator__isnull=True",
        "is_superuser__exact=1",
        "last_login__isnull=True",
        "is_active__regex=x",
    ],
)
def test_a_person_cannot_be_asked_for_by_what_their_page_keeps_back(
    client, staff, people, away, asked
):
    staff(Role.ADMIN)
    assert client.get(f"{url_of(User)}?is_active__exact=1").status_code == 200
    answer = client.get(f"{url_of(User)}?{asked.format(away=away.pk)}")
    assert answer.status_code == 400


def test_no_column_is_searched_by_a_pattern_from_the_address(client, staff, home):
    staff(Role.AUDITOR)
    whole_job(home)
    for model, asked in ((Result, "text__regex=(a%2B)%2B$"), (Job, "input__icontains=x")):
        assert client.get(f"{url_of(model)}?{asked}").status_code == 400
    assert client.get(f"{url_of(Event)}?verb__exact=%00").status_code == 400
    for asked in ("status__exact=needs_review", "archived=no", "job_type__id__exact=1"):
        assert client.get(f"{url_of(Job)}?{asked}").status_code == 200


def test_no_address_tells_which_page_belongs_to_the_number_of_a_row(client, staff, home, away):
    staff(Role.ADMIN)
    kind = ContentType.objects.get_for_model(Job).pk
    for row in (JobFactory(workspace=away).pk, "abc"):
        answer = client.get(f"/admin/r/{kind}/{row}/")
        assert answer.status_code == 404
