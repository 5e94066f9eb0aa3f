"""The library: what gets in and stays, who may do what with it, and what a search finds."""

import re
import uuid
from functools import partial

import pytest
from django.contrib.auth.models import Permission
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import reverse

from jobs import library, ranking, words
from jobs.access import NotAllowed, NotNow, may_add_to_library, may_see_library, may_withdraw
from jobs.documents import Unusable, Upload
from jobs.models import (
    Job,
    JobType,
    LibraryDocument,
    LibraryPassage,
    LibraryTerm,
    Membership,
    Result,
    Role,
    Status,
)
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests import payloads
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    finish,
    start,
)
from tests.jobs.test_documents import pdf
from tests.jobs.test_races import at_once

pytestmark = pytest.mark.django_db

TIDES = "# Tides\n\nHigh water comes twice a day. The moon's pull does it.\n"
ZIP = b"PK\x03\x04" + b"\0" * 60


@pytest.fixture
def here():
    return WorkspaceFactory(slug="here")


@pytest.fixture
def rea(here):
    return member(here, Role.REQUESTER)


def member(workspace, *roles):
    return UserFactory(workspace=workspace, roles=roles)


def add(workspace, *texts, by=None, name="{}.md"):
    """Documents of these texts, each under the name of its number."""
    actor = by or member(workspace, Role.REQUESTER)
    uploads = [Upload(name.format(n), text.encode()) for n, text in enumerate(texts, 1)]
    outcomes = library.add(workspace, uploads, actor=actor, now=NOW)
    assert all(outcome.added for outcome in outcomes), outcomes
    return [outcome.document for outcome in outcomes]


def titles(hits):
    return [hit.document.title for hit in hits]


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def url(name, workspace, *args):
    return reverse(f"jobs:{name}", args=[workspace.slug, *args])


def result_of(job):
    return Result.objects.get(attempt__job=job)


# What gets in ----------------------------------------------------------------------------------


def test_of_many_files_each_has_its_own_outcome_and_none_is_lost(here, rea):
    add(here, TIDES, by=rea)
    uploads = [
        Upload("again.md", TIDES.encode()),
        Upload("folder.zip", ZIP),
        Upload("new.txt", b"Something new."),
        Upload("empty.txt", b""),
        Upload("twice.txt", b"Something new."),
        Upload("report.pdf", pdf("A page of text.")),
    ]
    outcomes = library.add(here, uploads, actor=rea, now=NOW)
    assert [outcome.added for outcome in outcomes] == [False, False, True, False, False, True]
    assert outcomes[0].document.title == "Tides", "which one it is"
    assert outcomes[1].problem == "folder.zip is neither text, a PDF nor a picture."
    assert outcomes[3].problem == "empty.txt is empty."
    assert outcomes[4].document == outcomes[2].document
    assert LibraryDocument.objects.count() == 3
    assert titles(library.search(here, "pages")) == ["report"]


def test_what_does_not_fit_beside_the_others_is_refused_and_they_are_not(here, rea, settings):
    settings.MAX_DOCUMENTS_BYTES = 1024
    uploads = [Upload("a.txt", b"a" * 600), Upload("b.txt", b"b" * 600), Upload("c.txt", b"c" * 9)]
    outcomes = library.add(here, uploads, actor=rea, now=NOW)
    assert [outcome.added for outcome in outcomes] == [True, False, True]
    assert "together" in outcomes[1].problem


def test_a_document_is_cut_into_passages_that_hold_all_of_it_in_order(here):
    text = "\n\n".join(f"## Part {n}\n\n" + "Some words on tides. " * 60 for n in range(5))
    [document] = add(here, text)
    passages = list(document.passages.order_by("position"))
    assert len(passages) > 5
    at = 0
    for passage in passages:
        assert passage.text == document.text[passage.start : passage.end] != ""
        assert document.text[at : passage.start].strip() == ""
        assert len(passage.text) <= words.LONGEST + words.REST
        at = passage.end
    assert document.text[at:].strip() == ""
    assert {passage.heading for passage in passages} == {f"Part {n}" for n in range(5)}


UNLIKELY = ["", " \n\f\n ", "x" * 5_000, "\n" * 5_000, "# \n" * 900, "a b " * 2_000, "\f" * 3_000]
# A line that is no heading after all: cut in no time, whatever its length.
UNLIKELY.append("#" + " " * 20_000 + "a" * 250)


@pytest.mark.parametrize("text", UNLIKELY, ids=range(len(UNLIKELY)))
def test_any_text_can_be_cut_and_nothing_is_lost(text):
    cuts = words.passages(text)
    kept = "".join(text[cut.start : cut.end] for cut in cuts)
    assert "".join(kept.split()) == "".join(text.split())
    assert all(cut.start < cut.end for cut in cuts)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("\n# On *tides* #\n\nText.", "On *tides*"),
        ("ON TIDES\n========\n", "ON TIDES"),
        ("Text.\n\n# Later\n", "notes"),
        ("#hashtag", "notes"),
        ("# " + "x" * 500, "notes"),
    ],
)
def test_a_title_is_the_heading_that_a_document_begins_with_or_its_files_name(here, text, title):
    [document] = add(here, text, name="notes.md")
    assert document.title == title
    assert len(library.search(here, "notes")) == 1


@pytest.mark.parametrize("text", ["# One\n", "One\n===\n", "One\n---\n", "\n\n1.2 One\n\n"])
def test_headings_are_known_by_how_they_are_written(text):
    cuts = words.passages("Before. " * 80 + "\n\n" + text + "\n" + "After. " * 80)
    assert [cut.heading for cut in cuts] in (["", "One"], ["", "1.2 One"])


def test_a_document_without_text_is_found_by_its_title_alone(here, rea):
    [outcome] = library.add(here, [Upload("harbour scan.pdf", pdf(""))], actor=rea, now=NOW)
    [hit] = library.search(here, "harbours")
    assert (hit.document, hit.snippet) == (outcome.document, "")
    assert "No text could be read" in as_(rea).get(url("library", here), {"q": "harbour"}).text
    assert "No text to show" in as_(rea).get(outcome.document.get_absolute_url()).text


def test_a_crash_between_file_and_row_leaves_no_row_and_a_file_that_the_next_uses(
    here, rea, monkeypatch
):
    def crash(*args, **kwargs):
        raise SystemExit

    with monkeypatch.context() as broken:
        broken.setattr(LibraryTerm.objects, "bulk_create", crash)
        with pytest.raises(SystemExit):
            add(here, TIDES, by=rea)
    assert not LibraryDocument.objects.exists() and not LibraryPassage.objects.exists()
    _folders, [left] = default_storage.listdir(f"library/{here.pk}")
    [document] = add(here, TIDES, by=rea)
    assert document.file.name == f"library/{here.pk}/{left}"
    assert default_storage.listdir(f"library/{here.pk}")[1] == [left]


def test_a_file_that_was_left_half_written_is_not_taken_for_the_whole(here, rea):
    [document] = add(here, TIDES, by=rea)
    library.withdraw(document, actor=rea, now=NOW)
    path = default_storage.path(document.file.name)
    with open(path, "wb") as file:
        file.write(b"# Ti")
    [again] = add(here, TIDES, by=rea)
    with again.file.open("rb") as file:
        assert file.read() == TIDES.encode()


@pytest.mark.django_db(transaction=True)
def test_two_who_add_the_same_at_once_make_one_document_and_both_are_told(here):
    people = [member(here, Role.REQUESTER) for _ in range(4)]
    upload = Upload("tides.md", TIDES.encode())
    answers = at_once(
        *(partial(library.add, here, [upload], actor=person, now=NOW) for person in people)
    )
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    [document] = LibraryDocument.objects.all()
    assert sorted(outcome.added for [outcome] in answers) == [False, False, False, True]
    assert {outcome.document for [outcome] in answers} == {document}
    # At most the copy under the content's own name is left beside its file, for whoever adds it next.
    left = set(default_storage.listdir(f"library/{here.pk}")[1])
    assert {document.file.name.split("/")[-1]} <= left
    assert left <= {document.file.name.split("/")[-1], document.sha256}
    assert {default_storage.size(f"library/{here.pk}/{name}") for name in left} == {document.size}
    with document.file.open("rb") as file:
        assert file.read() == TIDES.encode()


def test_what_no_database_stores_is_replaced_on_the_way_in(here, rea):
    utf16 = b"\xff\xfe" + "tides\x00ebb".encode("utf-16-le")
    outcomes = library.add(here, [Upload("a\x00b\ud800.txt", utf16)], actor=rea, now=NOW)
    assert "\x00" not in outcomes[0].document.text + outcomes[0].document.name
    assert len(library.search(here, "ebb")) == 1


# Who may ---------------------------------------------------------------------------------------


def test_every_member_reads_auditors_add_nothing_and_strangers_see_nothing(here, rea):
    [document] = add(here, TIDES, by=rea)
    stranger = member(WorkspaceFactory(), *Role)
    for role in Role:
        person = member(here, role)
        assert may_see_library(person, here)
        assert may_add_to_library(person, here) == (role is not Role.AUDITOR)
        assert may_withdraw(person, document) == (role in (Role.LEAD, Role.ADMIN))
        if role is Role.AUDITOR:
            with pytest.raises(NotAllowed):
                library.add(here, [Upload("a.txt", b"a")], actor=person, now=NOW)
    assert may_withdraw(rea, document)
    for rule in (may_see_library, may_add_to_library):
        assert not rule(stranger, here)
    assert not may_withdraw(stranger, document)


def test_whoever_left_withdraws_nothing_any_more(here, rea):
    [document] = add(here, TIDES, by=rea)
    Membership.objects.filter(user=rea).update(role=Role.AUDITOR)
    assert not may_withdraw(rea, document)
    Membership.objects.filter(user=rea).delete()
    with pytest.raises(NotAllowed):
        library.withdraw(document, actor=rea, now=NOW)


# Withdrawing -----------------------------------------------------------------------------------


def test_what_is_withdrawn_is_in_no_list_and_no_search_and_stays_where_it_was_used(here, rea):
    [document] = add(here, TIDES, by=rea)
    library.withdraw(document, actor=rea, now=NOW)
    assert library.search(here, "moon tides") == []
    assert list(library.page(here).documents) == []
    with pytest.raises(library.NotThere):
        library.read(here, document.ref)
    assert library.read(here, document.ref, withdrawn=True) == document
    said = as_(rea).get(document.get_absolute_url()).text
    assert "withdrew this document" in said and "High water" in said
    assert document.passages.exists()
    [again] = add(here, TIDES, by=rea)
    assert again.file.name == document.file.name, "stored once"
    assert [hit.document for hit in library.search(here, "moon")] == [again]


def test_the_second_who_withdraws_is_told_who_was_first(here, rea):
    [document] = add(here, TIDES, by=rea)
    stale = LibraryDocument.objects.get(pk=document.pk)
    library.withdraw(document, actor=rea, now=NOW)
    with pytest.raises(NotNow, match=f"{rea} withdrew {document.ref} at 09:00:00 UTC"):
        library.withdraw(stale, actor=member(here, Role.LEAD), now=NOW)


# Searching -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("Supplier policies", "policy"),
        ("one policy", "POLICIES"),
        ("boxes", "box"),
        ("CAFÉ", "cafés"),
        ("straße", "STRASSE"),
        ("caches", "cache"),
        ("the moon's pull", "moon"),
        ("snake_case", "case"),
        ("高潮は一日に二回", "潮"),
        ("Größe 42", "42"),
    ],
)
def test_case_accents_and_plurals_do_not_matter(here, written, asked):
    add(here, written)
    assert len(library.search(here, asked)) == 1
    assert any(piece.marked for piece in words.marked(written, words.asked(asked)))


def test_what_is_rare_counts_for_more_than_what_is_everywhere(here):
    add(here, *(f"Report {n} on water and on water." for n in range(8)), "Water and anemometers.")
    hits = library.search(here, "water anemometer")
    assert titles(hits)[0] == "9"
    assert hits[0].score > hits[1].score > 0
    assert "anemometers" in hits[0].snippet


def test_more_of_a_word_and_more_of_the_words_come_first(here):
    add(here, "Tides and ebb.", "Tides, tides and tides.", "Ebb alone.", "Nothing of it.")
    assert titles(library.search(here, "tide")) == ["2", "1"]
    assert titles(library.search(here, "tides ebb"))[0] == "1"


def test_a_title_finds_its_document_and_lifts_its_passages(here):
    add(here, "On stone.", "Ebb, and stone.", name="quarry {}.md")
    add(here, "Stone elsewhere.", name="harbour.md")
    assert titles(library.search(here, "harbour")) == ["harbour"]
    assert titles(library.search(here, "stone harbour"))[0] == "harbour"


def test_one_document_does_not_fill_the_answer(here):
    long = "\n\n".join("Tides, tides. " * 70 for _ in range(12))
    add(here, long, "A tide.")
    hits = library.search(here, "tides")
    assert titles(hits).count("1") == ranking.PER_DOCUMENT
    assert titles(hits)[-1] == "2"
    assert len(library.search(here, "tides", limit=2)) == 2
    assert library.search(here, "tides", limit=0) == []


def test_a_hit_is_the_place_in_the_document(here, rea):
    text = "Nothing here. " * 200 + "\n\n# Moon\n\nIt pulls at the sea.\n\n" + "More. " * 300
    [document] = add(here, text, by=rea)
    hit = library.search(here, "moon pull")[0]
    assert document.text[hit.passage.start : hit.passage.end] == hit.passage.text
    assert hit.passage.heading == "Moon"
    said = as_(rea).get(url("library", here), {"q": "moon pull"}).text
    assert "<mark>Moon</mark>" in said and "<mark>pulls</mark>" in said
    place = re.search(r'<h2 class="hit-title"><a href="([^"]*)#quote"', said)[1]
    shown = as_(rea).get(place.replace("&amp;", "&")).text
    assert shown.count('id="quote"') == 1
    assert re.search(r"<mark[^>]*>It pulls at the sea\.", shown)


def test_a_snippet_is_short_and_holds_what_was_asked_for():
    text = "Nothing of it. " * 60 + "The anemometer stands on the pier. " + "Nor here. " * 60
    snippet = words.snippet(text, words.asked("anemometers pier"))
    assert "anemometer stands on the pier" in snippet
    assert len(snippet) < 300 and snippet.startswith("… ") and snippet.endswith(" …")
    assert words.snippet("x" * 5_000, ["y"]) and len(words.snippet("x" * 5_000, ["y"])) < 300


HOSTILE = [
    "",
    "   ",
    "the of and",
    "\x00",
    "\ud800",
    "'\"; DROP TABLE jobs_librarydocument; --",
    "%",
    "_",
    "%tide%",
    "(tide OR",
    "tide* NEAR/3 \\",
    "tide " * 2_500,
    "x" * 10_000,
    " ".join(str(n) for n in range(3_000)),
    "🌊 ⟦U+202E⟧ \u202e",
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_no_query_breaks_the_search_or_finds_by_its_signs(here, rea, query):
    add(here, "100 %_ of the tide", "Nothing of it.", name="on {}tide.md")
    found = titles(library.search(here, query))
    assert found == (["on 1tide"] if "tide" in query else [])
    if "\ud800" not in query and len(query) < 5_000:
        answer = as_(rea).get(url("library", here), {"q": query})
        assert answer.status_code == 200
        assert "\u202e" not in answer.text


def test_nothing_crosses_from_one_workspace_to_another(here, rea):
    away = WorkspaceFactory(slug="away")
    [ours], [theirs] = add(here, TIDES, by=rea), add(away, TIDES, "The moon of others.")[:1]
    assert ours.file.name != theirs.file.name
    assert [hit.document for hit in library.search(here, "moon")] == [ours]
    assert list(library.page(here).documents) == [ours]
    with pytest.raises(library.NotThere):
        library.read(here, theirs.ref)
    for name in ("library_detail", "library_file", "library_withdraw"):
        assert as_(rea).get(url(name, here, theirs.ref)).status_code == 404
        assert as_(rea).get(url(name, away, theirs.ref)).status_code == 404
    # Not even as a cursor.
    assert list(library.page(here, before=theirs.ref).documents) == [ours]


def test_a_reference_reads_however_it_is_written(here):
    [document] = add(here, TIDES)
    for written in (document.ref.lower(), document.ref.removeprefix("D-"), f" {document.ref} "):
        assert library.read(here, written) == document
    for written in ("", "\x00", "J" + document.ref[1:], "D-" + "x" * 500):
        with pytest.raises(library.NotThere):
            library.read(here, written)


def test_a_search_looks_at_a_bounded_number_of_rows(
    here, monkeypatch, django_assert_max_num_queries
):
    add(here, *(f"Tides and ebb {n}." for n in range(12)), "Ebb and moon.")
    monkeypatch.setattr(ranking, "MOST_DOCUMENTS", 5)
    assert {*titles(library.search(here, "tides"))} == {"8", "9", "10", "11", "12"}
    assert titles(library.search(here, "moon tides ebb")) == ["13"], "the rarest is looked for"
    with django_assert_max_num_queries(4 + 2 * words.MOST_WORDS):
        library.search(here, " ".join(f"word{n}" for n in range(500)) + " tides")


# Keeping results -------------------------------------------------------------------------------


def completed(workspace, **kwargs):
    return JobFactory(workspace=workspace, status=Status.COMPLETED, **kwargs)


def keep(job, by, title="On tides"):
    return library.keep_result(result_of(job), title, actor=by, now=NOW)


def test_a_kept_result_says_where_it_came_from(here):
    job = completed(here)
    outcome = keep(job, job.requester, "  On\ntides  ")
    document = LibraryDocument.objects.get()
    assert outcome.added and outcome.document == document
    assert (document.title, document.name) == ("On tides", f"{job.ref}.md")
    assert (document.job, document.result) == (job, result_of(job))
    assert (document.text, document.content_type) == ("The answer.", "text/markdown")
    assert document.added_by == job.requester
    assert titles(library.search(here, "answers")) == ["On tides"]
    said = as_(job.requester).get(document.get_absolute_url()).text
    assert job.get_absolute_url() in said
    colleague = as_(member(here, Role.REQUESTER)).get(document.get_absolute_url()).text
    assert job.get_absolute_url() not in colleague and "a colleague’s job" in colleague
    page = as_(job.requester).get(job.get_absolute_url()).text
    assert document.ref in page and "Keep in the library" not in page


def test_structured_output_is_kept_as_the_document_that_it_reads_as(here):
    job = completed(here)
    structured = {"title": "Tides", "points": [{"quote": "High water."}, {"quote": "Low water."}]}
    Result.objects.filter(attempt__job=job).update(structured=structured)
    text = keep(job, job.requester).document.text
    assert text.startswith("# Tides") and "High water." in text and "{" not in text


def test_the_same_content_twice_is_one_document_and_says_so(here):
    first, second = completed(here), completed(here)
    document = keep(first, first.requester).document
    again = keep(second, second.requester, "Another title")
    assert not again.added and again.document == document
    answer = as_(second.requester).post(
        reverse("jobs:job_keep", args=[second.ref]), {"title": "x"}, follow=True
    )
    assert answer.redirect_chain == [(document.get_absolute_url(), 303)]
    assert f"as {document.ref}: {first.requester} added it" in answer.text


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.COMPLETED}))
def test_only_what_a_job_completed_with_can_be_kept(here, status):
    job = JobFactory(workspace=here, status=status)
    lead = member(here, Role.LEAD)
    door = reverse("jobs:job_keep", args=[job.ref])
    for method in ("get", "post"):
        answer = getattr(as_(lead), method)(door, {"title": "x"})
        assert answer.status_code == 409
        assert "only the result of a completed job can be kept" in answer.text
    if Result.objects.filter(attempt__job=job).exists():
        with pytest.raises(NotNow):
            keep(job, lead)
    assert "Keep in the library" not in as_(lead).get(job.get_absolute_url()).text
    assert not LibraryDocument.objects.exists()


def test_a_result_that_was_reopened_is_no_longer_kept(here):
    job = completed(here)
    result = result_of(job)
    lead = member(here, Role.LEAD)
    decide(job.pk, Ask(Ruling.REOPEN, lead, NOW, note="Look again."))
    with pytest.raises(NotNow):
        library.keep_result(result, "On tides", actor=lead, now=NOW)


def test_a_result_that_was_replaced_is_evidence_and_not_kept(here):
    job = JobFactory(workspace=here, job_type__review="never")
    start(job)
    finish(
        job,
        "failed",
        error={"code": "server_error", "message": "x"},
        output=[payloads.message("Half of")],
    )
    job.refresh_from_db()
    start(job)
    finish(job, "completed")
    half = Result.objects.get(attempt__job=job, attempt__number=1)
    Result.objects.filter(pk=half.pk).update(deliverable=False)
    with pytest.raises(NotNow, match="evidence only"):
        library.keep_result(half, "Half", actor=job.requester, now=NOW)
    job.refresh_from_db()
    assert library.result_of(job).attempt.number == 2


def test_whoever_may_not_read_the_result_keeps_nothing(here):
    job = completed(here)
    for person in (member(here, Role.REQUESTER), member(here, Role.AUDITOR), UserFactory()):
        with pytest.raises(NotAllowed):
            keep(job, person)
        assert "Keep in the library" not in as_(person).get(job.get_absolute_url()).text
    assert keep(job, member(here, Role.REVIEWER)).added


def test_a_result_without_text_cannot_be_kept(here):
    job = completed(here)
    Result.objects.filter(attempt__job=job).update(text=" ")
    with pytest.raises(Unusable):
        keep(job, job.requester)
    answer = as_(job.requester).post(reverse("jobs:job_keep", args=[job.ref]), {"title": "x"})
    assert answer.status_code == 409 and "holds no text" in answer.text


def test_the_form_asks_for_a_title_and_offers_one(here):
    job = completed(here)
    door = reverse("jobs:job_keep", args=[job.ref])
    page = as_(job.requester).get(door).text
    assert f'value="{job.input_summary}"' in page
    for title in ("", "  ", "x" * 201, "a\x00b"):
        answer = as_(job.requester).post(door, {"title": title})
        assert answer.status_code == 422 and "field-error" in answer.text
    assert not LibraryDocument.objects.exists()
    assert as_(job.requester).post(door, {"title": "Good"}).status_code == 303
    assert "It is in the library already" in as_(job.requester).get(door).text


# Pages -----------------------------------------------------------------------------------------


def send(user, workspace, *files):
    named = [SimpleUploadedFile(name, content) for name, content in files]
    return as_(user).post(url("library_add", workspace), {"files": named})


def test_files_that_are_all_added_lead_to_the_list(here, rea):
    answer = send(rea, here, ("a.txt", b"one"), ("b.txt", b"two"))
    assert (answer.status_code, answer.url) == (303, url("library", here))
    assert "2 documents" in as_(rea).get(answer.url).text


def test_a_file_that_is_refused_is_named_with_what_became_of_the_others(here, rea):
    add(here, "one", by=rea)
    answer = send(rea, here, ("a.txt", b"one"), ("b.zip", ZIP), ("<b>.txt", b"three"))
    assert answer.status_code == 422
    assert "b.zip is neither text, a PDF nor a picture." in answer.text
    assert "There already:" in answer.text and "Added:" in answer.text
    assert "<b>.txt" not in answer.text
    answer = send(rea, here)
    assert answer.status_code == 422 and "Choose at least one file." in answer.text


def test_the_list_is_paged_newest_first_and_new_ones_move_nothing(here, rea, monkeypatch):
    monkeypatch.setattr(library, "PAGE", 3)
    add(here, *(f"Text {n}" for n in range(7)), by=rea)
    first = library.page(here)
    assert [row.title for row in first.documents] == ["7", "6", "5"]
    assert (first.newer, first.count) == ("", "7")
    add(here, "One more.", by=rea, name="new.md")
    second = library.page(here, before=first.older)
    assert [row.title for row in second.documents] == ["4", "3", "2"]
    last = library.page(here, before=second.older)
    assert ([row.title for row in last.documents], last.older) == (["1"], "")
    back = library.page(here, after=last.newer)
    assert [row.title for row in back.documents] == ["4", "3", "2"]
    assert [row.title for row in library.page(here, after=first.newer or "x").documents][0] == "new"
    for cursor in ("x", "\x00", "D-0000000"):
        assert library.page(here, before=cursor).documents[0].title == "new"
    page = as_(rea).get(url("library", here), {"before": first.older}).text
    assert f"?before={second.older}" in page and f"?after={second.newer}" in page


def test_an_empty_library_says_what_it_is_for_and_an_auditor_is_offered_no_form(here, rea):
    page = as_(rea).get(url("library", here)).text
    assert "Nothing here yet" in page and url("library_add", here) in page
    auditor = as_(member(here, Role.AUDITOR)).get(url("library", here)).text
    assert "Nothing here yet" in auditor and url("library_add", here) not in auditor
    add(here, TIDES, by=rea)
    assert "Nothing matches" in as_(rea).get(url("library", here), {"q": "zebra"}).text
    assert "no word to look for" in as_(rea).get(url("library", here), {"q": "the of"}).text


def test_what_people_wrote_is_text_on_every_page(here, rea):
    evil = "<script>alert(1)</script>"
    text = f"# {evil}\u202e\n\ntides {evil} pay\u202eevil"
    sent = {"files": SimpleUploadedFile("a.md", text.encode())}
    added = as_(rea).post(url("library_add", here), sent, follow=True)
    document = LibraryDocument.objects.get()
    LibraryDocument.objects.update(title=f"{evil}\u202e", name=f"{evil}\u202e.md")
    client = as_(rea)
    pages = [
        added,
        client.get(url("library", here)),
        client.get(url("library", here), {"q": f"tides {evil}"}),
        client.get(document.get_absolute_url(), {"passage": 1}),
        client.get(url("library_withdraw", here, document.ref)),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert" not in page.text and "\u202e" not in page.text
        assert page.text.count("<h1") == 1


def test_a_file_is_a_download_and_never_a_page(here, rea):
    content = b"<script>alert(1)</script>"
    [outcome] = library.add(here, [Upload("a.html", content)], actor=rea, now=NOW)
    door = url("library_file", here, outcome.document.ref)
    answer = as_(rea).get(door)
    assert b"".join(answer) == content
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.html"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    default_storage.delete(outcome.document.file.name)
    gone = as_(rea).get(door)
    assert gone.status_code == 404 and "This file is gone" in gone.text


def test_withdrawing_asks_first_and_the_second_is_told(here, rea):
    [document] = add(here, TIDES, by=rea)
    door = url("library_withdraw", here, document.ref)
    assert door in as_(rea).get(document.get_absolute_url()).text
    assert door not in as_(member(here, Role.OPERATOR)).get(document.get_absolute_url()).text
    assert "Withdraw this document?" in as_(rea).get(door).text
    assert LibraryDocument.objects.held().exists(), "asking changes nothing"
    assert as_(rea).post(door).status_code == 303
    late = as_(member(here, Role.LEAD)).post(door)
    assert late.status_code == 409 and f"{rea} withdrew" in late.text


@pytest.mark.parametrize("passage", ["0", "99", "-1", "x", "1" * 5_000, "²", ""])
def test_a_passage_that_is_none_marks_nothing(here, rea, passage):
    [document] = add(here, TIDES, by=rea)
    answer = as_(rea).get(document.get_absolute_url(), {"passage": passage, "page": passage})
    assert answer.status_code == 200 and "<mark" not in answer.text


def test_a_long_document_opens_at_its_passage(here, rea):
    text = "Some words on a line.\n" * 9_000 + "\n# Moon\n\nIt pulls.\n"
    [document] = add(here, text, by=rea)
    [hit] = library.search(here, "pulls")
    answer = as_(rea).get(document.get_absolute_url(), {"passage": hit.passage.position}).text
    assert 'id="quote"' in answer and "It pulls." in answer
    part = int(re.search(r"Part (\d+) of \d+", answer)[1])
    assert part > 1
    assert f'href="?page={part - 1}&amp;passage={hit.passage.position}"' in answer


# Jobs that use it ------------------------------------------------------------------------------


@pytest.fixture
def form(here):
    """The address of the form of a type that takes up to two files, and asks for a topic."""
    schema = {"properties": {"topic": {"type": "string", "title": "Topic"}}, "required": ["topic"]}
    JobTypeFactory(slug="report", workspace=here, input_schema=schema, max_documents=2)
    return url("job_submit", here, "report")


def ticked(page):
    return re.findall(r'name="library" value="([^"]*)" checked', page)


def test_what_is_ticked_is_copied_to_the_job_and_known_for_what_it_is(here, rea, form):
    known, _other = add(here, TIDES, "Another.", by=rea)
    notes = SimpleUploadedFile("notes.txt", b"Some words.")
    answer = as_(rea).post(form, {"input-topic": "x", "library": known.ref, "files": notes})
    assert answer.status_code == 303, answer.text
    own, copy = Job.objects.get().documents.order_by("position")
    assert (own.name, own.library_document) == ("notes.txt", None)
    assert (copy.name, copy.library_document, copy.text) == ("1.md", known, known.text)
    assert copy.file.name != known.file.name
    page = as_(rea).get(known.get_absolute_url()).text
    assert Job.objects.get().get_absolute_url() in page
    stranger = as_(member(here, Role.REQUESTER)).get(known.get_absolute_url()).text
    assert "None yet that you may see." in stranger
    assert known.get_absolute_url() in as_(rea).get(Job.objects.get().get_absolute_url()).text
    library.withdraw(known, actor=rea, now=NOW)
    with copy.file.open("rb") as file:
        assert file.read() == TIDES.encode()


def test_the_same_form_sent_twice_is_one_job_with_the_library_too(here, rea, form):
    [known] = add(here, TIDES, by=rea)
    sent = {"input-topic": "x", "library": known.ref, "key": str(uuid.uuid4())}
    first, second = as_(rea).post(form, sent), as_(rea).post(form, sent)
    assert first.url == second.url
    assert Job.objects.count() == 1


def test_looking_for_others_submits_nothing_and_loses_nothing(here, rea, form):
    moon, ebb, _rest = add(here, "The moon.", "The ebb.", "The rest.", by=rea)
    notes = SimpleUploadedFile("notes.txt", b"Some words.")
    client = as_(rea)
    sent = {"input-topic": "", "library": ebb.ref, "find": "moons", "files": notes}
    # By its button, and by the key Enter, which presses the first button of the form.
    for more in ({"look": "1"}, {}):
        answer = client.post(form, {**sent, **more})
        notes.seek(0)
        assert answer.status_code == 200 and not Job.objects.exists()
        assert ticked(answer.text) == [ebb.ref] and moon.ref in answer.text
        assert _rest.ref not in answer.text
        assert "Keep<span" in answer.text, "its file is kept"
        assert "to correct" not in answer.text
    answer = client.post(
        form, {"input-topic": "x", "library": ebb.ref, "find": "moons", "found": "moons"}
    )
    assert answer.status_code == 303 and Job.objects.get().documents.get().name == "2.md"


def test_ticks_count_as_files_and_stay_while_the_form_is_mended(here, rea, form):
    known = add(here, "One.", "Two.", "Three.", by=rea)
    refs = [row.ref for row in known]
    answer = as_(rea).post(form, {"input-topic": "x", "library": refs})
    assert answer.status_code == 422
    assert "takes up to 2 files; 3 given." in answer.text
    assert ticked(answer.text) == refs
    answer = as_(rea).post(form, {"library": refs[:2]})
    assert answer.status_code == 422 and ticked(answer.text) == refs[:2]
    assert not Job.objects.exists()


def test_a_form_that_begins_from_a_job_takes_what_that_job_took(here, rea, form):
    kept, gone = add(here, "Kept.", "Gone.", by=rea)
    refs = [kept.ref, gone.ref]
    assert as_(rea).post(form, {"input-topic": "x", "library": refs}).status_code == 303
    library.withdraw(gone, actor=rea, now=NOW)
    page = as_(rea).get(form, {"from": Job.objects.get().ref}).text
    assert ticked(page) == [kept.ref] and "ticked below" in page
    elsewhere = WorkspaceFactory()
    Membership.objects.create(user=rea, workspace=elsewhere, role=Role.REQUESTER)
    JobTypeFactory(slug="report", workspace=elsewhere)
    away = url("job_submit", elsewhere, "report")
    assert ticked(as_(rea).get(away, {"from": Job.objects.get().ref}).text) == []


def test_what_is_not_in_this_library_any_more_is_not_taken(here, rea, form):
    [theirs], [gone] = add(WorkspaceFactory(), TIDES), add(here, "Gone.", by=rea)
    library.withdraw(gone, actor=rea, now=NOW)
    for ref in (theirs.ref, gone.ref, "x", "\x00"):
        answer = as_(rea).post(form, {"input-topic": "x", "library": ref})
        assert answer.status_code == 422
        assert "no longer in the library" in answer.text
    [lost] = add(here, "Lost.", by=rea)
    default_storage.delete(lost.file.name)
    answer = as_(rea).post(form, {"input-topic": "x", "library": lost.ref})
    assert answer.status_code == 422 and f"The file of {lost.ref}" in answer.text
    assert not Job.objects.exists()


def test_a_type_that_takes_no_files_offers_none(here, rea, form):
    [known] = add(here, TIDES, by=rea)
    assert known.ref in as_(rea).get(form).text
    JobType.objects.update(max_documents=0)
    assert known.ref not in as_(rea).get(form).text
    assert as_(rea).post(form, {"input-topic": "x", "library": known.ref}).status_code == 303
    assert not Job.objects.get().documents.exists()


def test_a_form_offers_the_newest_and_finds_the_rest(here, rea, form, monkeypatch):
    monkeypatch.setattr(library, "OFFERED", 3)
    add(here, "The moon.", *(f"Text {n}." for n in range(4)), by=rea)
    page = as_(rea).get(form).text
    assert page.count('name="library"') == 3 and ">1</bdi>" not in page
    found = as_(rea).post(form, {"find": "moon", "look": "1"}).text
    assert found.count('name="library"') == 1 and ">1</bdi>" in found
    nothing = as_(rea).post(form, {"find": "zebra", "look": "1"}).text
    assert "No document has a word of “zebra”." in nothing


# The admin -------------------------------------------------------------------------------------


def test_the_admin_shows_staff_their_libraries_and_withdraws_one_by_one(here, rea):
    away = WorkspaceFactory()
    [ours], [theirs] = add(here, TIDES, by=rea), add(away, TIDES)
    root = UserFactory(is_staff=True, is_superuser=True)
    room = reverse("admin:jobs_librarydocument_changelist")
    client = as_(root)
    for address in (room, f"{room}?workspace__id__exact={here.pk}&withdrawn=no"):
        assert client.get(address).status_code == 200
    found = client.get(room, {"q": ours.ref.lower()}).context["cl"].result_list
    assert [row.pk for row in found] == [ours.pk]
    page = client.get(reverse("admin:jobs_librarydocument_change", args=[ours.pk]))
    assert page.status_code == 200 and "High water" in page.text
    library.withdraw(theirs, actor=root, now=NOW)
    chosen = {"action": "withdraw", "_selected_action": [ours.pk, theirs.pk]}
    answer = client.post(room, chosen, follow=True).text
    assert "1 withdrawn." in answer and f"{root} withdrew {theirs.ref}" in answer
    ours.refresh_from_db()
    assert ours.withdrawn_by == root


def test_a_document_is_taken_whole_or_not_at_all(here, rea):
    """Passages and words are there if and only if their document is."""
    with transaction.atomic():
        add(here, TIDES, by=rea)
        transaction.set_rollback(True)
    assert not LibraryPassage.objects.exists() and not LibraryTerm.objects.exists()


@pytest.mark.parametrize(
    ("role", "sees"), [(Role.AUDITOR, True), (Role.LEAD, True), (Role.REQUESTER, False)]
)
def test_staff_read_and_withdraw_in_the_admin_what_they_could_elsewhere(here, rea, role, sees):
    away = WorkspaceFactory(name="Secret merger")
    [ours], [theirs] = add(here, TIDES, by=rea), add(away, TIDES)
    stan = UserFactory(workspace=here, roles=[role], is_staff=True)
    stan.user_permissions.set(Permission.objects.filter(content_type__app_label="jobs"))
    client, room = as_(stan), reverse("admin:jobs_librarydocument_changelist")
    shown = client.get(room)
    assert [row.pk for row in shown.context["cl"].result_list] == ([ours.pk] if sees else [])
    assert "Secret merger" not in shown.text
    found = client.get(room, {"q": theirs.ref}).context["cl"].result_list
    assert list(found) == []
    page = reverse("admin:jobs_librarydocument_change", args=[theirs.pk])
    assert client.get(page).status_code == 302
    chosen = {"action": "withdraw", "_selected_action": [ours.pk, theirs.pk]}
    said = client.post(room, chosen, follow=True).text
    held = set(LibraryDocument.objects.held())
    assert held == ({theirs} if role is Role.LEAD else {ours, theirs})
    assert (f"{ours.ref} is withdrawn by whoever added it" in said) == (role is Role.AUDITOR)
