"""Notes for colleagues, and what is asked of everybody's words."""

from datetime import datetime

from django.db import transaction

from jobs.access import Action, require
from jobs.models import Job, User
from jobs.text import clean
from reviews import mentions
from reviews.models import ReviewerNote

#: Characters. Pages show every note of a job.
LONGEST_NOTE = 10_000


class NoteMissing(ValueError):
    """The ruling, or the note itself, needs words, or fewer of them."""


def write_note(job: Job, *, author: User, text: str, now: datetime) -> ReviewerNote:
    """A note for colleagues; those who are named in it are told (`reviews.signals.mentioned`).
    Raises `jobs.access.NotAllowed` and `NoteMissing`."""
    require(author, job, Action.NOTE)
    if not text.strip():
        raise NoteMissing("A note needs words.")
    check_length(text)
    text = clean(text)
    with transaction.atomic():
        note = ReviewerNote.objects.create(job=job, author=author, text=text, created_at=now)
        mentions.announce(note, text=text, author=author, job=job)
    return note


def check_length(note: str) -> None:
    if len(note) > LONGEST_NOTE:
        said = f"A note can have {LONGEST_NOTE:,} characters at most; this one has {len(note):,}."
        raise NoteMissing(said)
