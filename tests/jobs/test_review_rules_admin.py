"""The review rules of a job type in the admin: what can be ticked, what contradicts itself, what is
said about results so far."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission

from jobs.admin.coherence import misgivings
from jobs.models import JobType, Price, Review, Role, Status
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory, WorkspaceFactory
from tests.jobs.test_admin import change, errors_of, page_of, said

pytestmark = pytest.mark.django_db

FORM = {"properties": {"topic": {}}}


@pytest.fixture
def root(client):
    user = UserFactory(username="root", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


def stored(job_type):
    return JobType.objects.get(pk=job_type.pk)


def test_every_rule_can_be_set(client, root):
    job_type = JobTypeFactory()
    response = change(
        client,
        job_type,
        review=Review.RULES,
        review_on_warnings=None,
        review_on_violations="on",
        review_without_citations="on",
        review_cost_over="1.25",
        review_tools=["web_search", "send_email"],
        review_first="20",
        review_roles=["requester"],
        review_share="25",
        review_share_adapts="on",
        review_share_floor="5",
    )
    assert response.status_code == 302
    found = stored(job_type)
    assert (found.review, found.review_on_warnings) == (Review.RULES, False)
    assert found.review_on_violations and found.review_without_citations
    assert found.review_cost_over == Decimal("1.25")
    assert found.review_tools == ["web_search", "send_email"]
    assert (found.review_first, found.review_roles) == (20, ["requester"])
    assert (found.review_share, found.review_share_floor) == (25, 5)
    # Saved again as it is shown, it is the same.
    assert change(client, found).status_code == 302
    assert stored(job_type).review_tools == found.review_tools
    assert stored(job_type).review_share_adapts


def test_what_openai_runs_and_what_runs_here_can_be_ticked(client, root):
    field = client.get(page_of(JobTypeFactory())).context["adminform"].form.fields["review_tools"]
    labels = dict(field.choices)
    assert labels["web_search"] == "Web search"
    assert "send_email" in labels


def test_a_tool_that_is_gone_is_not_dropped_unseen(client, root):
    job_type = JobTypeFactory(review=Review.RULES, review_tools=["send_fax"])
    shown = client.get(page_of(job_type)).content.decode()
    assert "send_fax (not here any more)" in shown
    assert change(client, job_type).status_code == 302
    assert stored(job_type).review_tools == ["send_fax"]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"review": "sampled"}, "review_share", "0% reviews nothing"),
        ({"review": "sampled", "review_share": "100"}, "review_share", "Always reviewed"),
        ({"review": "rules", "review_share": "100"}, "review_share", "Always reviewed"),
        ({"review": "sampled", "review_share": "101"}, "review_share", "less than or equal"),
        ({"review": "sampled", "review_share": "-1"}, "review_share", "greater than or equal"),
        ({"review": "rules", "review_on_warnings": None}, "review", "No rule is on"),
        (
            {"review": "sampled", "review_share": "20", "review_share_adapts": "on"},
            "review_share_floor",
            "nobody would see it",
        ),
        (
            {
                "review": "sampled",
                "review_share": "20",
                "review_share_adapts": "on",
                "review_share_floor": "21",
            },
            "review_share_floor",
            "above the share itself, which is 20%",
        ),
        (
            {"review": "rules", "review_share_adapts": "on", "review_share_floor": "5"},
            "review_share_adapts",
            "No share is drawn",
        ),
        (
            {"review": "always", "review_share_adapts": "on", "review_share_floor": "5"},
            "review_share_adapts",
            "No share is drawn",
        ),
        ({"review": "rules", "review_cost_over": "-1"}, "review_cost_over", "greater than"),
        ({"review": "rules", "review_tools": ["abacus"]}, "review_tools", "abacus is not one"),
        ({"review": "rules", "review_roles": ["king"]}, "review_roles", "king is not one"),
    ],
)
def test_what_contradicts_itself_is_said_at_its_field(client, root, changes, field, words):
    job_type = JobTypeFactory()
    response = change(client, job_type, **changes)
    assert response.status_code == 200
    assert words in errors_of(response, field)
    assert stored(job_type).review == Review.ALWAYS


@pytest.mark.parametrize(
    "changes",
    [
        {"review": "never", "review_on_warnings": None},
        {"review": "rules"},
        {"review": "rules", "review_on_warnings": None, "review_cost_over": "0"},
        {"review": "rules", "review_on_warnings": None, "review_share": "5"},
        {"review": "sampled", "review_share": "1"},
        {
            "review": "sampled",
            "review_share": "100",
            "review_share_adapts": "on",
            "review_share_floor": "100",
        },
    ],
)
def test_what_goes_together_is_stored(client, root, changes):
    job_type = JobTypeFactory()
    assert change(client, job_type, **changes).status_code == 302
    assert stored(job_type).review == changes["review"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"review": Review.NEVER, "review_cost_over": 1},
            "the type says “Never reviewed”",
        ),
        (
            {"review": Review.SAMPLED, "review_share": 5, "review_first": 9},
            "the type says “A share is reviewed”",
        ),
        ({"review": Review.RULES, "review_on_violations": True}, "has none"),
        (
            {"review": Review.RULES, "review_tools": ["web_search", "send_email"]},
            "does not offer: Web search, send_email",
        ),
    ],
)
def test_what_is_odd_about_the_rules_is_said(fields, words):
    job_type = JobTypeFactory(input_schema=FORM, **fields)
    (sentence,) = misgivings(job_type)
    assert words in sentence


def test_a_limit_on_a_cost_that_nobody_knows_reviews_everything():
    Price.objects.all().delete()
    job_type = JobTypeFactory(input_schema=FORM, review=Review.RULES, review_cost_over=1)
    assert any("all are reviewed" in sentence for sentence in misgivings(job_type))


def test_rules_that_have_what_they_need_are_not_odd():
    tools = [{"type": "web_search_preview"}, {"type": "function", "name": "send_email"}]
    for fields in (
        {"review": Review.RULES, "review_tools": ["web_search", "send_email"]},
        {"review": Review.SAMPLED, "review_share": 5},
        {"review": Review.NEVER},
        {"review": Review.RULES, "review_cost_over": 1},
    ):
        job_type = JobTypeFactory(input_schema=FORM, version__tools=tools, **fields)
        assert list(misgivings(job_type)) == []


def test_what_is_odd_is_said_after_saving(client, root):
    response = change(client, JobTypeFactory(), review=Review.NEVER, review_first="3")
    assert any("nobody asks them" in sentence for sentence in said(response))


def test_the_page_says_how_many_results_were_reviewed_and_approved_as_they_were(client, root):
    home = WorkspaceFactory()
    job_type = JobTypeFactory(
        workspace=home,
        review=Review.SAMPLED,
        review_share=50,
        review_share_adapts=True,
        review_share_floor=10,
    )
    for number, ruling in enumerate((Ruling.APPROVE, Ruling.APPROVE, Ruling.REJECT, None)):
        JobType.objects.update(review=Review.ALWAYS if ruling else Review.NEVER)
        status = Status.NEEDS_REVIEW if ruling else Status.COMPLETED
        job = JobFactory(job_type=stored(job_type), workspace=home, status=status)
        if ruling:
            lead = UserFactory(workspace=home, roles=[Role.LEAD])
            decide(job.pk, Ask(ruling, lead, NOW, note=f"No. {number}"))
    JobType.objects.update(review=Review.SAMPLED)
    shown = " ".join(client.get(page_of(job_type)).content.decode().split())
    assert "<strong>2 of the last 3</strong> completed jobs." in shown
    assert "of the last 3 results decided, 2 approved without changes." in shown
    assert "The share drawn is 50% now." in shown


def test_the_page_tells_nothing_of_other_workspaces(client):
    job_type = JobTypeFactory(review=Review.ALWAYS)
    JobFactory(job_type=job_type, status=Status.COMPLETED)
    admin = UserFactory(
        username="stan", workspace=WorkspaceFactory(), roles=[Role.ADMIN], is_staff=True
    )
    admin.user_permissions.set(Permission.objects.all())
    client.force_login(admin)
    response = client.get(page_of(job_type))
    assert response.status_code == 200
    assert "of the last" not in response.content.decode().split("<fieldset")[0]
