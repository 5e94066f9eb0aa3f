"""The admin's own doors lead to allauth's, whose rate limits and second step then hold there."""

from typing import Any

# Imported so that what it registers can be replaced, whatever the order of the apps.
import allauth.account.admin
import allauth.mfa.admin  # noqa: F401
from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


def _change_password(request: HttpRequest, extra_context: Any = None) -> HttpResponse:
    return redirect("account_change_password")


_all_urls = admin.site.get_urls


def _urls() -> list[Any]:
    """Without the one that leads from any row's number to its page, whoever asks. The pages here
    name that page themselves."""
    return [url for url in _all_urls() if getattr(url, "name", "") != "view_on_site"]


admin.site.get_urls = _urls  # type: ignore[method-assign]
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.password_change = _change_password  # type: ignore[method-assign,assignment]
# It unfolds by a script, and what one has begun to read moves aside. The front page lists the same.
admin.site.enable_nav_sidebar = False
# The account's own field is the address; see jobsite.accounts.
admin.site.unregister(EmailAddress)
admin.site.unregister(Authenticator)


@admin.register(Authenticator)
class AuthenticatorAdmin(admin.ModelAdmin):
    """Deleted for somebody who has lost their phone and their codes. Its secret is never shown."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("=user__username", "=user__email")
    fields = ("user", "type", "created_at", "last_used_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
