"""Every door of the site, read from its URL map, tried by everybody. A door without a rule fails."""

import uuid
from dataclasses import dataclass

import pytest
from django.core.files.base import ContentFile
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from jobs import library
from jobs.access import Action, allowed_actions
from jobs.documents import Upload
from jobs.models import Job, Lane, ResultFile, Role, Status
from reviews import preflight
from reviews.models import Channel, Decision, Endpoint, Notice, NoticeKind, Route, Ruling, SavedView
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
)

pytestmark = pytest.mark.django_db

SEES_ALL = {"reviewer", "lead", "operator", "auditor", "admin", "superuser"}
#: Everybody who is somebody: the job's requester, a colleague with the same role, one of each role
#: of its workspace, a superuser, and somebody who holds every role of another workspace.
PEOPLE = {"requester", "colleague", "stranger"} | SEES_ALL
MEMBERS = PEOPLE - {"stranger"}
OPERATES = {"operator", "auditor", "admin", "superuser"}
REREADS = {"lead", "operator", "admin", "superuser"}
SEES_JOB = {"requester"} | SEES_ALL
SUBMITS = {"requester", "colleague"}
ADDS = MEMBERS - {"auditor"}
#: The requester added the document, and asked for the job.
WITHDRAWS = {"requester", "lead", "admin", "superuser"}
KEEPS = SEES_JOB - {"auditor"}
SEES_DELIVERIES = OPERATES | {"lead"}
MENDS = OPERATES - {"auditor"}


@dataclass(frozen=True)
class Rule:
    """Who is let in by GET and by POST. Whoever is in `known` learns that the thing exists, and is
    told 403; to everybody else there is nothing (404). `post` None: the door takes no POST."""

    get: set[str] | None
    post: set[str] | None = None
    known: set[str] | None = None


RULES = {
    "home": Rule(get=PEOPLE),
    "jobs:job_list": Rule(get=MEMBERS),
    "jobs:type_list": Rule(get=MEMBERS),
    "jobs:job_submit": Rule(get=SUBMITS, post=SUBMITS, known=MEMBERS),
    "jobs:upload_create": Rule(get=None, post=SUBMITS, known=MEMBERS),
    "jobs:upload_remove": Rule(get=None, post=set()),
    "jobs:library": Rule(get=MEMBERS),
    "jobs:library_add": Rule(get=ADDS, post=ADDS, known=MEMBERS),
    "jobs:library_detail": Rule(get=MEMBERS),
    "jobs:library_file": Rule(get=MEMBERS),
    "jobs:library_withdraw": Rule(get=WITHDRAWS, post=WITHDRAWS, known=MEMBERS),
    "jobs:operations": Rule(get=OPERATES, known=MEMBERS),
    "jobs:operations_all": Rule(get={"superuser"}, known=PEOPLE),
    "jobs:job_detail": Rule(get=SEES_JOB),
    "jobs:job_live": Rule(get=SEES_JOB),
    "jobs:job_follow_up": Rule(get={"requester"}, post={"requester"}, known=SEES_JOB),
    "jobs:job_keep": Rule(get=KEEPS, post=KEEPS, known=SEES_JOB),
    "jobs:document_detail": Rule(get=SEES_JOB),
    "jobs:document_file": Rule(get=SEES_JOB),
    "jobs:job_re_extract": Rule(get=REREADS, post=REREADS, known=SEES_JOB),
    "jobs:result_download": Rule(get=SEES_ALL, known=SEES_JOB),
    "jobs:result_file": Rule(get=SEES_ALL, known=SEES_JOB),
    "reviews:inbox": Rule(get=SEES_ALL, known=MEMBERS),
    "reviews:view_save": Rule(get=None, post=SEES_ALL, known=MEMBERS),
    # These two are one person's own: to others who see the inbox they are not there.
    "reviews:view_edit": Rule(get={"lead"}, post={"lead"}, known=SUBMITS),
    "reviews:view_delete": Rule(get={"lead"}, post={"lead"}, known=SUBMITS),
    "reviews:bulk_list": Rule(get=SEES_ALL, known=MEMBERS),
    "reviews:bulk_plan": Rule(get=None, post={"reviewer", "lead"}, known=MEMBERS),
    "reviews:bulk_detail": Rule(get={"lead"}, known=SUBMITS),
    "reviews:bulk_start": Rule(get=None, post={"lead"}, known=SUBMITS),
    "reviews:bulk_stop": Rule(get=None, post={"lead"}, known=SUBMITS),
    "reviews:job_review": Rule(get=SEES_ALL, known=SEES_JOB),
    "reviews:notice_open": Rule(get=None, post={"requester"}),
    "reviews:deliveries": Rule(get=SEES_DELIVERIES, known=MEMBERS),
    "reviews:delivery_retry": Rule(get=None, post=MENDS, known=MEMBERS),
    "reviews:delivery_drop": Rule(get=None, post=MENDS, known=MEMBERS),
    "reviews:endpoint_retry": Rule(get=None, post=MENDS, known=MEMBERS),
    "reviews:job_next": Rule(get=SEES_ALL, known=SEES_JOB),
    "reviews:pass_over": Rule(get=SEES_ALL, known=MEMBERS),
    "reviews:job_claim": Rule(get=None, post={"reviewer", "lead"}, known=SEES_JOB),
    "reviews:job_release": Rule(get=None, post={"reviewer", "lead"}, known=SEES_JOB),
    "reviews:evidence_seen": Rule(get=None, post={"reviewer", "lead"}, known=SEES_JOB),
    "reviews:note_write": Rule(get=None, post={"reviewer", "lead"}, known=SEES_JOB),
}
#: Open to whoever knows the address; each proves for itself whom it serves.
OPEN = {
    "healthz",
    "readyz",
    "metrics",
    "webhook_openai",
    "account_login",
    "account_logout",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "account_inactive",
    "mfa_authenticate",
}
#: About oneself alone: everybody who is logged in.
ONESELF = {
    "account_change_password",
    "account_set_password",
    "account_reauthenticate",
    "mfa_index",
    "mfa_activate_totp",
    "mfa_deactivate_totp",
    "mfa_generate_recovery_codes",
    "mfa_view_recovery_codes",
    "mfa_download_recovery_codes",
    "mfa_reauthenticate",
    "reviews:notices",
    "reviews:notice_bell",
    "reviews:notice_preferences",
    "reviews:notices_read",
}
VERBS = {f"reviews:job_{ruling.value}": ruling for ruling in Ruling}


def doors():
    """(full name, pattern) of every URL. Nothing that is routed escapes."""

    def walk(patterns, spaces, route):
        for entry in patterns:
            here = route + str(entry.pattern)
            if isinstance(entry, URLPattern):
                yield ":".join([*spaces, entry.name or f"unnamed {here}"]), here
            else:
                inner = [*spaces, entry.namespace] if entry.namespace else spaces
                yield from walk(entry.url_patterns, inner, here)

    return list(walk(get_resolver().url_patterns, [], ""))


def is_admin(name):
    return name.startswith("admin:")


def test_every_door_has_a_rule():
    names = {name for name, _route in doors() if not is_admin(name)}
    assert names == RULES.keys() | VERBS.keys() | OPEN | ONESELF


def test_everything_unnamed_is_the_admins():
    assert [route for name, route in doors() if "unnamed" in name and not is_admin(name)] == []


@pytest.fixture
def cast():
    """Everybody, logged in, by their part."""
    workspace, elsewhere = WorkspaceFactory(slug="here"), WorkspaceFactory()
    people = {
        "requester": UserFactory(workspace=workspace, roles=[Role.REQUESTER]),
        "colleague": UserFactory(workspace=workspace, roles=[Role.REQUESTER]),
        "stranger": UserFactory(workspace=elsewhere, roles=list(Role)),
        "superuser": UserFactory(is_superuser=True, is_staff=True),
    }
    for role in Role:
        people.setdefault(role.value, UserFactory(workspace=workspace, roles=[role]))
    assert people.keys() == PEOPLE
    return workspace, people


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def arguments(cast):
    """What an address needs, for one job under review with a document and a file."""
    workspace, people = cast
    job_type = JobTypeFactory(slug="type", workspace=workspace)
    job = JobFactory(
        workspace=workspace,
        job_type=job_type,
        requester=people["requester"],
        uploads=(Upload("notes.txt", b"Some words."),),
        status=Status.NEEDS_REVIEW,
    )
    result = job.open_gate.result
    file = ResultFile(
        result=result, position=1, name="a.png", content_type="image/png", size=4, sha256="0"
    )
    file.file.save("a.png", ContentFile(b"\x89PNG"))
    upload = Upload("known.txt", b"What everybody knows.")
    [known] = library.add(workspace, [upload], actor=people["requester"], now=NOW)
    told = Notice.objects.create(
        person=people["requester"],
        workspace=workspace,
        job=job,
        kind=NoticeKind.FINISHED,
        key="1",
        created_at=NOW,
    )
    endpoint = Endpoint.objects.create(workspace=workspace, name="CMS", url="https://example.com/")
    Route.objects.create(workspace=workspace, channel=Channel.WEBHOOK, endpoint=endpoint)
    sent = JobFactory(workspace=workspace, status=Status.COMPLETED)
    view = SavedView.objects.create(user=people["lead"], workspace=workspace, name="Mine")
    chosen = [preflight.Chosen(job.ref)]
    bulk = preflight.plan(people["lead"], workspace, Ruling.APPROVE, chosen=chosen, now=NOW)
    return {
        "notice": told.pk,
        "view": view.pk,
        "bulk": bulk.ref,
        "document": known.document.ref,
        "delivery": sent.deliveries.get().pk,
        "endpoint": endpoint.pk,
        "workspace": workspace.slug,
        "type": "type",
        "ref": job.ref,
        "position": 1,
        "attempt": 1,
        "upload": uuid.uuid4(),
    }


def address(name, arguments):
    route = next(route for known, route in doors() if known == name)
    return reverse(name, kwargs={k: v for k, v in arguments.items() if f":{k}>" in route})


@pytest.mark.parametrize(
    "address",
    [
        "/jobs/%00/",
        "/jobs/J-%00/live/",
        "/jobs/%00/documents/1/",
        "/jobs/%00/review/",
        "/jobs/%00/approve/",
        "/w/{place}/reviews/?type=%00",
        "/w/{place}/reviews/?q=%00&requester=%00&reason=%00&after=%00",
        "/w/{place}/reviews/?tab=history&person=%00&after=%00",
        "/w/{place}/reviews/bulk/%00/",
        "/w/{place}/library/?q=%00&before=%00",
        "/w/{place}/library/?after=%00",
        "/w/{place}/library/D-%00/",
        "/jobs/%00/keep/",
        "/w/{place}/jobs/?reason=%00&q=%00&type=%00",
        "/w/{place}/jobs/new/{type}/?from=%00",
        "/admin/jobs/webhookreceipt/%00/change/",
        "/admin/django_q/success/%00/history/",
    ],
)
def test_what_no_database_stores_finds_nothing_at_any_door(address, cast, arguments):
    workspace, _people = cast
    root = {"is_staff": True, "is_superuser": True}
    everybody = client_of(UserFactory(workspace=workspace, roles=list(Role), **root))
    answer = everybody.get(address.format(place=workspace.slug, type=arguments["type"]))
    assert answer.status_code in (200, 302, 404)


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_door_opens_for_those_in_its_rule_alone(name, cast, arguments):
    rule, url = RULES[name], address(name, arguments)
    known = rule.known or rule.get or rule.post or set()
    for part, user in cast[1].items():
        for method, allowed in (("get", rule.get), ("post", rule.post)):
            answer = getattr(client_of(user), method)(url)
            if answer.streaming:
                # A file is closed once it has been read.
                list(answer)
            said = f"{part} {method} {url}: {answer.status_code}"
            if allowed is None:
                assert answer.status_code in (403, 404, 405), said
            elif part in allowed:
                assert answer.status_code not in (403, 404, 405), said
                assert answer.status_code < 500, said
            else:
                assert answer.status_code == (403 if part in known else 404), said


@pytest.mark.parametrize("name", sorted(RULES | VERBS))
def test_nobody_gets_in_without_logging_in(name, arguments):
    url = address(name, arguments)
    for method in ("get", "post"):
        answer = getattr(Client(), method)(url)
        assert answer.status_code == 302, f"{method} {url}"
        assert answer.url.startswith("/accounts/login/"), f"{method} {url}"


@pytest.mark.parametrize("name", sorted(RULES | VERBS))
def test_a_post_from_another_site_is_refused(name, cast, arguments):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast[1]["superuser"])
    assert client.post(address(name, arguments)).status_code in (403, 405)


@pytest.mark.parametrize("name", sorted(ONESELF))
def test_what_is_about_oneself_asks_who_one_is(name):
    answer = Client().get(reverse(name))
    assert answer.status_code == 302
    assert answer.url.startswith("/accounts/login/")


SITUATIONS = [
    *((status, Lane.BACKGROUND) for status in Status),
    (Status.NEEDS_REVIEW, Lane.APPROVAL),
]


@pytest.mark.parametrize(("status", "lane"), SITUATIONS)
def test_a_verbs_door_does_what_the_rule_says(status, lane, cast):
    """Every ruling by everybody in every status: done, too late (409), not yours (403), not there
    (404); and only what was done left a decision. Each is really tried, and taken back."""
    workspace, people = cast
    job = JobFactory(
        workspace=workspace,
        job_type=JobTypeFactory(lane=lane),
        requester=people["requester"],
        status=Status.QUEUED if lane == Lane.APPROVAL else status,
    )
    job = Job.objects.select_related("job_type", "open_gate").get(pk=job.pk)
    assert job.status == status
    sent = {
        "note": "Because.",
        "content_hash": job.open_gate.content_hash if job.open_gate else "",
        "assignee": people["lead"].username,
    }
    for part, user in people.items():
        client, permissions = client_of(user), allowed_actions(user, job)
        for ruling in Ruling:
            permission = permissions[Action(ruling.value)]
            url = reverse(f"reviews:job_{ruling.value}", args=[job.ref])
            refused = 403 if permission.forbidden else 409
            if part not in SEES_JOB:
                refused = 404
            with transaction.atomic():
                shown, done = client.get(url), client.post(url, sent)
                made = Decision.objects.filter(job=job, note="Because.")
                decided = list(made.values_list("actor", "ruling"))
                transaction.set_rollback(True)
            said = f"{ruling} by {part} on {status} {lane}: {shown.status_code}, {done.status_code}"
            assert shown.status_code == (200 if permission.allowed else refused), said
            assert done.status_code == (302 if permission.allowed else refused), said
            assert decided == ([(user.pk, ruling.value)] if permission.allowed else []), said


def test_the_admin_is_for_staff_alone(cast):
    """Every page of the admin that has a plain address; those of one row answer the same."""
    workspace, people = cast
    addresses = []
    for name, route in doors():
        if is_admin(name) and name not in ("admin:login", "admin:logout", "admin:jsi18n"):
            plain = route.replace("^", "").replace("$", "")
            for part in ("<path:object_id>", "<id>", "<int:pk>"):
                plain = plain.replace(part, "1")
            if "<" not in plain and "(" not in plain:
                addresses.append("/" + plain)
    assert len(addresses) > 60
    for part in ("requester", "lead", "admin", "stranger"):
        client = client_of(people[part])
        for url in addresses:
            answer = client.get(url)
            assert answer.status_code in (302, 403, 404), f"{part} {url}: {answer.status_code}"
            if answer.status_code == 302:
                assert "login" in answer.url or not url.endswith("/"), f"{part} {url}"
