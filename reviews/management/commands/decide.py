import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from jobs.calls import BadVerdict, Verdict
from jobs.edits import LONGEST, BadEdit
from jobs.inputs import BadInput
from jobs.management.jobcommand import JobCommand, Usage, job_named, person_named
from jobs.models import GateKind, Job
from jobs.report import as_text, job_document
from reviews.actions import Ask, ReasonUnknown, decide
from reviews.models import REASONS, Ruling
from reviews.notes import NoteMissing


class Command(JobCommand):
    help = "Decide on a job, as a person."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ref", metavar="REF")
        parser.add_argument("ruling", choices=Ruling.values)
        parser.add_argument("--as", dest="username", metavar="USERNAME", required=True)
        parser.add_argument("--note", default="", metavar="TEXT")
        codes = sorted({code.value for codes in REASONS.values() for code in codes})
        parser.add_argument(
            "--reason", default="", choices=codes, metavar="CODE", help=f"Why: {', '.join(codes)}."
        )
        parser.add_argument(
            "--hash",
            dest="content_hash",
            metavar="HASH",
            help="The hash of the result that was looked at: a newer one is not decided on.",
        )
        parser.add_argument(
            "--response-id", metavar="ID", help="With settle: the response that OpenAI started."
        )
        parser.add_argument(
            "--edit",
            action="append",
            default=[],
            metavar="FILE | N=JSON",
            help="With approve: the result is approved as it stands in this file (- for stdin); or, "
            "where tool calls wait, the N-th of them is made with these arguments.",
        )
        parser.add_argument(
            "--refuse",
            action="append",
            default=[],
            type=int,
            metavar="N",
            help="With approve: the N-th tool call that waits is not made.",
        )

        parser.add_argument(
            "--to",
            dest="assignee",
            metavar="USERNAME",
            help="With reassign: whom the review waits for. Without it: nobody in particular.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        job = job_named(options["ref"])
        actor = person_named(options["username"])
        if options["response_id"] and options["ruling"] != Ruling.SETTLE:
            raise Usage("--response-id goes with settle.")
        if options["assignee"] is not None and options["ruling"] != Ruling.REASSIGN:
            raise Usage("--to goes with reassign.")
        if (options["edit"] or options["refuse"]) and options["ruling"] != Ruling.APPROVE:
            raise Usage("--edit and --refuse go with approve.")
        edit = _edit(job, options)
        ask = Ask(
            Ruling(options["ruling"]),
            actor,
            timezone.now(),
            note=options["note"],
            content_hash=options["content_hash"],
            response_id=options["response_id"],
            assignee=options["assignee"] or "",
            verdicts={} if edit is not None else _verdicts(options),
            reason_code=options["reason"],
            edit=edit,
        )
        try:
            decide(job.pk, ask)
        except (NoteMissing, ReasonUnknown, BadInput, BadVerdict, BadEdit) as error:
            raise Usage(str(error)) from None
        job.refresh_from_db()
        document = job_document(job, reader=actor)
        if options["json"]:
            self.print_json(document)
        else:
            self.stdout.write(as_text(document))


def _edit(job: Job, options: dict[str, Any]) -> str | None:
    """The version of a result that is approved, where one waits."""
    gate, given = job.open_gate, options["edit"]
    if not given or gate is None or gate.kind != GateKind.OUTPUT:
        return None
    if len(given) > 1 or options["refuse"]:
        raise Usage(f"{job.ref} waits with a result: --edit takes one file.")
    if given[0] == "-":
        return sys.stdin.read(LONGEST + 1)
    try:
        with Path(given[0]).open(encoding="utf-8", newline="") as file:
            return file.read(LONGEST + 1)
    except OSError as error:
        raise Usage(f"{given[0]} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Usage(f"{given[0]} is no text in UTF-8.") from None


def _verdicts(options: dict[str, Any]) -> dict[int, Verdict]:
    refused = Verdict(approved=False, reason=options["note"])
    verdicts = dict.fromkeys(options["refuse"], refused)
    for given in options["edit"]:
        place, sign, arguments = given.partition("=")
        if not place.isdecimal() or not sign:
            raise Usage(f"--edit takes N=JSON, as in 1={{}}; {given} is none.")
        verdicts[int(place)] = Verdict(arguments=arguments)
    return verdicts
