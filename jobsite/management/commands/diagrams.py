from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.lifecycle import ATTEMPT_TRANSITIONS, TRANSITIONS


class Command(BaseCommand):
    help = "Write the state diagrams in docs/ from the transition tables."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="Fail where they are out of date.")

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "docs" / "states.md"
        text = _page()
        if options["check"]:
            if not path.exists() or path.read_text() != text:
                raise CommandError("docs/states.md is out of date: run `make fix`.")
            return
        path.write_text(text)


def _page() -> str:
    return "\n".join(
        [
            "# The two state machines",
            "",
            "Generated from `jobs/lifecycle.py` by `manage.py diagrams`.",
            "",
            "## Job: what people read",
            "",
            *_mermaid(TRANSITIONS, first="queued"),
            "",
            "## Attempt: the provider's side",
            "",
            *_mermaid(ATTEMPT_TRANSITIONS, first="submitting"),
            "",
        ]
    )


def _mermaid(transitions: Mapping[Any, frozenset[Any]], *, first: str) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    for source, targets in transitions.items():
        lines += [f"    {source.value} --> {target.value}" for target in sorted(targets)]
        if not targets:
            lines.append(f"    {source.value} --> [*]")
    return [*lines, "```"]
