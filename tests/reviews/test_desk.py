"""The way from one review to the next, and who has one open."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs.models import Gate, Job, Role, Status
from reviews import claims, inbox, passes
from reviews.actions import Ask, decide
from reviews.models import Decision, Ruling
from reviews.passes import Way
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def workspace():
    return WorkspaceFactory(slug="quality")


@pytest.fixture
def reviewer(workspace):
    return UserFactory(username="ruth", workspace=workspace, roles=[Role.REVIEWER])


@pytest.fixture
def lead(workspace):
    return UserFactory(username="lee", workspace=workspace, roles=[Role.LEAD])


@pytest.fixture
def waiting(workspace):
    """Four reviews, due one minute after the other."""
    jobs = [JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW) for _ in range(4)]
    for number, job in enumerate(jobs):
        due_at = timezone.now() + timedelta(hours=5, minutes=number)
        Gate.objects.filter(job=job).update(due_at=due_at)
    return [Job.objects.select_related("open_gate").get(pk=job.pk) for job in jobs]


def said(answer):
    return " ".join(answer.content.decode().split())


def review(client, user, job, query=""):
    client.force_login(user)
    return client.get(reverse("reviews:job_review", args=[job.ref]) + query)


def press(client, answer, job, ruling=Ruling.APPROVE, note=""):
    """Press a button of the review page that was answered, and follow where it leads."""
    context = answer.context
    data = {"note": note, "content_hash": context["case"].content_hash, "next": context["next"]}
    url = reverse(f"reviews:job_{ruling.value}", args=[job.ref])
    return client.post(url, data, follow=True)


def claim(client, user, job, headers=HTMX, **data):
    client.force_login(user)
    url = reverse("reviews:job_claim", args=[job.ref])
    shown = {"content_hash": job.open_gate.content_hash} if job.open_gate else {}
    return client.post(url, shown | data, headers=headers)


def at(answer):
    return urlsplit(answer.request["PATH_INFO"]).path


def page_of(job):
    return reverse("reviews:job_review", args=[job.ref])


# From one to the next ---------------------------------------------------------------------------


def test_after_a_decision_comes_the_next_that_is_due_and_in_the_end_praise(
    client, waiting, reviewer
):
    answer = review(client, reviewer, waiting[0])
    for number, job in enumerate(waiting):
        assert at(answer) == page_of(job)
        assert f"1 of {4 - number} waiting" in said(answer)
        answer = press(client, answer, job)
        assert f"Approved {job.ref}." in said(answer)
    assert "All done" in said(answer)
    assert "You have made 4 decisions today." in said(answer)


@pytest.mark.parametrize("ruling", [Ruling.ESCALATE, Ruling.REQUEST_CHANGES, Ruling.REJECT])
def test_whatever_becomes_of_a_review_the_next_is_the_one_behind_it(client, waiting, lead, ruling):
    answer = review(client, lead, waiting[1])
    answer = press(client, answer, waiting[1], ruling, "Because.")
    assert at(answer) == page_of(waiting[2])


def test_skipping_writes_nothing_and_passes_over_what_somebody_else_has_open(
    client, waiting, reviewer, lead
):
    claims.claim(waiting[1].open_gate, lead, now=timezone.now())
    claims.claim(waiting[2].open_gate, lead, now=timezone.now() - 2 * claims.LASTS)
    answer = review(client, reviewer, waiting[0])
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(answer.context["on_url"], follow=True)
    assert at(answer) == page_of(waiting[2]), "a claim that lapsed is none"
    writes = {"INSERT", "UPDATE", "DELETE"}
    assert not [query for query in queries if query["sql"].split()[0] in writes]
    answer = client.get(answer.context["on_url"], follow=True)
    answer = client.get(answer.context["on_url"], follow=True)
    assert "You are through" in said(answer)
    assert answer.context["left"] == page_of(waiting[0])
    assert "Back to the last one" in said(answer)


def test_back_leads_through_what_one_was_at_decided_or_not(client, waiting, reviewer):
    answer = press(client, review(client, reviewer, waiting[0]), waiting[0])
    answer = client.get(answer.context["on_url"], follow=True)
    assert at(answer) == page_of(waiting[2])
    for job in (waiting[1], waiting[0]):
        answer = client.get(answer.context["back_url"])
        assert at(answer) == page_of(job)
    assert answer.context["back_url"] == ""
    assert "not waiting for a decision" in said(answer)


def test_the_trail_is_bounded_and_holds_each_review_once():
    way = Way()
    refs = [f"J-{number:07}" for number in range(30)]
    for ref in [*refs, refs[-1]]:
        way = way.past(Job(ref=ref))
    assert way.trail == tuple(refs[-passes.LONGEST_TRAIL :])
    assert Way.read(QueryDict(way.query[1:])) == way


def test_what_the_inbox_was_narrowed_to_goes_along(client, workspace, waiting, reviewer):
    digest = JobTypeFactory(slug="digest")
    others = [
        JobFactory(workspace=workspace, job_type=digest, status=Status.NEEDS_REVIEW)
        for _ in range(2)
    ]
    answer = review(client, reviewer, others[0], "?queue=type%3Ddigest")
    assert "1 of 2 waiting" in said(answer)
    assert 'href="/w/quality/reviews/?type=digest"' in said(answer)
    answer = press(client, answer, others[0])
    assert at(answer) == page_of(others[1])
    answer = press(client, answer, others[1])
    assert "All done" in said(answer)
    assert 'href="/w/quality/reviews/?type=digest"' in said(answer)


@pytest.mark.parametrize(
    "query",
    [
        "?trail=javascript:alert(1).J-1&queue=%22%3E%3Cscript%3E&at=now",
        "?trail=//evil.example&queue=%00&at=2026-01-01T00:00:00~1",
        "?queue=" + "a%26" * 500,
        "?at=2026-13-01T00:00:00Z~9&trail=" + "J-0000000." * 50,
        "?at=2026-01-01T00:00:00Z~" + "9" * 60,
    ],
)
def test_an_address_that_was_made_up_leads_nowhere_else(client, waiting, reviewer, query):
    answer = review(client, reviewer, waiting[0], query)
    assert answer.status_code == 200
    assert "<script>" not in answer.content.decode().replace('<script src="', "")
    assert "evil.example" not in said(answer)
    assert client.get(answer.context["on_url"]).status_code == 302
    door = reverse("reviews:job_next", args=[waiting[0].ref])
    assert client.get(door + query).status_code == 302
    assert client.get(reverse("reviews:pass_over", args=["quality"]) + query).status_code == 200


def test_where_one_goes_on_from_is_where_the_page_stood(client, waiting, lead):
    """An escalated review is due anew, far behind: the way goes on from its old place."""
    answer = review(client, lead, waiting[0])
    place = parse_qs(urlsplit(answer.context["on_url"]).query)["at"][0]
    assert place == inbox.place_of(waiting[0])


def test_the_page_that_asks_first_leads_back_to_the_review_and_not_past_it(
    client, waiting, reviewer
):
    answer = review(client, reviewer, waiting[1], "?queue=type%3D&trail=" + waiting[0].ref)
    data = {"ask": "first", "next": answer.context["next"]}
    answer = client.post(reverse("reviews:job_reject", args=[waiting[1].ref]), data)
    back = answer.context["back"]
    assert urlsplit(back).path == page_of(waiting[1])
    assert parse_qs(urlsplit(back).query)["trail"] == [waiting[0].ref]


def test_who_comes_second_is_led_on_along_the_same_way(client, waiting, reviewer, lead):
    answer = review(client, reviewer, waiting[0], "?queue=whose%3D")
    seen, following = answer.context["case"].content_hash, answer.context["next"]
    decide(waiting[0].pk, Ask(Ruling.APPROVE, lead, timezone.now()))
    url = reverse("reviews:job_approve", args=[waiting[0].ref])
    for given in (following, "//evil.example/review/next/", "/elsewhere/"):
        answer = client.post(url, {"content_hash": seen, "next": given})
        assert answer.status_code == 409
        assert answer.context["on_url"] == (following if given == following else "")
    assert at(client.get(following, follow=True)) == page_of(waiting[1])


def test_a_page_that_comes_back_with_a_problem_is_at_the_same_place(client, waiting, reviewer):
    way = Way(queue="whose=", trail=(waiting[1].ref,))
    client.force_login(reviewer)
    url = reverse("reviews:note_write", args=[waiting[0].ref])
    for data, query in (({}, way.query), ({"next": way.on_from(waiting[0])}, "")):
        answer = client.post(url + query, {"text": " ", **data})
        assert answer.status_code == 422
        assert waiting[1].ref in answer.context["back_url"]


def test_a_long_queue_is_counted_to_its_cap_alone(client, waiting, reviewer, monkeypatch):
    monkeypatch.setattr(inbox, "MOST_COUNTED", 3)
    assert "1 of 2+ waiting" in said(review(client, reviewer, waiting[0]))
    page = said(review(client, reviewer, waiting[3]))
    assert "2+ waiting" in page
    assert "of 2+ waiting" not in page


# Who has it open --------------------------------------------------------------------------------


def test_a_claim_says_who_has_it_and_takes_it_over_only_when_asked(client, waiting, reviewer, lead):
    job = waiting[0]
    assert "Nobody has it open" in said(review(client, reviewer, job))
    assert "You have it open" in said(claim(client, reviewer, job))
    page = review(client, lead, job)
    assert "<strong>ruth</strong> has it open" in said(page)
    assert "Take it over" in said(page)
    assert page.context["verbs"].every[0].why.startswith("ruth has this review open (since")
    assert "ruth" in said(claim(client, lead, job))
    assert "You have it open" in said(claim(client, lead, job, take_over="1"))
    lost = claim(client, reviewer, job, held="1")
    assert "<strong>lee</strong> took it over" in said(lost)
    assert "lee has this review open (since" in said(lost)
    assert Gate.objects.get(job=job).claimed_by == lead


def test_a_claim_brings_the_verbs_as_they_are_with_it(client, waiting, reviewer, lead):
    job = waiting[0]
    mine = claim(client, reviewer, job)
    assert 'id="offers" hx-swap-oob="morph"' in said(mine)
    assert "data-chord" in said(mine)
    assert "data-chord" not in said(claim(client, lead, job))


def test_a_claim_is_let_go_of_by_whoever_holds_it(client, waiting, reviewer, lead):
    job = waiting[0]
    claim(client, reviewer, job)
    url = reverse("reviews:job_release", args=[job.ref])
    client.force_login(lead)
    assert client.post(url).status_code == 204
    assert Gate.objects.get(job=job).claimed_by == reviewer
    client.force_login(reviewer)
    assert client.post(url).status_code == 204
    assert Gate.objects.get(job=job).claimed_by is None


def test_a_claim_on_what_has_changed_or_is_over_says_so_and_asks_no_more(
    client, waiting, reviewer, lead
):
    job = waiting[0]
    answer = claim(client, reviewer, job, content_hash="0" * 64)
    assert (answer.status_code, "It has changed since" in said(answer)) == (286, True)
    decide(job.pk, Ask(Ruling.APPROVE, lead, NOW + timedelta(days=900)))
    answer = claim(client, reviewer, job)
    assert (answer.status_code, "Nothing waits here any more" in said(answer)) == (286, True)
    assert claim(client, reviewer, job, headers={}).status_code == 409


def test_without_javascript_it_is_taken_by_a_button_and_decided_with_or_without(
    client, waiting, reviewer
):
    page = review(client, reviewer, waiting[0])
    assert "<noscript><button" in said(page)
    answer = claim(client, reviewer, waiting[0], headers={})
    assert (answer.status_code, answer.url) == (302, page_of(waiting[0]))
    assert "You have it open" in said(client.get(answer.url))
    answer = press(client, review(client, reviewer, waiting[1]), waiting[1])
    assert Decision.objects.get().job == waiting[1]


def test_opening_a_review_claims_nothing(client, waiting, reviewer):
    review(client, reviewer, waiting[0])
    assert Gate.objects.get(job=waiting[0]).claimed_by is None


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR, Role.ADMIN])
def test_those_who_do_not_decide_see_who_has_it_and_claim_nothing(
    client, workspace, waiting, reviewer, role
):
    other = UserFactory(workspace=workspace, roles=[role])
    claim(client, reviewer, waiting[0])
    page = said(review(client, other, waiting[0]))
    assert "<strong>ruth</strong> has it open" in page
    assert 'hx-post="/jobs/' not in page
    assert "Take it over" not in page
    assert claim(client, other, waiting[0]).status_code == 403


def test_whoever_escalates_a_review_has_it_open_no_more(client, waiting, reviewer):
    claim(client, reviewer, waiting[0])
    decide(waiting[0].pk, Ask(Ruling.ESCALATE, reviewer, timezone.now(), note="Too big."))
    assert Gate.objects.get(job=waiting[0]).claimed_by is None


def test_the_time_on_screen_of_a_page_that_comes_back_goes_on(client, waiting, reviewer):
    client.force_login(reviewer)
    url = reverse("reviews:note_write", args=[waiting[0].ref])
    for given, kept in (("75", "75"), ("7e9", ""), ("9" * 400, "999999"), ("٣", "")):
        answer = client.post(url, {"text": " ", "seconds": given})
        assert answer.context["seconds"] == kept
