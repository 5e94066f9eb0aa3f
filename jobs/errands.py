"""Due rows beside the attempts, and the calls that they need: documents on their way, running
responses that are followed, responses that somebody named."""

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from jobs import adoption, copies, lifecycle, live
from jobs.models import LiveText, ProviderFile, ProviderStore, WebhookReceipt
from jobs.models.due import DueRow
from jobs.outage import database_is_away
from jobs.provider.client import Provider

logger = logging.getLogger(__name__)

#: A row that breaks the sweep is put off by this much, doubled each time, up to an hour. Seconds.
POISON_PAUSE = 30.0


@dataclass(frozen=True)
class Kind:
    """Due rows beside the attempts: `call` makes the provider call that a claimed row needs, or
    None, and `answered` writes down what came of it. One sweep makes at most `most` at a time."""

    model: type[DueRow]
    related: tuple[str, ...]
    call: Callable[[Any, Provider, datetime], Coroutine[Any, Any, Any] | None]
    answered: Callable[..., None]
    most: int


#: An upload holds a document of up to 20 MB, so few are made at once.
KINDS = (
    Kind(ProviderFile, ("job", "document"), copies.file_call, copies.file_answered, most=4),
    Kind(ProviderStore, ("job",), copies.store_call, copies.store_answered, most=4),
    Kind(LiveText, ("turn__attempt",), live.call, live.answered, most=24),
    Kind(WebhookReceipt, (), adoption.call, adoption.answered, most=16),
)


@dataclass
class Errand:
    """The call of a due row on its way."""

    kind: Kind
    row_id: Any


class PoisonKeptApart:
    """A row whose handling breaks is logged and put off, so that it cannot stop the others."""

    def __init__(self, model: type[DueRow], row_id: Any, clock: Callable[[], datetime]) -> None:
        self.rows = model._default_manager.filter(pk=row_id)
        self.clock = clock

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        # A database that is away is no fault of the row: what came back is written again later.
        if not isinstance(error, Exception) or database_is_away(error):
            return False
        row: Any = self.rows.get()
        logger.error("%s %s could not be handled", row._meta.verbose_name, row.pk, exc_info=error)
        pause = min(POISON_PAUSE * 2 ** min(row.failures, 7), 3600.0)
        self.rows.update(
            failures=F("failures") + 1,
            next_check_at=self.clock() + timedelta(seconds=pause),
            **lifecycle.LET_GO,
        )
        return True
