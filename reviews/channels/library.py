"""Into the library of the job's own workspace."""

from datetime import datetime

from jobs import library
from jobs.access import NotNow
from jobs.documents import Unusable
from reviews.channels.outcomes import Permanent
from reviews.content import Content


def send(content: Content, now: datetime) -> str:
    """The same content is there once, however often it is sent."""
    # Whoever let it out; where nobody had to, whoever asked for it.
    person = content.decision.actor if content.decision else content.job.requester
    try:
        kept = library.file_result(
            content.leaving.result,
            content.markdown,
            content.title,
            on_behalf_of=person,
            now=now,
        )
    except (Unusable, NotNow) as error:
        raise Permanent(str(error)) from error
    assert kept.document is not None
    return kept.document.ref
