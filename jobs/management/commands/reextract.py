import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from jobs.access import NotAllowed, NotNow
from jobs.management.jobcommand import JobCommand, job_named, person_named
from jobs.reextract import re_extract, said


class Command(JobCommand):
    help = "Read the stored answers of jobs anew, such as those that could not be read."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("refs", nargs="+", metavar="REF")
        parser.add_argument("--as", dest="username", metavar="USERNAME", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        actor = person_named(options["username"])
        jobs = [job_named(ref) for ref in options["refs"]]
        lines: list[dict[str, Any]] = []
        for job in jobs:
            try:
                done = re_extract(job, actor=actor, now=timezone.now())
            except (NotAllowed, NotNow) as error:
                lines.append({"ref": job.ref, "done": False, "text": str(error)})
            else:
                line = {"ref": job.ref, "done": True, "changed": done.changed}
                lines.append({**line, "text": said(job, done)})
        refused = sum(not line["done"] for line in lines)
        if options["json"]:
            self.print_json({"jobs": lines})
            if refused:
                sys.exit(1)
            return
        self.stdout.write("\n".join(line["text"] for line in lines))
        if refused:
            raise CommandError(f"{refused} of {len(lines)} were not read anew.")
