"""Whatever an address of the inbox or the desk asks for: an answer, in this workspace, on this site."""

import re
from urllib.parse import urlsplit

import pytest
from django.urls import reverse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs.models import Role, Status
from reviews import saved
from reviews.views.filters import FILTERS
from tests.factories import JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

NAMES = [
    *FILTERS,
    "tab",
    "after",
    "view",
    "at",
    "trail",
    "queue",
    "next",
    "text",
    "_to_field",
    "q[]",
]
MOMENT = "2026-03-02T09:00:00+00:00"
ID = "018f0000-0000-7000-8000-000000000000"
VALUES = st.one_of(
    st.sampled_from(
        [
            "", " ", "\0", "a\0b", "\ud7ff\ufffe", "\u202egnp.exe", "\U0001f4a5" * 40, "%00", "%",
            "0", "-1", "1" * 19, "9" * 5_000, "1e999999", "NaN", "-Infinity", "٣", "²", "0x10",
            "[]", "{}", "null", "true", "'\"><script>", "{{ user }}", "you", "all", "nobody", "yes",
            "waiting", "mine", "overdue", "history", "oldest", "newest", "approve", "output",
            f"{MOMENT}~{'9' * 40}", f"{MOMENT}~-1", "0001-01-01T00:00:00+23:59~1", f"{MOMENT}~²",
            "9999-12-31T23:59:59-23:59~1", "2026-02-30T00:00:00Z~1", f"~{MOMENT}~1", f"{ID}~~",
            f"{ID}~9999-12-31T23:59:59-23:59~1", f"{ID}~{MOMENT}~{'9' * 19}", "~~~", "z~~",
            "J-7K3M9QX" * 30, "//evil.example", "https://evil.example/", "javascript:alert(1)",
            "\\\\evil.example", "/%0d%0aX: y", "queue=queue%3Dqueue", "a=1&" * 300,
            "mallory", "hidden-kind", "theirs-ref", "theirs-view",
        ]
    ),
    st.text(max_size=30),
)  # fmt: skip
QUERIES = st.dictionaries(
    st.sampled_from(NAMES) | st.text(max_size=8),
    st.lists(VALUES, min_size=1, max_size=2),
    max_size=5,
)
PLACES = [
    "inbox",
    "pass_over",
    "bulk_list",
    "job_review",
    "job_next",
    "job_approve",
    "job_reassign",
]


@pytest.fixture
def site(client):
    """A reviewer's client, the addresses, and what a stranger's workspace holds."""
    ours, theirs = (
        WorkspaceFactory(slug="ours"),
        WorkspaceFactory(slug="theirs", name="Hidden place"),
    )
    mallory = UserFactory(
        username="mallory", last_name="Hidden name", workspace=theirs, roles=[Role.LEAD]
    )
    kind = JobTypeFactory(slug="hidden-kind", name="Hidden kind", workspace=theirs)
    job = JobFactory(workspace=ours, status=Status.NEEDS_REVIEW)
    other = JobFactory(
        workspace=theirs, job_type=kind, status=Status.NEEDS_REVIEW, input={"topic": "Hidden words"}
    )
    view = saved.save(mallory, theirs, name="Hidden view", query="q=hidden")
    client.force_login(UserFactory(username="ruth", workspace=ours, roles=[Role.REVIEWER]))
    urls = {
        name: reverse(f"reviews:{name}", args=[job.ref if name.startswith("job") else "ours"])
        for name in PLACES
    }
    return client, urls, {"theirs-ref": other.ref, "theirs-view": str(view.pk)}


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(PLACES), query=QUERIES, polled=st.booleans())
@example("inbox", {"after": [f"{MOMENT}~{'9' * 40}"], "sort": ["newest"]}, False)
@example("inbox", {"tab": ["history"], "after": [f"{ID}~{MOMENT}~{'9' * 19}"]}, True)
@example("inbox", {"level": ["9" * 5_000], "cost": ["1e999999"]}, False)
@example(
    "inbox", {"requester": ["mallory"], "type": ["hidden-kind"], "view": ["theirs-view"]}, False
)
@example("job_next", {"trail": ["theirs-ref"], "queue": ["type=hidden-kind&whose=all"]}, False)
@example("job_review", {"trail": ["theirs-ref"], "at": ["0001-01-01T00:00:00+23:59~1"]}, False)
@example("job_review", {"queue": ["a=1&" * 300], "trail": ["J-7K3M9QX" * 30]}, False)
@example("job_approve", {"next": ["//evil.example"]}, False)
def test_no_query_breaks_a_page_or_shows_what_is_others(site, place, query, polled):
    client, urls, known = site
    asked = {name: [known.get(value, value) for value in values] for name, values in query.items()}
    headers = {"HX-Request": "true"} if polled else {}
    answer = client.get(urls[place], asked, headers=headers)
    for _step in range(3):
        if answer.status_code != 302:
            break
        assert urlsplit(answer.url)[:2] == ("", ""), answer.url
        answer = client.get(answer.url, headers=headers)
    assert answer.status_code == 200, (answer.status_code, asked)
    page = answer.content.decode()
    for hidden in ("Hidden place", "Hidden name", "Hidden kind", "Hidden words", "Hidden view"):
        assert hidden not in page
    assert 'href="//evil' not in page and 'href="https://evil' not in page


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"tab": "\0"}, "There is no tab"),
        ({"type": "hidden-kind"}, "There is no job type “hidden-kind” here."),
        ({"requester": "mallory"}, "Nobody called “mallory” is in this workspace."),
        ({"requester": "x" * 151}, "A name has 150 characters at most."),
        ({"level": "9" * 5_000}, "A level is a number, such as 2."),
        ({"cost": "1e999999"}, "That is more than any job costs."),
        ({"cost": "0.00001"}, "A cost has 4 decimal places at most."),
        ({"reason": "x" * 61}, "A reason is a code such as “warnings”."),
        ({"reason": "x\0"}, "A reason is a code such as “warnings”."),
        ({"after": "~"}, "That place in the list is not there any more: these are the first."),
        (
            {"after": "~~x", "tab": "history"},
            "That place in the list is not there any more: these are the latest.",
        ),
    ],
)
def test_what_cannot_be_read_is_said(site, query, said):
    client, urls, _known = site
    assert said in client.get(urls["inbox"], query).content.decode()


def test_what_is_wrong_with_a_field_is_tied_to_it(site):
    client, urls, _known = site
    page = client.get(urls["inbox"], {"level": "x", "cost": "y", "requester": "z"}).content.decode()
    described = {
        name for said in re.findall(r'aria-describedby="([^"]+)"', page) for name in said.split()
    }
    assert {"filter-level_error", "filter-cost_error", "filter-requester_error"} <= described
    assert described <= set(re.findall(r' id="([^"]+)"', page))
