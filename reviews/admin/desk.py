"""The verbs on jobs, one domain call a row."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Left
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from jobs import calls
from jobs.access import AT_GATE, Action, NotAllowed, NotNow, Permission, allowed_actions
from jobs.admin.job import JobAdmin
from jobs.admin.lists import RoomInline, person
from jobs.admin.parts import short_hash, under
from jobs.admin.shown import page_of
from jobs.inputs import BadInput
from jobs.models import Gate, GateKind, Job, Status
from jobs.reextract import re_extract, said
from jobs.rendering import unseen
from jobs.requests import rendered
from reviews.actions import NEEDS_NOTE, Ask, decide
from reviews.forms import whole
from reviews.models import Decision, ReviewerNote, Ruling
from reviews.notes import NoteMissing

#: Jobs that one action takes. What a person confirms, they can look over.
MOST_ROWS = 100
#: Characters of a result that the confirmation shows; the link leads to all of it.
SHOWN_OF_RESULT = 3_000
#: Characters of the tool calls that it shows.
SHOWN_OF_CALLS = 100_000

DONE = {
    Ruling.APPROVE: "approved",
    Ruling.REQUEST_CHANGES: "sent back for changes",
    Ruling.REFUSE: "refused what they wanted to do",
    Ruling.REJECT: "rejected",
    Ruling.RETRY: "tried again",
    Ruling.CANCEL: "canceled",
    Ruling.ESCALATE: "escalated",
    Ruling.REASSIGN: "reassigned",
    Ruling.REOPEN: "reopened",
    Ruling.USE_RESULT: "taken with the late result",
    Ruling.SETTLE: "settled",
    Ruling.ARCHIVE: "archived",
}
MEANS = {
    Ruling.APPROVE: "What you approve is used: a result completes its job, a tool call is made as it "
    "stands, and a job that waits to run is sent and paid for. Where several must approve, yours "
    "counts as one of them.",
    Ruling.REQUEST_CHANGES: "The model tries again and is given your note. That is paid for.",
    Ruling.REFUSE: "The tool calls are not made; the model reads your note and goes on without them.",
    Ruling.REJECT: "The job fails, and its result is not used.",
    Ruling.RETRY: "Each job gets a new attempt, which is paid for; earlier results are not used.",
    Ruling.CANCEL: "Jobs that run are stopped at OpenAI; those that wait end at once.",
    Ruling.ESCALATE: "The review goes up a level, with its time counted anew.",
    Ruling.REASSIGN: "The review waits for whom you name. Others who may decide it still can.",
    Ruling.REOPEN: "The result goes back into review.",
    Ruling.USE_RESULT: "The result that arrived late goes into review.",
    Ruling.SETTLE: "Nobody knows whether OpenAI started the work. Give the id of the response if "
    "you found it there; without one the job fails, because there is none.",
    Ruling.ARCHIVE: "Settled jobs leave the lists that people look at. Nothing is deleted.",
}


@dataclass(frozen=True)
class Row:
    """A selected job on the confirmation: whether the rule lets this person, and what they judge."""

    job: Job
    permission: Permission
    content_hash: str
    excerpt: str

    @property
    def hash_field(self) -> str:
        return f"hash-{self.job.pk}"

    @property
    def level_field(self) -> str:
        return f"level-{self.job.pk}"

    @property
    def response_field(self) -> str:
        return f"response-{self.job.pk}"


def verb(ruling: Ruling) -> Any:
    """The action of a ruling: first a page that shows what would happen, then one `decide` a row."""

    @admin.action(description=f"{ruling.label} …", permissions=["view"])
    def act(page: "DeskAdmin", request: HttpRequest, queryset: QuerySet[Job]) -> Any:
        return page.take(request, ruling)

    act.__name__ = ruling.value
    return act


@admin.action(description="Read the answer anew", permissions=["view"])
def read_anew(page: Any, request: HttpRequest, queryset: QuerySet[Job]) -> None:
    """Decides nothing and sends nothing, so it asks for no confirmation."""
    chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
    if request.POST.get("select_across") == "1" or len(chosen) > MOST_ROWS:
        text = f"Select the jobs one by one, {MOST_ROWS} at most. Nothing has been changed."
        messages.warning(request, text)
        return
    for job in queryset:
        try:
            done = re_extract(job, actor=person(request), now=timezone.now())
            messages.success(request, said(job, done))
        except (NotAllowed, NotNow) as error:
            messages.warning(request, f"{job.ref} was skipped: {error}")


class DecisionInline(RoomInline):
    model = Decision
    fields = ("at", "ruling", "actor", "role", "reason_code", "note", "judged")
    readonly_fields = ("judged",)
    related = ("actor",)
    deferred = ("policy", "data")

    @admin.display(description="Judged")
    def judged(self, decision: Decision) -> SafeString:
        return short_hash(decision.content_hash)


class NoteInline(RoomInline):
    model = ReviewerNote
    fields = ("created_at", "author", "text")
    related = ("author",)


class ChosenById(admin.ModelAdmin):
    """A list whose rows have UUIDs for ids."""

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> Any:
        """A selection of what cannot be an id is one of nothing."""
        post = request.POST.copy()
        chosen = [text for text in post.getlist(ACTION_CHECKBOX_NAME) if _is_id(text)]
        post.setlist(ACTION_CHECKBOX_NAME, chosen)
        request.POST = post  # type: ignore[assignment]
        return super().response_action(request, queryset, *args, **kwargs)


@admin.register(Job)
class DeskAdmin(ChosenById, JobAdmin):
    """Jobs, with the verbs of this app."""

    actions = [*(verb(ruling) for ruling in Ruling), read_anew]
    inlines: ClassVar[Any] = (
        *JobAdmin.inlines[:2],
        DecisionInline,
        NoteInline,
        *JobAdmin.inlines[2:],
    )
    change_form_template = "admin/room/job.html"

    def take(self, request: HttpRequest, ruling: Ruling) -> HttpResponse | None:
        """Show what the ruling would do to each of the selected jobs, or do it once confirmed."""
        post = request.POST
        chosen = {*post.getlist(ACTION_CHECKBOX_NAME), *post.getlist("refused")}
        if post.get("select_across") == "1" or len(chosen) > MOST_ROWS:
            text = f"Select the jobs one by one, {MOST_ROWS} at most. Nothing has been changed."
            messages.warning(request, text)
            return None
        if "confirmed" not in post:
            return self._confirmation(request, ruling, chosen)
        if ruling in NEEDS_NOTE and not post.get("note", "").strip():
            error = f"{ruling.label} needs a note that says {NEEDS_NOTE[ruling]}."
            return self._confirmation(request, ruling, chosen, error=error)
        done, skipped = self._carry_out(request, ruling)
        self._report(request, ruling, done, skipped)
        if "from_job" in request.POST and (named := [*done, *(job for job, _why in skipped)]):
            return HttpResponseRedirect(page_of(named[0]))
        return None

    def _confirmation(
        self, request: HttpRequest, ruling: Ruling, chosen: Iterable[str], *, error: str = ""
    ) -> HttpResponse:
        rows = [self._row(request, job, ruling) for job in self._selected(request, chosen)]
        able = [row for row in rows if row.permission.allowed]
        context = {
            **self.admin_site.each_context(request),
            "title": f"{ruling.label}: {len(able)} of {len(rows)} selected",
            "subtitle": None,
            "opts": self.opts,
            "media": self.media,
            "ruling": ruling,
            "means": MEANS[ruling],
            "rows": rows,
            "able": able,
            "refused": [row for row in rows if not row.permission.allowed],
            "judges": Action(ruling.value) in AT_GATE,
            "names_response": ruling is Ruling.SETTLE,
            "names_person": ruling is Ruling.REASSIGN,
            "assignee": request.POST.get("assignee", ""),
            "wanted_note": NEEDS_NOTE.get(ruling, ""),
            "note": request.POST.get("note", ""),
            "error": error,
            "from_job": "from_job" in request.POST,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/room/confirm.html", context)

    def _carry_out(
        self, request: HttpRequest, ruling: Ruling
    ) -> tuple[list[Job], list[tuple[Job, str]]]:
        done: list[Job] = []
        skipped: list[tuple[Job, str]] = []
        confirmed = request.POST.getlist(ACTION_CHECKBOX_NAME)
        refused = set(request.POST.getlist("refused"))
        for job in self._selected(request, [*confirmed, *refused]):
            why = self._decide(request, job, ruling, shown_as_refused=str(job.pk) in refused)
            if why:
                skipped.append((job, why))
            else:
                done.append(job)
        return done, skipped

    def _decide(
        self, request: HttpRequest, job: Job, ruling: Ruling, *, shown_as_refused: bool
    ) -> str:
        """Why nothing was done to the job, or ""."""
        user = person(request)
        if shown_as_refused:
            why = allowed_actions(user, job)[Action(ruling.value)].why
            return why or f"{job.ref} has changed since you looked. Look at it again."
        ask = Ask(
            ruling,
            user,
            timezone.now(),
            note=request.POST.get("note", ""),
            content_hash=request.POST.get(f"hash-{job.pk}", ""),
            response_id=request.POST.get(f"response-{job.pk}", "").strip() or None,
            assignee=request.POST.get("assignee", ""),
            level=whole(request.POST.get(f"level-{job.pk}", "")),
        )
        try:
            decide(job.pk, ask)
        except (NotAllowed, NotNow, NoteMissing, BadInput, calls.BadVerdict) as refusal:
            return said_of(job, str(refusal))
        return ""

    def _report(
        self,
        request: HttpRequest,
        ruling: Ruling,
        done: list[Job],
        skipped: list[tuple[Job, str]],
    ) -> None:
        if done:
            # What is begun, and not done with this decision alone.
            left = {Ruling.CANCEL: Status.RUNNING, Ruling.APPROVE: Status.NEEDS_REVIEW}.get(ruling)
            pks = [job.pk for job in done]
            begun = Job.objects.filter(pk__in=pks, status=left).count() if left else 0
            parts = [f"{len(done) - begun} {DONE[ruling]}."] if len(done) > begun else []
            if begun and ruling is Ruling.CANCEL:
                parts.append(f"{begun} being canceled: OpenAI is told.")
            elif begun:
                parts.append(f"{begun} approved by you: others must approve as well.")
            messages.success(request, " ".join(parts))
        tell_skipped(request, [why for _job, why in skipped])
        if not done and not skipped:
            messages.warning(request, "None of these jobs is there for you. Nothing has changed.")

    def _row(self, request: HttpRequest, job: Any, ruling: Ruling) -> Row:
        action = Action(ruling.value)
        gate = job.open_gate
        return Row(
            job,
            allowed_actions(person(request), job)[action],
            gate.content_hash if gate else "",
            job.excerpt or _request_of(job, gate),
        )

    def _selected(self, request: HttpRequest, given: Iterable[str]) -> list[Job]:
        """The jobs of these ids that this person sees, whatever the list was filtered by."""
        pks = [UUID(text) for text in given if _is_id(text)]
        judged = Coalesce(F("open_gate__result__edit__text"), F("open_gate__result__text"))
        excerpt = Left(judged, SHOWN_OF_RESULT)
        jobs = (
            self.get_queryset(request)
            .filter(pk__in=pks)
            .select_related("job_type", "prompt_version", "requester", "open_gate__result")
            .defer(None)
            .defer(*under("open_gate__result", ("text", "structured", "warnings", "usage")))
            .annotate(excerpt=excerpt)
        )
        return list(jobs.order_by("-id"))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        if job := context.get("original"):
            may = allowed_actions(person(request), job)
            context |= {
                "verbs": [ruling for ruling in Ruling if may[Action(ruling.value)].allowed],
                "changelist_url": reverse("admin:jobs_job_changelist"),
                "action_checkbox_name": ACTION_CHECKBOX_NAME,
            }
        return super().render_change_form(request, context, *args, **kwargs)


def _request_of(job: Job, gate: Gate | None) -> str:
    """The message that would be sent, of a job that waits to run; of one that waits with tool calls,
    these."""
    if gate and gate.attempt and gate.kind == GateKind.TOOL_CALL:
        waiting = calls.waiting(gate.attempt)
        said = "\n\n".join(
            f"{call.name}{f' at {call.server}' if call.server else ''} {call.arguments}"
            for call in waiting
        )
        # Not cut where it can be helped: all of it is what is approved.
        left_out = len(said) - SHOWN_OF_CALLS
        cut = f"\n\n… {left_out:,} more characters: decide on the review page." * (left_out > 0)
        return unseen.shown(said[:SHOWN_OF_CALLS]) + cut
    if gate is None or gate.kind != GateKind.BEFORE_RUN:
        return ""
    return rendered(job.prompt_version.template, job.input)[:SHOWN_OF_RESULT]


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def tell_skipped(request: HttpRequest, why: list[str]) -> None:
    if why:
        reasons = format_html_join("", "<li>{}</li>", ((one,) for one in why))
        said = format_html('{} skipped:<ul class="room-skipped">{}</ul>', len(why), reasons)
        messages.warning(request, said)


def said_of(job: Job, why: str) -> str:
    """The reason, with the job's reference: rows are told apart by it."""
    return why if job.ref in why else f"{job.ref}: {why}"
