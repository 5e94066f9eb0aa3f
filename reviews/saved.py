"""Views of the inbox that somebody kept under a name."""

from collections.abc import Sequence

from django.db import IntegrityError, transaction

from jobs.models import User, Workspace
from jobs.text import clean
from reviews.models import SavedView

#: Of one person in one workspace.
MOST = 50
LONGEST_NAME = 60


class NotSaved(ValueError):
    """The name cannot be had, or there are enough views already: the message says which."""


def views(user: User, workspace: Workspace) -> Sequence[SavedView]:
    return list(SavedView.objects.filter(user=user, workspace=workspace)[:MOST])


def save(user: User, workspace: Workspace, *, name: str, query: str) -> SavedView:
    """Keep `query` under `name`. `query` is as the inbox's form has read and written it again.
    Raises `NotSaved`."""
    named = _named(name)
    if len(query) > 1_000:
        raise NotSaved("This view asks for too much at once to be saved.")
    with transaction.atomic():
        # One after the other, so that nobody gets past the most.
        User.objects.select_for_update().get(pk=user.pk)
        mine = SavedView.objects.filter(user=user, workspace=workspace)
        if mine.count() >= MOST:
            raise NotSaved(f"{MOST} views are the most. Delete one that you no longer need.")
        if mine.filter(name=named).exists():
            raise NotSaved(f"You have a view “{named}” already. Take another name.")
        return SavedView.objects.create(user=user, workspace=workspace, name=named, query=query)


def change(view: SavedView, *, name: str | None = None, query: str | None = None) -> None:
    """Another name, or another query, for a view. Raises `NotSaved`."""
    if query is not None and len(query) > 1_000:
        raise NotSaved("This view asks for too much at once to be saved.")
    new = {"query": query} if query is not None else {}
    if name is not None:
        new["name"] = _named(name)
    try:
        with transaction.atomic():
            SavedView.objects.filter(pk=view.pk).update(**new)
    except IntegrityError as error:
        raise NotSaved(f"You have a view “{new['name']}” already. Take another name.") from error


def delete(view: SavedView) -> None:
    SavedView.objects.filter(pk=view.pk).delete()


def _named(name: str) -> str:
    line = " ".join(str(clean(name)).split())
    if not line:
        raise NotSaved("A view needs a name.")
    if len(line) > LONGEST_NAME:
        raise NotSaved(f"A name can have {LONGEST_NAME} characters at most.")
    return line
