from argparse import ArgumentParser
from typing import Any

from jobs.access import Action, require
from jobs.management.jobcommand import JobCommand, job_named, person_named
from jobs.report import as_text, job_document


class Command(JobCommand):
    help = "Everything about one job."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("ref", metavar="REF", help="The job's reference, such as J-7K3M9QX.")
        parser.add_argument(
            "--as", dest="username", metavar="USERNAME", help="Look with this person's eyes."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        job = job_named(options["ref"])
        reader = person_named(options["username"]) if options["username"] else None
        if reader:
            require(reader, job, Action.VIEW)
        document = job_document(job, reader=reader)
        if options["json"]:
            self.print_json(document)
        else:
            self.stdout.write(as_text(document))
