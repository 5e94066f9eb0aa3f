"""What is wrong with a job type, in plain words. Each part may be right and the whole still not work."""

from collections.abc import Iterator
from typing import Any

from jobs.models import JobType, Lane, Membership, PromptVersion, Review, Role
from jobs.requests import placeholders


def unknown_inputs(schema: Any, version: PromptVersion) -> list[str]:
    """The inputs that a version names and the form does not ask for."""
    named = placeholders(version.template) | placeholders(version.tools)
    return sorted(named - set(_properties(schema)))


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
    if job_type.lane == Lane.APPROVAL and job_type.review == Review.NEVER:
        yield (
            "Jobs are approved before they run, but their results are never reviewed: "
            "what the model writes is used unseen."
        )
    if job_type.check_quotes:
        if not job_type.max_documents:
            yield "Quotes are looked up in the documents, but no documents can be given."
        elif version and not version.output_schema:
            yield f"Quotes are looked up in structured output, and {version} asks for none."
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
