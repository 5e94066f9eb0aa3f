from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobsite.sandbox.server import main


class Command(BaseCommand):
    help = "Serve the stand-in for the OpenAI API, alone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.SANDBOX_PORT)
        parser.add_argument(
            "--pace", type=float, default=1.0, help="Multiplies how long it thinks; 0: not at all."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        code = main(["--port", str(options["port"]), "--pace", str(options["pace"])])
        if code:
            raise CommandError("The stand-in ended.", returncode=code)
