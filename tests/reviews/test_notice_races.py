"""Telling, deciding and sending at the same moment, on real connections."""

from functools import partial

import pytest

from jobs.models import Role, Status
from reviews import mailing, notices
from reviews.actions import Ask, decide
from reviews.models import How, Letter, LetterEnd, Notice, NoticeKind, Occurrence, Ruling
from tests.factories import NOW, JobFactory, UserFactory, WorkspaceFactory
from tests.jobs.test_races import at_once
from tests.reviews.test_letters import LATER
from tests.told import choose

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def here():
    return WorkspaceFactory()


@pytest.fixture
def leads(here):
    found = [UserFactory(workspace=here, roles=[Role.LEAD]) for _ in range(3)]
    for lead in found:
        choose(lead, NoticeKind.NEEDS_REVIEW, How.AT_ONCE)
    return found


def telling():
    ids = list(Occurrence.objects.order_by("pk").values_list("pk", flat=True))
    return partial(notices.tell, ids, clock=lambda: NOW)


@pytest.mark.parametrize("_time", range(5))
def test_a_decision_while_people_are_told_leaves_nobody_asked(here, leads, _time):
    job = JobFactory(workspace=here, status=Status.NEEDS_REVIEW)
    approve = partial(decide, job.pk, Ask(Ruling.APPROVE, leads[0], NOW))
    said = at_once(telling(), approve, telling())
    assert [one for one in said if isinstance(one, Exception)] == []
    assert not Notice.objects.filter(kind=NoticeKind.NEEDS_REVIEW).unread().exists()


def test_people_are_told_once_and_have_one_open_letter_each(here, leads):
    for _job in range(6):
        JobFactory(workspace=here, status=Status.NEEDS_REVIEW)
    said = at_once(*[telling()] * 4)
    assert [one for one in said if one is not None] == []
    assert not Occurrence.objects.filter(failures=0).exists()
    telling()()
    assert Notice.objects.filter(person__in=leads).count() == 18
    assert Letter.objects.filter(person__in=leads).count() == 3


def test_what_is_told_while_a_letter_is_sent_is_in_that_one_or_the_next(here, leads, mailoutbox):
    JobFactory(workspace=here, status=Status.NEEDS_REVIEW)
    telling()()
    JobFactory(workspace=here, status=Status.NEEDS_REVIEW)
    letters = list(Letter.objects.filter(person__in=leads).values_list("pk", flat=True))
    send = partial(mailing.send, letters, clock=lambda: LATER)
    at_once(send, telling(), send)
    telling()()
    mailing.send(list(Letter.objects.due(LATER).values_list("pk", flat=True)), clock=lambda: LATER)
    for lead in leads:
        mails = [message.body for message in mailoutbox if message.to == [lead.email]]
        for notice in Notice.objects.filter(person=lead).select_related("job", "letter"):
            assert notice.letter.outcome == LetterEnd.SENT
            assert len([body for body in mails if f"* {notice.job.ref} needs" in body]) == 1


def test_failures_that_are_told_at_once_are_counted_once_each(here):
    operator = UserFactory(workspace=here, roles=[Role.OPERATOR])
    for _job in range(6):
        JobFactory(workspace=here, status=Status.FAILED)
    ids = list(Occurrence.objects.values_list("pk", flat=True))
    at_once(*(partial(notices.tell, [pk], clock=lambda: NOW) for pk in ids))
    telling()()
    assert Notice.objects.get(person=operator).times == 6
