"""The ladder on the admin's page of a job type: edited as a whole, by those who edit the type."""

import pytest
from django.contrib.auth.models import Permission

from jobs.admin.coherence import misgivings
from jobs.models import JobType, ReviewLevel, Role
from tests.factories import JobTypeFactory, UserFactory, WorkspaceFactory
from tests.jobs.test_admin import change, form_data, page_of

pytestmark = pytest.mark.django_db

THREE = [
    ("Reviewers", Role.REVIEWER),
    ("Legal", Role.REVIEWER, 2),
    ("Leadership", Role.LEAD, 1, 3600),
]


@pytest.fixture
def root(client):
    user = UserFactory(username="root", is_staff=True, is_superuser=True)
    client.force_login(user)
    return user


@pytest.fixture
def three():
    return JobTypeFactory(ladder=THREE)


def _ladder(job_type):
    rows = job_type.levels.order_by("number")
    return [(row.number, row.name, row.role, row.approvals, row.within) for row in rows]


def _names(job_type):
    return list(job_type.levels.order_by("number").values_list("name", flat=True))


def _row(at, **fields):
    return {f"levels-{at}-{name}": value for name, value in fields.items()}


def _wrong(response):
    formset = next(
        f.formset
        for f in response.context["inline_admin_formsets"]
        if f.formset.model is ReviewLevel
    )
    return str(formset.errors) + str(formset.non_form_errors())


def test_levels_are_added_to_a_type_without_any(client, root):
    job_type = JobTypeFactory()
    rows = _row(0, number="1", name="Clerks", role="reviewer", approvals="2", within="")
    rows |= _row(1, number="2", name="Board", role="lead", approvals="1", within="600")
    assert change(client, job_type, **rows, **{"levels-TOTAL_FORMS": "2"}).status_code == 302
    assert _ladder(job_type) == [
        (1, "Clerks", "reviewer", 2, None),
        (2, "Board", "lead", 1, 600),
    ]


def test_a_type_is_saved_with_its_levels_as_they_are(client, root, three):
    before = _ladder(three)
    assert change(client, three, name="Another").status_code == 302
    assert _ladder(three) == before
    assert JobType.objects.get(pk=three.pk).name == "Another"


def test_levels_change_places_in_one_go(client, root, three):
    rows = _row(0, number="3") | _row(1, number="1") | _row(2, number="2")
    assert change(client, three, **rows).status_code == 302
    assert _names(three) == ["Legal", "Leadership", "Reviewers"]


def test_a_level_is_taken_out_from_between(client, root, three):
    rows = _row(1, DELETE="on") | _row(2, number="2")
    assert change(client, three, **rows).status_code == 302
    assert _ladder(three) == [
        (1, "Reviewers", "reviewer", 1, None),
        (2, "Leadership", "lead", 1, 3600),
    ]


def test_a_level_is_put_in_between(client, root, three):
    rows = _row(2, number="4")
    rows |= _row(3, number="3", name="Finance", role="lead", approvals="1", within="")
    assert change(client, three, **rows, **{"levels-TOTAL_FORMS": "4"}).status_code == 302
    assert _names(three) == ["Reviewers", "Legal", "Finance", "Leadership"]


@pytest.mark.parametrize(
    "rows, wrong",
    [
        (_row(1, DELETE="on"), "these are 1, 3"),
        (_row(1, number="1"), "these are 1, 1, 3"),
        (_row(0, number="0"), "these are 0, 2, 3"),
        (_row(0, approvals="0"), "greater than or equal to 1"),
        (_row(0, within="0"), "greater than or equal to 1"),
        (_row(0, name=""), "required"),
        (_row(0, role="auditor"), "not one of the available choices"),
        (_row(0, number="two"), "Enter a whole number"),
    ],
)
def test_what_is_no_ladder_is_said_and_nothing_is_saved(client, root, three, rows, wrong):
    before = _ladder(three)
    response = change(client, three, **rows)
    assert response.status_code == 200
    assert wrong in _wrong(response)
    assert _ladder(three) == before


@pytest.mark.parametrize("theirs", ["added", "removed"])
def test_a_ladder_that_somebody_else_has_changed_meanwhile_is_not_saved_over(
    client, root, three, theirs
):
    data = form_data(client.get(page_of(three)))
    if theirs == "added":
        ReviewLevel.objects.create(job_type=three, number=4, name="Board", role=Role.LEAD)
    else:
        three.levels.get(number=3).delete()
    before = _ladder(three)
    response = client.post(page_of(three), data | _row(0, name="Clerks"))
    assert response.status_code == 200
    assert _ladder(three) == before


@pytest.mark.parametrize("name, value", [("remind_after", "100"), ("escalate_after", "0")])
def test_shares_of_the_time_are_within_it(client, root, name, value):
    response = change(client, JobTypeFactory(), **{name: value})
    assert response.context["adminform"].form.errors[name]


def test_the_history_of_a_type_tells_of_its_levels(client, root, three):
    change(client, three, **_row(0, name="Clerks"))
    shown = client.get(page_of(three, "history")).content.decode()
    assert "Level 1, Clerks, was changed" in shown
    assert "name: <del>Reviewers</del> → <ins>Clerks</ins>" in shown
    assert "Level 2, Legal, was added" in shown


def test_a_ladder_that_nobody_can_climb_is_told(client, root):
    home = WorkspaceFactory(name="Home")
    for _ in range(2):
        UserFactory(workspace=home, roles=[Role.REVIEWER, Role.LEAD])
    one = JobTypeFactory(
        workspace=home, ladder=[("Legal", Role.REVIEWER, 3)], escalate_after=50, max_documents=1
    )
    told = " ".join(misgivings(one))
    assert "Level 1 (Legal) asks for 3 approvals, and 2 people of Home may give one." in told
    assert "only one level" in told
    fine = JobTypeFactory(workspace=home, ladder=[("Legal", Role.LEAD, 2)])
    assert "Level" not in " ".join(misgivings(fine))


def test_who_may_not_change_a_type_does_not_change_its_ladder(client):
    home, away = WorkspaceFactory(), WorkspaceFactory()
    UserFactory(username="root", is_staff=True, is_superuser=True)
    theirs = JobTypeFactory(workspace=home, ladder=THREE)
    shared = JobTypeFactory(ladder=THREE)
    for role, place, job_type, changes in (
        (Role.ADMIN, home, theirs, True),
        (Role.ADMIN, home, shared, False),
        (Role.ADMIN, away, theirs, False),
        (Role.OPERATOR, home, theirs, False),
    ):
        person = UserFactory(workspace=place, roles=[role], is_staff=True)
        person.user_permissions.set(Permission.objects.all())
        client.force_login(person)
        name = f"By {person}"
        page = client.get(page_of(job_type))
        data = form_data(page) if page.status_code == 200 and changes else {}
        client.post(page_of(job_type), data | _row(0, name=name))
        assert (name in _names(job_type)) == changes, role
