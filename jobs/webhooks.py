"""The webhook door: verify, write down, answer. The engine does the rest."""

import logging
from datetime import datetime

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from jobs.models import Attempt, Turn, WebhookReceipt
from jobs.provider import webhooks

logger = logging.getLogger(__name__)

SIGNED_WITH = ("webhook-id", "webhook-timestamp", "webhook-signature")
#: Bytes. A webhook is thin: ids and a type.
LARGEST_BODY = 64 * 1024


@csrf_exempt
@login_not_required
@require_POST
def openai(request: HttpRequest) -> HttpResponse:
    """POST /webhooks/openai/. 200 for what is genuine, also when it came before; 400 for the rest."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if len(length) > 9 or not length.isdecimal() or int(length) > LARGEST_BODY:
        return _refused("too large")
    if not all(request.headers.get(name) for name in SIGNED_WITH):
        # Before the body is read: whoever has not even these may also be in no hurry to send it.
        return _refused("not signed")
    try:
        event = webhooks.verify(
            request.body, request.headers, secret=settings.OPENAI_WEBHOOK_SECRET
        )
    except webhooks.Rejected as error:
        return _refused(str(error))
    _write_down(event, request.body, now=timezone.now())
    return HttpResponse("ok", content_type="text/plain")


def _write_down(event: webhooks.WebhookEvent, body: bytes, *, now: datetime) -> None:
    """One receipt per webhook id. A known response becomes due; an unknown one is looked up."""
    with transaction.atomic():
        receipt, created = WebhookReceipt.objects.get_or_create(
            webhook_id=event.id,
            defaults={
                "event_type": event.type,
                "response_id": event.response_id,
                "body": body,
                "received_at": now,
                "outcome": "" if event.response_id else "not about a response",
                "next_check_at": now if event.response_id else None,
            },
        )
        if not created or not event.response_id:
            return
        turns = Turn.objects.filter(response_id=event.response_id)
        known = turns.only("attempt_id", "ended_at", "provider_status").first()
        if known is None:
            return
        receipt.next_check_at, receipt.outcome = None, "known"
        receipt.save(update_fields=["next_check_at", "outcome"])
        if known.ended_at is None or event.type != f"response.{known.provider_status}":
            Attempt.objects.filter(pk=known.attempt_id).update(next_check_at=now)


def _refused(why: str) -> HttpResponse:
    logger.warning("a webhook was refused: %s", why)
    return HttpResponse("refused", status=400, content_type="text/plain")
