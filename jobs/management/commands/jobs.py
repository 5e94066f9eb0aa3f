from argparse import ArgumentParser
from typing import Any

from jobs.management.jobcommand import JobCommand, Usage, person_named
from jobs.models import Job, JobType, Status
from jobs.report import job_line
from jobs.text import printable


class Command(JobCommand):
    help = "The newest jobs, one a line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--status", choices=Status.values)
        parser.add_argument("--type", dest="type_slug", metavar="TYPE")
        parser.add_argument("--archived", action="store_true", help="Archived ones as well.")
        parser.add_argument("--limit", type=int, default=50, metavar="N")
        parser.add_argument(
            "--as", dest="username", metavar="USERNAME", help="Only what this person may see."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["limit"] < 1:
            raise Usage("--limit must be 1 or more.")
        jobs = Job.objects.select_related("job_type", "requester").order_by("-id")
        if options["username"]:
            jobs = jobs.visible_to(person_named(options["username"]))
        if not options["archived"]:
            jobs = jobs.filter(archived_at=None)
        if options["status"]:
            jobs = jobs.filter(status=options["status"])
        if slug := options["type_slug"]:
            if not JobType.objects.filter(slug=slug).exists():
                raise Usage(f"There is no job type {slug}.")
            jobs = jobs.filter(job_type__slug=slug)
        lines = [job_line(job) for job in jobs[: options["limit"]]]
        if options["json"]:
            self.print_json(lines)
            return
        for line in lines:
            said = printable(line["summary"][:70])
            self.stdout.write(
                f"{line['ref']}  {line['status'].replace('_', ' '):<12}  {line['type']:<16}  "
                f"{line['created_at']:%Y-%m-%d %H:%M}  {said}"
            )
        if not lines:
            self.stderr.write("No jobs match.")
