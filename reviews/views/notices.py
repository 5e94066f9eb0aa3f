"""What a person is told: the bell, the list, and how they want to hear of it."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from jobs.models import User
from jobs.pages import person
from reviews import notices, preferences
from reviews.lines import ICONS, leads_to, line
from reviews.models import How, Notice, NoticeKind


@require_safe
def notice_list(request: HttpRequest) -> HttpResponse:
    """A person's notices, newest first."""
    user, asked = person(request), request.GET
    kind = NoticeKind(asked["kind"]) if asked.get("kind") in NoticeKind.values else None
    unread, before = asked.get("show") == "unread", _number(asked.get("before"))
    page = notices.page(user, kind=kind, unread=unread, before=before)
    context = {
        "lines": [line(notice) for notice in page.notices],
        "page": page,
        "kind": kind,
        "unread": unread,
        "before": before,
        "kinds": preferences.offered(user),
        "count": notices.unread_count(user),
        "several": user.is_superuser or user.workspaces.distinct().count() > 1,
    }
    return render(request, "reviews/notices.html", context)


@require_safe
def notice_bell(request: HttpRequest) -> HttpResponse:
    """The bell alone, as pages ask for it again and again."""
    return render(request, "base.html#bell")


@require_POST
def notice_open(request: HttpRequest, notice: int) -> HttpResponse:
    """Read, and on to what it is about: by POST, as reading is written down."""
    user = person(request)
    found = Notice.objects.shown_to(user).select_related("job", "workspace").filter(pk=notice)
    row = found.first()
    if row is None:
        raise Http404("There is no such notice of yours.")
    notices.mark_read(user, now=timezone.now(), only=[row.pk])
    return redirect(leads_to(row))


@require_POST
def notices_read(request: HttpRequest) -> HttpResponse:
    """Mark those that are named as read, or all up to the newest that the page showed. Pages that
    notices lead to send it by themselves, and get the bell as it is then."""
    named, upto = request.POST.getlist("notice"), _number(request.POST.get("upto"))
    ids = [one for text in named[: notices.MOST_UNREAD] if (one := _number(text)) is not None]
    only = ids if named else None
    number = notices.mark_read(person(request), now=timezone.now(), only=only, upto=upto or 0)
    if request.headers.get("HX-Request"):
        return render(request, "base.html#bell")
    if not named:
        messages.success(request, f"{number} marked as read." if number else "All were read.")
    return redirect("reviews:notices")


class PreferencesForm(forms.Form):
    """One choice for each kind that the person can hear of, and when the digest comes."""

    hour = forms.TypedChoiceField(
        label="The digest comes at",
        coerce=int,
        choices=[(hour, f"{hour:02d}:00") for hour in range(24)],
    )
    zone = forms.ChoiceField(label="Time zone", required=False)

    def __init__(self, user: User, data: QueryDict | None = None) -> None:
        held = preferences.of(user)
        self.kinds = preferences.offered(user)
        initial = {"hour": held.hour, "zone": held.zone}
        initial |= {kind.value: held.how[kind].value for kind in self.kinds}
        super().__init__(data, initial=initial)
        zones: Any = self.fields["zone"]
        zones.choices = [("", "The site’s"), *((name, name) for name in preferences.zones())]
        for kind in self.kinds:
            ways = [(how.value, how.label) for how in preferences.ways(kind)]
            self.fields[kind.value] = forms.ChoiceField(label=kind.label, choices=ways)

    @property
    def rows(self) -> list[tuple[str, forms.BoundField]]:
        return [(ICONS[kind], self[kind.value]) for kind in self.kinds]

    def chosen(self) -> dict[NoticeKind, How]:
        return {kind: How(self.cleaned_data[kind.value]) for kind in self.kinds}


@require_http_methods(["GET", "HEAD", "POST"])
def notice_preferences(request: HttpRequest) -> HttpResponse:
    """What to hear of, and how."""
    user = person(request)
    form = PreferencesForm(user, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        preferences.save(
            user, form.chosen(), hour=said["hour"], zone=said["zone"], now=timezone.now()
        )
        messages.success(request, "Your choices are saved.")
        return redirect("reviews:notice_preferences")
    status = 422 if form.errors else 200
    return render(request, "reviews/notices_preferences.html", {"form": form}, status=status)


def _number(text: str | None) -> int | None:
    """A row's id, if `text` is one."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else None
