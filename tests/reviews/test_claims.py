"""Claims: one holder at a time, who keeps it by renewing and loses it by not."""

from datetime import timedelta
from functools import partial

import pytest

from jobs.access import NotNow
from jobs.models import Job, Role, Status
from reviews import claims
from reviews.actions import Ask, decide
from reviews.desk import verbs
from reviews.models import Ruling
from tests.factories import NOW, JobFactory, UserFactory
from tests.jobs.test_races import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def job():
    return JobFactory(status=Status.NEEDS_REVIEW)


@pytest.fixture
def people(job):
    return [UserFactory(workspace=job.workspace, roles=[Role.REVIEWER]) for _ in range(2)]


def test_the_first_holds_it_and_the_second_is_told_who(job, people):
    rea, ben = people
    mine = claims.claim(job.open_gate, rea, now=NOW)
    assert (mine.holder, mine.since, mine.until) == (rea, NOW, NOW + claims.LASTS)
    later = NOW + timedelta(seconds=30)
    assert claims.claim(job.open_gate, ben, now=later).holder == rea
    assert claims.claim(job.open_gate, rea, now=later).until == later + claims.LASTS
    assert claims.claim(job.open_gate, rea, now=later).since == NOW


def test_a_claim_that_is_not_renewed_lapses(job, people):
    rea, ben = people
    claims.claim(job.open_gate, rea, now=NOW)
    assert claims.claim(job.open_gate, ben, now=NOW + claims.LASTS).holder == ben


def test_it_can_be_let_go_and_taken_over(job, people):
    rea, ben = people
    claims.claim(job.open_gate, rea, now=NOW)
    claims.release(job.open_gate, ben)
    assert claims.claim(job.open_gate, ben, now=NOW).holder == rea
    assert claims.claim(job.open_gate, ben, now=NOW, take_over=True).holder == ben
    claims.release(job.open_gate, ben)
    assert claims.claim(job.open_gate, rea, now=NOW).holder == rea


def test_who_does_not_hold_it_does_not_decide(job, people):
    rea, ben = people
    claims.claim(job.open_gate, rea, now=NOW)
    with pytest.raises(NotNow, match=f"{rea} has this review open"):
        decide(job.pk, Ask(Ruling.APPROVE, ben, NOW))
    decide(job.pk, Ask(Ruling.APPROVE, rea, NOW))
    assert claims.claim(job.open_gate, ben, now=NOW) is None


def test_after_it_lapsed_anybody_who_may_decides(job, people):
    rea, ben = people
    claims.claim(job.open_gate, rea, now=NOW)
    decide(job.pk, Ask(Ruling.APPROVE, ben, NOW + claims.LASTS))


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_holds_it(job):
    crowd = [UserFactory(workspace=job.workspace, roles=[Role.REVIEWER]) for _ in range(8)]
    answers = at_once(*(partial(claims.claim, job.open_gate, who, now=NOW) for who in crowd))
    job.open_gate.refresh_from_db()
    assert {answer.holder for answer in answers} == {job.open_gate.claimed_by}


@pytest.mark.parametrize("ruling", [Ruling.CANCEL, Ruling.RETRY])
@pytest.mark.parametrize("role", [Role.REVIEWER, Role.LEAD])
def test_who_judges_neither_cancels_nor_retries_what_somebody_else_has_open(
    job, people, ruling, role
):
    rea = people[0]
    ben = UserFactory(workspace=job.workspace, roles=[role])
    claims.claim(job.open_gate, rea, now=NOW)
    with pytest.raises(NotNow, match=f"{rea} has this review open.*Take it over"):
        decide(job.pk, Ask(ruling, ben, NOW, "So."))
    claims.claim(job.open_gate, ben, now=NOW, take_over=True)
    decide(job.pk, Ask(ruling, ben, NOW, "So."))


@pytest.mark.parametrize("role", [Role.REQUESTER, Role.OPERATOR, Role.ADMIN])
def test_a_requesters_cancel_and_an_emergency_stop_wait_for_nobody(job, people, role):
    claims.claim(job.open_gate, people[0], now=NOW)
    # Also where the same person reviews: it is their right without that.
    who = UserFactory(workspace=job.workspace, roles=[role, Role.REVIEWER])
    if role is Role.REQUESTER:
        Job.objects.filter(pk=job.pk).update(requester=who)
    assert decide(job.pk, Ask(Ruling.CANCEL, who, NOW, "Stop.")).role == role


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_those_who_keep_things_moving_retry_what_somebody_has_open(job, people, role):
    claims.claim(job.open_gate, people[0], now=NOW)
    who = UserFactory(workspace=job.workspace, roles=[role])
    assert decide(job.pk, Ask(Ruling.RETRY, who, NOW)).role == role


def test_the_buttons_are_off_as_the_rulings_are_refused(job, people):
    rea, ben = people
    keeper = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER, Role.OPERATOR])
    claims.claim(job.open_gate, rea, now=NOW)
    job.refresh_from_db()
    off = {offer.value: offer.why for offer in verbs(ben, job, now=NOW).off}
    for ruling in (Ruling.APPROVE, Ruling.RETRY, Ruling.CANCEL):
        assert off[ruling].startswith(f"{rea} has this review open")
    assert {offer.value for offer in verbs(keeper, job, now=NOW).on} >= {"retry", "cancel"}
    assert Ruling.CANCEL in {offer.value for offer in verbs(rea, job, now=NOW).on}
