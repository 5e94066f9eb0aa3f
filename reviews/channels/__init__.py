"""The ways out of the building. Each module sends one delivery, or says what became of that."""

from collections.abc import Callable, Mapping
from datetime import datetime

from reviews.channels import email, folder, library, webhook
from reviews.channels.outcomes import Passing, Permanent
from reviews.content import Content
from reviews.models import Channel

__all__ = ["Passing", "Permanent", "send"]

_SEND: Mapping[str, Callable[[Content, datetime], str]] = {
    Channel.EMAIL: email.send,
    Channel.WEBHOOK: webhook.send,
    Channel.LIBRARY: library.send,
    Channel.FOLDER: folder.send,
}


def send(content: Content, *, now: datetime) -> str:
    """Send it, once. Answers what the receiver said, in a few words. Raises `Passing` and
    `Permanent`."""
    return _SEND[content.delivery.channel](content, now)
