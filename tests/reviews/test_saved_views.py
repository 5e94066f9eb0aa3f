"""Saved views: one's own, under a name, with nothing in them that the inbox could not read."""

import pytest
from django.urls import reverse

from jobs.models import Role
from reviews import saved
from reviews.models import SavedView
from tests.factories import UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def workspace():
    return WorkspaceFactory(slug="quality")


@pytest.fixture
def ruth(workspace, client):
    user = UserFactory(username="ruth", workspace=workspace, roles=[Role.REVIEWER])
    client.force_login(user)
    return user


def save(client, query, name="Mine alone", **more):
    url = reverse("reviews:view_save", args=["quality"])
    return client.post(url, {"name": name, "query": query, **more}, follow=True)


def look(client, query=""):
    return client.get(f"/w/quality/reviews/?{query}").content.decode()


def test_a_view_is_kept_and_leads_back_to_what_it_shows(client, ruth):
    page = save(client, "warnings=yes&tab=overdue", "  Late   ones ").content.decode()
    view = SavedView.objects.get()
    assert (view.name, view.query) == ("Late ones", "tab=overdue&warnings=yes")
    assert "The view “Late ones” is saved." in page
    assert 'class="chip chip-on"' in page
    assert "Late ones" in look(client)


def test_what_is_kept_is_what_the_inbox_would_write(client, ruth):
    hostile = 'kind=output&next=//evil.example&q="><script>alert(1)</script>&tab=waiting&after=x'
    save(client, hostile)
    view = SavedView.objects.get()
    assert "evil" not in view.query and "after" not in view.query and "<" not in view.query
    assert "<script>alert" not in look(client)


@pytest.mark.parametrize("query", ["level=x", "tab=secret", "requester=nemo", "type=%00"])
def test_what_cannot_be_read_is_not_kept(client, ruth, query):
    assert "once its filters can be read" in save(client, query).content.decode()
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("  ", "A view needs a name."), ("x" * 61, "60 characters at most")],
)
def test_a_name_says_something_and_is_not_long(client, ruth, name, said):
    assert said in save(client, "kind=output", name).content.decode()
    assert not SavedView.objects.exists()


def test_a_name_is_taken_once_by_each_person(client, ruth, workspace):
    save(client, "kind=output", "Results")
    assert (
        "You have a view “Results” already." in save(client, "level=2", "Results").content.decode()
    )
    assert SavedView.objects.get().query == "kind=output"
    other = UserFactory(workspace=workspace, roles=[Role.LEAD])
    client.force_login(other)
    assert "Results" not in look(client)
    save(client, "level=2", "Results")
    assert SavedView.objects.count() == 2


def test_there_is_a_most(client, ruth, monkeypatch):
    monkeypatch.setattr(saved, "MOST", 2)
    for name in "ab":
        save(client, "kind=output", name)
    assert "2 views are the most." in save(client, "kind=output", "c").content.decode()


def test_a_changed_view_says_so_and_can_be_saved_like_that(client, ruth):
    save(client, "kind=output", "Results")
    view = SavedView.objects.get()
    page = look(client, f"kind=output&warnings=yes&view={view.pk}")
    assert "changed" in page
    assert "Save “Results” like this" in page
    save(client, "kind=output&warnings=yes", "", view=view.pk)
    view.refresh_from_db()
    assert view.query == "kind=output&warnings=yes"


def test_it_is_renamed_and_deleted_after_being_asked(client, ruth):
    save(client, "kind=output", "Results")
    save(client, "level=2", "Lifted")
    view = SavedView.objects.get(name="Results")
    edit = reverse("reviews:view_edit", args=["quality", view.pk])
    assert "Rename “Results”" in client.get(edit).content.decode()
    taken = client.post(edit, {"name": "Lifted"})
    assert taken.status_code == 422 and "already" in taken.content.decode()
    client.post(edit, {"name": "Outputs"})
    view.refresh_from_db()
    assert view.name == "Outputs"
    delete = reverse("reviews:view_delete", args=["quality", view.pk])
    assert "Delete the view “Outputs”?" in client.get(delete).content.decode()
    assert SavedView.objects.count() == 2, "being asked deletes nothing"
    client.post(delete)
    assert SavedView.objects.get().name == "Lifted"


def test_somebody_elses_view_is_not_there(client, ruth, workspace):
    other = UserFactory(workspace=workspace, roles=[Role.LEAD])
    view = SavedView.objects.create(user=other, workspace=workspace, name="A", query="")
    for name in ("view_edit", "view_delete"):
        url = reverse(f"reviews:{name}", args=["quality", view.pk])
        assert client.get(url).status_code == client.post(url).status_code == 404
    assert save(client, "level=2", "", view=view.pk).status_code == 404
    assert SavedView.objects.get().query == ""
