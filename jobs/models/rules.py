"""Which results a person sees before they are used: the choices of a job type."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from jobs.models.workspaces import Role


class Review(models.TextChoices):
    """Strictest first. An incomplete answer that its type does not fail is always reviewed."""

    ALWAYS = "always", "Always reviewed"
    RULES = "rules", "Reviewed when a rule asks for it"
    SAMPLED = "sampled", "A share is reviewed"
    NEVER = "never", "Never reviewed"

    @property
    def promise(self) -> str:
        return {
            Review.ALWAYS: "A reviewer sees the result before you do.",
            Review.RULES: "Completes by itself unless something asks for a reviewer first.",
            Review.SAMPLED: "Completes by itself unless it is drawn for a review, or incomplete.",
            Review.NEVER: "Completes by itself, without a reviewer, unless it is incomplete.",
        }[self]

    @classmethod
    def strictest(cls, rules: Iterable[str]) -> "Review":
        return min(map(cls, rules), key=list(cls).index)


def check_names(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValidationError("Must be a list of names.")


def check_roles(value: Any) -> None:
    check_names(value)
    if unknown := sorted(set(value) - set(Role.values)):
        raise ValidationError(f"There is no role {', '.join(unknown)}.")
