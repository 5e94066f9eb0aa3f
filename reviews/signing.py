"""The secrets of webhook endpoints. They are made when they are needed, and stored nowhere."""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F

from reviews.models import Endpoint

#: How long the secret before is good after a rotation.
OVERLAP = timedelta(days=3)


def secrets(endpoint: Endpoint, *, now: datetime) -> list[str]:
    """Those that are good, the newest first."""
    serials = [endpoint.serial]
    if endpoint.previous_until and now < endpoint.previous_until:
        serials.append(endpoint.serial - 1)
    return [_secret(endpoint, serial) for serial in serials]


def secrets_at(url: str, workspace: int, *, now: datetime) -> list[str]:
    """Those of a workspace's endpoints that have just this address and are switched on."""
    found = Endpoint.objects.filter(workspace=workspace, url=url, enabled=True).order_by("name")
    return [secret for endpoint in found for secret in secrets(endpoint, now=now)]


def rotate(endpoint: Endpoint, *, now: datetime) -> bool:
    """Make a new secret; the one of now is good for `OVERLAP`. False where somebody was first."""
    moved = Endpoint.objects.filter(pk=endpoint.pk, serial=endpoint.serial).update(
        serial=F("serial") + 1, previous_until=now + OVERLAP
    )
    if moved:
        endpoint.refresh_from_db()
        # So that its history tells of it: an update does not.
        endpoint.save(update_fields=["serial", "previous_until"])
    return bool(moved)


def _secret(endpoint: Endpoint, serial: int) -> str:
    named = f"{endpoint.pk}:{serial}".encode()
    made = hmac.new(settings.ENDPOINT_KEY.encode(), named, hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(made).decode()
