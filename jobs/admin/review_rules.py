"""The review rules of a job type as they are edited: what can be ticked, and what goes together."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.models import Gate, GateKind, Job, JobType, PromptVersion, Review, Role, Status
from jobs.review_facts import approvals
from jobs.reviewing import TOOL_KINDS, Approvals, share, tool_label
from jobs.tools import registry

#: Completed jobs of a type that its page looks back on.
LOOKED_BACK = 100

FIELDSET: tuple[str, Any] = (
    "Which results are reviewed",
    {
        "description": "“Always” and “Never” need nothing more. “When a rule asks for it” reviews a "
        "result that one of these applies to, and a share of the others. “A share” draws from all "
        "results and asks no rule. An incomplete answer is reviewed in any case, unless it fails "
        "the job.",
        "fields": (
            ("review_on_warnings", "review_on_violations", "review_without_citations"),
            ("review_cost_over", "review_first"),
            "review_tools",
            "review_roles",
            ("review_share", "review_share_adapts", "review_share_floor"),
        ),
    },
)


def tool_choices(stored: Collection[str] = ()) -> list[tuple[str, str]]:
    """What OpenAI runs, what runs here, and what is stored and is here no longer."""
    kinds = [(name, label) for name, (label, _kinds) in TOOL_KINDS.items()]
    own = [(one.name, one.name) for one in registry.registered() if one.name not in TOOL_KINDS]
    known = {name for name, _label in (*kinds, *own)}
    gone = [(name, f"{name} (not here any more)") for name in stored if name not in known]
    return [*kinds, *own, *gone]


class Ticks(forms.CheckboxSelectMultiple):
    """Boxes that are a group with a name: Django's admin says it to those alone who see it."""

    def __init__(self, group: str) -> None:
        super().__init__()
        self.group = group

    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        boxes = super().render(*args, **kwargs)
        return format_html(
            '<div role="group" aria-label="{}" class="room-ticks">{}</div>', self.group, boxes
        )


class ToolsField(forms.MultipleChoiceField):
    def __init__(self) -> None:
        super().__init__(
            label="It used a tool",
            help_text="Or asked for it, and was refused.",
            choices=tool_choices,
            required=False,
            widget=Ticks("It used a tool"),
        )

    def keep(self, stored: Collection[str]) -> None:
        """What is stored can be ticked, and is not dropped unseen."""
        self.choices = tool_choices(stored)


class RolesField(forms.MultipleChoiceField):
    def __init__(self) -> None:
        super().__init__(
            label="It was asked for by",
            help_text="People who hold none but these roles: whoever also holds another one is "
            "trusted. None ticked: the role does not matter.",
            choices=Role.choices,
            required=False,
            widget=Ticks("It was asked for by"),
        )


def review_faults(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, sentence) for what contradicts itself in a filled form."""
    review, full = data.get("review"), data.get("review_share")
    draws = review in (Review.RULES, Review.SAMPLED)
    if review is None or full is None or not draws:
        if data.get("review_share_adapts"):
            yield "review_share_adapts", "No share is drawn that could fall."
        return
    if review == Review.SAMPLED and full == 0:
        yield "review_share", "0% reviews nothing: choose “Never reviewed”, or give a share."
    if review == Review.RULES and full == 0 and not _has_rule(data):
        yield (
            "review",
            "No rule is on, and no share is drawn: choose “Never reviewed”, or switch a rule on.",
        )
    adapts, floor = data.get("review_share_adapts"), data.get("review_share_floor")
    if full == 100 and not adapts:
        yield "review_share", "100% reviews everything: choose “Always reviewed”, or a share."
    if adapts and full == 0 and review != Review.SAMPLED:
        yield "review_share_adapts", "No share is drawn that could fall."
    elif adapts and floor == 0:
        yield (
            "review_share_floor",
            "At 0% nobody would see it if results got worse: at least 1%.",
        )
    elif adapts and floor is not None and 0 < full < floor:
        yield "review_share_floor", f"It is above the share itself, which is {full}%."


def _has_rule(data: Mapping[str, Any]) -> bool:
    ticked = ("on_warnings", "on_violations", "without_citations", "tools", "first", "roles")
    return data.get("review_cost_over") is not None or any(
        data.get(f"review_{name}") for name in ticked
    )


def review_misgivings(job_type: JobType, unpriced: str) -> Iterator[str]:
    """Sentences about the rules of a stored type that may be meant so, and probably are not.
    `unpriced` says why what its jobs cost is unknown, or "" where it is not."""
    rules = {field.name: getattr(job_type, field.name) for field in job_type._meta.fields}
    version = job_type.current_version
    if job_type.review in (Review.NEVER, Review.SAMPLED):
        if _has_rule(rules | {"review_on_warnings": False}):
            label = Review(job_type.review).label
            yield f"Rules are stored, and nobody asks them: the type says “{label}”."
        return
    if job_type.review == Review.ALWAYS or version is None:
        return
    if job_type.review_on_violations and not version.output_schema:
        yield f"Results are held against an output schema, and {version} has none."
    if job_type.review_cost_over is not None and unpriced:
        yield "What results cost is unknown, which counts as over the limit: all are reviewed."
    offered = _offered(version)
    if missing := [name for name in job_type.review_tools if name not in offered]:
        listed = ", ".join(tool_label(name) for name in missing)
        yield f"A rule asks about tools that {version} does not offer: {listed}."


def _offered(version: PromptVersion) -> frozenset[str]:
    """The tools of a version by the names that rules have for them. Some types of tools have a
    suffix: ``web_search_preview``."""
    types = [str(one.get("type")) for one in version.tools if isinstance(one, dict)]
    names = [str(one.get("name")) for one in version.tools if isinstance(one, dict)]
    kinds = [kind for kind in TOOL_KINDS if any(one.startswith(kind) for one in types)]
    return frozenset([*kinds, *names, *(["shell"] if "local_shell" in types else [])])


@dataclass(frozen=True)
class Reviewed:
    """What became of the last results of a type. `percent` is the share that is drawn now, None
    where none is, or where each workspace has one of its own."""

    completed: int
    seen: int
    version: PromptVersion | None
    approvals: Approvals
    percent: float | None


def reviewed(job_type: JobType, workspaces: Collection[int] | None) -> Reviewed:
    """As far as it happened in these workspaces; None means in all. Three queries."""
    jobs = Job.objects.filter(job_type=job_type, status=Status.COMPLETED)
    if workspaces is not None:
        jobs = jobs.filter(workspace__in=workspaces)
    last = list(jobs.order_by("-id").values_list("pk", flat=True)[:LOOKED_BACK])
    gates = Gate.objects.filter(job__in=last, kind=GateKind.OUTPUT)
    seen = gates.order_by().values("job").distinct().count()
    version = job_type.current_version
    found = approvals(version, workspaces) if version else Approvals()
    draws = job_type.review in (Review.RULES, Review.SAMPLED) and job_type.review_share
    one = job_type.workspace_id is not None or not job_type.review_share_adapts
    return Reviewed(
        len(last), seen, version, found, share(job_type, found) if draws and one else None
    )
