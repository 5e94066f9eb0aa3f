"""One message to one address."""

import smtplib
import socket
from collections.abc import Sequence
from datetime import datetime
from email.encoders import encode_base64
from email.mime.base import MIMEBase

from django.conf import settings
from django.core.mail import EmailMessage

from jobs import outbound
from jobs.models import ResultFile
from jobs.rendering.files import content_type, download_name
from reviews.channels.files import pieces, shown
from reviews.channels.outcomes import Passing, Permanent
from reviews.content import Content
from reviews.models import Extent, address_fault

#: Characters of a result that a message holds.
MOST_TEXT = 200_000
#: Bytes of the files that a message carries, all together. On the way they are a third more.
MOST_ATTACHED = 10 * 1024 * 1024


def send(content: Content, now: datetime) -> str:
    address = content.delivery.target
    if not address:
        raise Permanent("Whoever it is for has no e-mail address.")
    if said := address_fault(address):
        raise Permanent(said)
    # The same delivery names the same message, so that a mailbox knows it again.
    message_id = f"<{content.key}@{outbound.mail_domain()}>"
    taken, left = _fitting(content.files)
    message = EmailMessage(
        f"{content.title} ({content.job.ref})",
        text(content, taken, left),
        settings.DEFAULT_FROM_EMAIL,
        [address],
        headers={
            "Message-ID": message_id,
            "X-Jobsite-Job": content.job.ref,
            "Auto-Submitted": "auto-generated",
        },
    )
    for file in taken:
        message.attach(_attachment(file))
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        code, said_by = next(iter(error.recipients.values()), (0, b""))
        _refused(code, said_by)
    except smtplib.SMTPResponseException as error:
        _refused(error.smtp_code, error.smtp_error)
    except (ConnectionRefusedError, socket.gaierror) as error:
        raise Passing("The mail server could not be reached.", left=False) from error
    except (OSError, smtplib.SMTPException) as error:
        raise Passing("The mail server broke off.", left=True) from error
    return message_id


def _fitting(files: Sequence[ResultFile]) -> tuple[list[ResultFile], list[ResultFile]]:
    """Those that a message carries, as many as fit in their order, and the others."""
    taken, left, room = [], [], MOST_ATTACHED
    for file in files:
        if file.size <= room:
            room -= file.size
            taken.append(file)
        else:
            left.append(file)
    return taken, left


def _attachment(file: ResultFile) -> MIMEBase:
    """In base64 whatever it is: as text, its line breaks would not arrive as they were."""
    part = MIMEBase(*content_type(file.content_type).split("/"))
    part.set_payload(b"".join(pieces(file)))
    encode_base64(part)
    name = ("utf-8", "", download_name(file.name))
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part


def text(content: Content, taken: Sequence[ResultFile], left: Sequence[ResultFile]) -> str:
    """Plain text: whatever a result holds, no mail program runs it."""
    job, decision = content.job, content.decision
    lines = [
        content.title,
        "",
        f"{job.job_type}, {job.ref}, requested by {job.requester}.",
        f"Approved by {decision.actor}, {decision.at:%d %b %Y %H:%M} UTC."
        if decision
        else "Completed without a review, as its type has it.",
    ]
    if content.url:
        lines.append(content.url)
    if content.delivery.extent == Extent.WHOLE:
        whole = content.markdown
        lines += ["", "-" * 40, "", whole[:MOST_TEXT]]
        if len(whole) > MOST_TEXT:
            lines.append(
                f"… and {len(whole) - MOST_TEXT:,} more characters, on the page of the job."
            )
    if taken:
        lines += ["", "Attached:", *map(_line, taken)]
    if left:
        most = f"as a message carries {MOST_ATTACHED:,} bytes of files at most"
        where = f": {content.url}" if content.url else "."
        lines += ["", f"Not attached, {most}. They are on the page of {job.ref}{where}"]
        lines += map(_line, left)
    lines += ["", f"SHA-256 of the content: {content.leaving.content_hash}"]
    return "\n".join(lines)


def _line(file: ResultFile) -> str:
    return f"- {shown(file)} ({file.size:,} bytes, SHA-256 {file.sha256})"


def _refused(code: int, said: bytes | str) -> None:
    words = said.decode(errors="replace") if isinstance(said, bytes) else said
    text = f"The mail server answered {code}: {words[:200]}"
    # A log-in that is refused is this site's fault, and is mended here.
    if 500 <= code < 600 and code not in (530, 534, 535, 538):
        raise Permanent(text)
    raise Passing(text, left=False)
