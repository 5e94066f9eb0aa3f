"""What the queue runs. Any of these may be lost, run twice or run late: the rows stay due."""

from uuid import UUID

from django.utils import timezone


def tell(*, occurrences: list[int]) -> None:
    """Tell people of what happened."""
    from reviews import notices

    notices.tell(occurrences, clock=timezone.now)


def send_letters(*, letters: list[str]) -> None:
    """Send letters that are due, one after the other."""
    from reviews import mailing

    mailing.send([UUID(letter) for letter in letters], clock=timezone.now)


def deliver(*, delivery_id: str, token: str) -> None:
    """Send a delivery that was claimed; nothing where the claim has passed to somebody else."""
    from reviews import outbox

    outbox.work(UUID(delivery_id), UUID(token), clock=timezone.now)


def work_bulk(*, action_id: str) -> None:
    """Decide the next items of a bulk action."""
    from reviews import bulk

    bulk.work(UUID(action_id), clock=timezone.now)
