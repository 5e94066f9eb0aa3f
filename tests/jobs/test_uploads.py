"""Staged files: kept for a form, and gone in the end whatever happens in between."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.core.files.storage import default_storage

from jobs import uploads
from jobs.documents import Upload
from jobs.inputs import BadInput
from jobs.models import Job, Role, StagedUpload
from tests.factories import NOW, JobTypeFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def place():
    workspace = WorkspaceFactory()
    return {
        "owner": UserFactory(workspace=workspace, roles=[Role.REQUESTER]),
        "workspace": workspace,
        "job_type": JobTypeFactory(),
    }


def stage(place, name="a.txt", content=b"words", now=NOW):
    return uploads.stage(Upload(name, content), now=now, **place)


def submit(place, rows, **kwargs):
    return uploads.submit_staged(
        place["job_type"],
        staged=rows,
        requester=place["owner"],
        workspace=place["workspace"],
        input={},
        idempotency_key="k",
        **{"now": NOW, **kwargs},
    )


def files():
    return [path for path in settings.MEDIA_ROOT.rglob("staged/*") if path.is_file()]


def test_what_nobody_submitted_is_deleted_after_a_day(place):
    stage(place)
    assert uploads.delete_expired(NOW + DAY - timedelta(seconds=1)) == 0
    assert uploads.delete_expired(NOW + DAY) == 1
    assert (StagedUpload.objects.count(), files()) == (0, [])


def test_what_was_submitted_is_deleted_an_hour_later_and_its_document_stays(place):
    job = submit(place, [stage(place)]).job
    uploads.delete_expired(NOW + timedelta(hours=1))
    assert files() == []
    with job.documents.get().file.open() as file:
        assert file.read() == b"words"


def test_a_submit_that_failed_leaves_the_files_where_they_are(place):
    row = stage(place)
    other = place | {"job_type": JobTypeFactory(enabled=False)}
    with pytest.raises(BadInput):
        submit(other, [row])
    row.refresh_from_db()
    assert row.used_at is None
    assert not Job.objects.exists()


def test_a_batch_has_a_limit_and_the_oldest_go_first(place):
    rows = [stage(place, now=NOW + timedelta(minutes=n)) for n in (2, 0, 1)]
    assert uploads.delete_expired(NOW + 2 * DAY, limit=2) == 2
    assert StagedUpload.objects.get() == rows[0]


def test_a_crash_between_row_and_file_leaves_nothing_for_good(place, monkeypatch):
    # Before the file was written: the process died, so nothing was tidied up.
    row = stage(place)
    default_storage.delete(row.path)
    # After the file was deleted.
    other = stage(place)
    monkeypatch.setattr(StagedUpload, "delete", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        uploads.remove(other)
    assert StagedUpload.objects.count() == 2
    assert uploads.delete_expired(NOW + DAY) == 2
    assert (StagedUpload.objects.count(), files()) == (0, [])


def test_a_file_that_cannot_be_stored_leaves_no_row(place, monkeypatch):
    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(default_storage, "save", full)
    with pytest.raises(OSError):
        stage(place)
    assert not StagedUpload.objects.exists()


def test_a_file_that_cannot_be_deleted_holds_up_no_other(place, monkeypatch):
    stuck, _free = stage(place), stage(place, now=NOW + timedelta(minutes=1))
    delete = default_storage.delete

    def refuses(path):
        if path == stuck.path:
            raise PermissionError
        delete(path)

    monkeypatch.setattr(default_storage, "delete", refuses)
    assert uploads.delete_expired(NOW + 2 * DAY) == 1
    assert uploads.delete_expired(NOW + 2 * DAY) == 0
    monkeypatch.undo()
    assert uploads.delete_expired(NOW + 2 * DAY + timedelta(hours=1)) == 1
    assert files() == []


@pytest.mark.parametrize("gone", ["owner", "job_type", "workspace"])
def test_a_file_whose_owner_or_place_is_deleted_is_nobodys_and_still_goes(gone, place):
    row = stage(place)
    place["job_type"].current_version = None
    place["job_type"].save()
    place[gone].delete()
    row.refresh_from_db()
    assert getattr(row, gone) is None
    assert uploads.delete_expired(NOW + DAY) == 1
    assert files() == []


def test_the_engine_deletes_what_has_waited_long_enough(place, driver):
    stage(place, now=driver.clock() - DAY)
    driver.tick()
    assert (StagedUpload.objects.count(), files()) == (0, [])
