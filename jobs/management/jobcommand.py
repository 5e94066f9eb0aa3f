"""What the commands share: exit codes, one JSON document, one sentence."""

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import OperationalError, ProgrammingError

from jobs.access import NotAllowed, NotNow
from jobs.ids import read_ref
from jobs.models import Job, User


class Usage(CommandError):
    """Called wrongly: exit code 2."""

    def __init__(self, text: str) -> None:
        super().__init__(text, returncode=2)


class JobCommand(BaseCommand):
    """A command for scripts. Exit 0: done. 1: refused or failed. 2: called wrongly.

    With ``--json`` stdout is exactly one JSON document, ``{"error": …}`` where it failed.
    Refusals (`NotAllowed`, `NotNow`) become exit code 1 with their sentence, and so does a database
    that cannot be used.
    """

    _json_asked = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not everything that is said beside the output is an error: no red.
        self.stderr.style_func = None

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="Print one JSON document.")
        complain: Callable[[str], NoReturn] = parser.error

        def error(message: str) -> NoReturn:
            if self._json_asked:
                self.print_json({"error": message})
            complain(message)

        parser.error = error  # type: ignore[method-assign]
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        self._called_from_command_line = True
        self._json_asked = "--json" in argv
        try:
            super().run_from_argv(argv)
        except BrokenPipeError:
            # The reader (head, less) has seen enough.
            sys.stderr.close()
            sys.exit(1)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (NotAllowed, NotNow) as error:
            return self._fail(CommandError(str(error)), options)
        except CommandError as error:
            return self._fail(error, options)
        except (OperationalError, ProgrammingError) as error:
            text = f"The database cannot be used ({str(error).strip()}). "
            return self._fail(CommandError(f"{text}Was `manage.py setup` run?"), options)
        except KeyboardInterrupt:
            return self._fail(CommandError("Interrupted.", returncode=130), options)

    def _fail(self, error: CommandError, options: dict[str, Any]) -> str | None:
        if not self._called_from_command_line:
            raise error
        if options.get("json"):
            self.print_json({"error": str(error)})
        self.stderr.write(str(error))
        sys.exit(error.returncode)

    def print_json(self, document: Any) -> None:
        self.stdout.write(json.dumps(document, cls=DjangoJSONEncoder, indent=2))


def job_named(ref: str) -> Job:
    """The job of a reference. Raises `CommandError` with exit code 1 where there is none."""
    job = Job.objects.filter(ref=read_ref(ref)).first()
    if job is None:
        raise CommandError(f"There is no job {ref}.")
    return job


def person_named(username: str) -> User:
    """The active account of a name. Raises `Usage` where there is none."""
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise Usage(f"There is no active account {username}.")
    return user
