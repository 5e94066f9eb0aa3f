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
            Path(options["export"]).write_text(json.dumps(audit.export(), indent=1) + "\n")
        counted = {"events": Event.objects.count(), "seals": Seal.objects.count()}
        if options["json"]:
            self.print_json({"ok": True, **counted})
        else:
            self.stdout.write(
                f"All {counted['events']} events and {counted['seals']} seals are as written."
            )


def _read(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise Usage(f"--against {path} cannot be read: {error}") from None
