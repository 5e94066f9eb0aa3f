import os
import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from django.utils import timezone
from django_q.models import Schedule

from jobs import price_book, shipped
from jobs.management.jobcommand import JobCommand
from jobs.models import Membership, Role, User, Workspace
from jobs.tasks import SWEEP

#: Demo accounts and their roles. Those who judge may submit too, so that one can see that nobody
#: approves a job of their own.
DEMO = {
    "requester": [Role.REQUESTER],
    "reviewer": [Role.REVIEWER, Role.REQUESTER],
    "lead": [Role.LEAD, Role.REQUESTER],
    "operator": [Role.OPERATOR],
    "auditor": [Role.AUDITOR],
    "admin": [Role.ADMIN],
}


#: Who is in it, and is staff, can open the admin's pages. What is on them follows from roles.
ADMIN_GROUP = "Admin pages"


class Command(JobCommand):
    help = "Prepare the database: tables, job types, prices, schedules, a group. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="Also a workspace and accounts.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            call_command("migrate", verbosity=0, interactive=False)
            call_command("createcachetable", verbosity=0)
        except OperationalError as error:
            raise CommandError(f"The database cannot be used: {error}") from None
        types = shipped.load()
        price_book.seed(timezone.now())
        Schedule.objects.update_or_create(
            name="revive sweeps",
            defaults={"func": SWEEP, "schedule_type": Schedule.MINUTES, "minutes": 1},
        )
        Schedule.objects.update_or_create(
            name="forget ended sessions",
            defaults={
                "func": "django.core.management.call_command",
                "args": "'clearsessions'",
                "schedule_type": Schedule.DAILY,
            },
        )
        group, _created = Group.objects.get_or_create(name=ADMIN_GROUP)
        ours = Permission.objects.filter(content_type__app_label__in=("jobs", "reviews"))
        group.permissions.set(ours)
        if not settings.DEBUG:
            call_command("collectstatic", verbosity=0, interactive=False)
        accounts = _demo_accounts() if options["demo"] else []
        if options["json"]:
            self.print_json({"job_types": [t.slug for t in types], "accounts": accounts})
            return
        self.stdout.write(f"Ready: job types {', '.join(t.slug for t in types)}.")
        for account in accounts:
            self.stdout.write(f"  {account['username']:<10} {account['password']}")
        if accounts and not os.environ.get("DEMO_PASSWORD"):
            self.stdout.write("These passwords are shown once: note them down.")


def _demo_accounts() -> list[dict[str, str]]:
    """Make the accounts that are missing, and answer those with their new passwords."""
    workspace, _created = Workspace.objects.get_or_create(slug="demo", defaults={"name": "Demo"})
    made = []
    for username, roles in DEMO.items():
        user, created = User.objects.get_or_create(
            username=username,
            defaults={"is_staff": username == "admin", "is_superuser": username == "admin"},
        )
        if created:
            password = os.environ.get("DEMO_PASSWORD") or secrets.token_urlsafe(9)
            user.set_password(password)
            user.save()
            made.append({"username": username, "password": password})
        for role in roles:
            Membership.objects.get_or_create(workspace=workspace, user=user, role=role)
    return made
