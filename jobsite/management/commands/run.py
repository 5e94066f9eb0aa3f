import signal
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from jobs.management.jobcommand import JobCommand
from jobsite.supervisor import CannotRun, Supervisor, check_port, parts


class Command(JobCommand):
    help = "Run web and cluster, and the stand-in where no API key is set, under one supervisor."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--host", default="127.0.0.1")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            supervisor = make_supervisor(options["host"], options["port"])
            supervisor.start()
            try:
                self.stderr.write(f"Serving http://{options['host']}:{options['port']}/")
                self.stderr.write("Ctrl-C stops everything.")
                serve(supervisor)
            finally:
                supervisor.stop()
        except CannotRun as error:
            raise CommandError(str(error)) from None


def make_supervisor(host: str, port: int) -> Supervisor:
    """A supervisor for this machine's parts. Raises `CannotRun` where a port is taken.

    From here on a termination is a Ctrl-C: what has been started is stopped.
    """
    signal.signal(signal.SIGTERM, _stop)
    check_port(host, port, what="the web server", hint="Choose another with --port.")
    sandbox_port = settings.SANDBOX_PORT if settings.SANDBOX else None
    if sandbox_port is not None:
        hint = "Choose another with SANDBOX_PORT."
        check_port("127.0.0.1", sandbox_port, what="the stand-in", hint=hint)
    return Supervisor(parts(host=host, port=port, sandbox_port=sandbox_port))


def serve(supervisor: Supervisor) -> None:
    """Watch over the children until somebody says stop."""
    try:
        while True:
            supervisor.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt
