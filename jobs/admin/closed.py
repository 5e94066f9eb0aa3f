"""Pages of other packages that only superusers get: through each of them, whoever holds Django's
permission for it could become somebody else, or run what they like."""

from importlib import import_module
from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.db import models
from django.http import HttpRequest

from jobs.admin.lists import FoundByKey, SuperusersOnly

#: auth: groups give out permissions. django_q: a schedule runs any function. The others: an address
#: or an authenticator is a way into its owner's account.
CLOSED = {
    "auth": "django.contrib.auth",
    "django_q": "django_q",
    "account": "allauth.account",
    "mfa": "allauth.mfa",
    "socialaccount": "allauth.socialaccount",
    "usersessions": "allauth.usersessions",
}


class Moment(AdminSplitDateTime):
    """Its two boxes have names."""

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs)
        for box, name in zip(self.widgets, ("Date", "Time"), strict=True):
            box.attrs["aria-label"] = name


class Closed(FoundByKey, SuperusersOnly):
    # One list instead of a pair: what Django says about the pair, screen readers may not be told.
    filter_horizontal = ()
    formfield_overrides: ClassVar[Any] = {models.DateTimeField: {"widget": Moment}}


class Waiting(Closed):
    """What waits in the queue can be taken out of it, and is never rewritten."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def close() -> None:
    for package in CLOSED.values():
        if apps.is_installed(package):
            # Their pages first, as they are; Django would only come to them after this module.
            import_module(f"{package}.admin")
    for model, page in list(admin.site._registry.items()):
        if model._meta.app_label in CLOSED:
            admin.site.unregister(model)
            kind = Waiting if model._meta.model_name == "ormq" else Closed
            kept = type(type(page).__name__, (kind, type(page)), {})
            admin.site.register(model, kept)


close()
