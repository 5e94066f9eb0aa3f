"""People who are named with an @ in notes and decisions."""

import pytest
from django.db import transaction

from jobs.models import Role, Status
from reviews import mentions, signals
from reviews.actions import Ask, decide
from reviews.models import Decision, ReviewerNote, Ruling
from reviews.notes import write_note
from tests.factories import NOW, JobFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def workspace():
    return WorkspaceFactory()


@pytest.fixture
def reviewer(workspace):
    return UserFactory(username="ruth", workspace=workspace, roles=[Role.REVIEWER])


@pytest.fixture
def lead(workspace):
    return UserFactory(username="lee.lund", workspace=workspace, roles=[Role.LEAD])


@pytest.fixture
def job(workspace):
    return JobFactory(workspace=workspace, status=Status.NEEDS_REVIEW)


@pytest.fixture
def told():
    """What the signal carried."""
    heard = []

    def hear(sender, **said):
        heard.append(said)

    signals.mentioned.connect(hear)
    yield heard
    signals.mentioned.disconnect(hear)


@pytest.mark.parametrize(
    "text",
    [
        "@lee.lund look",
        "Ask @Lee.Lund.",
        "(@lee.lund)",
        "@lee.lund, @lee.lund: both of you",
        "line\n@lee.lund's turn"[:15],
    ],
)
def test_a_colleague_is_named_in_any_case_and_before_punctuation(
    workspace, job, reviewer, lead, told, text
):
    note = write_note(job, author=reviewer, text=text, now=NOW)
    [said] = told
    assert said["people"] == [lead]
    assert (said["note"], said["job"], said["author"]) == (note, job, reviewer)


def test_only_those_who_may_see_the_review_are_told(workspace, job, reviewer, told):
    UserFactory(username="rea", workspace=workspace, roles=[Role.REQUESTER])
    UserFactory(username="stranger", workspace=WorkspaceFactory(), roles=[Role.LEAD])
    UserFactory(username="gone", workspace=workspace, roles=[Role.LEAD], is_active=False)
    text = "@rea @stranger @gone @nobody @ruth mail@lee.lund @"
    write_note(job, author=reviewer, text=text, now=NOW)
    assert told == []


def test_the_words_of_a_decision_name_people_too(job, reviewer, lead, told):
    ask = Ask(Ruling.ESCALATE, reviewer, NOW, note="For @lee.lund: a customer is named.")
    decision = decide(job.pk, ask)
    assert [(said["note"], said["people"]) for said in told] == [(decision, [lead])]


def test_a_listener_that_fails_takes_the_note_back(job, reviewer, lead):
    def fails(sender, **said):
        assert transaction.get_connection().in_atomic_block
        raise RuntimeError

    signals.mentioned.connect(fails)
    try:
        with pytest.raises(RuntimeError):
            write_note(job, author=reviewer, text="@lee.lund", now=NOW)
        with pytest.raises(RuntimeError):
            decide(job.pk, Ask(Ruling.APPROVE, reviewer, NOW, note="@lee.lund"))
    finally:
        signals.mentioned.disconnect(fails)
    assert not ReviewerNote.objects.exists()
    assert not Decision.objects.exists()


def test_names_are_marked_and_everything_else_is_escaped(workspace, lead):
    lead.first_name, lead.last_name = '<b>"Lee"', "Lund"
    lead.save()
    text = "<script>@lee.lund.</script> @nobody & @lee.lund"
    known = mentions.named([text], workspace)
    marked = mentions.marked(text, known)
    assert marked.count('<strong class="mention"') == 2
    assert "&lt;script&gt;" in marked and "<script>" not in marked
    assert "&lt;b&gt;&quot;Lee&quot; Lund" in marked
    assert "@nobody &amp; " in marked
    assert ">@lee.lund</strong>." in marked


def test_a_text_full_of_names_asks_once_and_for_a_bounded_number(
    workspace, lead, django_assert_num_queries
):
    texts = [" ".join(f"@name{number}" for number in range(500)), "@lee.lund"]
    with django_assert_num_queries(1):
        assert mentions.named(texts, workspace) == {"lee.lund": lead}
    with django_assert_num_queries(0):
        assert mentions.named(["Nobody.", "a@b.example"], workspace) == {}


def test_those_who_are_offered_may_see_reviews_each_once(workspace, reviewer, lead):
    UserFactory(username="rea", workspace=workspace, roles=[Role.REQUESTER])
    UserFactory(username="amy", workspace=workspace, roles=[Role.LEAD, Role.ADMIN])
    assert [one.username for one in mentions.people(workspace)] == ["amy", "lee.lund", "ruth"]
