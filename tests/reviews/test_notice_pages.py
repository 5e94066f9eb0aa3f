"""The bell, the list, and the choice of what to hear of."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from jobs.models import Role, Status
from reviews import notices
from reviews.models import DigestTime, How, Notice, NoticeChoice, NoticeKind
from reviews.notes import write_note
from tests.factories import NOW, JobFactory, UserFactory, WorkspaceFactory, approve
from tests.told import tell, told

pytestmark = pytest.mark.django_db

LIST = "/notices/"
CHOICES = "/notices/preferences/"


@pytest.fixture
def here():
    return WorkspaceFactory(slug="quality")


@pytest.fixture
def reviewer(here, client):
    person = UserFactory(workspace=here, roles=[Role.REVIEWER])
    client.force_login(person)
    return person


def waiting(here, number=1, **more):
    jobs = [JobFactory(workspace=here, status=Status.NEEDS_REVIEW, **more) for _ in range(number)]
    tell(NOW)
    return jobs


def page_of(client, url=LIST):
    return client.get(url).content.decode()


def test_somebody_with_nothing_to_hear_of_is_told_so(client, reviewer):
    page = page_of(client)
    assert "Nothing to tell you. All is well." in page
    assert "bell-count" not in page


def test_the_bell_says_how_many_are_unread_on_every_page(here, client, reviewer):
    waiting(here, 3)
    page = page_of(client, "/w/quality/jobs/")
    assert "Notices, 3 unread" in page
    assert '<span class="bell-count nums" aria-hidden="true">3</span>' in page


def test_the_bell_stops_counting_at_a_hundred(here, client, reviewer, monkeypatch):
    monkeypatch.setattr(notices, "MOST_UNREAD", 3)
    waiting(here, 4)
    assert ">2+</span>" in page_of(client)


def test_the_bell_is_asked_for_alone(here, client, reviewer, django_assert_max_num_queries):
    waiting(here)
    with django_assert_max_num_queries(5):
        bell = page_of(client, "/notices/bell/")
    assert bell.strip().startswith("<a ")
    assert "1 unread" in bell
    assert "<html" not in bell


def test_looking_writes_nothing(here, client, reviewer):
    waiting(here, 2)
    before = list(Notice.objects.values_list())
    page_of(client)
    page_of(client, "/notices/bell/")
    page_of(client, CHOICES)
    assert list(Notice.objects.values_list()) == before
    assert not NoticeChoice.objects.exists()


def test_a_notice_says_what_it_is_and_opening_it_reads_it_and_leads_there(here, client, reviewer):
    [job] = waiting(here)
    page = page_of(client)
    assert f"{job.ref} needs your review" in page
    assert "(unread)" in page
    [notice] = Notice.objects.filter(person=reviewer)
    answer = client.post(reverse("reviews:notice_open", args=[notice.pk]))
    assert answer.url == f"/jobs/{job.ref}/review/"
    notice.refresh_from_db()
    assert notice.read_at
    assert "(unread)" not in page_of(client)


def marked(client, url):
    """Open a page, and send what it sends by itself. The answer to that, None where it is nothing."""
    page = client.get(url)
    assert page.status_code == 200
    ids = re.findall(r'name="notice" value="(\d+)"', page.content.decode())
    if not ids:
        return None
    return client.post("/notices/read/", {"notice": ids}, headers={"HX-Request": "true"})


def test_the_page_that_a_mail_leads_to_marks_what_led_there_as_read(here, client, reviewer):
    other = UserFactory(workspace=here, roles=[Role.REVIEWER])
    first, second = waiting(here, 2)
    write_note(first, author=other, text=f"@{reviewer.username}", now=NOW)
    tell(NOW)
    url = reverse("reviews:job_review", args=[first.ref])
    looked = list(Notice.objects.values_list())
    assert "Notices, 3 unread" in page_of(client, url)
    assert list(Notice.objects.values_list()) == looked, "a GET writes nothing"
    bell = marked(client, url).content.decode()
    assert "Notices, 1 unread" in bell and "<html" not in bell
    assert told(reviewer) == [(NoticeKind.NEEDS_REVIEW, second.ref)]
    assert told(other) != []
    assert marked(client, url) is None


def test_what_is_read_in_the_review_is_not_read_on_the_page_of_the_job(here, client):
    both = UserFactory(workspace=here, roles=[Role.REQUESTER, Role.REVIEWER])
    client.force_login(both)
    [asked] = waiting(here)
    done = JobFactory(workspace=here, requester=both, status=Status.COMPLETED)
    tell(NOW)
    assert marked(client, asked.get_absolute_url()) is None
    assert marked(client, reverse("reviews:job_review", args=[done.ref])) is None
    assert marked(client, done.get_absolute_url()) is not None
    assert told(both) == [(NoticeKind.NEEDS_REVIEW, asked.ref)]


def test_one_failure_is_read_on_its_page_and_several_in_their_list(here, client):
    operator = UserFactory(workspace=here, roles=[Role.OPERATOR])
    client.force_login(operator)
    first = JobFactory(workspace=here, status=Status.FAILED)
    tell(NOW)
    assert marked(client, first.get_absolute_url()) is not None
    Notice.objects.update(read_at=None)
    JobFactory(workspace=here, status=Status.FAILED)
    tell(NOW)
    assert marked(client, first.get_absolute_url()) is None
    assert notices.unread_count(operator) == 1


def test_reading_again_keeps_the_first_moment(here, client, reviewer):
    waiting(here)
    [notice] = Notice.objects.filter(person=reviewer)
    assert notices.mark_read(reviewer, now=NOW, only=[notice.pk]) == 1
    assert notices.mark_read(reviewer, now=NOW + timedelta(1), only=[notice.pk]) == 0
    notice.refresh_from_db()
    assert notice.read_at == NOW


def test_all_that_was_shown_is_read_and_what_came_since_is_not(here, client, reviewer):
    waiting(here, 2)
    newest = Notice.objects.filter(person=reviewer).order_by("-id")[0]
    waiting(here)
    answer = client.post("/notices/read/", {"upto": newest.pk}, follow=True)
    assert "2 marked as read." in answer.content.decode()
    assert notices.unread_count(reviewer) == 1


@pytest.mark.parametrize("sent", [{}, {"upto": "x"}, {"notice": "9" * 30}, {"upto": "-1"}])
def test_nonsense_marks_nothing(here, client, reviewer, sent):
    waiting(here)
    assert client.post("/notices/read/", sent).status_code == 302
    assert notices.unread_count(reviewer) == 1


def test_nobody_touches_the_notices_of_somebody_else(here, client, reviewer):
    other = UserFactory(workspace=here, roles=[Role.REVIEWER])
    waiting(here)
    [theirs] = Notice.objects.filter(person=other)
    assert client.post(reverse("reviews:notice_open", args=[theirs.pk])).status_code == 404
    client.post("/notices/read/", {"notice": theirs.pk})
    client.post("/notices/read/", {"upto": theirs.pk + 1000})
    assert notices.unread_count(other) == 1
    assert client.post(f"/notices/{'9' * 40}/open/").status_code == 404


def test_what_was_decided_says_by_whom_and_is_not_new(here, client, reviewer):
    [job] = waiting(here)
    lead = approve(job)
    page = page_of(client)
    assert f"Approved by {lead}" in page
    assert "(unread)" not in page
    assert "You have read everything" in page_of(client, f"{LIST}?show=unread")


def test_the_list_is_narrowed_by_kind(here, client):
    both = UserFactory(workspace=here, roles=[Role.REVIEWER, Role.REQUESTER])
    client.force_login(both)
    [asked] = waiting(here)
    done = JobFactory(workspace=here, requester=both, status=Status.COMPLETED)
    tell(NOW)
    page = page_of(client, f"{LIST}?kind=finished")
    assert done.ref in page and asked.ref not in page
    assert "Nothing of this kind." in page_of(client, f"{LIST}?kind=mentioned")
    assert asked.ref in page_of(client, f"{LIST}?kind=nonsense&before=%00")


def test_pages_follow_each_other_without_gap(here, client, reviewer, monkeypatch):
    monkeypatch.setattr(notices, "PAGE", 2)
    jobs = waiting(here, 5)
    seen, before = [], None
    while True:
        page = notices.page(reviewer, before=before)
        seen += [notice.job_id for notice in page.notices]
        before = page.before
        if before is None:
            break
    assert seen == [job.pk for job in reversed(jobs)]
    assert "Older ones" in page_of(client)


def test_a_list_costs_the_same_however_long_it_is(
    here, client, reviewer, django_assert_max_num_queries
):
    waiting(here, 12)
    with django_assert_max_num_queries(14):
        page_of(client)


def test_failures_of_one_cause_lead_to_all_of_them(here, client):
    operator = UserFactory(workspace=here, roles=[Role.OPERATOR])
    client.force_login(operator)
    for _job in range(2):
        JobFactory(workspace=here, status=Status.FAILED)
    tell(NOW)
    [notice] = Notice.objects.filter(person=operator)
    assert "and 1 more failed in the same way" in page_of(client)
    answer = client.post(reverse("reviews:notice_open", args=[notice.pk]), follow=True)
    assert answer.status_code == 200
    assert notice.job.ref in answer.content.decode()


# What to hear of


def test_each_person_is_offered_what_they_can_ever_hear_of(here, client, reviewer):
    page = page_of(client, CHOICES)
    assert NoticeKind.ESCALATED.label in page
    assert NoticeKind.FINISHED.label not in page
    client.force_login(UserFactory(workspace=here, roles=[Role.REQUESTER]))
    page = page_of(client, CHOICES)
    assert NoticeKind.FINISHED.label in page
    assert NoticeKind.ESCALATED.label not in page


def choices(client):
    form = client.get(CHOICES).context["form"]
    return {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}


def test_choices_are_kept(client, reviewer):
    sent = choices(client) | {"needs_review": "at_once", "hour": "17", "zone": "Europe/Berlin"}
    answer = client.post(CHOICES, sent, follow=True)
    assert "Your choices are saved." in answer.content.decode()
    assert choices(client)["needs_review"] == "at_once"
    at = DigestTime.objects.get(person=reviewer)
    assert (at.hour, at.zone) == (17, "Europe/Berlin")


@pytest.mark.parametrize(
    "wrong",
    [{"needs_review": "by_pigeon"}, {"mentioned": "off"}, {"hour": "24"}, {"zone": "Mars/Base"}],
)
def test_what_cannot_be_chosen_is_said_and_nothing_is_kept(client, reviewer, wrong):
    answer = client.post(CHOICES, choices(client) | {"escalated": "app"} | wrong)
    assert answer.status_code == 422
    assert "Nothing is saved yet" in answer.content.decode()
    assert not NoticeChoice.objects.exists()


def test_who_has_no_address_is_told_so(here, client):
    client.force_login(UserFactory(workspace=here, roles=[Role.REVIEWER], email=""))
    assert "Your account has no e-mail address" in page_of(client, CHOICES)


def test_what_is_meant_for_one_person_cannot_be_switched_off():
    assert How.OFF not in notices.preferences.ways(NoticeKind.MENTIONED)
    assert How.OFF not in notices.preferences.ways(NoticeKind.ASSIGNED)
    assert How.OFF in notices.preferences.ways(NoticeKind.NEEDS_REVIEW)


def test_whoever_did_it_is_named_in_a_sentence(here, client, reviewer):
    [job] = waiting(here)
    author = UserFactory(username="noor", workspace=here, roles=[Role.LEAD])
    write_note(job, author=author, text=f"What do you say, @{reviewer.username}?", now=NOW)
    tell(NOW)
    assert "By noor" in page_of(client, f"{LIST}?kind=mentioned")
