from collections.abc import Iterable
from typing import Any, Self
from urllib.parse import unquote

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from jsonschema import Draft202012Validator, SchemaError
from simple_history.models import HistoricalRecords

from jobs.models.ordered import OrderedJSONField
from jobs.models.rules import Review, check_names, check_roles
from jobs.models.workspaces import User, Workspace


class Lane(models.TextChoices):
    """The execution contract. Each says its promise in one sentence (`Lane.promise`)."""

    INTERACTIVE = "interactive", "Interactive"
    BACKGROUND = "background", "Background"
    APPROVAL = "approval", "Approval first"

    @property
    def promise(self) -> str:
        return {
            Lane.INTERACTIVE: "Starts at once and is meant to finish while you watch.",
            Lane.BACKGROUND: "Starts within a minute and goes on after you leave this page.",
            Lane.APPROVAL: "Waits for a person's approval before anything runs or is paid for.",
        }[self]


class Carriage(models.TextChoices):
    """How documents reach the model."""

    BY_SIZE = "by_size", "By size: inline, as files, or searched where they are many"
    SEARCH = "search", "Always searched"


class Live(models.TextChoices):
    """Who may watch a result being written."""

    OFF = "off", "Nobody"
    STAFF = "staff", "Those who see all jobs of the workspace"
    REQUESTER = "requester", "The requester too: before anybody has reviewed it"

    @classmethod
    def narrowest(cls, rules: Iterable[str]) -> "Live":
        return min(map(cls, rules), key=list(cls).index)


class OnIncomplete(models.TextChoices):
    REVIEW = "review", "Reviewed with the partial result"
    FAIL = "fail", "Fails"


def _check_schema(schema: Any) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "/".join(str(part) for part in error.path) or "the top"
        raise ValidationError(f"Not a JSON Schema: {error.message} (at {where})") from None
    _check_references(schema, schema)


def _check_references(part: Any, whole: Any) -> None:
    """What the schema of schemas lets through: references that lead nowhere, or out of the schema,
    which would be fetched when a job is submitted."""
    if isinstance(part, list):
        for item in part:
            _check_references(item, whole)
    if not isinstance(part, dict):
        return
    for name in ("$ref", "$dynamicRef"):
        reference = part.get(name)
        if isinstance(reference, str) and not _leads_somewhere(reference, whole):
            raise ValidationError(
                f"{name} {reference} is nowhere in this schema; it can only name a part of it, "
                "as in #/$defs/name."
            )
    for key, item in part.items():
        if key not in ("const", "enum", "default", "examples"):
            _check_references(item, whole)


def _leads_somewhere(reference: str, whole: Any) -> bool:
    if reference != "#" and not reference.startswith("#/"):
        return False
    at = whole
    for step in unquote(reference[2:]).split("/") if reference != "#" else ():
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(at, list) and key.isdecimal() and int(key) < len(at):
            at = at[int(key)]
        elif isinstance(at, dict) and key in at:
            at = at[key]
        else:
            return False
    return isinstance(at, dict | bool)


#: What a prompt version may set beside what has a field of its own. Nothing that would take the
#: request out of our hands: background, store and metadata, streams, or the SDK's own arguments.
OPTIONS = frozenset(
    {
        "context_management",
        "include",
        "max_output_tokens",
        "max_tool_calls",
        "moderation",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "temperature",
        "text",
        "tool_choice",
        "top_p",
        "truncation",
    }
)


def _check_options(options: Any) -> None:
    if not isinstance(options, dict):
        raise ValidationError("Must be a JSON object.")
    if unknown := sorted(set(options) - OPTIONS):
        known = ", ".join(sorted(OPTIONS))
        raise ValidationError(f"Cannot be set here: {', '.join(unknown)}. Can be set: {known}.")


class JobTypeQuerySet(models.QuerySet["JobType"]):
    def of(self, workspace: Workspace) -> Self:
        """The workspace's own types, and the shared ones whose slug none of its own has. Switched
        off ones are among them: a type of one's own that is off hides the shared one too."""
        own = JobType.objects.filter(workspace=workspace).values("slug")
        shared = models.Q(workspace=None) & ~models.Q(slug__in=own)
        return self.filter(models.Q(workspace=workspace) | shared)

    def open(self) -> Self:
        """Those that take new jobs."""
        return self.filter(enabled=True, current_version__isnull=False)

    def offered(self) -> Self:
        """Those that can be asked for by themselves."""
        return self.open().filter(follows=False)


class JobType(models.Model):
    """What may be asked for. Edited in the admin, without a deploy."""

    slug = models.SlugField()
    workspace = models.ForeignKey(
        Workspace,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="job_types",
        help_text="Empty: available in every workspace.",
    )
    name = models.CharField(max_length=100)
    description = models.TextField(help_text="What it does, in words that a requester understands.")
    enabled = models.BooleanField(default=True)
    follows = models.BooleanField(
        "follows a job",
        default=False,
        help_text="Asks about the result of a completed job. It is reached from that job alone, and "
        "is reviewed at least as strictly.",
    )
    current_version = models.ForeignKey(
        "PromptVersion",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="What new jobs use. Jobs that exist keep theirs.",
    )
    input_schema = OrderedJSONField(
        default=dict,
        blank=True,
        validators=[_check_schema],
        help_text="JSON Schema of the form.",
    )
    min_documents = models.PositiveSmallIntegerField(default=0)
    max_documents = models.PositiveSmallIntegerField(default=0)

    lane = models.CharField(max_length=20, choices=Lane, default=Lane.BACKGROUND)
    review = models.CharField(max_length=20, choices=Review, default=Review.ALWAYS)
    review_on_warnings = models.BooleanField(
        "there is a warning",
        default=True,
        help_text="Such as a refusal, a quote that was not found, or a call that may have failed.",
    )
    review_on_violations = models.BooleanField(
        "it does not fit its output schema",
        default=False,
        help_text="Or could not be held against it.",
    )
    review_without_citations = models.BooleanField("it cites nothing", default=False)
    review_cost_over = models.DecimalField(
        "it cost more than",
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="US dollars, all attempts of the job together. An unknown cost counts as more. "
        "Empty: no limit.",
    )
    review_tools = models.JSONField(
        "it used a tool", default=list, blank=True, validators=[check_names]
    )
    review_first = models.PositiveSmallIntegerField(
        "the first of a prompt version",
        default=0,
        help_text="How many results of each new version, in each workspace, are put before a person "
        "first. 0: none.",
    )
    review_roles = models.JSONField(
        "it was asked for by",
        default=list,
        blank=True,
        validators=[check_roles],
        help_text="Results for people who hold none but these roles: whoever also holds another one "
        "is trusted. None ticked: the role does not matter.",
    )
    review_share = models.PositiveSmallIntegerField(
        "share reviewed, in percent",
        default=0,
        validators=[MaxValueValidator(100)],
        help_text="Drawn from the results that no rule asks about.",
    )
    review_share_adapts = models.BooleanField(
        "the share falls",
        default=False,
        help_text="As more of the last 50 results of the prompt version that were decided in the "
        "workspace were approved without changes. One that was not takes four of those back.",
    )
    review_share_floor = models.PositiveSmallIntegerField(
        "never below, in percent", default=0, validators=[MaxValueValidator(100)]
    )
    on_incomplete = models.CharField(
        max_length=20, choices=OnIncomplete, default=OnIncomplete.REVIEW
    )
    carriage = models.CharField(
        "documents go", max_length=20, choices=Carriage, default=Carriage.BY_SIZE
    )
    live = models.CharField("shows live text to", max_length=20, choices=Live, default=Live.OFF)
    max_turns = models.PositiveSmallIntegerField(
        default=12,
        validators=[MinValueValidator(1)],
        help_text="Responses in one attempt: how often the model may come back from its tools.",
    )
    max_calls = models.PositiveSmallIntegerField(
        "max tool calls",
        default=40,
        help_text="Calls of Jobsite's own tools in one attempt. Those of OpenAI's tools are limited "
        "by max_tool_calls among the options of the prompt.",
    )
    check_quotes = models.BooleanField(
        default=False,
        help_text="Look every object with a “quote” in the structured output up in the documents.",
    )
    evidence_seen = models.BooleanField(
        "all evidence must be seen before approval",
        default=False,
        help_text="Whoever approves ticks every quote, source, step and warning first.",
    )
    own_approval = models.BooleanField("requesters may approve their own jobs", default=False)
    remind_after = models.PositiveSmallIntegerField(
        "remind after",
        default=75,
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
        help_text="Percent of a review's time. Empty: nobody is reminded.",
    )
    escalate_after = models.PositiveSmallIntegerField(
        "escalate after",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
        help_text="Percent of a review's time, after which it goes a level up by itself. Empty: "
        "never.",
    )
    max_rounds = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(1)],
        help_text="How often a reviewer may ask for changes to one job.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(1)],
        help_text="Tries before a passing fault fails the job.",
    )
    may_pay_twice = models.BooleanField(
        default=False,
        help_text="Start again by itself where it is unknown whether OpenAI started the work.",
    )
    unknown_wait = models.PositiveIntegerField(
        default=60, help_text="Seconds to wait for news of a submit that was never answered."
    )
    start_within = models.PositiveIntegerField(
        default=6 * 3600, help_text="Seconds until a job that has not started expires."
    )
    finish_within = models.PositiveIntegerField(
        default=24 * 3600, help_text="Seconds until a job that has not finished expires."
    )
    review_within = models.PositiveIntegerField(
        default=3 * 86400, help_text="Seconds that a reviewer has, where the level says nothing."
    )
    expire_overdue_review = models.BooleanField(
        default=False, help_text="A review that is overdue expires the job."
    )

    objects = JobTypeQuerySet.as_manager()
    history = HistoricalRecords()

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="job_type_once"),
            models.UniqueConstraint(
                fields=["slug"],
                condition=models.Q(workspace=None),
                name="job_type_once_everywhere",
            ),
            models.CheckConstraint(
                condition=models.Q(lane__in=Lane.values), name="job_type_lane_known"
            ),
            models.CheckConstraint(
                condition=models.Q(live__in=Live.values), name="job_type_live_known"
            ),
            models.CheckConstraint(
                condition=models.Q(review__in=Review.values), name="job_type_review_known"
            ),
            models.CheckConstraint(
                condition=models.Q(review_share__lte=100), name="job_type_review_share_in_percent"
            ),
            models.CheckConstraint(
                condition=models.Q(review_share_adapts=False)
                | models.Q(
                    review_share_floor__gte=1,
                    review_share_floor__lte=models.F("review_share"),
                ),
                name="job_type_review_share_has_floor",
            ),
            models.CheckConstraint(
                condition=models.Q(review_cost_over__isnull=True)
                | models.Q(review_cost_over__gte=0),
                name="job_type_review_cost_not_negative",
            ),
            models.CheckConstraint(condition=models.Q(max_turns__gte=1), name="job_type_has_turns"),
            models.CheckConstraint(
                condition=models.Q(remind_after=None) | models.Q(remind_after__range=(1, 99)),
                name="job_type_reminds_within",
            ),
            models.CheckConstraint(
                condition=models.Q(escalate_after=None) | models.Q(escalate_after__range=(1, 99)),
                name="job_type_escalates_within",
            ),
            models.CheckConstraint(
                condition=models.Q(max_rounds__gte=1), name="job_type_has_rounds"
            ),
            models.CheckConstraint(
                condition=models.Q(min_documents__lte=models.F("max_documents")),
                name="job_type_documents_min_lte_max",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Whether it takes new jobs."""
        return self.enabled and self.current_version_id is not None


class PromptVersion(models.Model):
    """What is sent to the model. Never changes: a new wording is a new version.

    ``template`` is the user message: ``{name}`` stands for an input, and a line whose inputs are
    all empty is left out.
    """

    job_type = models.ForeignKey(JobType, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    model = models.CharField(max_length=100)
    instructions = models.TextField()
    template = models.TextField(blank=True)
    tools = OrderedJSONField(default=list, blank=True)
    output_schema = OrderedJSONField(null=True, blank=True, validators=[_check_schema])
    options = OrderedJSONField(
        default=dict,
        blank=True,
        validators=[_check_options],
        help_text="Further parameters of the request: reasoning, max_output_tokens, service_tier …",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["job_type", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["job_type", "number"], name="prompt_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.job_type.slug} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ValidationError("A prompt version never changes. Make a new version instead.")
        super().save(*args, **kwargs)
