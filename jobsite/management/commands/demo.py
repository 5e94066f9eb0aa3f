import hashlib
import io
import json
import shutil
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from jobs import library
from jobs.documents import Upload
from jobs.management.jobcommand import JobCommand
from jobs.models import Job, Status, User, Workspace
from jobs.text import printable
from jobsite.management.commands.run import make_supervisor, serve
from jobsite.supervisor import CannotRun, Supervisor

EXAMPLES = Path(settings.BASE_DIR) / "docs" / "examples"
DOCUMENTS = ("incident-review.md", "supplier-security-policy.md", "harbour-bridge-feasibility.txt")
QUESTION = "Within which time do we have to report a security incident to you?"


class Command(JobCommand):
    help = "Set up, run everything, digest three documents and answer a letter before your eyes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            supervisor = make_supervisor("127.0.0.1", options["port"])
            accounts = json.loads(_output_of("setup", demo=True, json=True))["accounts"]
            supervisor.quiet = True
            supervisor.start()
            try:
                try:
                    self._play(supervisor)
                finally:
                    # Also for whoever leaves before the end: they are shown this once.
                    self._say_accounts(accounts)
                self._say_where(options["port"])
                supervisor.quiet = False
                serve(supervisor)
            except KeyboardInterrupt:
                pass
            finally:
                supervisor.stop()
        except CannotRun as error:
            raise CommandError(str(error)) from None

    def _play(self, supervisor: Supervisor) -> None:
        """Submit the documents, and follow the jobs until each is settled or waits for a person."""
        who = "the stand-in on this machine" if settings.SANDBOX else "OpenAI"
        self.stdout.write(f"Three documents to digest and a letter to answer, by {who}:")
        _fill_library()
        refs = [_submit_digest(EXAMPLES / name) for name in DOCUMENTS]
        refs.append(_submit_reply())
        live, shown = sys.stdout.isatty(), dict[str, str]()
        while True:
            supervisor.check()
            jobs = list(Job.objects.filter(ref__in=refs).order_by("id"))
            lines = {job.ref: _line(job) for job in jobs}
            if live:
                # A line that wraps would be two, and the next round would be drawn too low.
                width = shutil.get_terminal_size().columns - 1
                up = f"\033[{len(shown)}A" if shown else ""
                drawn = (f"\033[K{line[:width]}" for line in lines.values())
                self.stdout.write(up + "\n".join(drawn))
                shown = lines
            for job in jobs:
                said = f"{job.status} {job.progress_message}"
                if not live and shown.get(job.ref) != said:
                    self.stdout.write(lines[job.ref])
                    shown[job.ref] = said
            if all(job.is_settled or job.status == Status.NEEDS_REVIEW for job in jobs):
                return
            time.sleep(0.5)

    def _say_accounts(self, accounts: list[dict[str, str]]) -> None:
        self.stdout.write("")
        if not accounts:
            self.stdout.write("The accounts are those of the first run; a new password: ")
            self.stdout.write("  .venv/bin/python manage.py changepassword admin")
            return
        self.stdout.write("Accounts to log in with, shown this once:")
        for account in accounts:
            self.stdout.write(f"  {account['username']:<10} {account['password']}")

    def _say_where(self, port: int) -> None:
        write, site = self.stdout.write, f"http://127.0.0.1:{port}"
        write("")
        write(f"Jobsite serves {site}/")
        write(f"  as requester  follow the jobs, submit one: {site}/w/demo/jobs/")
        waiting = Job.objects.filter(workspace__slug="demo", status=Status.NEEDS_REVIEW)
        newest = waiting.order_by("-id").first()
        desk = f"jobs/{newest.ref}/review" if newest else "w/demo/reviews"
        write(f"  as reviewer   decide on a result: {site}/{desk}/")
        write(f"  as operator   see whether all works: {site}/w/demo/operations/")
        write(f"  as admin      configure: {site}/admin/")
        write("")
        write("Ctrl-C stops everything.")


def _fill_library() -> None:
    """What the letter is answered from. What is there already stays."""
    requester = User.objects.get(username="requester")
    uploads = [Upload(name, (EXAMPLES / name).read_bytes()) for name in DOCUMENTS]
    workspace = Workspace.objects.get(slug="demo")
    library.add(workspace, uploads, actor=requester, now=timezone.now())


def _submit_digest(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return _submit("document-digest", f"demo {path.name} {digest}", paths=[str(path)])


def _submit_reply() -> str:
    pairs = ["customer=supplier@example.com", f"message={QUESTION}"]
    return _submit("customer-reply", "demo letter", pairs=pairs)


def _submit(job_type: str, key: str, **options: Any) -> str:
    """Submit through the command that people use. The key makes a second run find the same job."""
    said = _output_of(
        "submit",
        job_type,
        username="requester",
        workspace="demo",
        idempotency_key=key,
        json=True,
        **options,
    )
    return str(json.loads(said)["ref"])


def _output_of(command: str, *args: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(command, *args, stdout=out, **options)
    return out.getvalue()


def _line(job: Job) -> str:
    ends = job.settled_at or timezone.now()
    if job.open_gate:
        ends = job.open_gate.opened_at
    elapsed = max(0, int((ends - job.created_at).total_seconds()))
    bar = "●" * job.progress_done + "○" * (job.progress_total - job.progress_done)
    status = job.get_status_display()
    return (
        f"  {job.ref}  {bar}  {status:<12}  {elapsed:>3} s  "
        f"{printable(job.input_summary[:34]):<34}  {job.progress_message}"
    )
