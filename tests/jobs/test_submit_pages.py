"""From the choice of a type to the job: the pages, the files that are added, and what is refused."""

import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from jobs import shipped
from jobs.models import Document, Job, JobType, Lane, Membership, Review, Role, StagedUpload, Status
from tests.factories import JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "title": "Topic", "maxLength": 20},
        "pages": {"type": "integer", "title": "Pages", "minimum": 1},
    },
    "required": ["topic"],
    "additionalProperties": False,
}
ZIP = b"PK\x03\x04" + b"\x00" * 32


@pytest.fixture
def here():
    return WorkspaceFactory(slug="here", name="Here")


@pytest.fixture
def job_type(here):
    return JobTypeFactory(
        slug="report", name="Report", workspace=here, input_schema=SCHEMA, max_documents=2
    )


@pytest.fixture
def requester(here):
    return UserFactory(workspace=here, roles=[Role.REQUESTER])


@pytest.fixture
def client(requester):
    return client_of(requester)


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


def form_url(job_type, workspace="here"):
    return reverse("jobs:job_submit", args=[workspace, job_type.slug])


def files_url(job_type, workspace="here"):
    return reverse("jobs:upload_create", args=[workspace, job_type.slug])


def file(name="notes.txt", content=b"Some words."):
    return SimpleUploadedFile(name, content)


def filled(**changes):
    return {"key": str(uuid.uuid4()), "input-topic": "tides", "input-pages": "", **changes}


def add(client, job_type, *args, upload=(), **kwargs):
    """Add a file as the page's script does."""
    data = {"file": file(*args), "upload": list(upload)}
    return client.post(files_url(job_type, **kwargs), data)


def text(answer):
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def stored():
    return sorted(path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file())


# The types -----------------------------------------------------------------------------------------


def test_the_types_are_cards_that_say_what_to_expect(client, here, job_type):
    job_type.lane = Lane.APPROVAL
    job_type.min_documents = 1
    job_type.save()
    answer = client.get(reverse("jobs:type_list", args=["here"]))
    assert answer.status_code == 200
    said = text(answer)
    assert "1 to 2 files, Topic" in said
    assert "Pages" in said
    assert "A reviewer sees the result before you do." in said
    assert escape(Lane.APPROVAL.promise) in said
    assert "No measurements yet" in said
    assert form_url(job_type) in answer.content.decode()


@pytest.mark.parametrize(
    ("offered", "waits"),
    [
        ([{"type": "function", "name": "send_email"}], True),
        ([{"type": "mcp", "server_label": "crm", "server_url": "https://crm.example"}], True),
        ([{"type": "mcp", "server_label": "crm", "require_approval": "never"}], False),
        ([{"type": "function", "name": "search_library"}, {"type": "web_search"}, "odd"], False),
    ],
)
def test_a_type_that_may_change_something_says_that_this_waits(client, here, offered, waits):
    JobTypeFactory(review=Review.RULES, version__tools=offered)
    said = text(client.get(reverse("jobs:type_list", args=["here"])))
    assert ("What it wants to send or change waits for a reviewer" in said) == waits
    assert Review.RULES.promise in said


@pytest.mark.parametrize("review", Review)
def test_each_review_rule_has_its_sentence(review, client, job_type):
    job_type.review = review
    job_type.save()
    assert review.promise in text(client.get(reverse("jobs:type_list", args=["here"])))


def test_times_and_costs_are_those_measured(client, here, job_type):
    for _ in range(5):
        JobFactory(workspace=here, job_type=job_type, status=Status.COMPLETED)
    Job.objects.update(cost_usd="0.25")
    for url in (reverse("jobs:type_list", args=["here"]), form_url(job_type)):
        said = text(client.get(url))
        assert "Usually 0 s, nine in ten within 0 s" in said
        assert "$0.25" in said


def test_a_type_of_ones_own_stands_for_the_shared_one_of_that_name(client, here):
    JobTypeFactory(slug="brief", name="Everybody's brief")
    own = JobTypeFactory(slug="brief", name="Our brief", workspace=here)
    JobTypeFactory(slug="other", name="Their brief", workspace=WorkspaceFactory())
    said = text(client.get(reverse("jobs:type_list", args=["here"])))
    assert "Our brief" in said
    assert "Everybody" not in said
    assert "Their brief" not in said
    own.enabled = False
    own.save()
    assert "brief" not in text(client.get(reverse("jobs:type_list", args=["here"])))
    assert client.get(reverse("jobs:job_submit", args=["here", "other"])).status_code == 404


def test_whoever_may_not_submit_sees_the_types_and_why_there_is_no_way_on(here, job_type):
    answer = client_of(UserFactory(workspace=here, roles=[Role.AUDITOR])).get(
        reverse("jobs:type_list", args=["here"])
    )
    assert "Report" in text(answer)
    assert "that takes the role of a requester" in text(answer)
    assert form_url(job_type) not in answer.content.decode()


def test_where_there_are_no_types_the_page_says_who_adds_them(client):
    said = text(client.get(reverse("jobs:type_list", args=["here"])))
    assert "Nothing can be asked for yet" in said
    assert "An admin of Here adds them" in said


# The form ------------------------------------------------------------------------------------------


def test_the_form_says_what_happens_next_and_has_one_button(client, job_type):
    answer = client.get(form_url(job_type))
    said = text(answer)
    assert f"Submit job {Lane.BACKGROUND.promise} {Review.ALWAYS.promise}" in said
    assert answer.content.decode().count("btn-primary") == 1
    assert "Up to 2 files: text or PDF" in said
    assert "Topic (required)" in said
    assert "Pages (optional)" in said


def test_the_form_asks_in_the_order_of_its_schema(client, here):
    asked = ("subject", "why", "audience", "by")
    properties = {name: {"type": "string"} for name in asked}
    ordered = JobTypeFactory(
        workspace=here, input_schema={"type": "object", "properties": properties}
    )
    page = client.get(form_url(ordered)).content.decode()
    assert tuple(re.findall(r'name="input-(\w+)"', page)) == asked


def test_every_shipped_type_has_a_form(client):
    shipped.load()
    for job_type in JobType.objects.filter(workspace=None).offered():
        answer = client.get(form_url(job_type))
        assert answer.status_code == 200
        for schema in job_type.input_schema["properties"].values():
            assert schema["title"] in unescape(text(answer))


def test_a_filled_form_becomes_a_job(client, job_type, requester):
    answer = client.post(form_url(job_type), filled(**{"input-pages": "3"}))
    job = Job.objects.get()
    assert (answer.status_code, answer.url) == (303, job.get_absolute_url())
    assert (job.requester, job.input) == (requester, {"topic": "tides", "pages": 3})


def test_a_form_that_is_sent_twice_makes_one_job(client, job_type):
    data = filled()
    first = client.post(form_url(job_type), {**data, "files": [file(), file()]})
    second = client.post(form_url(job_type), {**data, "files": [file(), file()]})
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.url == second.url
    assert [document.name for document in Job.objects.get().documents.all()] == [
        "notes.txt",
        "notes (2).txt",
    ]


def test_each_page_has_a_key_of_its_own(client, job_type):
    keys = {key_of(client.get(form_url(job_type))) for _ in range(3)}
    assert len(keys) == 3


def key_of(answer):
    return re.search(r'name="key" value="([^"]+)"', answer.content.decode())[1]


def uploads_of(answer):
    return re.findall(r'name="upload" value="([^"]+)" checked', answer.content.decode())


def test_what_is_wrong_is_said_and_nothing_typed_or_added_is_lost(client, job_type):
    data = filled(**{"input-topic": "x" * 21, "input-pages": "0"})
    answer = client.post(form_url(job_type), {**data, "files": [file(), file("a.zip", ZIP)]})
    assert answer.status_code == 422
    said, page = text(answer), answer.content.decode()
    assert "3 things to correct" in said
    for at, problem in [
        ("id_input-topic", "Topic can have 20 characters at most; it has 21."),
        ("id_input-pages", "Pages must be 1 or more."),
        ("id_files", "a.zip is neither text, a PDF nor a picture."),
    ]:
        assert f'<a href="#{at}">{problem}</a>' in page
        assert page.count(problem) == 2
    assert 'aria-describedby="id_input-topic_error"' in page
    assert "x" * 21 in page
    assert key_of(answer) == data["key"]
    [kept] = uploads_of(answer)
    assert not Job.objects.exists()
    again = client.post(form_url(job_type), {**filled(), "upload": [kept]})
    assert again.status_code == 303
    assert Document.objects.get().name == "notes.txt"


def test_too_few_files_are_said_beside_the_other_problems(client, job_type):
    job_type.min_documents = 1
    job_type.save()
    answer = client.post(form_url(job_type), filled(**{"input-topic": ""}))
    assert "Topic is required." in text(answer)
    assert "Add a file: Report takes 1 to 2 files." in text(answer)


def test_a_key_that_was_used_for_something_else_offers_a_new_job(client, job_type):
    data = filled()
    client.post(form_url(job_type), data)
    known = Job.objects.get()
    changed = {**data, "input-topic": "ebbs", "files": [file()]}
    answer = client.post(form_url(job_type), changed)
    assert answer.status_code == 409
    assert f"You already submitted this form as {known.ref}" in text(answer)
    assert "Submit as a new job" in text(answer)
    assert 'value="ebbs"' in answer.content.decode()
    assert Job.objects.count() == 1
    assert key_of(answer) != data["key"]
    again = {**changed, "key": key_of(answer), "upload": uploads_of(answer), "files": []}
    assert client.post(form_url(job_type), again).status_code == 303
    assert Job.objects.count() == 2
    assert Document.objects.get().name == "notes.txt"


def test_submitting_again_begins_with_the_input_of_the_job(client, here, job_type, requester):
    before = JobFactory(
        workspace=here, job_type=job_type, requester=requester, input={"topic": "the moon"}
    )
    page = client.get(form_url(job_type), {"from": before.ref})
    assert 'value="the moon"' in page.content.decode()
    assert "Its files are not taken along" in text(page)
    client.post(form_url(job_type), filled(**{"from": before.ref}))
    assert Job.objects.order_by("id").last().parent == before


def test_nobody_begins_with_a_job_that_they_may_not_see(client, here, job_type):
    theirs = JobFactory(workspace=here, job_type=job_type, input={"topic": "secret"})
    assert client.get(form_url(job_type), {"from": theirs.ref}).status_code == 404
    client.post(form_url(job_type), filled(**{"from": theirs.ref}))
    assert Job.objects.order_by("id").last().parent is None


def test_a_type_that_is_switched_off_says_so_and_keeps_what_was_typed(client, job_type):
    job_type.enabled = False
    job_type.save()
    assert "Report takes no new jobs" in text(client.get(form_url(job_type)))
    answer = client.post(form_url(job_type), filled())
    assert answer.status_code == 422
    assert "Report takes no new jobs at the moment." in text(answer)
    assert 'value="tides"' in answer.content.decode()


def test_strangers_find_nothing_and_members_without_the_role_are_refused(here, job_type):
    stranger = client_of(UserFactory(workspace=WorkspaceFactory(), roles=list(Role)))
    reviewer = client_of(UserFactory(workspace=here, roles=[Role.REVIEWER]))
    for client, expected in ((stranger, 404), (reviewer, 403)):
        assert client.post(form_url(job_type), filled()).status_code == expected
        assert add(client, job_type).status_code == expected
    assert not Job.objects.exists()
    assert not StagedUpload.objects.exists()


@pytest.mark.parametrize("schema", [True, False, {}, {"type": "string"}, {"$ref": "#/nowhere"}])
def test_a_schema_that_makes_no_sense_makes_no_error(schema, client, job_type):
    JobType.objects.filter(pk=job_type.pk).update(input_schema=schema)
    assert client.get(form_url(job_type)).status_code == 200
    assert client.post(form_url(job_type), filled()).status_code in (303, 422)
    assert client.get(reverse("jobs:type_list", args=["here"])).status_code == 200


def test_what_admins_write_is_text(client, job_type):
    job_type.description = "<script>alert(1)</script>"
    job_type.input_schema = {
        "properties": {"x": {"title": "<b>", "description": "<i>", "enum": ["<u>", '"']}}
    }
    job_type.save()
    for url in (form_url(job_type), reverse("jobs:type_list", args=["here"])):
        page = client.get(url).content.decode()
        assert not {"<script>alert", "<b>", "<i>", "<u>"} & set(
            re.findall(r"<\w+>(?:alert)?", page)
        )


# Files ---------------------------------------------------------------------------------------------


def test_a_file_that_was_added_goes_with_the_job_and_is_let_go(client, job_type):
    added = add(client, job_type, "a.txt").json()
    assert (added["name"], added["size"]) == ("a.txt", "11\xa0bytes")
    answer = client.post(form_url(job_type), {**filled(), "upload": [added["id"], added["id"]]})
    assert answer.status_code == 303
    assert Document.objects.get().name == "a.txt"
    row = StagedUpload.objects.get()
    assert row.used_at is not None
    assert row.expires_at - row.used_at == timedelta(hours=1)


def test_a_form_with_added_files_that_is_sent_twice_makes_one_job(client, job_type):
    data = {**filled(), "upload": [add(client, job_type).json()["id"]]}
    first, second = (client.post(form_url(job_type), data) for _ in range(2))
    assert first.url == second.url
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.zip", ZIP, "a.zip is neither text, a PDF nor a picture."),
        ("a.txt", ZIP, "a.txt is neither text, a PDF nor a picture."),
        ("a.txt", b"", "a.txt is empty."),
        ("a.txt", b"  ", "a.txt holds no text."),
    ],
)
def test_a_file_is_judged_by_its_content_as_it_is_added(name, content, said, client, job_type):
    answer = add(client, job_type, name, content)
    assert (answer.status_code, answer.json()) == (422, {"error": said})
    assert not StagedUpload.objects.exists()
    assert stored() == []


def test_a_form_takes_as_many_and_as_large_files_as_its_type(client, job_type, settings):
    settings.MAX_DOCUMENT_BYTES, settings.MAX_DOCUMENTS_BYTES = 20, 30
    assert (
        "a.txt is 0.0 MB; a file can be"
        in add(client, job_type, "a.txt", b"x" * 21).json()["error"]
    )
    first = add(client, job_type, "a.txt", b"x" * 20).json()["id"]
    assert (
        add(client, job_type, "b.txt", b"x" * 20, upload=[first])
        .json()["error"]
        .startswith("The files are 0.0 MB together")
    )
    second = add(client, job_type, "b.txt", b"x" * 10, upload=[first]).json()["id"]
    third = add(client, job_type, "c.txt", b"x", upload=[first, second])
    assert third.json()["error"] == "c.txt is one too many. Report takes up to 2 files; 3 given."


def test_what_waits_for_forms_is_bounded_for_each_person(client, here, job_type, monkeypatch):
    monkeypatch.setattr("jobs.uploads.MOST_BYTES", 25)
    first = add(client, job_type, "a.txt", b"x" * 20).json()["id"]
    refused = add(client, job_type, "b.txt", b"x" * 20)
    assert refused.status_code == 422
    assert "of your files wait for forms that were not submitted" in refused.json()["error"]
    other = client_of(UserFactory(workspace=here, roles=[Role.REQUESTER]))
    assert add(other, job_type, "b.txt", b"x" * 20).status_code == 201
    client.post(form_url(job_type), {**filled(), "upload": [first]})
    assert add(client, job_type, "b.txt", b"x" * 20).status_code == 201


def test_a_file_belongs_to_its_owner_its_workspace_and_its_type(client, here, job_type, requester):
    colleague = client_of(UserFactory(workspace=here, roles=[Role.REQUESTER]))
    other_type = JobTypeFactory(slug="other", max_documents=2)
    elsewhere = WorkspaceFactory(slug="elsewhere")
    Membership.objects.create(user=requester, workspace=elsewhere, role=Role.REQUESTER)
    added = add(client, other_type).json()["id"]
    for who, type_, place in (
        (colleague, other_type, "here"),
        (client, job_type, "here"),
        (client, other_type, "elsewhere"),
    ):
        answer = who.post(form_url(type_, place), {**filled(), "upload": [added]})
        assert answer.status_code == 422
        assert "are no longer kept" in text(answer)
        remove = reverse("jobs:upload_remove", args=[place, type_.slug, added])
        assert who.post(remove).status_code == 404
    assert StagedUpload.objects.count() == 1
    remove = reverse("jobs:upload_remove", args=["here", "other", added])
    assert client.get(remove).status_code == 405
    assert client.post(remove).status_code == 204
    assert client.post(remove).status_code == 404
    assert (StagedUpload.objects.count(), stored()) == (0, [])


@pytest.mark.parametrize("named", ["not-an-id", str(uuid.UUID(int=7))])
def test_a_file_that_is_not_there_is_not_left_out_in_silence(named, client, job_type):
    answer = client.post(form_url(job_type), {**filled(), "upload": [named]})
    assert answer.status_code == 422
    assert not Job.objects.exists()


def test_a_file_that_waited_too_long_is_not_used(client, job_type):
    added = add(client, job_type).json()["id"]
    StagedUpload.objects.update(expires_at=timezone.now())
    answer = client.post(form_url(job_type), {**filled(), "upload": [added]})
    assert answer.status_code == 422
    assert "are no longer kept" in text(answer)


def test_a_file_whose_content_is_gone_is_named(client, job_type):
    added = add(client, job_type).json()["id"]
    [path] = stored()
    path.unlink()
    answer = client.post(form_url(job_type), {**filled(), "upload": [added]})
    assert answer.status_code == 422
    assert "notes.txt is no longer there. Remove it, and add it again." in text(answer)


# Too much ------------------------------------------------------------------------------------------

MB = 1024 * 1024


@pytest.mark.parametrize(
    ("address", "length", "status"),
    [
        ("form", 101 * MB, 422),
        ("form", 101 * MB + 1, 413),
        ("files", 101 * MB + 1, 413),
        ("files", 10**20, 413),
        ("/admin/", 6 * MB + 1, 413),
        ("/nowhere/", 6 * MB + 1, 413),
        ("/nowhere/", 6 * MB, 404),
        ("/webhooks/openai/", 6 * MB + 1, 413),
    ],
)
def test_a_body_that_is_too_long_is_refused_before_it_is_read(
    address, length, status, client, job_type
):
    url = {"form": form_url(job_type), "files": files_url(job_type)}.get(address, address)
    kind = "multipart/form-data; boundary=b" if status == 422 else "text/plain"
    answer = client.generic("POST", url, b"", content_type=kind, CONTENT_LENGTH=str(length))
    assert answer.status_code == status
    if status == 413:
        limit = 101 if address in ("form", "files") else 6
        assert f"more than can be taken at once: {limit} MB." in text(answer)
        assert answer.headers["Connection"] == "close"
        assert "default-src" in answer.headers["Content-Security-Policy"]


def test_a_script_is_told_in_json(client, job_type):
    answer = client.generic(
        "POST",
        files_url(job_type),
        b"",
        CONTENT_LENGTH=str(120 * MB),
        HTTP_ACCEPT="application/json",
    )
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("That is more than can be taken at once")


def test_a_body_of_unknown_length_is_refused(client, job_type):
    answer = client.generic(
        "POST", form_url(job_type), b"", CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked"
    )
    assert answer.status_code == 411


def test_a_form_of_thousands_of_parts_is_not_understood(client, job_type):
    many = [file(f"{n}.txt") for n in range(101)]
    assert client.post(form_url(job_type), {**filled(), "files": many}).status_code == 400
    fields = {f"input-{n}": "x" for n in range(1001)}
    assert client.post(form_url(job_type), fields).status_code == 400
    assert not StagedUpload.objects.exists()
