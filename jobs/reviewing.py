"""Which results a person must see before they are used, and why: the rules of job types, pure."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from jobs.lifecycle import Reason
from jobs.models import JobType, Review, Role, Verb

#: Decided reviews of a prompt version that its share follows, and how many approvals one that ended
#: otherwise takes back.
RECORD = 50
TAKEN_BACK = 4

#: How a review of a result ends that says nothing about the result.
SAYS_NOTHING = frozenset({Verb.CANCELED.value, Verb.EXPIRED.value})

#: Kinds of tools that OpenAI runs: what they are called, and the steps that they leave.
TOOL_KINDS: Mapping[str, tuple[str, frozenset[str]]] = {
    "web_search": ("Web search", frozenset({"web_search_call"})),
    "file_search": ("File search", frozenset({"file_search_call"})),
    "code_interpreter": ("Code interpreter", frozenset({"code_interpreter_call"})),
    "image_generation": ("Image generation", frozenset({"image_generation_call"})),
    "computer": ("Computer use", frozenset({"computer_call"})),
    "mcp": ("MCP servers", frozenset({"mcp_call", "mcp_approval_request"})),
    "shell": ("Shell", frozenset({"shell_call", "local_shell_call"})),
    "apply_patch": ("Patches to files", frozenset({"apply_patch_call"})),
}

#: Codes of reasons that are about the moment at which they were asked, and not about the content.
OF_THE_MOMENT = frozenset({"first", "drawn"})

#: Codes of reasons that are for whoever reviews. A requester who can tell a draw from a rule knows
#: when a new submission would go by unseen, and needs only cancel this one.
OF_THE_POLICY = OF_THE_MOMENT | frozenset(
    {"warnings", "violations", "no_citations", "cost", "tools", "role"}
)


@dataclass(frozen=True)
class Approvals:
    """How the last results of a prompt version that people decided ended."""

    unchanged: int = 0
    otherwise: int = 0

    @property
    def decided(self) -> int:
        return self.unchanged + self.otherwise


@dataclass(frozen=True)
class Facts:
    """What the rules go by. What nobody knows is what asks for a person.

    `sent_back` is a result that was made with what a reviewer had said about the one before.
    `cost` is in US dollars, None where it is unknown. `tools` are kinds of steps and names of
    functions, and `seen_whole` says whether all steps are known. `before` counts the results of the
    prompt version that were put before a person earlier. `draw` is at least 0 and below 1.
    """

    incomplete: bool = False
    sent_back: bool = False
    warnings: int = 0
    fits_schema: bool = True
    citations: int = 0
    cost: Decimal | None = None
    tools: frozenset[str] = frozenset()
    seen_whole: bool = True
    before: int = 0
    roles: frozenset[Role] = frozenset()
    approvals: Approvals = Approvals()
    draw: float = 0.0


def reasons(types: Sequence[JobType], facts: Facts) -> tuple[Reason, ...]:
    """Why a person must see this result first. Empty: nobody has to.

    `types` are those whose rules hold together: the job's own first and, for a follow-up, those of
    the jobs that it rests on, so that none of them is got round by it.

    None of them quotes the result: some are for its requester to read (`told`).
    """
    found = []
    if facts.incomplete:
        found.append(Reason("incomplete", "The answer is incomplete: this is a partial result."))
    if facts.sent_back:
        text = "A reviewer asked for changes, and sees what came of it."
        found.append(Reason("sent_back", text))
    if types[0].review == Review.ALWAYS:
        found.append(Reason("always", "Results of this type are always reviewed."))
    elif always_reviewed(types):
        text = "What it follows is always reviewed, and so is the answer."
        found.append(Reason("always", text))
    for job_type in types:
        found += _asked_by(job_type, facts)
    return tuple(dict.fromkeys(found))


def told(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """The reasons of a gate as its requester reads them: what a rule or the draw asked is one
    sentence, and goes without saying beside another reason."""
    given = tuple(reasons)
    open_ones = tuple(reason for reason in given if reason.code not in OF_THE_POLICY)
    if open_ones or not given:
        return open_ones
    return (Reason("policy", "The policy of its type asks for a review of it."),)


def always_reviewed(types: Iterable[JobType]) -> bool:
    """Whether a person sees each result first, by the types whose rules hold for a job."""
    return any(job_type.review == Review.ALWAYS for job_type in types)


def _asked_by(job_type: JobType, facts: Facts) -> list[Reason]:
    match Review(job_type.review):
        case Review.ALWAYS:
            # They do not decide anything here, and say what to look at.
            return [*_warned(facts), *_of_the_result(job_type, facts)]
        case Review.RULES:
            warned = _warned(facts) if job_type.review_on_warnings else ()
            asked = [
                *warned,
                *_of_the_result(job_type, facts),
                *_of_its_origin(job_type, facts),
            ]
            return asked or [*_drawn(job_type, facts)]
        case Review.SAMPLED:
            return [*_drawn(job_type, facts)]
        case Review.NEVER:
            return []


def _warned(facts: Facts) -> Iterator[Reason]:
    if facts.warnings == 1:
        yield Reason("warnings", "There is a warning.")
    elif facts.warnings:
        yield Reason("warnings", f"There are {facts.warnings} warnings.")


def _of_the_result(job_type: JobType, facts: Facts) -> Iterator[Reason]:
    if job_type.review_on_violations and not facts.fits_schema:
        yield Reason("violations", "It was not found to fit its output schema.")
    if job_type.review_without_citations and not facts.citations:
        yield Reason("no_citations", "It cites nothing.")
    limit = job_type.review_cost_over
    if limit is not None and facts.cost is None:
        yield Reason("cost", f"What it cost is unknown, and the limit is {usd(limit)}.")
    elif limit is not None and facts.cost is not None and facts.cost > limit:
        yield Reason("cost", f"It cost {usd(facts.cost)}, over the limit of {usd(limit)}.")
    if used := [name for name in job_type.review_tools if _steps_of(name) & facts.tools]:
        listed = ", ".join(tool_label(name) for name in used)
        yield Reason("tools", f"It asked for tools whose use is reviewed: {listed}.")
    elif job_type.review_tools and not facts.seen_whole:
        yield Reason("tools", "Not all that it did is known, and the use of tools is reviewed.")


def _of_its_origin(job_type: JobType, facts: Facts) -> Iterator[Reason]:
    first = job_type.review_first
    if first == 1 and not facts.before:
        text = "The first result of a prompt version is reviewed, and this is it."
        yield Reason("first", text)
    elif facts.before < first:
        text = (
            f"The first {first} results of a prompt version are reviewed, and this is one of them."
        )
        yield Reason("first", text)
    if job_type.review_roles and facts.roles <= set(job_type.review_roles):
        held = ", ".join(role.label for role in Role if role in facts.roles) or "none"
        yield Reason("role", f"It is reviewed for the roles of whoever asked for it: {held}.")


def _drawn(job_type: JobType, facts: Facts) -> Iterator[Reason]:
    percent = share(job_type, facts.approvals)
    if facts.draw * 100 < percent:
        rest = " that no rule asks about" if job_type.review == Review.RULES else ""
        said = f"{percent:.1f}".removesuffix(".0")
        yield Reason("drawn", f"It was drawn: {said}% of the results{rest} are reviewed.")


def share(job_type: JobType, approvals: Approvals) -> float:
    """The share that is drawn, in percent.

    One that adapts falls from `review_share` to `review_share_floor` in a straight line, by

        max(0, approved unchanged - 4 x decided otherwise) / 50

    of the last 50 decided: 50 approvals without a change are the whole way, one in five decided
    otherwise is none of it, and so is a version of which nothing is known yet.
    """
    full, floor = job_type.review_share, job_type.review_share_floor
    if not job_type.review_share_adapts or floor >= full:
        return float(full)
    won = max(0, approvals.unchanged - TAKEN_BACK * approvals.otherwise)
    return full - (full - floor) * min(won, RECORD) / RECORD


def draw(job_id: UUID, *, key: str) -> float:
    """At least 0 and below 1, always the same for a job: an answer that is read twice, and a retry,
    are no second draw. Nobody can tell it from the id without the key."""
    digest = hmac.digest(key.encode(), b"review draw:" + job_id.bytes, hashlib.sha256)
    return int.from_bytes(digest[:6]) / 2**48


def tool_label(name: str) -> str:
    return TOOL_KINDS[name][0] if name in TOOL_KINDS else name


def _steps_of(name: str) -> frozenset[str]:
    """What a tool is known by among the steps: a function of ours by its name."""
    return frozenset({name}) | (TOOL_KINDS[name][1] if name in TOOL_KINDS else frozenset())


def usd(amount: Decimal) -> str:
    """To the cent, and exactly where there is less: two amounts that differ look different."""
    exact = f"{amount:,.6f}"
    cents = exact[:-4]
    return f"${cents}{exact[-4:].rstrip('0')}"
