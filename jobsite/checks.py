"""System checks of the settings. Each says what is wrong and what to do about it."""

import base64
import binascii
import re
import sys
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, Warning

#: Characters. Shorter ones can be guessed.
LEAST_KEY = 32


@checks.register(Tags.security)
def settings_can_be_used(**kwargs: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = [
        Error(text, hint=hint, id=check_id) for check_id, text, hint in settings.SETTINGS_PROBLEMS
    ]
    if not settings.DEBUG and not settings.ALLOWED_HOSTS:
        problems.append(
            Error(
                "ALLOWED_HOSTS is not set.",
                hint="Set the host names that this site answers to, separated by commas.",
                id="jobsite.E004",
            )
        )
    if complaint := webhook_secret_complaint(settings.OPENAI_WEBHOOK_SECRET):
        problems.append(
            Error(
                f"OPENAI_WEBHOOK_SECRET {complaint}",
                hint="Copy it again from the webhook's page at OpenAI: it reads whsec_ and then "
                "base64. With a broken one, forged webhooks would be believed.",
                id="jobsite.E005",
            )
        )
    if not settings.OPENAI_BASE_URL.startswith(("http://", "https://")):
        problems.append(
            Error(
                f"OPENAI_BASE_URL is not an http address: {settings.OPENAI_BASE_URL}",
                hint="Leave it out for OpenAI itself, or use something like https://host/v1.",
                id="jobsite.E006",
            )
        )
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", settings.SITE_URL):
        problems.append(
            Error(
                f"SITE_URL is not an http address: {settings.SITE_URL}",
                hint="Links in e-mails begin with it. Use something like https://jobs.example.com.",
                id="jobsite.E009",
            )
        )
    if not settings.DEBUG:
        known = {check_id for check_id, _text, _hint in settings.SETTINGS_PROBLEMS}
        problems += [
            Error(
                f"{name} is shorter than {LEAST_KEY} characters.",
                hint=f"Set {name} or {name}_FILE to 50 random characters.",
                id="jobsite.E007",
            )
            for name in ("SECRET_KEY", "AUDIT_KEY", "ENDPOINT_KEY")
            if len(getattr(settings, name)) < LEAST_KEY
            if not (name == "SECRET_KEY" and "jobsite.E003" in known)
        ]
    return problems


@checks.register(Tags.security, deploy=True)
def hosts_are_named(**kwargs: Any) -> list[CheckMessage]:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Warning(
            "ALLOWED_HOSTS lets every host name in.",
            hint="Name them: links in mails carry the name that the request came with.",
            id="jobsite.W002",
        )
    ]


@checks.register(Tags.security, deploy=True)
def a_provider_is_set(**kwargs: Any) -> list[CheckMessage]:
    if not settings.SANDBOX:
        return []
    return [
        Warning(
            "OPENAI_API_KEY is not set, so the stand-in answers instead of OpenAI.",
            hint="Set OPENAI_API_KEY or OPENAI_API_KEY_FILE.",
            id="jobsite.W001",
        )
    ]


def webhook_secret_complaint(secret: str) -> str:
    """What is wrong with a webhook secret, or "".

    The SDK decodes what follows ``whsec_`` leniently: a text that is not base64 becomes a short or
    empty key, and then anybody's signature verifies. So the shape is checked before it is used.
    """
    if not secret:
        return ""
    if not secret.startswith("whsec_"):
        return "does not start with whsec_."
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return "is not base64 after whsec_."
    return "" if len(key) >= 24 else "is too short to be a secret."


def refuse_wrong_settings() -> None:
    """End the process where a check fails: web servers run none by themselves, and some of these
    settings fail open."""
    errors = [check for check in checks.run_checks() if check.is_serious()]
    if errors:
        sys.exit("\n".join(f"{error.id}: {error.msg} {error.hint or ''}" for error in errors))


@checks.register()
def tools_can_be_loaded(**kwargs: Any) -> list[CheckMessage]:
    """A tool that is not there would be missed only by the first job that is offered it."""
    problems: list[CheckMessage] = []
    for module in settings.TOOLS:
        try:
            import_module(module)
        except Exception as error:
            problems.append(
                Error(
                    f"TOOLS names {module}, which cannot be loaded: {error!r}",
                    hint="Mend the module, or take it out of TOOLS in the settings.",
                    id="jobsite.E008",
                )
            )
    return problems
