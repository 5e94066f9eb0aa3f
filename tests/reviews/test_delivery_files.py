"""The files of a result leave with it: whole, as they were recorded, or not at all."""

import hashlib
import json
import os
from email import message_from_bytes, policy

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from jobs.models import Gate, Job, LibraryDocument, Result, ResultFile, Role, Status
from jobs.results import stored_hash
from reviews import channels, deadletters, outbox
from reviews.channels import email, folder
from reviews.models import Channel, Delivery, DeliveryState, Endpoint, Extent, Route
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory, approve
from tests.hostile import XSS
from tests.receiver import Receiver
from tests.reviews.test_outbox import HOLD, Killed, look, settle

pytestmark = pytest.mark.django_db

CSV = b"day,height\r\n1,4.2\n2,4.4\r\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    waiting = []
    monkeypatch.setattr(outbox, "async_task", lambda name, **kwargs: waiting.append(kwargs))
    return waiting


@pytest.fixture
def workspace():
    return WorkspaceFactory(slug="press")


@pytest.fixture
def operator(workspace):
    return UserFactory(workspace=workspace, roles=[Role.OPERATOR])


@pytest.fixture
def drop(settings, tmp_path):
    root = tmp_path / "drop"
    root.mkdir()
    settings.FILE_DROP_ROOT = str(root)
    return root


def add(result, content, name="heights.csv", kind="text/csv"):
    """Stored as the reading of an answer stores it."""
    row = ResultFile(
        result=result,
        position=result.files.count() + 1,
        name=name,
        content_type=kind,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    row.file.save(f"results/{row.sha256}", ContentFile(content))
    return row


def completed(workspace, *files, **more):
    """Approved with these files: (content, name, type)."""
    job = JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW, **more)
    result = Result.objects.get(attempt__job=job)
    for file in files or ((CSV,), (PNG, "tides.png", "image/png")):
        add(result, *file)
    made = stored_hash(result)
    Result.objects.filter(pk=result.pk).update(content_hash=made)
    Gate.objects.filter(job=job).update(content_hash=made)
    approve(Job.objects.get(pk=job.pk))
    return Job.objects.get(pk=job.pk)


def folder_route(workspace, **more):
    return Route.objects.create(workspace=workspace, channel=Channel.FOLDER, **more)


def mail_route(workspace, **more):
    return Route.objects.create(
        workspace=workspace, channel=Channel.EMAIL, recipients="a@example.com", **more
    )


def dropped(drop):
    """All that is there, hidden or not: name to content."""
    return {path.name: path.read_bytes() for path in drop.rglob("*") if path.is_file()}


def document(drop):
    [found] = [json.loads(body) for name, body in dropped(drop).items() if name.endswith(".json")]
    return found["data"]


def overwrite(file, content):
    path = default_storage.path(file.file.name)
    with open(path, "wb") as stored:
        stored.write(content)


def attached(mail):
    """As a mail program reads it: name to (type, content)."""
    read = message_from_bytes(mail.message().as_bytes(), policy=policy.default)
    return {
        part.get_filename(): (part.get_content_type(), part.get_payload(decode=True))
        for part in read.iter_attachments()
    }


# The file drop --------------------------------------------------------------------------------------


def test_a_file_drop_holds_the_files_and_says_which_is_which(queue, workspace, drop):
    folder_route(workspace)
    job = completed(workspace)
    look(queue, NOW + HOLD)
    assert Delivery.objects.get().state == DeliveryState.DELIVERED
    there, said = dropped(drop), document(drop)["result"]["files"]
    assert [file["name"] for file in said] == ["heights.csv", "tides.png"]
    for file, content in zip(said, (CSV, PNG), strict=True):
        assert there[file["path"]] == content
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["path"].startswith(job.ref)
    assert len(there) == 4, "the document, its Markdown, two files, and nothing left over"


def test_the_document_appears_last_and_what_it_names_is_there(queue, workspace, drop, monkeypatch):
    folder_route(workspace)
    completed(workspace)
    moved = []

    def replace(source, target):
        moved.append(os.fspath(target))
        real(source, target)

    real = os.replace
    monkeypatch.setattr(folder.os, "replace", replace)
    look(queue, NOW + HOLD)
    assert len(moved) == 4 and moved[-1].endswith(".json")


@pytest.mark.parametrize("moves", [0, 1, 2, 3])
def test_a_file_drop_that_dies_leaves_no_document_and_is_whole_afterwards(
    queue, workspace, drop, monkeypatch, moves
):
    folder_route(workspace)
    completed(workspace)
    left = iter(range(moves))

    def replace(source, target):
        if next(left, None) is None:
            raise Killed
        real(source, target)

    real = os.replace
    with monkeypatch.context() as dying:
        dying.setattr(folder.os, "replace", replace)
        with pytest.raises(Killed):
            look(queue, NOW + HOLD)
    assert not [name for name in dropped(drop) if name.endswith(".json")]
    settle(queue, Delivery.objects.get(), NOW + HOLD)
    assert len(dropped(drop)) == 4
    assert {file["path"] for file in document(drop)["result"]["files"]} <= dropped(drop).keys()


def test_what_a_killed_try_left_half_written_is_swept_away(queue, workspace, drop):
    """As `kill -9` leaves it: nobody has tidied up."""
    folder_route(workspace)
    job = completed(workspace)
    place = drop / "press" / job.job_type.slug
    for key in (Delivery.objects.get().pk, "another"):
        half = place / f".{key}.abc.part"
        half.mkdir(parents=True)
        (half / "x.part").write_bytes(PNG)
    look(queue, NOW + HOLD)
    assert [path.name for path in place.iterdir() if path.is_dir()] == [".another.abc.part"]


def test_what_is_being_written_looks_like_no_document(queue, workspace, drop, monkeypatch):
    folder_route(workspace)
    completed(workspace)
    seen = []

    def replace(source, target):
        seen.extend(path.name for path in drop.rglob("*.json"))
        real(source, target)

    real = os.replace
    monkeypatch.setattr(folder.os, "replace", replace)
    look(queue, NOW + HOLD)
    assert seen == []


def test_a_link_takes_no_files_along(queue, workspace, drop, mailoutbox):
    folder_route(workspace, extent=Extent.LINK)
    mail_route(workspace, extent=Extent.LINK)
    completed(workspace)
    for _ in range(2):
        look(queue, NOW + HOLD)
    assert len(dropped(drop)) == 1 and "result" not in document(drop)
    assert attached(mailoutbox[0]) == {}


NAMES = [
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/absolute",
    ".hidden",
    "",
    "..",
    "a\nb;rm -rf $HOME `x`.csv",
    "\u202efdp.exe",
    "CON",
    "é" * 250,
    "漢" * 200 + ".csv",
    f"x.{'y' * 200}",
    *(payload[:255] for payload in XSS[:5]),
]


def test_no_name_leads_anywhere_or_is_too_long(queue, workspace, drop):
    folder_route(workspace)
    job = completed(workspace, *((f"{n}".encode(), name) for n, name in enumerate(NAMES)))
    look(queue, NOW + HOLD)
    place = drop / "press" / job.job_type.slug
    said = document(drop)["result"]["files"]
    assert [file["name"] for file in said] == NAMES
    for number, file in enumerate(said):
        name = file["path"]
        assert (place / name).read_bytes() == str(number).encode()
        assert all(c.isalnum() or c in "._-" for c in name), name
        assert len(name.encode()) < 250
    assert len({file["path"].casefold() for file in said}) == len(NAMES)
    assert {path.parent for path in drop.rglob("*") if path.is_file()} == {place}


# What does not match never leaves -----------------------------------------------------------------


@pytest.mark.parametrize("content", [CSV[:-1], CSV + b"3,9\n", CSV.replace(b"4.2", b"9.9"), b""])
@pytest.mark.parametrize("route", [folder_route, mail_route])
def test_a_file_that_is_not_what_was_recorded_is_never_sent(
    queue, workspace, drop, mailoutbox, operator, route, content
):
    route(workspace)
    job = completed(workspace)
    file = ResultFile.objects.get(result__attempt__job=job, position=1)
    overwrite(file, content)
    look(queue, NOW + HOLD)
    row = Delivery.objects.get()
    assert (row.state, row.in_doubt) == (DeliveryState.DEAD, False)
    assert row.last_error == (
        "The stored file heights.csv is not what was recorded with the result. It must not leave."
    )
    assert (dropped(drop), mailoutbox) == ({}, [])
    # Mended, it is sent on demand.
    overwrite(file, CSV)
    deadletters.retry(row.pk, actor=operator, reason="Restored.", now=NOW + HOLD)
    look(queue, NOW + HOLD)
    assert Delivery.objects.get().state == DeliveryState.DELIVERED
    assert dropped(drop) or mailoutbox


@pytest.mark.parametrize("route", [folder_route, mail_route])
def test_a_file_that_is_away_is_waited_for(queue, workspace, drop, mailoutbox, route):
    route(workspace)
    job = completed(workspace)
    file = ResultFile.objects.get(result__attempt__job=job, position=2)
    default_storage.delete(file.file.name)
    look(queue, NOW + HOLD)
    row = Delivery.objects.get()
    assert (row.state, row.in_doubt) == (DeliveryState.WAITING, False)
    assert "tides.png" in row.last_error and row.last_error.endswith(".")
    assert (dropped(drop), mailoutbox) == ({}, [])
    default_storage.save(file.file.name, ContentFile(PNG))
    settle(queue, row, NOW + HOLD)
    assert row.state == DeliveryState.DELIVERED


def test_what_leaves_is_what_stood_there_as_it_began(queue, workspace, drop, monkeypatch):
    """Whoever changes the rows after the check changes nothing of what leaves."""
    folder_route(workspace)
    completed(workspace)
    real = channels.send

    def send(content, **kwargs):
        other = add(Result.objects.get(), b"other", "other.csv")
        ResultFile.objects.filter(position=1).update(
            sha256=other.sha256, size=5, file=other.file.name, name="changed.csv"
        )
        return real(content, **kwargs)

    monkeypatch.setattr(channels, "send", send)
    look(queue, NOW + HOLD)
    said = document(drop)["result"]["files"]
    assert [file["name"] for file in said] == ["heights.csv", "tides.png"]
    assert dropped(drop)[said[0]["path"]] == CSV


# E-mail ---------------------------------------------------------------------------------------------


def test_a_mail_carries_the_files_byte_by_byte(queue, workspace, mailoutbox):
    mail_route(workspace)
    completed(workspace)
    look(queue, NOW + HOLD)
    [mail] = mailoutbox
    assert attached(mail) == {
        "heights.csv": ("text/csv", CSV),
        "tides.png": ("image/png", PNG),
    }
    for content in (CSV, PNG):
        assert hashlib.sha256(content).hexdigest() in mail.body
    assert "not attached" not in mail.body


def test_a_mail_without_files_says_nothing_of_files(queue, workspace, mailoutbox):
    mail_route(workspace)
    JobFactory(workspace=workspace, status=Status.COMPLETED)
    look(queue, NOW + HOLD)
    assert "ttached" not in mailoutbox[0].body and attached(mailoutbox[0]) == {}


def test_what_is_too_much_for_a_mail_is_named_with_the_jobs_page(
    queue, workspace, mailoutbox, monkeypatch, settings
):
    settings.SITE_URL = "https://jobs.example.com"
    monkeypatch.setattr(email, "MOST_ATTACHED", len(PNG) + 1)
    mail_route(workspace)
    job = completed(workspace, (PNG, "tides.png", "image/png"), (CSV,), (b"1", "one.txt"))
    look(queue, NOW + HOLD)
    [mail] = mailoutbox
    assert list(attached(mail)) == ["tides.png", "one.txt"], "what still fits goes along"
    said = mail.body.partition("Not attached")[2]
    assert "heights.csv" in said and f"{len(PNG) + 1:,} bytes" in said
    assert f"https://jobs.example.com{job.get_absolute_url()}" in said
    assert "tides.png" not in said


def test_no_name_of_a_file_can_write_into_a_mail(queue, workspace, mailoutbox):
    mail_route(workspace)
    hostile = "a.csv\r\nBcc: b@example.com\r\n\r\n--x\u202e\nApproved by nobody."
    completed(workspace, (CSV, hostile, "text/csv\r\nX-Evil: 1"), (PNG, "b.html", "text/html"))
    look(queue, NOW + HOLD)
    [mail] = mailoutbox
    assert "\nApproved by nobody." not in mail.body and "\u202e" not in mail.body
    read = message_from_bytes(mail.message().as_bytes(), policy=policy.default)
    parts = list(read.iter_attachments())
    assert [part.get_content_type() for part in parts] == ["application/octet-stream"] * 2
    for part in (read, *parts):
        assert not {"bcc", "x-evil"} & {name.lower() for name in part}
    assert all(part.get_content_disposition() == "attachment" for part in parts)
    assert parts[0].get_payload(decode=True) == CSV


# The others -----------------------------------------------------------------------------------------


def test_a_webhook_names_the_files_and_leads_to_their_page(queue, workspace, settings):
    settings.WEBHOOKS_WITHIN, settings.SITE_URL = True, "https://jobs.example.com"
    receiver = Receiver()
    try:
        endpoint = Endpoint.objects.create(workspace=workspace, name="CMS", url=receiver.url)
        Route.objects.create(workspace=workspace, channel=Channel.WEBHOOK, endpoint=endpoint)
        job = completed(workspace)
        look(queue, NOW + HOLD)
        [(_headers, body)] = receiver.got
    finally:
        receiver.close()
    data = json.loads(body)["data"]
    assert data["url"] == f"https://jobs.example.com{job.get_absolute_url()}"
    assert data["result"]["files"][0] == {
        "name": "heights.csv",
        "content_type": "text/csv",
        "size": len(CSV),
        "sha256": hashlib.sha256(CSV).hexdigest(),
    }


def test_the_library_takes_the_text_alone(queue, workspace):
    Route.objects.create(workspace=workspace, channel=Channel.LIBRARY)
    completed(workspace)
    look(queue, NOW + HOLD)
    assert LibraryDocument.objects.count() == 1


# Two routes to one folder ----------------------------------------------------------------------------


@pytest.mark.parametrize("extents", [("whole", "link"), ("link", "whole")])
def test_two_file_drops_of_one_folder_write_it_once_and_whole(queue, workspace, drop, extents):
    for extent in extents:
        folder_route(workspace, extent=extent)
    completed(workspace)
    look(queue, NOW + HOLD)
    assert Delivery.objects.get().extent == Extent.WHOLE
    assert document(drop)["result"]["text"]


def test_a_second_file_drop_into_a_folder_is_refused(workspace, drop):
    job_type, other = JobTypeFactory(), JobTypeFactory()
    kept = folder_route(workspace, job_type=job_type)
    kept.full_clean()
    Route(workspace=workspace, channel=Channel.FOLDER, job_type=other).full_clean()
    Route(workspace=WorkspaceFactory(), channel=Channel.FOLDER, job_type=job_type).full_clean()
    Route(workspace=workspace, channel=Channel.FOLDER, enabled=False).full_clean()
    for twice in (job_type, None):
        with pytest.raises(ValidationError, match="writes into the same folder"):
            Route(workspace=workspace, channel=Channel.FOLDER, job_type=twice).full_clean()
    follows = JobTypeFactory(follows=True)
    kept.delete()
    folder_route(workspace)
    Route(workspace=workspace, channel=Channel.FOLDER, job_type=follows).full_clean()
