"""Documents and files: shown and handed out to those who may, and run by no browser."""

import json
import re

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from jobs import shipped
from jobs.actions import withhold_results
from jobs.documents import Upload
from jobs.models import (
    Citation,
    Document,
    JobType,
    Result,
    ResultFile,
    Review,
    Role,
    Status,
)
from jobs.rendering import result_view
from jobs.text import clean
from tests import payloads
from tests.factories import JobFactory, JobTypeFactory, UserFactory, finish, last_turn, start
from tests.hostile import XSS
from tests.jobs.test_documents import pdf

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 32
TEXT = "High water comes twice a day.\nThe moon's pull does it.\n<script>alert(1)</script>\n"


def made(status=Status.COMPLETED, *uploads, **kwargs):
    uploads = uploads or (Upload("Tides.md", TEXT.encode()),)
    return JobFactory(status=status, uploads=uploads, **kwargs)


def result_of(job):
    return Result.objects.get(attempt__job=job)


def cite(job, position, start, end, *, document=1):
    document = job.documents.get(position=document)
    return Citation.objects.create(
        result=result_of(job),
        position=position,
        kind="quote",
        quote=document.text[start:end],
        document=document,
        start=start,
        end=end,
    )


def add_file(job, content=PNG, *, name="chart.png", content_type="image/png"):
    row = ResultFile(
        result=result_of(job),
        position=result_of(job).files.count() + 1,
        name=name,
        content_type=content_type,
        size=len(content),
        sha256="0",
    )
    row.file.save("stored", ContentFile(content))
    return row


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def member(job, *roles):
    return UserFactory(workspace=job.workspace, roles=roles)


def get(job, name, *args, by=None, **query):
    url = reverse(f"jobs:{name}", args=[job.ref, *args])
    answer = as_(by or job.requester).get(url, query)
    # Read to its end, as a browser does: only then is the file closed.
    answer.body = b"".join(answer) if answer.streaming else answer.content
    return answer


def result_shown(job):
    """The part of a page that shows the job's result."""
    result = result_of(job)
    citations = result.citations.select_related("document")
    view = result_view(job, result, citations=citations, files=result.files.all())
    return render_to_string("jobs/_result.html", {"job": job, "result": result, "view": view})


def is_sealed(response):
    return (
        response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        and response.headers["X-Content-Type-Options"] == "nosniff"
        and "no-store" in response.headers["Cache-Control"]
    )


# Who may


@pytest.mark.parametrize("status", [Status.NEEDS_REVIEW, Status.COMPLETED, Status.FAILED])
def test_documents_are_their_requesters_and_of_those_who_see_all(status):
    job = made(status)
    for by in (job.requester, member(job, Role.AUDITOR), member(job, Role.REVIEWER)):
        assert get(job, "document_detail", 1, by=by).status_code == 200
        assert get(job, "document_file", 1, by=by).status_code == 200
    other = UserFactory(workspace=made().workspace, roles=list(Role))
    for by in (member(job, Role.REQUESTER), other, UserFactory()):
        assert get(job, "document_detail", 1, by=by).status_code == 404
        assert get(job, "document_file", 1, by=by).status_code == 404


def test_a_result_is_its_requesters_once_the_job_is_completed():
    for status, told in ((Status.NEEDS_REVIEW, 403), (Status.COMPLETED, 200)):
        job = made(status)
        add_file(job)
        assert get(job, "result_download").status_code == told
        assert get(job, "result_file", 1, 1).status_code == told
        for role in set(Role) - {Role.REQUESTER}:
            assert get(job, "result_download", by=member(job, role)).status_code == 200
            assert get(job, "result_file", 1, 1, by=member(job, role)).status_code == 200
        for by in (member(job, Role.REQUESTER), UserFactory()):
            assert get(job, "result_download", by=by).status_code == 404
            assert get(job, "result_file", 1, 1, by=by).status_code == 404


def test_a_result_that_is_kept_as_evidence_is_not_the_requesters():
    job = made()
    add_file(job)
    withhold_results(job)
    assert get(job, "result_download").status_code == 404
    assert get(job, "result_file", 1, 1).status_code == 404
    assert get(job, "result_download", by=member(job, Role.LEAD)).status_code == 200


def test_of_two_attempts_the_requester_reads_the_one_that_the_job_completed_with():
    job = made(Status.QUEUED, job_type__review="never")
    start(job)
    partial = payloads.message("Half of")
    finish(job, "failed", error={"code": "server_error", "message": "x"}, output=[partial])
    job.refresh_from_db()
    assert last_turn(job).attempt.number == 2, "it was tried again by itself"
    start(job)
    finish(job, "completed")
    assert Result.objects.filter(attempt__job=job, deliverable=True).count() == 2
    assert get(job, "result_download", attempt=1).status_code == 404
    assert get(job, "result_download").body == b"The answer."
    lead = member(job, Role.LEAD)
    assert get(job, "result_download", by=lead, attempt=1).body == b"Half of"


def test_what_a_result_quotes_is_not_told_before_the_result_may_be_read():
    job = made(Status.NEEDS_REVIEW)
    cite(job, 1, 0, 29)
    assert "<mark" not in get(job, "document_detail", 1, quote=1).text
    assert "Quote 1" not in get(job, "document_detail", 1, quote=1).text
    assert (
        '<mark id="quote">'
        in get(job, "document_detail", 1, quote=1, by=member(job, Role.LEAD)).text
    )


@pytest.mark.parametrize("position", [0, 2, 99_999])
def test_what_is_not_there_is_not_found(position):
    job = made()
    assert get(job, "document_detail", position).status_code == 404
    assert get(job, "document_file", position).status_code == 404
    assert get(job, "result_file", 1, position).status_code == 404
    assert get(job, "result_file", position, 1).status_code == 404


def test_nothing_here_takes_a_post():
    job = made()
    for name, args in (("document_detail", [1]), ("document_file", [1]), ("result_download", [])):
        url = reverse(f"jobs:{name}", args=[job.ref, *args])
        assert as_(job.requester).post(url).status_code == 405


# A document as a page


def test_a_document_is_text_whatever_it_is_of():
    said = get(made(), "document_detail", 1).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in said
    assert "<script>alert" not in said
    assert said.count("<h1") == 1


def test_the_quote_is_marked_once_and_its_neighbours_are_a_click_away():
    job = made()
    for position, (begin, end) in enumerate([(0, 10), (11, 40), (41, 50)], 4):
        cite(job, position, begin, end)
    said = get(job, "document_detail", 1, quote=5, attempt=1).text
    assert said.count("<mark") == 2, "over two lines"
    assert said.count('id="quote"') == 1
    assert "Quote 2 of 3" in said
    assert 'rel="prev" href="?quote=4&amp;attempt=1#quote"' in said
    assert 'rel="next" href="?quote=6&amp;attempt=1#quote"' in said
    first = get(job, "document_detail", 1, quote=4).text
    assert 'rel="prev"' not in first
    assert "3 quotes from this document" in get(job, "document_detail", 1).text


@pytest.mark.parametrize("quote", ["99", "0", "-1", "x", "1" * 5_000, "²", "", "<script>"])
def test_a_quote_that_is_none_marks_nothing(quote):
    job = made()
    cite(job, 1, 0, 10)
    for name in ("quote", "attempt", "page"):
        answer = get(job, "document_detail", 1, **{name: quote})
        assert answer.status_code == 200
        assert "<mark" not in answer.text
    assert get(job, "result_download", attempt=quote).status_code in (200, 404)


def test_a_long_document_comes_in_parts_and_opens_at_the_quote():
    job = made(Status.COMPLETED, Upload("long.txt", b"Some words on a line.\n" * 40_000))
    cite(job, 1, 660_000, 660_010)
    answer = get(job, "document_detail", 1, quote=1)
    assert len(answer.content) < 300_000
    assert '<mark id="quote">' in answer.text
    part = int(re.search(r"Part (\d+) of \d+", answer.text)[1])
    assert part > 1
    assert f'href="?page={part + 1}&amp;quote=1&amp;attempt=1"' in answer.text
    other = get(job, "document_detail", 1, quote=1, page=1).text
    assert "on another page" in other
    assert "<mark" not in other


def test_a_document_without_text_says_so_and_offers_the_file():
    job = made(Status.COMPLETED, Upload("scan.pdf", pdf("")))
    said = get(job, "document_detail", 1).text
    assert "No text could be read" in said
    assert reverse("jobs:document_file", args=[job.ref, 1]) in said


def test_pages_of_a_pdf_are_told_apart():
    job = made()
    Document.objects.filter(job=job).update(text="one\ftwo\fthree")
    said = get(job, "document_detail", 1).text
    assert [f"Page {n}" in said for n in (1, 2, 3, 4)] == [True, True, True, False]


def test_a_documents_hidden_characters_are_named():
    job = made(Status.COMPLETED, Upload("a.txt", "pay\u202eevil".encode()))
    said = get(job, "document_detail", 1).text
    assert "pay⟦U+202E⟧evil" in said
    assert "1 hidden character," in said
    assert "\u202e" not in said


# Downloads


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.md", b"# a", "text/markdown"),
        ("a.html", b"<script>alert(1)</script>", "application/octet-stream"),
        ("a.xml", b"<x/>", "application/octet-stream"),
        ("a.svg", b"<svg onload=alert(1)></svg>", "text/plain"),
        ("a.pdf", pdf("x"), "application/pdf"),
    ],
)
@pytest.mark.parametrize("query", [{}, {"inline": 1}])
def test_a_document_is_a_download_and_never_a_page(name, content, kind, query):
    job = made(Status.COMPLETED, Upload(name, content))
    answer = get(job, "document_file", 1, **query)
    assert answer.body == content
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert is_sealed(answer)


HOSTILE_NAMES = [
    'a"; filename="evil.exe',
    "a\r\nSet-Cookie: evil=1",
    "../../etc/passwd",
    "..\\..\\evil.exe",
    "invoice\u202efdp.exe",
    "報告.html",
    "x" * 251 + ".png",
    "é" * 255,
    "\x00",
    ".",
    *XSS,
]


def test_a_hostile_name_is_only_a_name():
    job = made()
    file = add_file(job, content_type="text/html")
    for name in HOSTILE_NAMES:
        ResultFile.objects.filter(pk=file.pk).update(name=clean(name[:255]))
        answer = get(job, "result_file", 1, 1)
        disposition = answer.headers["Content-Disposition"]
        assert disposition.startswith("attachment; filename"), name
        bare = disposition.split("=", 1)[1].replace("utf-8''", "")
        assert not re.search(r"[\r\n\x00-\x1f/\\\u202e]", bare), name
        assert disposition.count('"') in (0, 2), name
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert is_sealed(answer)
        page = result_shown(job)
        assert "<script>alert" not in page, name
        assert not re.search(r"<[^>]*\son\w+=", page), name
        assert "\u202e" not in page, name


@pytest.mark.parametrize(
    ("content", "claimed", "kind"),
    [
        (PNG, "image/png", "image/png"),
        (PNG, "text/html", "image/png"),
        (b"GIF89a" + PNG, "image/png", "image/gif"),
        (b"<svg onload=alert(1)>", "image/svg+xml", ""),
        (b"<svg onload=alert(1)>", "image/png", ""),
        (b"<script>alert(1)</script>", "image/png", ""),
    ],
)
def test_a_picture_is_shown_where_it_is_one_by_its_content(content, claimed, kind):
    job = made()
    add_file(job, content, content_type=claimed)
    answer = get(job, "result_file", 1, 1, inline=1)
    assert answer.body == content
    assert is_sealed(answer)
    disposition = answer.headers["Content-Disposition"]
    if kind:
        assert answer.headers["Content-Type"] == kind
        assert disposition.startswith("inline")
    else:
        assert disposition.startswith("attachment")
    assert get(job, "result_file", 1, 1).headers["Content-Disposition"].startswith("attachment")


def test_a_file_that_is_gone_is_said_to_be():
    job = made()
    default_storage.delete(job.documents.get().file.name)
    answer = get(job, "document_file", 1)
    assert answer.status_code == 404
    assert "This file is gone" in answer.text
    assert "Tides.md" in answer.text


def test_a_result_is_handed_out_as_markdown_or_with_its_evidence():
    job = made()
    cite(job, 1, 0, 10)
    answer = get(job, "result_download")
    assert answer.content == b"The answer."
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{job.ref}.md"'
    assert is_sealed(answer)
    answer = get(job, "result_download", format="json")
    document = json.loads(answer.content)
    assert (document["ref"], document["text"]) == (job.ref, "The answer.")
    assert document["citations"][0]["document"] == "Tides.md"
    assert not {"usage", "model", "tool_calls"} & document.keys(), "what the provider said"
    assert is_sealed(answer)
    assert get(job, "result_download", format="html").status_code == 404


# What the stand-in really writes


def test_a_real_digest_is_read_quoted_and_handed_out(driver, clock):
    shipped.load()
    job = JobFactory(
        now=clock(),
        job_type=JobType.objects.get(slug="document-digest"),
        uploads=(Upload("Tides.txt", (TEXT + "\n" + "It is measured at the pier. " * 5).encode()),),
        input={},
    )
    driver.settle(job)
    lead = member(job, Role.LEAD)
    page = result_shown(job)
    places = re.findall(r'<a class="quote-place" href="([^"]*)"', page)
    assert places
    assert "Not found in the documents" not in page
    for place in places:
        shown = as_(lead).get(place.replace("&amp;", "&")).text
        assert shown.count('id="quote"') == 1
    assert get(job, "result_download", by=lead).body.startswith(b"# ")


def test_a_real_brief_numbers_its_sources(driver, clock):
    shipped.load()
    job = JobFactory(
        now=clock(),
        job_type=JobType.objects.get(slug="research-brief"),
        input={"topic": "webhooks"},
    )
    driver.settle(job)
    page = result_shown(job)
    numbers = re.findall(r'<sup class="cite"><a href="#(r1-source-\d+)"', page)
    assert numbers
    assert set(numbers) == set(re.findall(r'<li id="(r1-source-\d+)"', page))


def test_no_page_tells_a_requester_what_a_warning_quotes_before_they_may_read_the_result():
    job = JobFactory(status=Status.RUNNING, job_type=JobTypeFactory(review=Review.RULES))
    output = payloads.message("The rest is public.")
    output["content"].append({"type": "refusal", "refusal": "The merger with Acme is secret."})
    finish(job, "completed", output=[output])
    job.refresh_from_db()
    assert job.status == Status.NEEDS_REVIEW and "Acme" in job.warnings[0]["text"]
    for name in ("job_detail", "job_live"):
        assert "merger" not in get(job, name).body.decode()
        assert "The policy of its type asks for a review of it." in get(job, name).body.decode()
