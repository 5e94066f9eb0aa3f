"""Every page, read from the URL map: nothing that axe finds, nothing on the console, nothing that
moves by itself or runs off a narrow screen; in light and dark, on a desk and on a phone."""

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from jobs.models import LibraryDocument, Role
from reviews import preflight
from reviews.inbox import Tab
from reviews.models import Ruling, SavedView
from tests.browser import DESK, PHONE, faults
from tests.scenes import day
from tests.test_doors import ONESELF, OPEN, RULES, VERBS, address, doors

pytestmark = pytest.mark.django_db(transaction=True)

#: Answers that are no page: a download, or a fragment of a page that is looked at.
NO_PAGES = {
    "jobs:document_file",
    "jobs:library_file",
    "jobs:job_live",
    "jobs:result_download",
    "jobs:result_file",
    "reviews:notice_bell",
    "reviews:notices_read",
    "healthz",
    "readyz",
    "metrics",
    "webhook_openai",
    "mfa_download_recovery_codes",
}
#: Are about a completed job.
AFTERWARDS = {"jobs:job_follow_up", "jobs:job_keep"}
#: Need a link from a mail, or a log-in that is half done.
NOT_BY_ADDRESS = {
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "mfa_authenticate",
    "mfa_deactivate_totp",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_reauthenticate",
    "account_reauthenticate",
}
#: Of a completed job alone.
OF_THE_DONE = {"jobs:job_follow_up"}
LOOKS = [
    pytest.param({"color_scheme": "light", "viewport": DESK}, id="light-desk"),
    pytest.param({"color_scheme": "dark", "viewport": PHONE}, id="dark-phone"),
]


@pytest.fixture
def quality(sandbox, person):
    return day(sandbox.base_url, person)


def everyone(person):
    """Somebody to whom every page opens."""
    return person("everyone", None, is_staff=True, is_superuser=True)


def visited(page, paths):
    found = []
    for path in paths:
        answer = page.goto(path)
        if answer.status != 200:
            found.append(f"{path} answers {answer.status}")
            continue
        found += faults(page)
    return found


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_of_the_site(quality, person, visit, look):
    user = everyone(person)
    for role in Role:
        quality.workspace.memberships.create(user=user, role=role)
    page = visit("everyone", **look).page
    review = quality.jobs["review"]
    kwargs = {
        "workspace": "quality",
        "type": "document-digest",
        "ref": review.ref,
        "position": 1,
        "attempt": 1,
        "document": LibraryDocument.objects.first().ref,
        "view": SavedView.objects.create(
            user=user, workspace=quality.workspace, name="Costly", query="cost=1"
        ).pk,
        "bulk": preflight.plan(
            user,
            quality.workspace,
            Ruling.APPROVE,
            chosen=[preflight.Chosen(job.ref) for job in quality.jobs.values()],
            now=timezone.now(),
        ).ref,
    }
    finished = {**kwargs, "ref": quality.jobs["done"].ref}
    shown = {name for name, rule in RULES.items() if rule.get is not None}
    names = (shown | ONESELF | {"account_logout"}) - NO_PAGES - NOT_BY_ADDRESS - OF_THE_DONE
    paths = [address(name, finished if name in AFTERWARDS else kwargs) for name in sorted(names)]
    paths += [address(name, {"ref": quality.jobs["done"].ref}) for name in sorted(OF_THE_DONE)]
    paths += [f"/jobs/{job.ref}/" for job in quality.jobs.values()]
    paths += [
        "/w/quality/jobs/?status=failed",
        "/w/quality/jobs/?q=nothing+is+like+this",
        "/w/quality/jobs/new/research-brief/",
        f"/jobs/{review.ref}/documents/1/?quote=1&attempt=1",
        *(f"/jobs/{quality.jobs[name].ref}/review/" for name in ("reply", "compared")),
        "/w/quality/library/?q=incident",
        *(f"/w/quality/reviews/?tab={tab.value}" for tab in Tab),
        "/w/quality/reviews/?q=nothing+is+like+this",
        "/w/quality/reviews/?cost=much",
        *(f"/w/quality/deliveries/?tab={tab}" for tab in ("waiting", "dead", "delivered")),
        "/w/quality/library/?q=nothing+is+like+this",
    ]
    for verb in VERBS:
        name = {"job_reopen": "done", "job_archive": "done", "job_refuse": "reply"}
        job = quality.jobs[name.get(verb.partition(":")[2], "review")]
        if verb not in ("reviews:job_use_result", "reviews:job_settle"):
            paths.append(reverse(verb, args=[job.ref]))
    assert visited(page, paths) == []


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_that_is_open_to_all(db, visitors, live_server, look):
    page = visitors(live_server.url, **look).page
    names = OPEN - NO_PAGES - NOT_BY_ADDRESS - {"account_logout"}
    assert visited(page, [reverse(name) for name in sorted(names)]) == []


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_of_the_admin(quality, person, visit, look):
    everyone(person)
    Group.objects.create(name="readers")
    page = visit("everyone", **look).page
    paths = ["/admin/", "/admin/jobs/"]
    for model in admin.site._registry:
        space = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        paths.append(reverse(f"{space}_changelist"))
        row = model._default_manager.first()
        if row is not None:
            paths.append(reverse(f"{space}_change", args=[row.pk]))
            paths.append(reverse(f"{space}_history", args=[row.pk]))
    made_here = (
        "auth_group django_q_schedule jobs_jobtype jobs_promptversion jobs_user jobs_workspace"
    )
    paths += [reverse(f"admin:{model}_add") for model in made_here.split()]
    paths += [reverse("admin:jobs_job_change", args=[job.pk]) for job in quality.jobs.values()]
    paths.append(f"/admin/jobs/job/?q={quality.jobs['review'].ref}")
    assert len(paths) > 50
    assert visited(page, paths) == []


def test_nothing_was_left_out_of_these_lists():
    """A page that is new is looked at, or is named as none."""
    names = {name for name, _route in doors() if not re.match("admin:|unnamed", name)}
    assert names >= (NO_PAGES | NOT_BY_ADDRESS)
    assert names == RULES.keys() | VERBS.keys() | OPEN | ONESELF


def test_pages_for_those_who_have_nothing_yet(db, person, visit):
    """The empty states: a member of an empty workspace, and of none."""
    from tests.factories import WorkspaceFactory

    workspace = WorkspaceFactory(slug="empty")
    person("new", workspace, *Role)
    page = visit("new").page
    paths = [
        f"/w/empty/{part}/" for part in ("jobs", "jobs/new", "reviews", "library", "operations")
    ]
    assert visited(page, paths) == []
    person("nowhere")
    assert visited(visit("nowhere").page, ["/"]) == []
