"""Reassigning: to whom it may go, who may do it, what happens to who has it open; on every door."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from jobs import audit
from jobs.access import NotAllowed, NotNow
from jobs.inputs import BadInput
from jobs.models import Role, Status, Verb
from reviews import claims
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def job():
    return JobFactory(status=Status.NEEDS_REVIEW)


@pytest.fixture
def rea(job):
    return UserFactory(username="rea", workspace=job.workspace, roles=[Role.REVIEWER])


@pytest.fixture
def ben(job):
    return UserFactory(username="ben", workspace=job.workspace, roles=[Role.REVIEWER])


def _reassign(job, actor, to, **more):
    decision = decide(job.pk, Ask(Ruling.REASSIGN, actor, NOW, assignee=to, **more))
    job.refresh_from_db()
    return decision


def test_it_is_written_down_from_whom_to_whom_and_why(job, rea, ben):
    first = _reassign(job, rea, "ben", note="He knows the client.")
    assert job.open_gate.assignee == ben
    assert first.deed == "Reassigned to ben"
    assert (first.data, first.note) == ({"from": None, "to": "ben"}, "He knows the client.")
    event = job.events.last()
    assert (event.verb, event.data) == (
        Verb.REASSIGNED,
        {"from": None, "to": "ben", "level": 1},
    )
    assert _reassign(job, ben, "rea").data == {"from": "ben", "to": "rea"}
    assert _reassign(job, rea, "").data == {"from": "rea", "to": None}
    assert job.open_gate.assignee is None
    assert list(audit.verify()) == []


def test_whoever_else_may_decides_it_still(job, rea, ben):
    _reassign(job, rea, "ben")
    decide(job.pk, Ask(Ruling.APPROVE, rea, NOW))


def test_whoever_has_it_open_loses_their_hold_unless_it_is_theirs_now(job, rea, ben):
    claims.claim(job.open_gate, rea, now=NOW)
    _reassign(job, ben, "rea")
    assert claims.held_by(job.open_gate, now=NOW).holder == rea
    _reassign(job, ben, "ben")
    assert claims.held_by(job.open_gate, now=NOW) is None


@pytest.mark.parametrize("role", Role)
def test_those_who_decide_or_keep_things_moving_reassign(job, ben, role):
    person = UserFactory(workspace=job.workspace, roles=[role])
    if role in (Role.REVIEWER, Role.LEAD, Role.OPERATOR, Role.ADMIN):
        assert _reassign(job, person, "ben").role == role
    else:
        with pytest.raises(NotAllowed):
            _reassign(job, person, "ben")


def test_nobody_is_asked_who_may_not_decide(job, rea, ben):
    operator = UserFactory(workspace=job.workspace, roles=[Role.OPERATOR]).username
    away = UserFactory(workspace=JobFactory().workspace, roles=[Role.LEAD]).username
    gone = UserFactory(workspace=job.workspace, roles=[Role.LEAD], is_active=False).username
    for name in (operator, away, gone, job.requester.username, "nobody", "re\x00a"):
        with pytest.raises(BadInput, match="may not decide.*Those who may: ben, rea"):
            _reassign(job, rea, name)
    assert not job.events.filter(verb=Verb.REASSIGNED).exists()


def test_an_error_names_ten_of_many(job, rea):
    for _ in range(12):
        UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    with pytest.raises(BadInput, match="and others"):
        _reassign(job, rea, "nobody")


def test_a_level_of_leads_is_given_to_leads(rea, ben, job):
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    decide(job.pk, Ask(Ruling.ESCALATE, lead, NOW, note="Above me."))
    with pytest.raises(BadInput, match=f"Those who may: {lead}"):
        _reassign(job, lead, "ben")
    with pytest.raises(NotAllowed, match="a lead decides"):
        _reassign(job, rea, lead.username)
    _reassign(job, lead, lead.username)


def test_nobody_is_asked_who_approved_already():
    two = JobTypeFactory(ladder=[("Reviewers", Role.REVIEWER, 2)])
    job = JobFactory(status=Status.NEEDS_REVIEW, job_type=two)
    ann = UserFactory(username="ann", workspace=job.workspace, roles=[Role.REVIEWER])
    cas = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    decide(job.pk, Ask(Ruling.APPROVE, ann, NOW))
    with pytest.raises(BadInput, match=f"Those who may: {cas}"):
        _reassign(job, cas, "ann")


def test_the_page_says_who_was_asked_and_may_not_decide_any_more(client, job, rea, ben):
    _reassign(job, rea, "ben")
    client.force_login(rea)
    url = reverse("reviews:job_review", args=[job.ref])
    assert "may not decide it any more" not in client.get(url).content.decode()
    ben.memberships.all().delete()
    assert ", who may not decide it any more" in client.get(url).content.decode()


def test_what_changes_nothing_is_refused(job, rea, ben):
    with pytest.raises(NotNow, match="waits for nobody in particular already"):
        _reassign(job, rea, "")
    _reassign(job, rea, "ben")
    with pytest.raises(NotNow, match="waits for ben already. rea decided that at 09:00:00 UTC"):
        _reassign(job, ben, "ben")


def test_there_is_nothing_to_reassign_without_a_review(rea, job):
    decide(job.pk, Ask(Ruling.APPROVE, rea, NOW))
    with pytest.raises(NotNow, match="nothing to decide"):
        _reassign(job, rea, "rea")


# Doors ----------------------------------------------------------------------------------------


def test_the_page_says_where_there_is_nobody_to_choose(client, job, rea):
    operator = UserFactory(workspace=job.workspace, roles=[Role.OPERATOR])
    client.force_login(operator)
    url, said = reverse("reviews:job_reassign", args=[job.ref]), "There is nobody who may decide"
    assert said not in client.get(url).content.decode()
    rea.memberships.all().delete()
    assert said in client.get(url).content.decode()


def test_the_page_offers_those_who_may_oneself_first(client, job, rea, ben):
    client.force_login(rea)
    url = reverse("reviews:job_reassign", args=[job.ref])
    page = client.get(url)
    field = page.context["form"].fields["assignee"]
    assert field.widget.choices == [
        ("", "Nobody in particular"),
        ("rea", "rea (you)"),
        ("ben", "ben"),
    ]
    assert field.initial == "rea"
    seen = job.open_gate.content_hash
    told = client.post(url, {"assignee": "ben", "content_hash": seen}, follow=True)
    assert f"{job.ref} waits for ben." in told.content.decode()
    page = client.get(reverse("reviews:job_review", args=[job.ref])).content.decode()
    assert "<strong>ben</strong>" in page


def test_the_review_page_leads_there_with_what_was_typed(client, job, rea, ben):
    client.force_login(rea)
    url = reverse("reviews:job_reassign", args=[job.ref])
    seen = job.open_gate.content_hash
    page = client.post(url, {"ask": "first", "note": "Yours.", "content_hash": seen})
    form = page.context["form"]
    said = {name: form[name].value() for name in ("assignee", "note", "content_hash")}
    assert said == {"assignee": "rea", "note": "Yours.", "content_hash": seen}
    assert client.post(url, said).status_code == 302


def test_the_page_says_who_may_beside_the_field(client, job, rea, ben):
    client.force_login(rea)
    url = reverse("reviews:job_reassign", args=[job.ref])
    seen = job.open_gate.content_hash
    answer = client.post(url, {"assignee": job.requester.username, "content_hash": seen})
    assert answer.status_code == 422
    assert "Those who may: ben, rea." in answer.context["form"].errors["assignee"][0]


def test_the_command_names_whom(job, rea, ben):
    out = StringIO()
    call_command("decide", job.ref, "reassign", "--as", "rea", "--to", "ben", stdout=out)
    job.refresh_from_db()
    assert job.open_gate.assignee == ben
