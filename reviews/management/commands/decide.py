from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from jobs.actions import BadInput
from jobs.management.jobcommand import JobCommand, Usage, job_named, person_named
from jobs.report import as_text, job_document
from reviews.actions import Ask, NoteMissing, decide
from reviews.models import Ruling


class Command(JobCommand):
    help = "Decide on a job, as a person."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ref", metavar="REF")
        parser.add_argument("ruling", choices=Ruling.values)
        parser.add_argument("--as", dest="username", metavar="USERNAME", required=True)
        parser.add_argument("--note", default="", metavar="TEXT")
        parser.add_argument(
            "--hash",
            dest="content_hash",
            metavar="HASH",
            help="The hash of the result that was looked at: a newer one is not decided on.",
        )
        parser.add_argument(
            "--response-id", metavar="ID", help="With settle: the response that OpenAI started."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        job = job_named(options["ref"])
        actor = person_named(options["username"])
        if options["response_id"] and options["ruling"] != Ruling.SETTLE:
            raise Usage("--response-id goes with settle.")
        ask = Ask(
            Ruling(options["ruling"]),
            actor,
            timezone.now(),
            note=options["note"],
            content_hash=options["content_hash"],
            response_id=options["response_id"],
        )
        try:
            decide(job.pk, ask)
        except (NoteMissing, BadInput) as error:
            raise Usage(str(error)) from None
        job.refresh_from_db()
        document = job_document(job)
        if options["json"]:
            self.print_json(document)
        else:
            self.stdout.write(as_text(document))
