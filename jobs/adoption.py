"""Responses that a webhook or an operator named, and that no turn has: looked up, and taken in by the
turn that their metadata names."""

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from jobs import lifecycle, outcomes, policy
from jobs.actions import NAMED_BY_OPERATOR
from jobs.lifecycle import Reason
from jobs.models import Attempt, Turn, Verb, WebhookReceipt
from jobs.outage import database_is_away
from jobs.provider.client import Provider
from jobs.provider.errors import NotFound
from jobs.provider.payloads import ProviderResponse

logger = logging.getLogger(__name__)

#: Looks at a response that cannot be found or taken in.
MOST_LOOKS = 12


def call(receipt: WebhookReceipt, provider: Provider, now: datetime) -> Any:
    """The lookup of a claimed receipt's response, or None where its turn is known by now."""
    known = Turn.objects.filter(response_id=receipt.response_id).first()
    if known is None:
        gives_up = receipt.failures >= policy.FILE_TRIES
        return provider.retrieve(receipt.response_id, give_up_on_files=gives_up)
    # The create was answered in the meantime.
    Attempt.objects.filter(pk=known.attempt_id, ended_at=None).update(next_check_at=now)
    _close(receipt, "known", now)
    return None


def answered(
    receipt_id: str,
    response: ProviderResponse | None,
    error: BaseException | None,
    *,
    now: datetime,
) -> None:
    """Take the response in, or look again later."""
    receipt = WebhookReceipt.objects.get(pk=receipt_id)
    if response is not None:
        try:
            turn = _turn_named_by(response)
            if turn is None:
                _close(receipt, "not ours", now)
            else:
                taken = outcomes.accepted(turn.pk, response, now=now, adopted=True)
                _close(receipt, "adopted" if taken else "second response", now)
            return
        except Exception as fault:
            if database_is_away(fault):
                raise
            logger.exception("the response %s could not be adopted", response.id)
    elif isinstance(error, NotFound) and receipt.failures:
        _close(receipt, "not found", now)
        return
    failures = receipt.failures + 1
    if failures >= MOST_LOOKS:
        _close(receipt, "given up", now)
    else:
        WebhookReceipt.objects.filter(pk=receipt.pk).update(
            failures=failures,
            next_check_at=now + policy.lookup_delay(failures),
            **lifecycle.LET_GO,
        )


def _turn_named_by(response: ProviderResponse) -> Turn | None:
    """The turn that a response's metadata names, if the job and the attempt fit."""
    named = response.metadata
    try:
        turn_id = UUID(str(named.get("turn", "")))
    except ValueError:
        return None
    turn = Turn.objects.select_related("attempt").filter(pk=turn_id).first()
    if turn is None:
        return None
    ours = (str(turn.attempt.job_id), str(turn.attempt_id))
    return turn if (named.get("job"), named.get("attempt")) == ours else None


def _close(receipt: WebhookReceipt, outcome: str, now: datetime) -> None:
    WebhookReceipt.objects.filter(pk=receipt.pk).update(
        outcome=outcome, next_check_at=None, **lifecycle.LET_GO
    )
    if outcome in ("adopted", "known") or not receipt.webhook_id.startswith(NAMED_BY_OPERATOR):
        return
    named = receipt.webhook_id.removeprefix(NAMED_BY_OPERATOR)[:36]
    text = f"The response {receipt.response_id} that an operator named is of no use: {outcome}."
    with lifecycle.locked(UUID(named)) as job:
        reason = Reason("named_response_unusable", text)
        lifecycle.record(job, Verb.WAITING, now=now, reason=reason)
