"""Rulings as pages offer them: the button, what pressing it will do, and what it did."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.urls import reverse

from jobs import ladder, requests
from jobs.access import AT_GATE, Action, allowed_actions, rounds
from jobs.ballots import missing
from jobs.models import GateKind, Job, Role, Status, User
from reviews.approvals import progress as _progress
from reviews.models import Ruling

#: In the order in which they stand on a page.
ORDER = (
    Ruling.APPROVE,
    Ruling.REFUSE,
    Ruling.REQUEST_CHANGES,
    Ruling.REJECT,
    Ruling.ESCALATE,
    Ruling.REASSIGN,
    Ruling.RETRY,
    Ruling.CANCEL,
    Ruling.USE_RESULT,
    Ruling.REOPEN,
    Ruling.SETTLE,
    Ruling.ARCHIVE,
)
#: The work of a reviewer: always on the review page, off with its reason where it does not apply.
DESK = frozenset(
    {
        Ruling.APPROVE,
        Ruling.REQUEST_CHANGES,
        Ruling.REJECT,
        Ruling.ESCALATE,
        Ruling.RETRY,
        Ruling.CANCEL,
    }
)
#: Shown only where they apply: elsewhere nobody misses them.
RARE = frozenset(
    {
        Ruling.REFUSE,
        Ruling.REASSIGN,
        Ruling.USE_RESULT,
        Ruling.REOPEN,
        Ruling.SETTLE,
        Ruling.ARCHIVE,
    }
)
#: What the review page's button says in `ask`: nothing, and the ruling is carried out at once;
#: "words", where it asks for those that are missing; "first", where it ends the job, or throws away
#: and pays again.
_ASKS = {
    Ruling.APPROVE: "",
    Ruling.REFUSE: "words",
    Ruling.REQUEST_CHANGES: "words",
    Ruling.ESCALATE: "words",
}
DANGEROUS = frozenset({Ruling.REJECT, Ruling.CANCEL})

_ICONS = {
    Ruling.APPROVE: "check",
    Ruling.REQUEST_CHANGES: "pencil",
    Ruling.REFUSE: "ban",
    Ruling.REJECT: "x",
    Ruling.ESCALATE: "arrow-up",
    Ruling.REASSIGN: "user",
    Ruling.RETRY: "rotate-ccw",
    Ruling.CANCEL: "ban",
    Ruling.USE_RESULT: "download",
    Ruling.REOPEN: "eye",
    Ruling.SETTLE: "circle-help",
    Ruling.ARCHIVE: "archive",
}
_DONE = {
    Ruling.APPROVE: "Approved {}.",
    Ruling.REQUEST_CHANGES: "Requested changes to {}.",
    Ruling.REFUSE: "Refused what {} wanted to do.",
    Ruling.REJECT: "Rejected {}.",
    Ruling.ESCALATE: "Escalated {}.",
    Ruling.REASSIGN: "Reassigned {}.",
    Ruling.RETRY: "{} runs again.",
    Ruling.CANCEL: "Canceled {}.",
    Ruling.USE_RESULT: "The late result of {} is in review.",
    Ruling.REOPEN: "Reopened {}.",
    Ruling.SETTLE: "Settled the submit of {}.",
    Ruling.ARCHIVE: "Archived {}.",
}


@dataclass(frozen=True)
class Offer:
    """One button. `value` is the ruling's; `kind` is "primary", "danger" or "plain"; `why` says why
    it is off, and `forbidden` that it is off for this person in any state."""

    value: str
    label: str
    url: str
    kind: str
    icon: str
    asks: str = "first"
    why: str = ""
    forbidden: bool = False

    @property
    def allowed(self) -> bool:
        return not self.why

    @property
    def in_full(self) -> str:
        """The label where a lone "Cancel" would read as the way back."""
        return f"{self.label} the job" if self.value == Ruling.CANCEL else self.label


@dataclass(frozen=True)
class Buttons:
    """In their order."""

    every: Sequence[Offer]

    @property
    def on(self) -> Sequence[Offer]:
        return [offer for offer in self.every if offer.allowed]

    @property
    def off(self) -> Sequence[Offer]:
        return [offer for offer in self.every if not offer.allowed]


def offers(user: User, job: Job, rulings: Iterable[Ruling] = ORDER) -> list[Offer]:
    """Each ruling as a button, on or off."""
    may = allowed_actions(user, job)
    return [
        Offer(
            ruling.value,
            ruling.label,
            url_of(ruling, job),
            _kind(ruling),
            _ICONS[ruling],
            asks=_ASKS.get(ruling, "first"),
            why=may[Action(ruling.value)].why,
            forbidden=may[Action(ruling.value)].forbidden,
        )
        for ruling in rulings
    ]


def at_the_desk(user: User, job: Job) -> Buttons:
    """The buttons of the review page: a reviewer's work always, what is rare where it applies."""
    gate = job.open_gate
    desk = DESK
    if gate and gate.kind == GateKind.TOOL_CALL:
        # There is no result yet to change.
        desk = DESK - {Ruling.REQUEST_CHANGES}
    every = offers(user, job)
    return Buttons([offer for offer in every if offer.value in desk or offer.allowed])


def on_the_job(user: User, job: Job) -> Buttons:
    """The buttons of a page about the job. Whoever decides by looking at the result is led to the
    review page, and decides there what else they may."""
    at_gate = {action.value for action in AT_GATE}
    every = offers(user, job)
    if any(offer.allowed and offer.value in at_gate for offer in every):
        url = reverse("reviews:job_review", args=[job.ref])
        return Buttons([Offer("review", "Review", url, "primary", "eye")])
    hidden = at_gate | {ruling.value for ruling in RARE}
    return Buttons(
        [
            offer
            for offer in every
            if offer.allowed or not (offer.forbidden or offer.value in hidden)
        ]
    )


def url_of(ruling: Ruling, job: Job) -> str:
    return reverse(f"reviews:job_{ruling.value}", args=[job.ref])


def done(ruling: Ruling, job: Job) -> str:
    """What has just been done, in a sentence. `job` is as it is now."""
    if ruling is Ruling.CANCEL and job.status == Status.RUNNING:
        return f"OpenAI is being asked to stop {job.ref}."
    if ruling is Ruling.RETRY and job.status == Status.NEEDS_REVIEW:
        return f"{job.ref} waits for approval again."
    if ruling is Ruling.APPROVE and job.open_gate and job.open_gate.given:
        return f"Approved {job.ref}, which waits for somebody else too: {_progress(job)}."
    if ruling is Ruling.ESCALATE and job.open_gate:
        return f"Escalated {job.ref}: it waits for {job.open_gate.level_name}."
    if ruling is Ruling.REASSIGN and job.open_gate:
        return f"{job.ref} waits for {job.open_gate.assignee or job.open_gate.level_name}."
    if ruling is Ruling.APPROVE and job.status == Status.RUNNING:
        return f"Approved. {job.ref} goes on."
    return _DONE[ruling].format(job.ref)


def consequence(ruling: Ruling, job: Job) -> str:
    """What `ruling` would do to the job as it is, in a sentence or two."""
    gate = job.open_gate
    before_run = gate is not None and gate.kind == GateKind.BEFORE_RUN
    match ruling:
        case Ruling.APPROVE if gate and gate.approvals > 1 and missing(job) > 1:
            return (
                f"This level asks for {gate.approvals} approvals, and {_progress(job)}. Yours is "
                "counted, and the review then waits for somebody else."
            )
        case Ruling.APPROVE if before_run:
            return "It is sent to OpenAI as it stands below, and is paid for."
        case Ruling.APPROVE if gate and gate.kind == GateKind.TOOL_CALL:
            return (
                "Each call is made once, with the arguments that you leave it, and the job goes on."
            )
        case Ruling.REFUSE:
            return "The calls are not made. The model reads why, and the job goes on without them."
        case Ruling.APPROVE:
            return f"The job is completed with this result, and {job.requester} can read it."
        case Ruling.REQUEST_CHANGES:
            return (
                "The job runs again with your words and this result, and the new result comes to "
                "review. This one is kept as evidence. The run is paid for. This is round "
                f"{rounds(job) + 1} of {job.job_type.max_rounds}."
            )
        case Ruling.REJECT if before_run:
            return f"The job fails. Nothing is sent to OpenAI, and {job.requester} reads why."
        case Ruling.REJECT:
            return (
                f"The job fails, and {job.requester} reads why. The result is kept as evidence and "
                "is never delivered."
            )
        case Ruling.ESCALATE:
            return _escalation(job)
        case Ruling.REASSIGN:
            return (
                "The review waits for the person you choose. Others who may decide it still can; if "
                "somebody else has it open, they lose their hold."
            )
        case Ruling.RETRY:
            return _retry(job, under_review=gate is not None)
        case Ruling.CANCEL if job.status == Status.RUNNING:
            return (
                "OpenAI is asked to stop. What it has done until then is paid for, kept as evidence "
                "and never delivered."
            )
        case Ruling.CANCEL if gate and not before_run:
            return "The review ends. The result is kept as evidence and is never delivered."
        case Ruling.CANCEL:
            return "The job ends here. Nothing more is sent to OpenAI."
        case Ruling.USE_RESULT:
            return "The result that came late goes to review, and is not paid for a second time."
        case Ruling.REOPEN:
            return (
                f"The job goes back to review with its present result. {job.requester} cannot read it "
                "until that is decided."
            )
        case Ruling.SETTLE:
            return (
                "A request was sent to OpenAI and never answered. Look in OpenAI's log for a response "
                f"whose metadata names the job {job.pk}."
            )
        case Ruling.ARCHIVE:
            return "The job leaves the everyday lists. Nothing is deleted."


def _escalation(job: Job) -> str:
    """Where the review goes, and who decides there."""
    above = ladder.rung(job.ruling_types(), job.open_gate.level + 1 if job.open_gate else 2)
    who = "leads decide" if above.role == Role.LEAD else "reviewers and leads decide"
    name = "" if above.name == "Leads" else f" ({above.name})"
    many = f" {above.approvals} of them must approve." if above.approvals > 1 else ""
    return f"The review moves up to level {above.number}{name}, where {who}, and is due anew.{many}"


def _retry(job: Job, *, under_review: bool) -> str:
    kept = "This result is kept as evidence and is never delivered. " if under_review else ""
    if requests.may_run(job):
        return f"{kept}The job runs again from the start, as a new attempt that is paid for."
    return f"{kept}The job waits for approval again. Nothing is sent before that."


def _kind(ruling: Ruling) -> str:
    if ruling is Ruling.APPROVE:
        return "primary"
    return "danger" if ruling in DANGEROUS else "plain"
