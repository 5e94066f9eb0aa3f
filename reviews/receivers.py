"""What happens by itself: who listens to what other parts say."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from jobs.models import Event, Job, Membership, User, Workspace
from jobs.operations.health import Finding
from jobs.signals import (
    asked_to_reopen,
    asked_to_sign,
    asked_what_is_wrong,
    looked_around,
    recorded,
)
from reviews import bulk, deliveries, dispatch, ladder, mailing, notices, outbox, signing
from reviews.models import Decision, ReviewerNote
from reviews.signals import mentioned


@receiver(recorded)
def plan_deliveries(job: Job, event: Event, **kwargs: Any) -> None:
    deliveries.follow(job, event)


@receiver(recorded)
def take_down_what_happened(job: Job, event: Event, **kwargs: Any) -> None:
    notices.take_down(job, event)


@receiver(post_save, sender=Membership)
def ask_anew_where_a_role_was_changed(instance: Membership, created: bool, **kwargs: Any) -> None:
    if not created:
        notices.take_down_lapses(instance.user, instance.workspace, now=timezone.now())


@receiver(post_delete, sender=Membership)
def ask_anew_where_a_role_was_taken(instance: Membership, **kwargs: Any) -> None:
    notices.take_down_lapses(instance.user, instance.workspace, now=timezone.now())


@receiver(post_save, sender=User)
def ask_anew_where_an_account_was_switched_off(instance: User, **kwargs: Any) -> None:
    if not instance.is_active:
        notices.take_down_lapses(instance, None, now=timezone.now())


@receiver(mentioned)
def take_down_a_mention(
    note: ReviewerNote | Decision, author: User, people: Iterable[User], job: Job, **kwargs: Any
) -> None:
    notices.take_down_mention(note, author, people, job)


@receiver(asked_to_reopen)
def say_what_has_left(job: Job, **kwargs: Any) -> str:
    return deliveries.why_not_reopened(job)


@receiver(asked_to_sign)
def give_secrets_of_endpoints(workspace: int, url: str, now: datetime, **kwargs: Any) -> list[str]:
    return signing.secrets_at(url, workspace, now=now)


@receiver(asked_what_is_wrong)
def say_what_was_not_delivered(workspace: Workspace | None, **kwargs: Any) -> list[Finding]:
    return dispatch.findings(workspace)


@receiver(looked_around)
def look_after_reviews(now: datetime, **kwargs: Any) -> None:
    ladder.look_after(now)


@receiver(looked_around)
def hand_out_deliveries(now: datetime, **kwargs: Any) -> None:
    outbox.hand_out(now)


@receiver(looked_around)
def hand_out_notices(now: datetime, **kwargs: Any) -> None:
    notices.hand_out(now)


@receiver(looked_around)
def hand_out_letters(now: datetime, **kwargs: Any) -> None:
    mailing.hand_out(now)


@receiver(looked_around)
def revive_bulk(now: datetime, **kwargs: Any) -> None:
    bulk.revive(now)
