from argparse import ArgumentParser
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone

from jobs.management.jobcommand import JobCommand, Usage, job_named, person_named
from jobs.models import Workspace
from jobs.text import printable
from reviews import deadletters
from reviews.models import Delivery, DeliveryState

#: Rows that are listed without --limit.
LISTED = 50


class Command(JobCommand):
    help = "List what left the building; retry or drop what did not arrive."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=["list", "retry", "drop"], nargs="?", default="list")
        parser.add_argument(
            "ids", metavar="ID", nargs="*", help="With retry and drop: of deliveries."
        )
        parser.add_argument(
            "--as", dest="username", metavar="USERNAME", help="With retry and drop."
        )
        parser.add_argument("--reason", default="", metavar="TEXT", help="With retry and drop.")
        parser.add_argument("--state", choices=DeliveryState.values, help="With list.")
        parser.add_argument("--job", metavar="REF", help="With list: of one job.")
        parser.add_argument("--workspace", metavar="SLUG", help="With list: of one workspace.")
        parser.add_argument("--limit", type=int, default=LISTED, metavar="N")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            self._list(options)
        else:
            self._mend(options)

    def _list(self, options: dict[str, Any]) -> None:
        rows = Delivery.objects.select_related("job", "endpoint").order_by("-id")
        if options["state"]:
            rows = rows.filter(state=options["state"])
        if options["job"]:
            rows = rows.filter(job=job_named(options["job"]))
        if options["workspace"]:
            rows = rows.filter(job__workspace__in=_workspaces(options["workspace"]))
        found = [_document(row) for row in rows[: max(0, options["limit"])]]
        if options["json"]:
            self.print_json(found)
            return
        for one in found:
            line = f"{one['id']}  {one['job']}  {one['state']:<9}  {one['channel']:<7}  {one['target']}"
            said = f"  ({one['error']})" if one["error"] else ""
            self.stdout.write(printable(f"{line}{said}".replace("\n", " ")))
        if not found:
            self.stdout.write("There are none.")

    def _mend(self, options: dict[str, Any]) -> None:
        if not options["ids"] or not options["username"]:
            raise Usage(f"{options['verb']} needs the id of a delivery, and --as USERNAME.")
        actor = person_named(options["username"])
        verb = deadletters.retry if options["verb"] == "retry" else deadletters.drop
        for text in options["ids"]:
            try:
                verb(_id(text), actor=actor, reason=options["reason"], now=timezone.now())
            except Delivery.DoesNotExist:
                raise CommandError(f"There is no delivery {text}.") from None
            except deadletters.ReasonMissing as error:
                raise Usage(f"--reason: {error}") from None
        done = [_document(Delivery.objects.select_related("job").get(pk=i)) for i in options["ids"]]
        if options["json"]:
            self.print_json(done)
            return
        for one in done:
            self.stdout.write(f"{one['id']}  {one['state']}")


def _document(row: Delivery) -> dict[str, str | int | bool | datetime | None]:
    return {
        "id": str(row.pk),
        "job": row.job.ref,
        "channel": row.channel,
        "target": row.target,
        "state": row.state,
        "attempts": row.attempts,
        "in_doubt": row.in_doubt,
        "error": row.last_error,
        "receipt": row.receipt,
        "content_hash": row.content_hash,
        "created_at": row.created_at,
        "next_try_at": row.tries_again_at(),
        "ended_at": row.ended_at,
    }


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Usage(f"{text} is no id of a delivery.") from None


def _workspaces(slug: str) -> list[Workspace]:
    found = list(Workspace.objects.filter(slug=slug))
    if not found:
        raise CommandError(f"There is no workspace {slug}.")
    return found
