"""The ladder: who decides at which level, and what happens at a review by itself, on a clock."""

from datetime import timedelta
from functools import partial

import pytest
from django.urls import reverse

from jobs import audit, ladder, lapses, lifecycle, signals
from jobs.access import Action, NotAllowed, allowed_actions
from jobs.ladder import Rung
from jobs.lifecycle import IllegalMove
from jobs.models import Gate, Job, Role, Status, Verb
from jobs.report import job_document
from jobs.standing import standing
from reviews import claims
from reviews import ladder as sweep
from reviews.actions import Ask, decide
from reviews.models import Ruling
from reviews.standing import review_standing
from tests.factories import NOW, JobFactory, JobTypeFactory, UserFactory
from tests.jobs.test_races import at_once

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
THREE = [
    ("Reviewers", Role.REVIEWER, 1, 4 * 3600),
    ("Legal", Role.REVIEWER, 2, 8 * 3600),
    ("Leadership", Role.LEAD),
]


@pytest.fixture(autouse=True)
def histories_verify():
    yield
    assert list(audit.verify()) == []


def _review(**type_fields):
    fields = {"ladder": THREE, "review_within": 10 * 3600, **type_fields}
    return JobFactory(status=Status.NEEDS_REVIEW, job_type=JobTypeFactory(**fields))


def _person(job, *roles):
    return UserFactory(workspace=job.workspace, roles=roles)


def _rule(job, ruling, actor, now=NOW, **more):
    decision = decide(job.pk, Ask(ruling, actor, now, **more))
    job.refresh_from_db()
    return decision


def _at(job, moment):
    """What a sweep that looks around then does."""
    sweep.look_after(moment)
    job.refresh_from_db()
    return [event.verb for event in job.events.filter(at=moment)]


# What a gate is given -------------------------------------------------------------------------


def test_a_gate_keeps_what_its_level_said_when_it_came_to_it():
    job = _review()
    gate = job.open_gate
    job.job_type.levels.all().delete()
    gate.refresh_from_db()
    said = (gate.level, gate.level_name, gate.role, gate.approvals)
    assert said == (1, "Reviewers", Role.REVIEWER, 1)
    assert gate.due_at == NOW + 4 * HOUR


def test_lifting_gives_the_next_level_its_time_and_nobody_holds_it():
    job = _review()
    rea, ben = _person(job, Role.REVIEWER), _person(job, Role.REVIEWER)
    _rule(job, Ruling.REASSIGN, rea, assignee=ben.username)
    claims.claim(job.open_gate, rea, now=NOW)
    _rule(job, Ruling.ESCALATE, rea, NOW + HOUR, note="Contracts.")
    gate = job.open_gate
    said = (gate.level, gate.level_name, gate.role, gate.approvals, gate.due_at)
    assert said == (2, "Legal", Role.REVIEWER, 2, NOW + 9 * HOUR)
    assert (gate.assignee, gate.claimed_by, gate.claimed_until) == (None, None, None)


def test_a_level_of_reviewers_above_the_first_is_decided_by_reviewers():
    job = _review(ladder=[("Reviewers", Role.REVIEWER), ("Legal", Role.REVIEWER)])
    reviewer = _person(job, Role.REVIEWER)
    _rule(job, Ruling.ESCALATE, reviewer, note="Contracts.")
    assert Job.objects.awaiting(reviewer).get() == job
    _rule(job, Ruling.APPROVE, reviewer)
    assert job.status == Status.COMPLETED


def test_a_first_level_of_leads_is_closed_to_reviewers():
    job = _review(ladder=[("Leadership", Role.LEAD)])
    reviewer, lead = _person(job, Role.REVIEWER), _person(job, Role.LEAD)
    assert not Job.objects.awaiting(reviewer).exists()
    with pytest.raises(NotAllowed, match="waits for Leadership: a lead decides"):
        _rule(job, Ruling.APPROVE, reviewer)
    assert Job.objects.awaiting(lead).get() == job
    _rule(job, Ruling.APPROVE, lead)


def test_there_is_no_level_above_the_highest():
    job = _review(ladder=[("Leadership", Role.LEAD)])
    with lifecycle.locked(job.pk) as held, pytest.raises(IllegalMove, match="no level above 1"):
        lifecycle.raise_gate(held, held.open_gate, now=NOW)


def test_what_was_escalated_stays_so_when_it_is_reviewed_again():
    job = _review()
    lead = _person(job, Role.LEAD)
    for _ in range(2):
        _rule(job, Ruling.ESCALATE, lead, note="Above me.")
    _rule(job, Ruling.APPROVE, lead)
    _rule(job, Ruling.REOPEN, lead, note="A doubt.")
    assert (job.open_gate.level, job.open_gate.level_name) == (3, "Leadership")


def test_a_ladder_that_was_shortened_ends_at_its_highest_level():
    job_type = JobTypeFactory(ladder=THREE[:1])
    assert ladder.rung([job_type], 3) == Rung(1, "Reviewers", Role.REVIEWER, 1, 4 * 3600)


def test_a_follow_up_asks_for_no_less_than_what_it_rests_on():
    own, rests_on = JobTypeFactory(), JobTypeFactory(ladder=[("Board", Role.LEAD, 3)])
    rung = ladder.rung([own, rests_on], 1)
    assert (rung.name, rung.role, rung.approvals) == ("Reviewers", Role.LEAD, 3)


# What happens by itself -----------------------------------------------------------------------


def test_a_review_is_reminded_of_then_escalated_level_by_level_and_then_overdue():
    job = _review(remind_after=50, escalate_after=75)
    first = NOW + 2 * HOUR
    assert _at(job, first - timedelta(seconds=1)) == []
    assert _at(job, first) == [Verb.REMINDED]
    assert _at(job, NOW + 3 * HOUR) == [Verb.ESCALATED]
    legal = job.open_gate
    assert (legal.level_name, legal.due_at) == ("Legal", NOW + 11 * HOUR)
    assert _at(job, NOW + 7 * HOUR) == [Verb.REMINDED]
    assert _at(job, NOW + 9 * HOUR) == [Verb.ESCALATED]
    assert job.open_gate.level_name == "Leadership"
    # Nothing is above it: it is reminded of, and overdue in the end.
    assert _at(job, NOW + 14 * HOUR) == [Verb.REMINDED]
    assert _at(job, NOW + 16.5 * HOUR) == []
    assert _at(job, NOW + 19 * HOUR) == [Verb.OVERDUE]
    assert _at(job, NOW + 90 * HOUR) == []
    assert job.status == Status.NEEDS_REVIEW


def test_what_happens_by_itself_is_written_down_as_no_persons_act_with_the_policy():
    job = _review(escalate_after=50)
    _at(job, NOW + 2 * HOUR)
    event = job.events.get(verb=Verb.ESCALATED)
    assert (event.actor, event.actor_name) == (None, "Jobsite")
    assert event.reason_code == "escalated_by_policy"
    assert event.reason_text == (
        "Reviewers did not decide within 50 % of the time: it goes to Legal by itself."
    )
    assert event.data == {"level": 2, "from": 1, "due_at": (NOW + 10 * HOUR).isoformat()}
    assert not job.decisions.exists()


def test_after_a_time_in_which_nothing_looked_only_what_is_left_is_done():
    late = NOW + 100 * HOUR
    up = _review(remind_after=50, escalate_after=75)
    overdue = _review(remind_after=50)
    sweep.look_after(late)
    assert list(up.events.filter(at=late).values_list("verb", flat=True)) == [Verb.ESCALATED]
    assert list(overdue.events.filter(at=late).values_list("verb", flat=True)) == [Verb.OVERDUE]


def test_a_type_that_wants_nothing_of_this_is_only_told_that_it_is_overdue():
    job = _review(remind_after=None)
    assert job.open_gate.watch_at == job.open_gate.due_at
    assert _at(job, NOW + 3.9 * HOUR) == []
    assert _at(job, NOW + 4 * HOUR) == [Verb.OVERDUE]


def test_what_expires_is_not_called_overdue():
    job = _review(remind_after=None, expire_overdue_review=True)
    assert job.open_gate.watch_at is None
    assert _at(job, NOW + 5 * HOUR) == []


def test_what_should_have_gone_up_before_it_expires_goes_up():
    job = _review(remind_after=None, escalate_after=75, expire_overdue_review=True)
    late = job.open_gate.due_at + timedelta(minutes=5)
    lapses.review_overdue(job.pk, now=late)
    job.refresh_from_db()
    assert job.status == Status.NEEDS_REVIEW
    assert _at(job, late) == [Verb.ESCALATED]
    assert job.open_gate.due_at > late
    later = job.open_gate.due_at
    assert _at(job, later) == [Verb.ESCALATED]
    lapses.review_overdue(job.pk, now=job.open_gate.due_at)
    job.refresh_from_db()
    assert job.status == Status.EXPIRED, "there is no level above"


def test_a_reminder_that_would_come_after_the_escalation_is_left_out():
    job = _review(remind_after=75, escalate_after=50)
    assert (job.open_gate.remind_at, job.open_gate.watch_at) == (None, NOW + 2 * HOUR)


def test_a_closed_review_is_left_alone():
    job = _review(remind_after=50)
    _rule(job, Ruling.APPROVE, _person(job, Role.LEAD))
    assert _at(job, NOW + 90 * HOUR) == []
    sweep.take_step(job.pk, now=NOW + 90 * HOUR)
    assert job.events.filter(verb__in=[Verb.REMINDED, Verb.OVERDUE]).count() == 0


def test_a_ladder_that_was_shortened_meanwhile_is_not_climbed():
    job = _review(escalate_after=50, remind_after=None)
    job.job_type.levels.filter(number__gt=1).delete()
    assert "goes up" not in review_standing(Job.objects.get(pk=job.pk), now=NOW).then
    assert _at(job, NOW + 2 * HOUR) == []
    assert _at(job, NOW + 4 * HOUR) == [Verb.OVERDUE]


def test_of_what_some_have_approved_it_is_not_said_that_nobody_did():
    three = [("Reviewers", Role.REVIEWER, 3, 4 * 3600)]
    job = _review(ladder=three, remind_after=50)
    ann, bea = _person(job, Role.REVIEWER), _person(job, Role.REVIEWER)
    _rule(job, Ruling.APPROVE, ann)
    _at(job, NOW + 2 * HOUR)
    assert job.events.last().reason_text == "Only 1 of 3 approvals is given; 2 hours left."
    _rule(job, Ruling.APPROVE, bea)
    _at(job, NOW + 4 * HOUR)
    said = "Only 2 of 3 approvals are given, and the time is over."
    assert job.events.last().reason_text == said


def test_a_review_that_breaks_stands_back_and_holds_up_no_other(monkeypatch):
    broken, sound = _review(remind_after=50), _review(remind_after=50)
    take = sweep.take_step

    def breaks(job_id, *, now):
        if job_id == broken.pk:
            raise RuntimeError("no")
        take(job_id, now=now)

    monkeypatch.setattr(sweep, "take_step", breaks)
    moment = NOW + 2 * HOUR
    assert _at(sound, moment) == [Verb.REMINDED]
    broken.refresh_from_db()
    assert broken.open_gate.watch_at == moment + sweep.STAND_BACK
    monkeypatch.setattr(sweep, "take_step", take)
    assert _at(broken, moment + sweep.STAND_BACK) == [Verb.REMINDED]


def test_a_look_around_is_one_indexed_query(django_assert_num_queries):
    for _ in range(3):
        _review()
    with django_assert_num_queries(1):
        sweep.look_after(NOW)
    plan = Gate.objects.filter(closed_at=None, watch_at__lte=NOW).order_by("watch_at").explain()
    assert "gate_watched" in plan or "Seq Scan" in plan  # PostgreSQL scans a table of three rows


def test_every_sweep_looks_after_reviews():
    job = _review(remind_after=50)
    answers = signals.looked_around.send_robust(None, now=NOW + 2 * HOUR)
    assert [answer for _receiver, answer in answers if isinstance(answer, Exception)] == []
    assert job.events.filter(verb=Verb.REMINDED).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("hours, verb", [(2, Verb.REMINDED), (3, Verb.ESCALATED)])
def test_eight_sweeps_at_once_do_each_thing_once(hours, verb):
    jobs = [_review(remind_after=50, escalate_after=75) for _ in range(3)]
    look = partial(sweep.look_after, NOW + hours * HOUR)
    assert at_once(*[look] * 8) == [None] * 8
    for job in jobs:
        assert job.events.filter(verb=verb).count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_escalation_by_itself_and_by_a_person_at_once_lift_it_once():
    job = _review(escalate_after=50)
    lead, now = _person(job, Role.LEAD), NOW + 2 * HOUR
    ask = Ask(Ruling.APPROVE, lead, now)
    decided, swept = at_once(
        partial(decide, job.pk, ask), partial(sweep.take_step, job.pk, now=now)
    )
    assert swept is None
    assert not isinstance(decided, Exception)
    job.refresh_from_db()
    # At the second level two must approve.
    assert (job.status, decided.level, decided.partial) in (
        (Status.COMPLETED, 1, False),
        (Status.NEEDS_REVIEW, 2, True),
    )


def test_who_escalates_twice_by_mistake_lifts_it_once(client):
    three = [("One", Role.REVIEWER), ("Two", Role.REVIEWER), ("Three", Role.LEAD)]
    job = JobFactory(status=Status.NEEDS_REVIEW, job_type=JobTypeFactory(ladder=three))
    client.force_login(_person(job, Role.REVIEWER))
    page = reverse("reviews:job_escalate", args=[job.ref])
    asked = client.get(page).content.decode()
    assert '<input type="hidden" name="level" value="1"' in asked
    assert 'name="level" value="1"' in client.get(f"/jobs/{job.ref}/review/").content.decode()
    form = {"note": "Look.", "content_hash": job.open_gate.content_hash, "level": "1"}
    assert [client.post(page, form).status_code for _ in range(2)] == [302, 409]
    assert Job.objects.get(pk=job.pk).open_gate.level == 2
    assert client.post(page, {**form, "level": "2"}).status_code == 302


def test_the_admin_escalates_from_the_level_that_was_shown(client):
    three = [("One", Role.REVIEWER), ("Two", Role.REVIEWER), ("Three", Role.LEAD)]
    job = JobFactory(status=Status.NEEDS_REVIEW, job_type=JobTypeFactory(ladder=three))
    staff = UserFactory(
        workspace=job.workspace, roles=[Role.REVIEWER], is_staff=True, is_superuser=True
    )
    client.force_login(staff)
    page = reverse("admin:jobs_job_changelist")
    form = {"action": "escalate", "_selected_action": [str(job.pk)], "note": "Look."}
    assert f'name="level-{job.pk}" value="1"' in client.post(page, form).content.decode()
    form |= {"confirmed": "1", f"hash-{job.pk}": job.open_gate.content_hash}
    form |= {f"level-{job.pk}": "1"}
    for _ in range(2):
        assert client.post(page, form).status_code == 302
    assert Job.objects.get(pk=job.pk).open_gate.level == 2


# What is said of it ---------------------------------------------------------------------------


def _stands(job):
    gate = job.open_gate
    return standing(job, attempt=None, gate=gate, events=[], heartbeat=NOW, now=NOW)


def test_the_requester_reads_whom_it_waits_for():
    job = _review()
    assert "waits for a reviewer." in _stands(job).sentence
    _rule(job, Ruling.ESCALATE, _person(job, Role.LEAD), note="Contracts.")
    assert "waits for Legal, because it was escalated." in _stands(job).sentence
    _rule(job, Ruling.APPROVE, _person(job, Role.REVIEWER))
    assert _stands(job).then.startswith("1 of 2 approvals are given.")


def test_the_reviewer_sees_level_approvals_and_what_comes_next(client):
    job = _review(escalate_after=50)
    seen = review_standing(job, now=NOW)
    assert (seen.level, seen.levels, seen.name, seen.needed) == (1, 3, "Reviewers", 1)
    assert (seen.then, seen.then_at) == ("It goes up to Legal by itself", NOW + 2 * HOUR)
    _at(job, NOW + 2 * HOUR)
    ann, bea = _person(job, Role.REVIEWER), _person(job, Role.REVIEWER)
    _rule(job, Ruling.REASSIGN, ann, assignee=bea.username)
    _rule(job, Ruling.APPROVE, ann)
    seen = review_standing(job, now=NOW)
    assert [approval.actor for approval in seen.approvals] == [ann]
    assert (seen.name, seen.missing, seen.assignee) == ("Legal", 1, bea)
    client.force_login(bea)
    page = client.get(f"/jobs/{job.ref}/review/").content.decode()
    for said in ("level 2 of 3", "1 of 2", ann.username, "did not decide within 50 %"):
        assert said in page


def test_the_last_level_cannot_be_escalated_and_says_so():
    job = _review(ladder=[("Board", Role.LEAD)])
    why = allowed_actions(_person(job, Role.LEAD), job)[Action.ESCALATE].why
    assert "highest level (1)" in why


def test_what_reviewers_tell_each_other_is_not_for_the_requester(client):
    job = _review(ladder=[("Reviewers", Role.REVIEWER, 2, None), ("Legal", Role.LEAD, 1, None)])
    rea = UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])
    secret = "The result says 42 in line 7."
    decide(job.pk, Ask(Ruling.APPROVE, rea, NOW, note=secret))
    decide(job.pk, Ask(Ruling.ESCALATE, rea, NOW, note=secret))
    for person, told in ((rea, True), (job.requester, False)):
        client.force_login(person)
        assert (secret in client.get(job.get_absolute_url()).content.decode()) is told
        assert (secret in str(job_document(job, reader=person))) is told
