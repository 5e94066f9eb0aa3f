"""What is wrong with a job type, in plain words. Each part may be right and the whole still not work."""

from collections.abc import Iterator
from typing import Any

from django.utils import timezone

from jobs.admin.review_rules import review_misgivings
from jobs.ladder import ladder
from jobs.models import JobType, Lane, Live, Membership, Price, PromptVersion, Review, Role
from jobs.requests import placeholders
from jobs.tools import registry


def unknown_inputs(schema: Any, version: PromptVersion) -> list[str]:
    """The inputs that a version names and the form does not ask for."""
    named = placeholders(version.template) | placeholders(version.tools)
    return sorted(named - set(_properties(schema)))


def unknown_tools(tools: list[Any]) -> list[str]:
    """The functions among a version's tools that are neither registered nor whole themselves."""
    functions = [
        tool for tool in tools if isinstance(tool, dict) and tool.get("type") == "function"
    ]
    return sorted(
        str(tool.get("name"))
        for tool in functions
        if not registry.find(str(tool.get("name"))) and "parameters" not in tool
    )


def is_closed(schema: Any) -> bool:
    """Whether nothing but what the schema lists can be given."""
    return isinstance(schema, dict) and schema.get("additionalProperties") is False


def impossible_inputs(schema: Any) -> str:
    """Why no input can ever fit the schema, or ""."""
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return "The input is an object: the schema's type must be “object”."
    required = schema.get("required", [])
    missing = sorted(set(required) - set(_properties(schema))) if is_closed(schema) else []
    if missing:
        return f"Required, and not among the properties, which are all that is allowed: {', '.join(missing)}."
    return ""


def strict_faults(schema: Any, where: str = "the top") -> Iterator[str]:
    """What OpenAI refuses in a schema of structured output (its strict mode)."""
    if isinstance(schema, list):
        for item in schema:
            yield from strict_faults(item, where)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            yield f"{where}: additionalProperties must be false."
        optional = sorted(set(_properties(schema)) - set(schema.get("required", [])))
        if optional:
            yield f"{where}: every property must be required; these are not: {', '.join(optional)}."
    for key, item in schema.items():
        if key in ("properties", "$defs") and isinstance(item, dict):
            for name, part in item.items():
                yield from strict_faults(part, f"{key}/{name}")
        elif key in ("items", "anyOf"):
            yield from strict_faults(item, f"{where}/{key}")


def unpriced(version: PromptVersion | None) -> str:
    """Why the cost of a version's jobs will be unknown, or ""."""
    if version is None:
        return ""
    tier = version.options.get("service_tier") if isinstance(version.options, dict) else None
    said = str(tier or "")
    if Price.objects.rate(model=version.model, tier=said, at=timezone.now()):
        return ""
    served = f" in the tier “{said}”" if said else ""
    return (
        f"The price book has no price for {version.model}{served}, which {version} uses: "
        "what its jobs cost will be unknown."
    )


def _nobody_asks(job_type: JobType) -> Iterator[str]:
    """A follow-up is asked with a question and perhaps a section, and nothing else."""
    if job_type.min_documents:
        yield "It follows a job, and a follow-up is asked without documents: nobody can ask."
    schema = job_type.input_schema
    required = set(schema.get("required", [])) if isinstance(schema, dict) else set()
    if is_closed(schema) and not {"question", "section"} <= set(_properties(schema)):
        yield "It follows a job, and its form has not both inputs of a follow-up: question, section."
    if beyond := sorted(required - {"question", "section"}):
        yield f"It follows a job, and a follow-up never gives {', '.join(beyond)}: nobody can ask."


def _ladder_misgivings(job_type: JobType) -> Iterator[str]:
    rungs = ladder(job_type)
    if job_type.escalate_after and len(rungs) == 1:
        yield "Reviews should go up by themselves, but there is only one level: they stay there."
    if job_type.workspace is None or not job_type.levels.exists():
        return
    members = Membership.objects.filter(workspace=job_type.workspace, user__is_active=True)
    for rung in rungs:
        roles = [Role.LEAD] if rung.role == Role.LEAD else [Role.REVIEWER, Role.LEAD]
        there = members.filter(role__in=roles).values("user").distinct().count()
        if there < rung.approvals:
            able = f"{there} {'person' if there == 1 else 'people'}"
            yield (
                f"Level {rung.number} ({rung.name}) asks for {rung.approvals} "
                f"approval{'' if rung.approvals == 1 else 's'}, and {able} of "
                f"{job_type.workspace} may give one."
            )


def misgivings(job_type: JobType) -> Iterator[str]:
    """Sentences about a stored type that may be meant so, and probably is not."""
    version = job_type.current_version
    if version is None:
        if job_type.enabled:
            yield (
                f"{job_type} has no prompt version in use, so nobody can submit a job. "
                "Make a version and use it for new jobs."
            )
    elif names := unknown_inputs(job_type.input_schema, version):
        listed = ", ".join(f"{{{name}}}" for name in names)
        yield (
            f"{version} names {listed}, which the form does not ask for: "
            "what stands there will be left out."
        )
    if sentence := unpriced(version):
        yield sentence
    yield from review_misgivings(job_type, sentence)
    if version and (missing := unknown_tools(version.tools)):
        yield f"{version} names tools that are not here: {', '.join(missing)}. They are not offered."
    if job_type.live == Live.REQUESTER and job_type.review == Review.ALWAYS:
        yield "Results are always reviewed, and requesters watch them being written before that."
    if job_type.lane == Lane.APPROVAL and job_type.review == Review.NEVER:
        yield (
            "Jobs are approved before they run, but their results are never reviewed: "
            "what the model writes is used unseen."
        )
    yield from _ladder_misgivings(job_type)
    if job_type.check_quotes:
        if not job_type.max_documents:
            yield "Quotes are looked up in the documents, but no documents can be given."
        elif version and not version.output_schema:
            yield f"Quotes are looked up in structured output, and {version} asks for none."
    if job_type.follows:
        yield from _nobody_asks(job_type)
    if job_type.finish_within < job_type.start_within:
        yield "A job must finish before its time to start is over: it may expire while it waits."
    yield from _nobody_decides(job_type)


def _nobody_decides(job_type: JobType) -> Iterator[str]:
    decides = job_type.review != Review.NEVER or job_type.lane == Lane.APPROVAL
    if not decides or job_type.workspace is None:
        return
    held = set(
        Membership.objects.filter(workspace=job_type.workspace, user__is_active=True).values_list(
            "role", flat=True
        )
    )
    if not held & {Role.REVIEWER, Role.LEAD}:
        yield f"Nobody in {job_type.workspace} is a reviewer or a lead, so nobody can decide."


def _properties(schema: Any) -> list[str]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return list(properties) if isinstance(properties, dict) else []
