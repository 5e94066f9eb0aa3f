"""Tools that reach out. A person approves every call, with its arguments, before it is made."""

import json
from email.utils import make_msgid
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from jobs import outbound, signals
from jobs.models import CallEffect, Job
from jobs.tools.registry import ToolContext, ToolProblem, tool

#: How the types of what Jobsite itself posts begin.
OURS = ("job.", "endpoint.")


def _address(text: str) -> str:
    """Known before a person approves the call: an approval is spent on what can be sent."""
    address = text.strip()
    try:
        validate_email(address)
    except ValidationError:
        raise PydanticCustomError(
            "address", "“{text}” is no e-mail address", {"text": text}
        ) from None
    if not address.isascii():
        said = "“{text}” has letters that look like others: write its domain as xn--…"
        raise PydanticCustomError("address", said, {"text": text})
    return address


@tool(effect=CallEffect.WRITE, title="Send an e-mail", seconds=30)
def send_email(
    context: ToolContext,
    to: Annotated[
        str, Field(description="One e-mail address.", max_length=254), AfterValidator(_address)
    ],
    subject: Annotated[str, Field(min_length=1, max_length=200)],
    body: Annotated[str, Field(description="Plain text.", min_length=1, max_length=50_000)],
) -> Any:
    """Send an e-mail. A person reads it first, and may change it or refuse it."""
    if "\n" in subject or "\r" in subject:
        raise ToolProblem("A subject is one line.")
    # The same call names the same message, so that a receiver knows it again.
    message_id = make_msgid(idstring=context.key.hex, domain=outbound.mail_domain())
    message = EmailMessage(
        subject,
        body,
        settings.DEFAULT_FROM_EMAIL,
        [to],
        headers={"Message-ID": message_id, "X-Jobsite-Job": context.job.ref},
    )
    message.send()
    return {"sent": True, "to": to}


@tool(effect=CallEffect.WRITE, title="Post to a webhook", seconds=30)
def post_webhook(
    context: ToolContext,
    url: Annotated[str, Field(description="An https address.", max_length=2000)],
    payload: Annotated[str, Field(description="A JSON object, as text.", max_length=100_000)],
) -> Any:
    """Post a JSON object to a webhook. A person sees address and content first, and may change or
    refuse them."""
    types = _types(payload)
    try:
        outbound.check_url(url)
        # The same call has the same id, so that a receiver takes it once.
        key, body = str(context.key), payload.encode()
        headers = {"content-type": "application/json", "webhook-id": key}
        if secrets := _secrets(context, url):
            # Or a model could write what passes for the delivery of an approved result.
            if any(str(one).startswith(OURS) for one in types):
                said = " or ".join(OURS)
                raise ToolProblem(
                    f"The payload needs a type of its own, none that begins with {said}"
                )
            headers = outbound.signed(body, key=key, at=context.now, secrets=secrets)
        answer = outbound.post(url, body, headers)
    except (outbound.BadAddress, outbound.Within, outbound.Unreachable) as error:
        raise ToolProblem(str(error)) from error
    if answer.status >= 300:
        raise ToolProblem(f"{urlsplit(url).hostname} answered {answer.status}: {answer.said}")
    return {"status": answer.status, "answer": answer.said}


class _Object(list[tuple[str, Any]]):
    """A JSON object, with names that stand there twice."""


def _types(payload: str) -> list[Any]:
    """Whatever a receiver may take for the `type` of a JSON object. What leaves is the text itself,
    as it was approved: read and written again, it may say something else."""
    try:
        body = json.loads(payload, parse_constant=_no_number, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, _Object):
        raise ToolProblem("The payload must be a JSON object.")
    return [value for name, value in body if name.casefold() == "type"]


def _secrets(context: ToolContext, url: str) -> list[str]:
    """Those of the workspace's own endpoint at this address. Nobody else is sent what they sign, or
    could pass it on to the endpoint."""
    answers = signals.asked_to_sign.send(
        Job, workspace=context.job.workspace_id, url=url, now=context.now
    )
    return [secret for _receiver, found in answers for secret in cast(list[str], found)]


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
