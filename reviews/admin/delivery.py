"""Where results go, configured by the admins of a workspace; and what went there, to read and, where
it did not arrive, to retry or drop."""

import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import BoundedSemaphore, Thread
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache

from jobs.access import NotAllowed, NotNow
from jobs.admin.history import Line, WithHistory, changes_of, logged
from jobs.admin.lists import ScopedFilter, person
from jobs.admin.parts import LONG_OF_JOB, OfJob, under
from jobs.admin.shown import link, readable
from jobs.models import JobType, Workspace
from reviews import channels, deadletters, signing
from reviews.admin.desk import MOST_ROWS, ChosenById, said_of, tell_skipped
from reviews.channels import webhook
from reviews.models import Delivery, Endpoint, Route

REVEALED = "Looked at the secret."
ROTATED = "Made a new secret."
TESTED = "Sent a test event."
#: Seconds that the page of an endpoint waits for the answer to a test event.
TEST_LASTS = 15.0
#: Those that are waited for, and those that were given up: a receiver may take as long as it likes.
_TESTS = BoundedSemaphore(4)


def _test_event(endpoint: Endpoint, answer: Future[str]) -> None:
    """In a thread of its own: a page's cannot be interrupted. Asks nothing of the database."""
    try:
        said = webhook.test_event(endpoint, key=str(uuid.uuid4()), now=timezone.now())
    except Exception as error:
        answer.set_exception(error)
    else:
        answer.set_result(said)
    finally:
        _TESTS.release()


class OfWorkspace(WithHistory):
    """Configuration of a workspace: read by those who see where its results go, changed by its
    admins."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        places = Workspace.objects.held_by(person(request), deadletters.SEES)
        return super().get_queryset(request).filter(workspace__in=places)

    def has_add_permission(self, request: HttpRequest) -> bool:
        places = Workspace.objects.configured_by(person(request))
        return super().has_add_permission(request) and places.exists()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._configures(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._configures(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What was sent stays in the workspace that it belongs to."""
        fixed = super().get_readonly_fields(request, obj)
        return (*fixed, "workspace") if obj else fixed

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        places = Workspace.objects.configured_by(person(request))
        if db_field.name == "workspace":
            kwargs["queryset"] = places
        elif db_field.name == "endpoint":
            kwargs["queryset"] = Endpoint.objects.filter(workspace__in=places)
        elif db_field.name == "job_type":
            kwargs["queryset"] = JobType.objects.filter(Q(workspace=None) | Q(workspace__in=places))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        for name in {"workspace", "endpoint", "job_type"} & form.base_fields.keys():
            widget = form.base_fields[name].widget
            widget.can_add_related = widget.can_change_related = False
            widget.can_delete_related = widget.can_view_related = False
        return form

    def _configures(self, request: HttpRequest, obj: Any) -> bool:
        places = Workspace.objects.configured_by(person(request))
        return obj is None or places.filter(pk=obj.workspace_id).exists()


@admin.register(Endpoint)
class EndpointAdmin(OfWorkspace):
    list_display = ("name", "workspace", "host", "enabled", "failing")
    list_filter = ("enabled", ("workspace", ScopedFilter))
    list_select_related = ("workspace",)
    fields = (
        ("name", "workspace"),
        "url",
        "enabled",
        ("failing", "last_error"),
    )
    readonly_fields = ("failing", "last_error")
    change_form_template = "admin/room/endpoint.html"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One that is no longer wanted is switched off: what was sent goes on telling of it."""
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else self.fields[:3]

    def get_urls(self) -> Any:
        secret = self.admin_site.admin_view(never_cache(self.secret_view))
        return [
            path("<uuid:pk>/secret/", secret, name="reviews_endpoint_secret"),
            *super().get_urls(),
        ]

    def secret_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """The endpoint's secret is shown here, on demand, and nowhere else. Each look is kept."""
        endpoint = self.get_queryset(request).select_related("workspace").filter(pk=pk).first()
        if endpoint is None:
            raise Http404("There is no such endpoint.")
        if not self.has_change_permission(request, endpoint):
            raise PermissionDenied
        wanted, shown = request.POST.get("do"), []
        if wanted == "rotate":
            self._rotate(request, endpoint)
        elif wanted == "test":
            self._test(request, endpoint)
            return HttpResponseRedirect(request.path)
        if wanted in ("show", "rotate"):
            self.log_change(request, endpoint, REVEALED)
            shown = signing.secrets(endpoint, now=timezone.now())
        context = {
            **self.admin_site.each_context(request),
            "title": f"Secret of {endpoint}",
            "subtitle": None,
            "opts": self.opts,
            "media": self.media,
            "endpoint": endpoint,
            "rotating": len(signing.secrets(endpoint, now=timezone.now())) > 1,
            "shown": shown,
            "overlap": signing.OVERLAP,
        }
        return TemplateResponse(request, "admin/room/endpoint_secret.html", context)

    def _rotate(self, request: HttpRequest, endpoint: Endpoint) -> None:
        if signing.rotate(endpoint, now=timezone.now()):
            self.log_change(request, endpoint, ROTATED)
            return
        messages.warning(request, "Somebody else has just made a new one: this is it.")
        endpoint.refresh_from_db()

    def _test(self, request: HttpRequest, endpoint: Endpoint) -> None:
        if not _TESTS.acquire(blocking=False):
            messages.error(request, "Other tests are under way. Try again in a minute.")
            return
        self.log_change(request, endpoint, TESTED)
        # Read here, so that the thread has no connection.
        _place = endpoint.workspace
        answer: Future[str] = Future()
        Thread(target=_test_event, args=(endpoint, answer), daemon=True).start()
        try:
            messages.success(request, f"{endpoint.host} answered {answer.result(TEST_LASTS)}.")
        except (channels.Passing, channels.Permanent) as error:
            messages.error(request, str(error))
        except TimeoutError:
            messages.error(request, f"{endpoint.host} took longer than {TEST_LASTS:g} seconds.")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        endpoint = context.get("original")
        if endpoint and self.has_change_permission(request, endpoint):
            context["secret_url"] = reverse("admin:reviews_endpoint_secret", args=[endpoint.pk])
        return super().render_change_form(request, context, *args, **kwargs)

    def history_lines(self, request: HttpRequest, row: Any) -> Iterable[Line]:
        ours = {REVEALED, ROTATED, TESTED}
        return [*changes_of(row), *(line for line in logged(row) if line.said in ours)]

    @admin.display(description="Failing")
    def failing(self, endpoint: Endpoint) -> str:
        if endpoint.failing_since is None:
            return "no"
        times = "once" if endpoint.failures == 1 else f"{endpoint.failures} times in a row"
        return f"{times}, since {endpoint.failing_since:%d %b %Y %H:%M} UTC"


@admin.register(Route)
class RouteAdmin(OfWorkspace):
    list_display = ("__str__", "workspace", "channel", "target", "extent", "hold", "enabled")
    list_filter = ("channel", "enabled", ("workspace", ScopedFilter))
    list_select_related = ("workspace", "job_type", "endpoint")
    fieldsets = (
        (None, {"fields": (("workspace", "job_type"), "channel", "enabled")}),
        (
            "To",
            {
                "fields": ("endpoint", "recipients", "to_requester"),
                "description": "A webhook goes to an endpoint, e-mail to addresses. The library and "
                "the file drop need neither.",
            },
        ),
        ("What, and when", {"fields": ("extent", "hold")}),
    )

    @admin.display(description="To")
    def target(self, route: Route) -> str:
        if route.endpoint:
            return str(route.endpoint)
        named = route.addresses() + (["the requester"] if route.to_requester else [])
        return ", ".join(named) or route.get_channel_display()


@dataclass(frozen=True)
class Mending:
    """What is done to deliveries that did not arrive: one domain call a row."""

    label: str
    means: str
    done: str
    call: Callable[..., None]


MENDINGS = {
    "retry": Mending(
        "Retry",
        "Each is sent again at once, under the same id, and tried for days where that fails.",
        "tried again",
        deadletters.retry,
    ),
    "drop": Mending(
        "Drop", "Each is given up for good: nothing more is sent.", "dropped", deadletters.drop
    ),
}


def _action(name: str) -> Any:
    """First a page that asks why, then it is done."""

    @admin.action(description=f"{MENDINGS[name].label} …", permissions=["view"])
    def act(page: "DeliveryAdmin", request: HttpRequest, queryset: QuerySet[Delivery]) -> Any:
        return page.mend(request, name)

    act.__name__ = name
    return act


@admin.register(Delivery)
class DeliveryAdmin(ChosenById, OfJob):
    actions = tuple(map(_action, MENDINGS))
    list_display = ("line", "job_link", "state", "attempts", "created_at", "ended_at")
    list_filter = ("state", "channel")
    list_select_related = ("job", "endpoint")
    deferred = ("facts", "last_error", *under("job", LONG_OF_JOB))
    fields = (
        ("job_link", "decision_link", "endpoint_link"),
        ("channel", "target", "extent"),
        ("state", "attempts", "in_doubt"),
        "last_error",
        "receipt",
        ("created_at", "first_tried_at", "ended_at"),
        ("next_check_at", "give_up_at", "lease_until"),
        "content_hash",
        ("completion", "unreviewed"),
        "facts_shown",
        "id",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """For those who see where results go: fewer than see the jobs."""
        rows = super().get_queryset(request)
        if person(request).is_superuser:
            return rows
        places = Workspace.objects.held_by(person(request), deadletters.SEES)
        return rows.filter(place__in=list(places.values_list("pk", flat=True)))

    def mend(self, request: HttpRequest, name: str) -> HttpResponse | None:
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if request.POST.get("select_across") == "1" or len(chosen) > MOST_ROWS:
            text = f"Select them one by one, {MOST_ROWS} at most. Nothing has been changed."
            messages.warning(request, text)
            return None
        # Whatever the list is filtered by: what has moved meanwhile is told of.
        rows = list(self.get_queryset(request).filter(pk__in=chosen).select_related("job"))
        places = {row.job.workspace_id for row in rows}
        asks = any(deadletters.may_mend(person(request), place) for place in places)
        error = ""
        if "reason" in request.POST or not asks:
            try:
                self._carry_out(request, MENDINGS[name], rows)
                return None
            except deadletters.ReasonMissing as missing:
                error = str(missing)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{MENDINGS[name].label}: {len(rows)} selected",
            "subtitle": None,
            "opts": self.opts,
            "media": self.media,
            "name": name,
            "mending": MENDINGS[name],
            "rows": rows,
            "reason": request.POST.get("reason", ""),
            "error": error,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/room/deliveries.html", context)

    def _carry_out(self, request: HttpRequest, mending: Mending, rows: list[Delivery]) -> None:
        done, skipped = 0, []
        reason = request.POST.get("reason", "")
        for row in rows:
            try:
                mending.call(row.pk, actor=person(request), reason=reason, now=timezone.now())
                done += 1
            except (NotAllowed, NotNow) as refusal:
                skipped.append(said_of(row.job, str(refusal)))
        if done:
            messages.success(request, f"{done} {mending.done}.")
        tell_skipped(request, skipped)
        if not rows:
            messages.warning(request, "None of these is there for you. Nothing has changed.")

    def name_of(self, row: Delivery) -> str:
        return f"delivery by {row.get_channel_display().lower()}"

    @admin.display(description="Delivery")
    def line(self, row: Delivery) -> str:
        return str(row)

    @admin.display(description="Decision")
    def decision_link(self, row: Delivery) -> SafeString:
        return link(row.decision)

    @admin.display(description="Endpoint")
    def endpoint_link(self, row: Delivery) -> SafeString:
        return link(row.endpoint)

    @admin.display(description="Facts at the completion")
    def facts_shown(self, row: Delivery) -> SafeString:
        return readable(row.facts)
