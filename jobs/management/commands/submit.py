import json
import os
import sys
import time
from argparse import ArgumentParser
from getpass import getuser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from jobs.access import NotAllowed
from jobs.actions import Submitted, submit
from jobs.documents import Upload
from jobs.following import follow_up
from jobs.inputs import BadInput
from jobs.management.jobcommand import JobCommand, Usage, job_named, person_named
from jobs.models import Job, JobType, Membership, Role, Status, User, Workspace
from jobs.report import as_text, job_document

#: Seconds: a day.
LONGEST_WAIT = 86_400


class Command(JobCommand):
    help = "Submit a job."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "type_slug", metavar="TYPE", nargs="?", help="The job type, e.g. document-digest."
        )
        parser.add_argument(
            "--follow", metavar="REF", help="Ask about the result of this job, instead of a TYPE."
        )
        parser.add_argument("--question", metavar="TEXT", help="What to ask, with --follow.")
        parser.add_argument(
            "--section", metavar="NAME", help="The section to ask about, with --follow."
        )
        parser.add_argument(
            "--input",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            dest="pairs",
            help="An input of the type's form, such as focus=costs. Can be repeated.",
        )
        parser.add_argument(
            "--input-json", metavar="FILE", help="A JSON object of inputs; - reads stdin."
        )
        parser.add_argument(
            "--file",
            action="append",
            default=[],
            metavar="PATH",
            dest="paths",
            help="A document. Can be repeated.",
        )
        parser.add_argument("--as", dest="username", metavar="USERNAME", help="Who submits.")
        parser.add_argument("--workspace", metavar="SLUG")
        parser.add_argument("--idempotency-key", default="", metavar="K")
        parser.add_argument(
            "--wait",
            type=float,
            metavar="SECONDS",
            help="Wait until the job is settled or waits for a person, this long at most.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["wait"] is not None and not 0 <= options["wait"] <= LONGEST_WAIT:
            raise Usage(f"--wait takes 0 to {LONGEST_WAIT} seconds.")
        _check_what(options)
        requester = self._requester(options["username"])
        try:
            if options["follow"]:
                submitted = _follow(requester, options)
            else:
                submitted = _submit(requester, options)
        except BadInput as error:
            raise Usage(str(error)) from None
        except OSError as error:
            raise CommandError(
                f"The documents cannot be stored: {error}. See MEDIA_ROOT."
            ) from None
        job = submitted.job
        if not submitted.same_request:
            self.stderr.write(
                f"This idempotency key was used before, with another input: {job.ref} is that job."
            )
        if options["wait"] is not None:
            self._wait(job, options["wait"])
            job.refresh_from_db()
        document = job_document(job, reader=requester)
        if options["json"]:
            self.print_json(document)
        else:
            self.stdout.write(as_text(document))

    def _requester(self, username: str | None) -> User:
        """Named, or else the account of who is logged in here, or else the only requester."""
        if username:
            return person_named(username)
        for name in (os.environ.get("JOBSITE_USER"), getuser()):
            if name and (user := User.objects.filter(username=name, is_active=True).first()):
                return user
        requesters = User.objects.filter(
            memberships__role=Role.REQUESTER, is_active=True
        ).distinct()
        named = requesters.filter(username="requester").first()
        if requesters.count() == 1 or named:
            user = named or requesters.get()
            self.stderr.write(f"Submitting as {user}.")
            return user
        raise Usage("Say who submits: --as USERNAME.")

    def _wait(self, job: Job, seconds: float) -> None:
        """Follow the job on the terminal, one line that is written over."""
        ends, live = time.monotonic() + seconds, sys.stderr.isatty()
        said = ""
        while time.monotonic() < ends:
            job.refresh_from_db()
            if job.is_settled or job.status == Status.NEEDS_REVIEW:
                break
            line = (
                f"{job.ref} {job.get_status_display().lower()}, {job.progress_message.lower()}, "
                f"{(timezone.now() - job.created_at).total_seconds():.0f} s"
            )
            if live:
                self.stderr.write(f"\r\033[K{line}", ending="")
            elif job.progress_message != said:
                said = job.progress_message
                self.stderr.write(line)
            time.sleep(0.25)
        if live:
            self.stderr.write("\r\033[K", ending="")


def _check_what(options: dict[str, Any]) -> None:
    """Either a TYPE with its inputs, or a job to follow with a question."""
    if options["follow"]:
        inputs = {"TYPE": "type_slug", "--input": "pairs", "--input-json": "input_json"}
        inputs |= {"--file": "paths", "--workspace": "workspace"}
        if given := [name for name, at in inputs.items() if options[at]]:
            raise Usage(f"--follow goes with --question and --section, not with {given[0]}.")
        if not (options["question"] or "").strip():
            raise Usage("Say what to ask: --question TEXT.")
        return
    if options["question"] or options["section"]:
        raise Usage("Say which job to ask about: --follow REF.")
    if not options["type_slug"]:
        raise Usage("Say what to submit: a TYPE, or --follow REF.")


def _submit(requester: User, options: dict[str, Any]) -> Submitted:
    workspace = _workspace(requester, options["workspace"])
    job_type = _job_type(options["type_slug"], workspace)
    return submit(
        job_type,
        requester=requester,
        workspace=workspace,
        input=_input(job_type, options["pairs"], options["input_json"]),
        uploads=[_upload(path) for path in options["paths"]],
        idempotency_key=options["idempotency_key"],
        now=timezone.now(),
    )


def _follow(requester: User, options: dict[str, Any]) -> Submitted:
    return follow_up(
        job_named(options["follow"]),
        requester=requester,
        question=options["question"],
        section=options["section"] or "",
        idempotency_key=options["idempotency_key"],
        now=timezone.now(),
    )


def _workspace(requester: User, slug: str | None) -> Workspace:
    if slug:
        workspace = Workspace.objects.filter(slug=slug).first()
        if workspace is None:
            raise Usage(f"There is no workspace {slug}.")
        return workspace
    submits = Membership.objects.filter(user=requester, role=Role.REQUESTER)
    mine = list(Workspace.objects.filter(pk__in=submits.values("workspace"))[:2])
    if len(mine) == 1:
        return mine[0]
    if not mine:
        raise NotAllowed(f"{requester} may not submit jobs in any workspace.")
    raise Usage(f"{requester} submits in several workspaces: say which with --workspace SLUG.")


def _job_type(slug: str, workspace: Workspace) -> JobType:
    types = JobType.objects.of(workspace)
    found = types.filter(slug=slug, enabled=True).select_related("current_version").first()
    if found is None:
        offered = types.filter(enabled=True, follows=False)
        known = ", ".join(offered.values_list("slug", flat=True))
        raise Usage(f"There is no job type {slug}. Known: {known or 'none; run `setup` first'}.")
    return found


def _input(job_type: JobType, pairs: list[str], path: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if path:
        try:
            text = sys.stdin.read() if path == "-" else Path(path).read_text()
            loaded = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise Usage(f"--input-json cannot be read: {error}") from None
        if not isinstance(loaded, dict):
            raise Usage("--input-json must be a JSON object.")
        values.update(loaded)
    properties = job_type.input_schema.get("properties", {})
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Usage(f"--input takes KEY=VALUE, not {pair!r}.")
        values[key] = _typed(key, value, properties.get(key, {}))
    return values


def _typed(key: str, value: str, schema: dict[str, Any]) -> Any:
    """A value from the command line as the form's schema wants it: text, or JSON of its type."""
    if "string" in schema.get("type", "string"):  # a type, or a list of types
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise Usage(f"--input {key}: {value!r} is not a JSON {schema['type']}.") from None


def _upload(path: str) -> Upload:
    try:
        return Upload(Path(path).name, Path(path).read_bytes())
    except OSError as error:
        raise Usage(f"--file {path} cannot be read: {error.strerror}.") from None
