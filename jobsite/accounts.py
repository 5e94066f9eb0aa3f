"""How allauth behaves here."""

import logging
import threading
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.account.models import EmailAddress
from allauth.core import context as allauth_context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib.sites.shortcuts import get_current_site
from django.core.mail import EmailMessage
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.shortcuts import resolve_url

from jobs.models import User

logger = logging.getLogger(__name__)

MAIL_THREAD = "account mail"
_MISMATCH = "No account has this name or address with this password."


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": _MISMATCH,
        "email_password_mismatch": _MISMATCH,
        "too_many_login_attempts": "Too many attempts. Wait five minutes, then try again.",
        "rate_limited": "Too many attempts. Wait a few minutes, then try again.",
        "incorrect_password": "This is not your password.",
        "enter_current_password": "This is not your password.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return resolve_url(settings.LOGIN_REDIRECT_URL)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Beside the request: how long a mail server takes, or that it fails, would tell whether
        an address belongs to an account. What could not be sent is in the log."""
        request = allauth_context.request
        about = {"request": request, "email": email, "current_site": get_current_site(request)}
        message = self.render_mail(template_prefix, email, {**about, **context})
        threading.Thread(target=_send, args=[message], name=MAIL_THREAD).start()

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Without the host, which a client names: each would give a name five more attempts."""
        login: str = credentials.get("email", credentials.get("username", ""))
        return login.lower()


class SecondStepAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "This code is not right, or has been used.",
    }


class LoginForm(AllauthLoginForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "Username or e-mail"
        # What password managers look for; allauth says "email", which only some people type.
        self.fields["login"].widget.attrs["autocomplete"] = "username"


@receiver(post_save, sender=User, dispatch_uid="address follows account")
def _address_follows_account(instance: User, update_fields: Any = None, **kwargs: Any) -> None:
    """Keep allauth's list of addresses to the one that an admin sees and edits.

    allauth finds people by that list, in lower case; a former address left there could still get
    a link for a new password.
    """
    if update_fields is not None and "email" not in update_fields:
        return
    email = instance.email.lower()
    addresses = EmailAddress.objects.filter(user=instance)
    addresses.exclude(email=email).delete()
    if email:
        addresses.get_or_create(user=instance, email=email, defaults={"primary": True})


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except Exception:
        logger.exception("A mail to %s could not be sent: %s", message.to, message.subject)
