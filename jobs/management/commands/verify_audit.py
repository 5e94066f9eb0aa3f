import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from jobs import audit
from jobs.management.jobcommand import JobCommand, Usage
from jobs.models import Event, Seal


class Command(JobCommand):
    help = (
        "Walk the event chains and the seals; exit 1 names the first event that is not as written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--export", metavar="FILE", help="Write the seals there, to be kept elsewhere."
        )
        parser.add_argument("--against", metavar="FILE", help="Hold the seals against an export.")

    def handle(self, *args: Any, **options: Any) -> None:
        exported = _read(options["against"]) if options["against"] else None
        finding = next(audit.verify(against=exported), None)
        if finding:
            raise CommandError(str(finding))
        if options["export"]:
            _write(options["export"])
        counted = {"events": Event.objects.count(), "seals": Seal.objects.count()}
        if options["json"]:
            self.print_json({"ok": True, **counted})
        else:
            self.stdout.write(
                f"All {counted['events']} events and {counted['seals']} seals are as written."
            )


def _read(path: str) -> list[dict[str, Any]]:
    try:
        exported = json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise Usage(f"--against {path} cannot be read: {error}") from None
    if isinstance(exported, list) and all(
        isinstance(seal, dict)
        and isinstance(seal.get("number"), int)
        and isinstance(seal.get("hash"), str)
        for seal in exported
    ):
        return exported
    raise Usage(f"--against {path} is not what --export wrote.")


def _write(path: str) -> None:
    try:
        Path(path).write_text(json.dumps(audit.export(), indent=1) + "\n")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
