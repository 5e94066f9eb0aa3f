"""What people see of deliveries, and what they do with those that did not arrive."""

import json
import threading
import uuid

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.urls import reverse
from standardwebhooks import Webhook

from jobs.access import NotNow
from jobs.models import Role, Status, SweepSlot, Verb
from jobs.operations import overview, snapshot
from jobs.operations.health import Level
from reviews import deadletters, outbox, signing
from reviews.admin import delivery
from reviews.deliveries import KEEPS_TRYING
from reviews.models import Channel, Delivery, DeliveryState, Endpoint, Extent, Route
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory
from tests.receiver import Receiver

pytestmark = pytest.mark.django_db

LATER = NOW + KEEPS_TRYING


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    waiting = []
    monkeypatch.setattr(outbox, "async_task", lambda name, **kwargs: waiting.append(kwargs))
    return waiting


@pytest.fixture
def receiver(settings):
    settings.WEBHOOKS_WITHIN = True
    running = Receiver()
    running.answers = [404]
    yield running
    running.close()


@pytest.fixture
def home():
    return WorkspaceFactory(slug="home")


@pytest.fixture
def endpoint(home, receiver):
    return Endpoint.objects.create(workspace=home, name="CMS", url=receiver.url)


@pytest.fixture
def job(home, endpoint, queue):
    """With a delivery that its receiver refused."""
    Route.objects.create(workspace=home, channel=Channel.WEBHOOK, endpoint=endpoint)
    job = JobFactory(workspace=home, status=Status.COMPLETED)
    outbox.hand_out(LATER)
    [task] = queue
    outbox.run(uuid.UUID(task["delivery_id"]), uuid.UUID(task["token"]), clock=lambda: LATER)
    assert job.deliveries.get().state == DeliveryState.DEAD
    return job


@pytest.fixture
def log_in(client, home):
    def as_role(*roles, **more):
        user = UserFactory(workspace=home, roles=roles, **more)
        client.force_login(user)
        return user

    return as_role


def text_of(answer):
    return " ".join(answer.content.decode().split())


def test_the_list_shows_what_did_not_arrive_why_and_where(client, log_in, job, endpoint):
    log_in(Role.OPERATOR)
    shown = text_of(client.get("/w/home/deliveries/"))
    assert job.ref in shown and endpoint.url in shown and "answered 404" in shown
    assert "Retry now" in shown and "does not take what it is sent" in shown


def test_each_tab_counts_and_shows_its_own(client, log_in, home, job):
    log_in(Role.OPERATOR)
    for slug, there in (("dead", True), ("waiting", False), ("delivered", False), ("odd", True)):
        shown = text_of(client.get("/w/home/deliveries/", {"show": slug, "before": "x"}))
        assert (f"delivery-{job.deliveries.get().pk}" in shown) is there, slug


def test_an_empty_list_says_that_all_is_well(client, log_in):
    log_in(Role.OPERATOR)
    assert "Nothing was given up" in text_of(client.get("/w/home/deliveries/"))


def test_older_ones_are_a_page_on(client, log_in, home, job, monkeypatch):
    from reviews import dispatch

    monkeypatch.setattr(dispatch, "PAGE", 2)
    Delivery.objects.update(state="dropped")
    row = Delivery.objects.get()
    made = []
    for number in range(4):
        row.pk, row.target = uuid.UUID(int=row.pk.int + 1), f"https://{number}.example.com/"
        made.append(Delivery.objects.bulk_create([row])[0].target)
    log_in(Role.OPERATOR)
    seen, before = [], ""
    while True:
        page = dispatch.page(home, "ended", before=before)
        seen += [row.target for row in page.rows]
        before = page.older
        if not before:
            break
    assert len(seen) == len(set(seen)) == 5


def test_an_auditor_and_a_lead_look_and_mend_nothing(client, log_in, job):
    for role in (Role.AUDITOR, Role.LEAD):
        log_in(role)
        shown = text_of(client.get("/w/home/deliveries/"))
        assert job.ref in shown and "Retry now" not in shown


@pytest.mark.parametrize(
    ("verb", "state", "event"),
    [
        ("retry", DeliveryState.WAITING, Verb.DELIVERY_RETRIED),
        ("drop", DeliveryState.DROPPED, Verb.DELIVERY_DROPPED),
    ],
)
def test_an_operator_mends_with_a_reason(client, log_in, job, verb, state, event):
    user = log_in(Role.OPERATOR)
    row = job.deliveries.get()
    url = reverse(f"reviews:delivery_{verb}", args=["home", row.pk])
    client.post(url, {"reason": "  "})
    row.refresh_from_db()
    assert row.state == DeliveryState.DEAD
    answer = client.post(url, {"reason": "Because.", "show": "waiting"})
    assert answer.url == "/w/home/deliveries/?show=waiting"
    row.refresh_from_db()
    assert row.state == state
    made = job.events.get(verb=event)
    assert made.actor == user and "Because." in made.reason_text


def test_what_waits_for_its_first_try_is_dropped_and_never_hurried(client, log_in, home):
    Route.objects.create(workspace=home, channel=Channel.LIBRARY)
    row = JobFactory(workspace=home, status=Status.COMPLETED).deliveries.get()
    user = log_in(Role.OPERATOR)
    with pytest.raises(NotNow):
        deadletters.retry(row.pk, actor=user, reason="Now.", now=NOW)
    shown = text_of(client.get("/w/home/deliveries/", {"show": "waiting"}))
    assert reverse("reviews:delivery_drop", args=["home", row.pk]) in shown
    assert reverse("reviews:delivery_retry", args=["home", row.pk]) not in shown
    Delivery.objects.update(attempts=1, first_tried_at=NOW, unreviewed=True)
    shown = text_of(client.get("/w/home/deliveries/", {"show": "waiting"}))
    assert reverse("reviews:delivery_retry", args=["home", row.pk]) in shown


def test_a_second_person_is_told_that_somebody_was_first(client, log_in, job):
    log_in(Role.OPERATOR)
    url = reverse("reviews:delivery_drop", args=["home", job.deliveries.get().pk])
    client.post(url, {"reason": "Because."})
    shown = text_of(client.post(url, {"reason": "Because."}, follow=True))
    assert "is dropped: nothing was changed" in shown
    assert job.events.filter(verb=Verb.DELIVERY_DROPPED).count() == 1


def test_all_of_an_endpoint_are_retried_at_once(client, log_in, job, endpoint):
    log_in(Role.ADMIN)
    url = reverse("reviews:endpoint_retry", args=["home", endpoint.pk])
    assert "Say why" in text_of(client.post(url, follow=True))
    shown = text_of(client.post(url, {"reason": "It is back."}, follow=True))
    assert "1 of CMS are tried again" in shown
    assert job.deliveries.get().state == DeliveryState.WAITING


def test_another_workspaces_delivery_is_not_there(client, job):
    away = WorkspaceFactory(slug="away")
    client.force_login(UserFactory(workspace=away, roles=[Role.OPERATOR]))
    pk = job.deliveries.get().pk
    assert client.post(f"/w/away/deliveries/{pk}/retry/", {"reason": "x"}).status_code == 404
    assert client.post(f"/w/home/deliveries/{pk}/retry/", {"reason": "x"}).status_code == 404


def test_a_requester_reads_where_it_went_and_no_more(client, job, endpoint):
    client.force_login(job.requester)
    shown = text_of(client.get(job.get_absolute_url()))
    assert "Deliveries" in shown and "127.0.0.1" in shown
    assert "An operator looks after it" in shown
    assert endpoint.url not in shown and "/w/home/deliveries/" not in shown


def test_a_mail_is_masked_for_requesters_and_not_for_leads(client, log_in, home):
    Route.objects.create(workspace=home, channel=Channel.EMAIL, recipients="ann@example.com")
    job = JobFactory(workspace=home, status=Status.COMPLETED)
    client.force_login(job.requester)
    shown = text_of(client.get(job.get_absolute_url()))
    assert "example.com" in shown and "ann@" not in shown
    log_in(Role.LEAD)
    assert "ann@example.com" in text_of(client.get(job.get_absolute_url()))
    assert "ann@example.com" in text_of(client.get(f"/jobs/{job.ref}/review/"))


def test_a_job_that_nothing_leaves_says_nothing_of_it(client, log_in, home):
    job = JobFactory(workspace=home, status=Status.COMPLETED)
    log_in(Role.LEAD)
    assert "Deliveries" not in text_of(client.get(job.get_absolute_url()))


def test_what_a_receiver_says_is_text_and_never_markup(client, log_in, job):
    Delivery.objects.update(last_error="<script>alert(1)</script>")
    log_in(Role.OPERATOR)
    assert "<script>alert(1)" not in text_of(client.get("/w/home/deliveries/"))


def verdict(workspace):
    overview.kept.clear()
    health = overview.overview(workspace, now=LATER).health
    return health, [one for one in health.findings if one.code == "not_delivered"]


def test_those_on_call_are_told_of_dead_letters(client, log_in, job):
    log_in(Role.OPERATOR)
    shown = text_of(client.get("/w/home/operations/"))
    assert "One delivery was not made." in shown and "/w/home/deliveries/" in shown


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_dead_letter_is_in_the_verdict_until_somebody_mends_it(home, job, everywhere):
    place = None if everywhere else home
    SweepSlot.objects.create(number=0, beat_at=LATER)
    health, [finding] = verdict(place)
    assert (health.word, finding.level) == ("Needs attention", Level.ATTENTION)
    assert verdict(WorkspaceFactory())[1] == []
    operator = UserFactory(workspace=home, roles=[Role.OPERATOR])
    pk = job.deliveries.get().pk
    deadletters.drop(pk, actor=operator, reason="Sent by hand.", now=LATER)
    health, found = verdict(place)
    assert (health.word, found) == ("Working", [])


def test_dead_letters_are_counted_to_a_cap(home, job, monkeypatch):
    row = Delivery.objects.get()
    for _ in range(3):
        row.pk = uuid.UUID(int=row.pk.int + 1)
        row.target += "x"
        Delivery.objects.bulk_create([row])
    assert verdict(home)[1][0].text == "4 deliveries were not made."
    monkeypatch.setattr(snapshot, "MOST", 3)
    assert verdict(home)[1][0].text == "3+ deliveries were not made."


def test_many_dead_letters_of_others_hide_none(home, job, monkeypatch):
    row = Delivery.objects.get()
    row.job = JobFactory(status=Status.COMPLETED)
    for place in range(3):
        # Newer than the one here: the index has those first.
        row.pk, row.target = uuid.UUID(int=2**128 - 1 - place), f"{row.target}x"
        Delivery.objects.bulk_create([row])
    monkeypatch.setattr(snapshot, "MOST", 1)
    assert verdict(home)[1][0].text == "One delivery was not made."


def test_from_all_workspaces_the_verdict_leads_to_the_list_of_them(client, job):
    root = UserFactory(is_superuser=True, is_staff=True)
    client.force_login(root)
    [finding] = verdict(None)[1]
    assert finding.url in client.get("/operations/").content.decode()
    assert list(client.get(finding.url).context["cl"].result_list) == [job.deliveries.get()]


def test_reading_writes_nothing(client, log_in, job, django_assert_max_num_queries):
    log_in(Role.OPERATOR)
    before = list(Delivery.objects.values()), job.events.count()
    with django_assert_max_num_queries(25):
        client.get("/w/home/deliveries/")
    assert (list(Delivery.objects.values()), job.events.count()) == before


# Routes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"channel": "email"}, "recipients"),
        ({"channel": "email", "recipients": "nobody"}, "recipients"),
        ({"channel": "email", "recipients": "a@example.com\nBcc: b@example.com"}, "recipients"),
        ({"channel": "email", "recipients": "a@ex\u0430mple.com"}, "recipients"),
        ({"channel": "webhook"}, "endpoint"),
        ({"channel": "webhook", "recipients": "a@example.com"}, "recipients"),
        ({"channel": "library", "extent": Extent.LINK}, "extent"),
        ({"channel": "library", "to_requester": True}, "to_requester"),
        ({"channel": "folder"}, "channel"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused_at_its_field(home, changes, field):
    with pytest.raises(ValidationError) as refused:
        Route(workspace=home, **changes).full_clean()
    assert field in refused.value.message_dict


def test_a_route_stays_within_its_workspace(home, endpoint):
    away = WorkspaceFactory()
    theirs = JobTypeFactory(workspace=away)
    with pytest.raises(ValidationError) as refused:
        Route(
            workspace=away,
            channel="webhook",
            endpoint=endpoint,
            job_type=JobTypeFactory(workspace=home),
        ).full_clean()
    assert {"endpoint", "job_type"} <= refused.value.message_dict.keys()
    Route(workspace=away, channel="library", job_type=theirs).full_clean()


@pytest.mark.parametrize(
    "url",
    [
        "http://cms.example.com/",
        "ftp://x/",
        "https://me:pw@x/",
        "https://x:port/",
        "https://\u0430.com/",
    ],
)
def test_an_endpoint_without_a_good_address_is_refused(home, url):
    with pytest.raises(ValidationError):
        Endpoint(workspace=home, name="CMS", url=url).full_clean()


# The admin ----------------------------------------------------------------------------------------


@pytest.fixture
def staff(log_in):
    def as_role(*roles):
        user = log_in(*roles, is_staff=True)
        user.user_permissions.set(Permission.objects.all())
        return user

    return as_role


def secret_url(endpoint):
    return reverse("admin:reviews_endpoint_secret", args=[endpoint.pk])


def test_a_secret_is_shown_on_demand_to_admins_and_each_look_is_kept(client, staff, endpoint):
    user = staff(Role.ADMIN)
    [secret] = signing.secrets(endpoint, now=NOW)
    assert secret not in text_of(client.get(secret_url(endpoint)))
    answer = client.post(secret_url(endpoint), {"do": "show"})
    assert secret in text_of(answer) and "no-store" in answer["cache-control"]
    history = text_of(client.get(reverse("admin:reviews_endpoint_history", args=[endpoint.pk])))
    assert "Looked at the secret." in history and user.username in history
    assert secret not in history
    page = text_of(client.get(reverse("admin:reviews_endpoint_change", args=[endpoint.pk])))
    assert secret not in page and secret_url(endpoint) in page


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.OPERATOR, Role.LEAD, Role.REVIEWER])
def test_nobody_else_sees_a_secret_whatever_django_lets_them(client, staff, endpoint, role):
    staff(role)
    for do in ("show", "rotate", "test"):
        # Reviewers do not even see where results go.
        refused = 404 if role == Role.REVIEWER else 403
        assert client.post(secret_url(endpoint), {"do": do}).status_code == refused
    endpoint.refresh_from_db()
    assert endpoint.serial == 1


def test_another_workspaces_endpoint_is_not_there(client, endpoint):
    away = WorkspaceFactory()
    user = UserFactory(workspace=away, roles=[Role.ADMIN], is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    client.force_login(user)
    assert client.post(secret_url(endpoint), {"do": "show"}).status_code == 404
    listed = text_of(client.get(reverse("admin:reviews_endpoint_changelist")))
    assert endpoint.url not in listed


def test_the_admin_shows_what_left_to_those_who_see_the_workspaces_jobs_alone(client, staff, job):
    rows = [job.deliveries.get(), Route.objects.get(), Endpoint.objects.get()]
    staff(Role.AUDITOR)
    for row in rows:
        name = f"admin:reviews_{row._meta.model_name}"
        for page, args in (("changelist", []), ("change", [row.pk]), ("history", [row.pk])):
            assert client.get(reverse(f"{name}_{page}", args=args)).status_code == 200
        assert client.post(reverse(f"{name}_change", args=[row.pk]), {}).status_code == 403
        assert client.post(reverse(f"{name}_delete", args=[row.pk])).status_code == 403
    staff(Role.REQUESTER)
    for row in rows:
        name = f"admin:reviews_{row._meta.model_name}"
        assert not client.get(reverse(f"{name}_changelist")).context["cl"].result_list
        assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 302


def test_the_admin_shows_where_results_go_to_nobody_else_than_the_page_does(client, staff, home):
    route = Route.objects.create(
        workspace=home, channel=Channel.EMAIL, recipients="ann@example.com"
    )
    row = JobFactory(workspace=home, status=Status.COMPLETED).deliveries.get()
    Endpoint.objects.create(workspace=home, name="CMS", url="https://cms.example.com/token")
    for role in Role:
        staff(role)
        sees = client.get("/w/home/deliveries/").status_code == 200
        assert sees is (role not in (Role.REQUESTER, Role.REVIEWER))
        for one, secret in (
            (route, "ann@example.com"),
            (row, "ann@example.com"),
            (Endpoint.objects.get(), "cms.example.com"),
        ):
            name = f"admin:reviews_{one._meta.model_name}"
            assert (secret in text_of(client.get(reverse(f"{name}_changelist")))) is sees
            opened = client.get(reverse(f"{name}_change", args=[one.pk]))
            assert (opened.status_code == 200) is sees, role


def test_a_new_secret_is_made_and_both_are_shown(client, staff, endpoint):
    staff(Role.ADMIN)
    [old] = signing.secrets(endpoint, now=NOW)
    shown = text_of(client.post(secret_url(endpoint), {"do": "rotate"}))
    endpoint.refresh_from_db()
    assert endpoint.serial == 2 and old in shown
    assert signing.secrets(endpoint, now=NOW)[0] in shown


def test_a_test_event_is_signed_and_says_what_came_back(client, staff, endpoint, receiver):
    staff(Role.ADMIN)
    receiver.answers = [204]
    shown = text_of(client.post(secret_url(endpoint), {"do": "test"}, follow=True))
    assert "127.0.0.1 answered 204" in shown
    [(headers, body)] = receiver.got
    said = Webhook(signing.secrets(endpoint, now=NOW)[0]).verify(body, headers)
    assert said["type"] == "endpoint.test"
    receiver.answers = [500]
    shown = text_of(client.post(secret_url(endpoint), {"do": "test"}, follow=True))
    assert "answered 500" in shown


def test_a_receiver_that_is_slow_holds_no_page(client, staff, endpoint, receiver, monkeypatch):
    staff(Role.ADMIN)
    monkeypatch.setattr(delivery, "TEST_LASTS", 0.3)
    monkeypatch.setattr(delivery.webhook, "test_event", lambda *a, **more: held.wait(10) and "204")
    held = threading.Event()
    for _ in range(4):
        shown = text_of(client.post(secret_url(endpoint), {"do": "test"}, follow=True))
        assert "took longer than" in shown
    shown = text_of(client.post(secret_url(endpoint), {"do": "test"}, follow=True))
    assert "Other tests are under way." in shown
    held.set()


def choose(client, verb, *rows, **more):
    chosen = [str(getattr(row, "pk", row)) for row in rows]
    data = {"action": verb, "_selected_action": chosen, **more}
    return client.post(reverse("admin:reviews_delivery_changelist"), data, follow=True)


@pytest.mark.parametrize(
    ("verb", "state", "event"),
    [
        ("retry", DeliveryState.WAITING, Verb.DELIVERY_RETRIED),
        ("drop", DeliveryState.DROPPED, Verb.DELIVERY_DROPPED),
    ],
)
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_the_admin_mends_with_a_reason_as_the_page_does(
    client, staff, job, role, verb, state, event
):
    user, row = staff(role), job.deliveries.get()
    for more in ({}, {"reason": " "}, {"reason": "x" * 1001}):
        shown = text_of(choose(client, verb, row, **more))
        assert job.ref in shown and 'name="reason"' in shown
        assert ("Say why" in shown) is (more == {"reason": " "})
        row.refresh_from_db()
        assert row.state == DeliveryState.DEAD
    choose(client, verb, row, reason="Because.")
    row.refresh_from_db()
    assert row.state == state
    made = job.events.get(verb=event)
    assert made.actor == user and "Because." in made.reason_text
    assert "nothing was changed" in text_of(choose(client, "drop", row, reason="Again.")) or (
        verb == "retry"
    )
    assert job.events.filter(verb=event).count() == 1


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.LEAD])
@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_who_looks_in_the_admin_mends_nothing_there(client, staff, job, role, verb):
    staff(role)
    row = job.deliveries.get()
    assert 'name="reason"' not in text_of(choose(client, verb, row))
    shown = text_of(choose(client, verb, row, reason="Me."))
    assert "operators and admins" in shown
    row.refresh_from_db()
    assert row.state == DeliveryState.DEAD


def test_the_admin_mends_nothing_of_elsewhere_and_nothing_that_is_none(client, job):
    away = WorkspaceFactory()
    user = UserFactory(workspace=away, roles=[Role.OPERATOR], is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    client.force_login(user)
    row = job.deliveries.get()
    for chosen in (row, "x", uuid.uuid4()):
        assert choose(client, "retry", chosen, reason="Me.").status_code == 200
    row.refresh_from_db()
    assert row.state == DeliveryState.DEAD


def test_the_admin_takes_what_can_be_looked_over(client, staff, job):
    staff(Role.OPERATOR)
    row = job.deliveries.get()
    shown = text_of(choose(client, "drop", row, select_across="1", reason="All."))
    assert "one by one" in shown
    many = [row, *(uuid.uuid4() for _ in range(100))]
    assert "one by one" in text_of(choose(client, "drop", *many, reason="All."))
    row.refresh_from_db()
    assert row.state == DeliveryState.DEAD


def test_a_row_that_moved_meanwhile_is_told_of_whatever_the_list_is_filtered_by(client, staff, job):
    user, row = staff(Role.OPERATOR), job.deliveries.get()
    deadletters.drop(row.pk, actor=user, reason="By hand.", now=LATER)
    url = reverse("admin:reviews_delivery_changelist") + "?state__exact=dead"
    data = {"action": "retry", "_selected_action": [str(row.pk)], "reason": "Again."}
    assert "is dropped: nothing was changed" in text_of(client.post(url, data, follow=True))


def test_an_admin_makes_an_endpoint_and_a_route_in_their_own_workspace_alone(client, staff, home):
    away = WorkspaceFactory()
    staff(Role.ADMIN)
    add = reverse("admin:reviews_endpoint_add")
    fields = {"name": "CMS", "url": "https://cms.example.com/in", "enabled": "on"}
    client.post(add, {**fields, "workspace": away.pk})
    assert not Endpoint.objects.exists()
    client.post(add, {**fields, "workspace": home.pk})
    made = Endpoint.objects.get()
    assert made.history.count() == 1
    answer = client.post(
        reverse("admin:reviews_route_add"),
        {
            "workspace": home.pk,
            "channel": "webhook",
            "endpoint": made.pk,
            "extent": "whole",
            "hold": 60,
        },
    )
    assert answer.status_code == 302
    assert Route.objects.get().endpoint == made


def test_a_route_is_refused_in_the_admin_beside_its_field(client, staff, home):
    staff(Role.ADMIN)
    answer = client.post(
        reverse("admin:reviews_route_add"),
        {"workspace": home.pk, "channel": "email", "extent": "whole", "hold": 60},
    )
    assert "recipients" in answer.context["adminform"].form.errors


# The command --------------------------------------------------------------------------------------


def test_the_command_lists_and_mends(shell, job, home):
    operator = UserFactory(workspace=home, roles=[Role.OPERATOR])
    row = job.deliveries.get()
    [one] = shell("deliveries", "--state", "dead", "--job", job.ref, "--json").json
    assert (one["id"], one["state"], one["attempts"]) == (str(row.pk), "dead", 1)
    assert str(row.pk) in shell("deliveries", "--workspace", "home").out
    args = ("retry", row.pk, "--as", operator)
    assert shell("deliveries", *args).code == 2
    assert (
        shell("deliveries", *args, "--reason", "It is back.", "--json").json[0]["state"]
        == "waiting"
    )
    assert shell("deliveries", "drop", row.pk, "--as", operator, "--reason", "No.").code == 0
    assert shell("deliveries", "drop", row.pk, "--as", operator, "--reason", "No.").code == 1
    assert "There are none." in shell("deliveries", "--state", "dead").out


def test_the_command_refuses_what_is_not_there_or_not_theirs(shell, job, home):
    reviewer = UserFactory(workspace=home, roles=[Role.REVIEWER])
    row = job.deliveries.get()
    args = ("--as", reviewer, "--reason", "Me.")
    assert shell("deliveries", "retry", row.pk, *args).code == 1
    assert shell("deliveries", "retry", uuid.uuid4(), *args).code == 1
    assert shell("deliveries", "retry", "x", *args).code == 2
    assert shell("deliveries", "retry").code == 2
    assert shell("deliveries", "--workspace", "nowhere").code == 1
    assert json.loads(shell("deliveries", "retry", "x", *args, "--json").out)["error"]
