"""The verbs on jobs, one domain call a row; and what people decided, to read."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import F, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from jobs.access import AT_GATE, Action, NotAllowed, NotNow, Permission, allowed_actions
from jobs.actions import BadInput
from jobs.admin.lists import RoomInline, person
from jobs.admin.room import LONG_OF_JOB, JobAdmin, OfJob, short_hash, under
from jobs.admin.shown import link, page_of, readable
from jobs.models import Gate, GateKind, Job, Status
from jobs.requests import rendered
from reviews.actions import NEEDS_NOTE, Ask, NoteMissing, decide
from reviews.models import Decision, ReviewerNote, Ruling

#: Jobs that one action takes. What a person confirms, they can look over.
MOST_ROWS = 100
#: Characters of a result that the confirmation shows; the link leads to all of it.
SHOWN_OF_RESULT = 3_000

DONE = {
    Ruling.APPROVE: "approved",
    Ruling.REQUEST_CHANGES: "sent back for changes",
    Ruling.REJECT: "rejected",
    Ruling.RETRY: "tried again",
    Ruling.CANCEL: "canceled",
    Ruling.ESCALATE: "escalated",
    Ruling.REOPEN: "reopened",
    Ruling.USE_RESULT: "taken with the late result",
    Ruling.SETTLE: "settled",
    Ruling.ARCHIVE: "archived",
}
MEANS = {
    Ruling.APPROVE: "What you approve is used: a result completes its job, and a job that waits to "
    "run is sent and paid for.",
    Ruling.REQUEST_CHANGES: "The model tries again and is given your note. That is paid for.",
    Ruling.REJECT: "The job fails, and its result is not used.",
    Ruling.RETRY: "Each job gets a new attempt, which is paid for; earlier results are not used.",
    Ruling.CANCEL: "Jobs that run are stopped at OpenAI; those that wait end at once.",
    Ruling.ESCALATE: "The review goes up a level, with its time counted anew.",
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
    def response_field(self) -> str:
        return f"response-{self.job.pk}"


def verb(ruling: Ruling) -> Any:
    """The action of a ruling: first a page that shows what would happen, then one `decide` a row."""

    @admin.action(description=f"{ruling.label} …", permissions=["view"])
    def act(page: "DeskAdmin", request: HttpRequest, queryset: QuerySet[Job]) -> Any:
        return page.take(request, ruling)

    act.__name__ = ruling.value
    return act


class DecisionInline(RoomInline):
    model = Decision
    fields = ("at", "ruling", "actor", "role", "note", "judged")
    readonly_fields = ("judged",)
    related = ("actor",)
    deferred = ("policy",)

    @admin.display(description="Judged")
    def judged(self, decision: Decision) -> SafeString:
        return short_hash(decision.content_hash)


class NoteInline(RoomInline):
    model = ReviewerNote
    fields = ("created_at", "author", "text")
    related = ("author",)


@admin.register(Job)
class DeskAdmin(JobAdmin):
    """Jobs, with the verbs of this app."""

    actions = [verb(ruling) for ruling in Ruling]
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

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> Any:
        """A selection of what cannot be an id is one of nothing."""
        post = request.POST.copy()
        chosen = [text for text in post.getlist(ACTION_CHECKBOX_NAME) if _is_id(text)]
        post.setlist(ACTION_CHECKBOX_NAME, chosen)
        request.POST = post  # type: ignore[assignment]
        return super().response_action(request, queryset, *args, **kwargs)

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
        )
        try:
            decide(job.pk, ask)
        except (NotAllowed, NotNow, NoteMissing, BadInput) as refusal:
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
            asked = 0
            if ruling is Ruling.CANCEL:
                pks = [job.pk for job in done]
                asked = Job.objects.filter(pk__in=pks, status=Status.RUNNING).count()
            parts = [f"{len(done) - asked} {DONE[ruling]}."] if len(done) > asked else []
            if asked:
                parts.append(f"{asked} being canceled: OpenAI is told.")
            messages.success(request, " ".join(parts))
        if skipped:
            reasons = format_html_join("", "<li>{}</li>", ((why,) for _job, why in skipped))
            said = format_html('{} skipped:<ul class="room-skipped">{}</ul>', len(skipped), reasons)
            messages.warning(request, said)
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
        excerpt = Left(F("open_gate__result__text"), SHOWN_OF_RESULT)
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
    """The message that would be sent, of a job that waits to run."""
    if gate is None or gate.kind != GateKind.BEFORE_RUN:
        return ""
    return rendered(job.prompt_version.template, job.input)[:SHOWN_OF_RESULT]


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def said_of(job: Job, why: str) -> str:
    """The reason, with the job's reference: rows are told apart by it."""
    return why if job.ref in why else f"{job.ref}: {why}"


@admin.register(Decision)
class DecisionAdmin(OfJob):
    list_display = ("line", "job_link", "actor", "role", "level", "at")
    list_filter = ("ruling", "role")
    list_select_related = ("job", "actor")
    deferred = ("note", "policy", *under("job", LONG_OF_JOB))
    fields = (
        ("job_link", "gate_link", "result_link"),
        ("ruling", "actor", "role", "at"),
        ("requester", "own_approval", "level"),
        "note",
        "content_hash",
        "policy_shown",
    )

    def name_of(self, row: Decision) -> str:
        return f"decision: {row.get_ruling_display().lower()}"

    @admin.display(description="Decision")
    def line(self, decision: Decision) -> str:
        return decision.get_ruling_display()

    @admin.display(description="Gate")
    def gate_link(self, decision: Decision) -> SafeString:
        return link(decision.gate, decision.gate.get_kind_display() if decision.gate else "")

    @admin.display(description="Result")
    def result_link(self, decision: Decision) -> SafeString:
        return link(decision.gate.result if decision.gate else None, "Result")

    @admin.display(description="Why a person had to decide")
    def policy_shown(self, decision: Decision) -> SafeString:
        return readable(decision.policy)


@admin.register(ReviewerNote)
class ReviewerNoteAdmin(OfJob):
    list_display = ("line", "job_link", "author", "created_at")
    list_select_related = ("job", "author")
    deferred = ("text", *under("job", LONG_OF_JOB))
    fields = (("job_link", "author", "created_at"), "text")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        notes: QuerySet[Any] = super().get_queryset(request).annotate(beginning=Left("text", 100))
        return notes

    def name_of(self, row: ReviewerNote) -> str:
        return "note"

    @admin.display(description="Note")
    def line(self, note: Any) -> str:
        beginning: str = note.beginning
        return beginning
