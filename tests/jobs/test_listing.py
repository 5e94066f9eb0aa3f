"""The list of jobs: who sees what, what matches, how many, page after page; and home."""

import re
import uuid
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs import listing
from jobs.access import Action, allowed_actions
from jobs.documents import Upload
from jobs.ids import made_at
from jobs.listing import Listing, Wanted, Whose
from jobs.models import Job, Lane, Membership, Result, Role, Status
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests import payloads
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    approve,
    finish,
    start,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def here():
    return WorkspaceFactory(slug="here")


@pytest.fixture
def requester(here):
    return UserFactory(username="rea", workspace=here, roles=[Role.REQUESTER])


@pytest.fixture
def lead(here):
    return UserFactory(username="lea", workspace=here, roles=[Role.LEAD, Role.REQUESTER])


@pytest.fixture
def kind():
    return JobTypeFactory(slug="digest", name="Digest")


def job_of(requester, workspace, *, topic="tides", archived=False, **kwargs):
    job = JobFactory(requester=requester, workspace=workspace, input={"topic": topic}, **kwargs)
    if archived:
        decide(job.pk, Ask(Ruling.ARCHIVE, requester, NOW))
        job.refresh_from_db()
    return job


def answered(requester, workspace, text, *, approved, **kwargs):
    """A job whose result says `text`: under review, or approved."""
    job = job_of(requester, workspace, **kwargs)
    start(job)
    finish(job, "completed", output=[payloads.message(text)])
    if approved:
        approve(job)
    job.refresh_from_db()
    assert Result.objects.get(attempt__job=job).text == text
    return job


class Links(HTMLParser):
    """What a page links to: (text, address, attributes)."""

    def __init__(self, html):
        super().__init__()
        self.links, self._open = [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self._open = [dict(attrs), []]

    def handle_data(self, data):
        if self._open:
            self._open[1].append(data)

    def handle_endtag(self, tag):
        if tag == "a" and self._open:
            attrs, parts = self._open
            self.links.append((" ".join("".join(parts).split()), attrs["href"], attrs))
            self._open = None


class Reader:
    """Somebody who reads the list, by its links."""

    def __init__(self, user, workspace):
        self.client = Client()
        self.client.force_login(user)
        self.url = reverse("jobs:job_list", args=[workspace.slug])

    def get(self, query="", **headers):
        answer = self.client.get(self.url + query, headers=headers or None, follow=not headers)
        assert answer.status_code == 200, f"{query}: {answer.status_code}"
        return answer.content.decode()

    def refs(self, html):
        return re.findall(r'<tr id="job-(J-\w+)"', html)

    def chips(self, html):
        """{label: (count, address)} of the links with counts."""
        found = {}
        for text, href, attrs in Links(html).links:
            if "chip" in attrs.get("class", "") and (match := re.match(r"(.+) ([\d,+]+)$", text)):
                found[match[1]] = (match[2], href)
        return found

    def follow(self, query):
        """All references that are reached from an address, by going on to older pages."""
        refs = []
        for _page in range(50):
            html = self.get(query)
            refs += self.refs(html)
            older = [href for _t, href, attrs in Links(html).links if attrs.get("rel") == "next"]
            if not older:
                return refs
            query = older[0]
        raise AssertionError("the pages never end")


@pytest.fixture
def read(here):
    return lambda user, workspace=here: Reader(user, workspace)


# Who sees what ---------------------------------------------------------------------------------


def test_everybody_sees_what_the_rule_of_visibility_says(read, here, requester, lead):
    elsewhere = WorkspaceFactory()
    both = UserFactory(workspace=here, roles=[Role.REQUESTER])
    for role in (Role.REQUESTER, Role.ADMIN):
        Membership.objects.create(user=both, workspace=elsewhere, role=role)
    for who, workspace in ((requester, here), (lead, here), (both, here), (both, elsewhere)):
        for status in (Status.QUEUED, Status.COMPLETED):
            job_of(who, workspace, status=status)
    stranger = JobFactory(workspace=elsewhere)
    everybody = [requester, lead, both, UserFactory(is_superuser=True)]
    everybody += [UserFactory(workspace=here, roles=[role]) for role in Role]
    for user in everybody:
        expected = Job.objects.visible_to(user).filter(workspace=here)
        seen = read(user).refs(read(user).get())
        assert sorted(seen) == sorted(job.ref for job in expected), user
        count = read(user).chips(read(user).get()).get("All", ("0",))[0]
        assert count == str(len(expected)), user
        assert stranger.ref not in seen


def test_a_list_of_another_workspace_is_not_there(here):
    stranger = UserFactory(workspace=WorkspaceFactory(), roles=list(Role))
    client = Client()
    client.force_login(stranger)
    assert client.get(reverse("jobs:job_list", args=[here.slug])).status_code == 404


def test_those_who_see_all_may_narrow_it_to_their_own(read, here, requester, lead):
    theirs, own = job_of(requester, here), job_of(lead, here)
    assert read(lead).refs(read(lead).get()) == [own.ref, theirs.ref]
    html = read(lead).get("?whose=mine")
    assert read(lead).refs(html) == [own.ref]
    assert read(lead).chips(html)["All"][0] == "1"
    assert "Everyone" not in read(requester).get(), "requesters have nothing to choose from"


def test_cost_and_requester_are_for_those_who_see_all(read, here, requester, lead):
    job_of(requester, here, status=Status.COMPLETED)
    assert ">Cost<" in read(lead).get() and "rea" in read(lead).get()
    assert ">Cost<" not in read(requester).get()


# Filters and counts ----------------------------------------------------------------------------


@pytest.fixture
def crowd(here, requester, lead, kind):
    """Jobs of two people and two types in every status, some of them archived."""
    other = JobTypeFactory(slug="brief", name="Brief", lane=Lane.INTERACTIVE)
    for number, status in enumerate([*Status, *Status, Status.COMPLETED, Status.FAILED]):
        for who in (requester, lead):
            job_of(
                who,
                here,
                job_type=(kind, other)[number % 2],
                topic="tides and moons" if number % 3 else "storms",
                status=status,
                archived=number in (3, 4, 14),
            )
    JobFactory(status=Status.FAILED)


@pytest.mark.parametrize("who", ["requester", "lead"])
def test_every_count_is_that_of_the_rows_behind_it(who, crowd, read, request, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 3)
    reader = read(request.getfixturevalue(who))
    for query in [
        "",
        "?whose=mine",
        "?type=brief",
        "?lane=interactive&q=tides",
        "?q=storms&whose=mine",
    ] + ["?status=failed&type=digest", "?archived=1", "?q=nothing+says+this"]:
        chips = reader.chips(reader.get(query))
        assert chips.keys() == {"All", "Archived", *Status.labels}
        for label, (count, href) in chips.items():
            rows = reader.follow(href)
            assert len(rows) == len(set(rows)) == int(count), f"{query} → {label}"
        in_all = sum(int(chips[status.label][0]) for status in Status)
        assert int(chips["All"][0]) == in_all


@pytest.mark.parametrize("who", ["requester", "lead"])
def test_where_looking_stops_counts_say_so_and_the_pages_go_on(
    who, crowd, read, request, monkeypatch
):
    reader = read(request.getfixturevalue(who))
    for query in ("", "?type=brief", "?q=storms", "?whose=mine&type=digest"):
        whole = reader.chips(reader.get(query))
        reached = {label: reader.follow(href) for label, (_n, href) in whole.items()}
        with monkeypatch.context() as patch:
            patch.setattr(listing, "LOOKED", 2)
            patch.setattr(listing, "READ", 2)
            chips = reader.chips(reader.get(query))
            assert any(count.endswith("+") for count, _href in chips.values()), query
            assert "through 2 jobs, back to" in reader.get(query) or query == ""
            for label, (count, href) in chips.items():
                assert int(count.rstrip("+")) <= int(whole[label][0]), f"{query} → {label}"
                if not count.endswith("+"):
                    assert count == whole[label][0], f"{query} → {label}"
                assert reader.follow(href) == reached[label], f"{query} → {label}"


def test_filters_narrow_to_what_they_say(read, here, requester, lead, kind):
    digest = job_of(requester, here, job_type=kind, status=Status.FAILED)
    quick = job_of(requester, here, job_type=JobTypeFactory(lane=Lane.INTERACTIVE))
    reader = read(requester)
    assert reader.refs(reader.get("?type=digest")) == [digest.ref]
    assert reader.refs(reader.get("?lane=interactive")) == [quick.ref]
    assert reader.refs(reader.get("?status=failed")) == [digest.ref]
    assert reader.refs(reader.get("?status=failed&lane=interactive")) == []


def test_days_are_counted_whole(read, here, requester):
    job = job_of(requester, here)
    day = made_at(job.pk).date()
    reader, one = read(requester), timedelta(days=1)
    assert reader.refs(reader.get(f"?since={day}&until={day}")) == [job.ref]
    assert reader.refs(reader.get(f"?since={day + one}")) == []
    assert reader.refs(reader.get(f"?until={day - one}")) == []
    assert reader.chips(reader.get(f"?until={day - one}"))["All"][0] == "0"


def test_a_workspace_with_a_type_of_its_own_finds_both_by_the_name(read, here, requester, kind):
    own = JobTypeFactory(slug="digest", name="Digest here", workspace=here)
    jobs = [job_of(requester, here, job_type=each) for each in (kind, own)]
    reader = read(requester)
    assert sorted(reader.refs(reader.get("?type=digest"))) == sorted(job.ref for job in jobs)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?status=done", "There is no status “done”."),
        ("?type=nope", "There is no job type “nope” here."),
        ("?lane=fast", "There is no lane “fast”."),
        ("?whose=hers", "Jobs are “mine” or “all”, not “hers”."),
        ("?archived=maybe", "not “maybe”"),
        ("?since=yesterday", "Write a day as 2026-03-31."),
        ("?since=0001-01-01", "There were no jobs before 1970."),
        ("?until=9999-12-31", "That is too far ahead."),
        ("?since=2026-03-02&until=2026-03-01", "The last day comes before the first."),
        ("?q=" + "x" * 201, "200 characters at most"),
        ("?q=" + "x" * 10_000, "200 characters at most"),
        ("?q=a%00b", "NUL"),
    ],
)
def test_a_filter_that_cannot_be_is_told_and_shows_nothing(query, sentence, read, here, requester):
    job_of(requester, here)
    html = read(requester).get(query)
    assert sentence in html
    assert read(requester).refs(html) == []
    assert "Clear filters" in html


def test_empty_fields_of_the_form_leave_the_address(here, requester):
    client = Client()
    client.force_login(requester)
    url = reverse("jobs:job_list", args=[here.slug])
    assert client.get(url + "?q=&type=&status=failed").url == url + "?status=failed"
    assert client.get(url + "?q=&type=").url == url


def test_links_keep_the_other_filters(read, here, requester, kind, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 1)
    for _ in range(2):
        job_of(requester, here, job_type=kind, topic="tides", status=Status.FAILED)
    html = read(requester).get("?status=failed&type=digest&q=tides")
    chip = read(requester).chips(html)["Queued"][1]
    older = next(href for _t, href, a in Links(html).links if a.get("rel") == "next")
    for href in (chip, older):
        assert "type=digest" in href and "q=tides" in href
    assert "status=queued" in chip and "status=failed" in older


# Archived jobs ---------------------------------------------------------------------------------


def test_archived_jobs_are_out_of_the_way_and_can_be_found(read, here, requester):
    job = job_of(requester, here, status=Status.COMPLETED, archived=True, topic="tides")
    other = job_of(requester, here, topic="tides")
    reader = read(requester)
    assert reader.refs(reader.get()) == [other.ref]
    assert reader.refs(reader.get("?archived=1")) == [job.ref]
    html = reader.get("?q=tides")
    assert reader.refs(html) == [other.ref]
    assert "1 archived job matches too." in html
    assert "too." not in reader.get("?q=storms")


# Search ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spell", [str, str.lower, lambda ref: ref[2:], lambda ref: f"  {ref} "])
def test_a_reference_leads_straight_to_its_job_in_any_workspace(spell, here, requester):
    elsewhere = WorkspaceFactory()
    Membership.objects.create(user=requester, workspace=elsewhere, role=Role.REQUESTER)
    job = job_of(requester, elsewhere)
    client = Client()
    client.force_login(requester)
    url = reverse("jobs:job_list", args=[here.slug])
    answer = client.get(url, {"q": spell(job.ref)})
    assert answer.status_code == 302 and answer.url == job.get_absolute_url()
    answer = client.get(url, {"q": spell(job.ref)}, headers={"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == job.get_absolute_url()


def test_a_strangers_reference_leads_nowhere(read, here, requester, lead):
    def part(html):
        return html.partition('id="listing"')[2]

    for job in (job_of(lead, here), JobFactory()):
        html = part(read(requester).get(f"?q={job.ref}"))
        unknown = part(read(requester).get("?q=J-0000000"))
        assert html.replace(job.ref, "J-0000000") == unknown


def test_words_are_found_in_title_type_and_file_names(read, here, requester, kind):
    job = job_of(
        requester,
        here,
        topic="High tides of Spring",
        job_type=kind,
        uploads=(Upload("harbour-report.txt", b"Words."),),
    )
    job_of(requester, here, topic="storms")
    # The title holds 200 characters; the name of the file must be found in its own place.
    Job.objects.filter(pk=job.pk).update(input_summary="High tides of Spring")
    reader = read(requester)
    for text in ("tides", "SPRING tides", "harbour", "digest high", "  tides  "):
        assert reader.refs(reader.get(f"?q={text}")) == [job.ref], text
    assert reader.refs(reader.get("?q=tides+storms")) == []


@pytest.mark.parametrize("text", ["ärger", "Ärger", "ÄRGER"])
def test_case_does_not_count_in_other_scripts_either(text, read, here, requester):
    job = job_of(requester, here, topic="Ärger am Kai")
    assert read(requester).refs(read(requester).get(f"?q={text}")) == [job.ref]


@pytest.mark.parametrize(
    "text", ["%", "_", "'", '"', "\\", "'; DROP TABLE jobs_job; --", "{{ 7 }}"]
)
def test_signs_stand_for_themselves(text, read, here, requester):
    plain = job_of(requester, here, topic="tides")
    odd = job_of(requester, here, topic=f"a{text}b")
    reader = read(requester)
    html = reader.client.get(reader.url, {"q": text}).content.decode()
    assert reader.refs(html) == [odd.ref]
    assert plain.ref in reader.get()


def test_search_says_nothing_of_results_that_one_may_not_read(read, here, requester, lead):
    """The rule of reading is the oracle: a word of a result finds its job for those alone who may
    read it, and no count tells of it either."""
    jobs = [
        answered(requester, here, "an oyster", approved=True),
        answered(requester, here, "an oyster", approved=False),
        answered(lead, here, "an oyster", approved=True),
    ]
    rejected = answered(requester, here, "an oyster", approved=False)
    decide(rejected.pk, Ask(Ruling.REJECT, lead, NOW, note="No."))
    changed = answered(requester, here, "an oyster", approved=False)
    decide(changed.pk, Ask(Ruling.REQUEST_CHANGES, lead, NOW, note="Other animals."))
    start(changed)
    finish(changed, "completed", output=[payloads.message("a whelk")])
    approve(changed)
    reopened = answered(requester, here, "an oyster", approved=True)
    decide(reopened.pk, Ask(Ruling.REOPEN, lead, NOW, note="Again."))
    jobs += [rejected, changed, reopened]
    auditor = UserFactory(workspace=here, roles=[Role.AUDITOR])
    for user in (requester, lead, auditor):
        reader = read(user)
        html = reader.get("?q=oyster")
        expected = {
            job.ref
            for job in Job.objects.filter(pk__in=[job.pk for job in jobs])
            if allowed_actions(user, job)[Action.READ_RESULT].allowed
            and (user != requester or job.pk != changed.pk)
        }
        assert set(reader.refs(html)) == expected, user
        assert reader.chips(html)["All"][0] == str(len(expected)), user
    assert set(read(requester).refs(read(requester).get("?q=oyster"))) == {jobs[0].ref}
    assert changed.ref in read(requester).refs(read(requester).get("?q=whelk"))


# Pages -----------------------------------------------------------------------------------------


def test_pages_stay_as_they_were_while_jobs_arrive(here, requester, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 4)
    jobs = [job_of(requester, here) for _ in range(11)][::-1]
    shown = Listing(requester, here, Wanted())
    first = shown.page()
    seen = [*first.jobs]
    page = first
    while page.older:
        job_of(requester, here)
        page = shown.page(before=page.older)
        seen += page.jobs
    assert seen == jobs
    back = shown.page(after=page.newer)
    assert list(back.jobs) == jobs[4:8]
    assert list(shown.page(after=back.newer).jobs) == jobs[0:4]


def test_going_back_ends_at_a_full_first_page(here, requester, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 4)
    jobs = [job_of(requester, here) for _ in range(6)][::-1]
    shown = Listing(requester, here, Wanted())
    second = shown.page(before=shown.page().older)
    assert list(second.jobs) == jobs[4:]
    new = job_of(requester, here)
    back = shown.page(after=jobs[3].pk)
    assert list(back.jobs) == [new, *jobs[:3]] and back.newer is None


@pytest.mark.parametrize("cursor", ["x", "J-7K3M9QX", "1", "' OR 1=1", "%00", "9" * 99])
@pytest.mark.parametrize("way", ["before", "after"])
def test_a_cursor_that_cannot_be_read_is_the_first_page(way, cursor, read, here, requester):
    job = job_of(requester, here)
    assert read(requester).refs(read(requester).get(f"?{way}={cursor}")) == [job.ref]


@pytest.mark.parametrize("cursor", [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)])
@pytest.mark.parametrize("way", ["before", "after"])
def test_a_cursor_that_is_no_jobs_is_still_a_place(way, cursor, read, here, requester):
    job_of(requester, here)
    read(requester).get(f"?{way}={cursor}")


def test_a_page_costs_the_same_whatever_is_on_it(here, requester, lead):
    reader = Reader(lead, here)

    def asked(query):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            reader.get(query)
        return len(captured)

    def more():
        for status in Status:
            job = job_of(requester, here, status=status, uploads=(Upload("a.txt", b"Words."),))
            if status is Status.RUNNING:
                decide(job.pk, Ask(Ruling.CANCEL, requester, NOW))

    queries = ["", "?q=tides", "?type=digest", "?whose=mine"]
    JobTypeFactory(slug="digest")
    more()
    few = [asked(query) for query in queries]
    for _ in range(3):
        more()
    assert len(reader.refs(reader.get())) == 25
    assert [asked(query) for query in queries] == few
    assert max(few) < 30


INDEXES = [
    (Wanted(), {"job_listed", "job_listed_by_status", "job_archived"}),
    (Wanted(status=Status.FAILED), {"job_listed_by_status", "job_archived"}),
    (Wanted(archived=True), {"job_listed_by_status", "job_archived"}),
    (Wanted(lane=Lane.BACKGROUND), {"job_listed", "job_listed_by_status", "job_archived"}),
    (Wanted(text="tides"), {"job_listed", "job_archived"}),
    (Wanted(whose=Whose.MINE, status=Status.FAILED, text="tides"), {"job_by_requester"}),
]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by what is stored")
@pytest.mark.parametrize(("wanted", "indexes"), INDEXES)
def test_each_question_goes_by_the_index_that_holds_its_rows_together(wanted, indexes, here, lead):
    shown = Listing(lead, here, wanted)
    with CaptureQueriesContext(connection) as captured:
        assert shown.page() and shown.counts
    plans = []
    with connection.cursor() as cursor:
        for query in captured.captured_queries:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
            plans += [row[3] for row in cursor.fetchall()]
    used = {plan.split("INDEX ")[1].split()[0] for plan in plans if " jobs_job USING" in plan}
    assert used == indexes
    assert not [plan for plan in plans if "SCAN jobs_job" in plan or "TEMP B-TREE" in plan]


# What is empty, and what is live -----------------------------------------------------------------


def test_nothing_yet_is_told_apart_from_nothing_matches(read, here, requester, lead):
    html = read(requester).get()
    assert "You have no jobs yet" in html and html.count("New job") == 1
    auditor = UserFactory(workspace=here, roles=[Role.AUDITOR])
    html = read(auditor).get()
    assert "There are no jobs yet" in html and "New job" not in html
    job = job_of(requester, here, status=Status.FAILED)
    html = read(requester).get("?status=queued&q=tides")
    assert "No job matches" in html and "status queued" in html and "“tides”" in html
    decide(job.pk, Ask(Ruling.ARCHIVE, requester, NOW))
    assert "There are only archived jobs" in read(requester).get()


@pytest.mark.parametrize("status", Status)
def test_the_list_is_renewed_only_while_a_job_on_it_is_live(status, read, here, requester):
    job = job_of(requester, here, status=status)
    live = status in (Status.QUEUED, Status.RUNNING, Status.NEEDS_REVIEW)
    assert ("data-live" in read(requester).get()) == live
    settled = job_of(requester, here, status=Status.FAILED)
    assert job.ref not in read(requester).get("?status=failed") or not live
    assert settled.ref in read(requester).get("?status=failed")
    assert "data-live" not in read(requester).get("?status=failed")


def test_what_htmx_asks_for_is_the_part_that_it_replaces(read, here, requester):
    job_of(requester, here)
    rows = read(requester).get(**{"HX-Request": "true", "HX-Target": "rows"})
    assert rows.lstrip().startswith('<div id="rows"')
    part = read(requester).get(**{"HX-Request": "true", "HX-Target": "listing"})
    assert part.lstrip().startswith('<div id="listing"') and "<html" not in part


def test_a_hostile_title_is_text(read, here, requester):
    job_of(requester, here, topic="<script>alert(1)</script>")
    assert "<script>alert" not in read(requester).get()


# Home ------------------------------------------------------------------------------------------


def test_home_is_the_only_workspace_that_one_has(here, requester):
    client = Client()
    client.force_login(requester)
    assert client.get("/").url == reverse("jobs:job_list", args=["here"])


def test_home_offers_a_choice_where_there_are_several(here, lead, requester):
    other = WorkspaceFactory(name="Other")
    WorkspaceFactory(name="Hidden")
    Membership.objects.create(user=lead, workspace=other, role=Role.AUDITOR)
    job_of(requester, here, status=Status.NEEDS_REVIEW)
    job_of(lead, here, status=Status.NEEDS_REVIEW)
    job_of(lead, here, status=Status.QUEUED)
    held = {place.workspace.slug: place for place in listing.places(lead)}
    assert held.keys() == {"here", other.slug}
    assert held["here"].roles == [Role.REQUESTER, Role.LEAD]
    assert str(held["here"].reviews) == "1", "one's own is not for oneself to approve"
    assert str(held["here"].live) == "2"
    assert not held[other.slug].reviews and not held[other.slug].live
    client = Client()
    client.force_login(lead)
    html = client.get("/").content.decode()
    assert "Other" in html and "1 to review" in html and "Hidden" not in html


def test_home_tells_who_is_in_no_workspace_what_to_do():
    client = Client()
    client.force_login(UserFactory())
    html = client.get("/").content.decode()
    assert "You are in no workspace yet" in html and "Ask an admin" in html
    assert reverse("account_logout") in html


def test_own_jobs_alone_can_be_asked_for_by_everybody(here, requester):
    job = job_of(requester, here)
    wanted = Wanted(whose=Whose.MINE)
    assert list(Listing(requester, here, wanted).page().jobs) == [job]
