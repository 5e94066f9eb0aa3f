"""The chain and its seals against somebody who can write rows."""

import json
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from jobs import audit, lifecycle
from jobs.models import Event, Job, Role, Seal, Status, Verb, immutable
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import NOW, JobFactory, UserFactory, start

pytestmark = pytest.mark.django_db


class Intruder:
    """Somebody with a password of the database, for whom no trigger is in the way."""

    def __init__(self):
        on = "{table}" if connection.vendor == "postgresql" else ""
        for table in ("jobs_event", "jobs_seal"):
            drop = f"DROP TRIGGER {table}_immutable"
            self.sql(f"{drop} ON {table}" if on else drop)

    def sql(self, statement, *params):
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.rowcount

    def mend(self, job):
        """Hash a job's chain anew, with the key that is set, and make the job fit it."""
        previous = ""
        for event in job.events.order_by("seq"):
            previous = audit.event_hash(event, previous)
            Event.objects.filter(pk=event.pk).update(hash=previous)
        Job.objects.filter(pk=job.pk).update(
            event_count=job.events.count(), event_head=previous, sealed_count=0
        )

    def delete_job(self, job):
        key = job.pk if connection.features.has_native_uuid_field else job.pk.hex
        attempts = "SELECT id FROM jobs_attempt WHERE job_id = %s"
        self.sql(f"DELETE FROM jobs_turn WHERE attempt_id IN ({attempts})", key)
        for table in ("jobs_attempt", "jobs_event"):
            self.sql(f"DELETE FROM {table} WHERE job_id = %s", key)
        assert self.sql("DELETE FROM jobs_job WHERE id = %s", key) == 1


@pytest.fixture
def intruder(db):
    yield Intruder()
    immutable.install()


@pytest.fixture
def job(db):
    """Four events: submitted, started, review asked for, approved."""
    job = JobFactory(status=Status.COMPLETED)
    assert job.event_count == 4
    return job


def _findings(**options):
    return [str(finding) for finding in audit.verify(**options)]


def test_what_was_never_touched_verifies(job):
    audit.seal(now=NOW)
    assert _findings() == []


CHANGES = {
    "actor_name": "somebody else",
    "actor_id": None,
    "verb": Verb.REJECTED,
    "at": NOW.replace(hour=10),
    "from_status": "queued",
    "to_status": "failed",
    "reason_code": "other",
    "reason_text": "Another reason.",
    "data": {"content_hash": "other"},
    "hash": "0" * 64,
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_event_is_found(field, job, intruder):
    row = Event.objects.filter(job=job, seq=4)
    assert row.update(**{field: CHANGES[field]}) == 1
    [found] = _findings()
    assert found == f"{job.ref} event 4: was changed, or stands in another's place."


def test_every_field_of_an_event_is_covered(job):
    covered = {*CHANGES, "job_id", "seq"}
    assert {field.attname for field in Event._meta.local_concrete_fields} == covered | {"id"}


def test_a_removed_event_is_found(job, intruder):
    intruder.sql("DELETE FROM jobs_event WHERE seq = %s", 2)
    assert _findings() == [f"{job.ref} event 2: is missing."]


def test_a_removed_first_event_is_found(job, intruder):
    intruder.sql("DELETE FROM jobs_event WHERE seq = %s", 1)
    assert _findings() == [f"{job.ref} event 1: is missing."]


def test_a_removed_event_whose_gap_was_closed_is_found(job, intruder):
    intruder.sql("DELETE FROM jobs_event WHERE seq = %s", 2)
    for seq in (3, 4):
        intruder.sql("UPDATE jobs_event SET seq = %s WHERE seq = %s", seq - 1, seq)
    [found] = _findings()
    assert found.startswith(f"{job.ref} event 2: was changed")


def test_reordered_events_are_found(job, intruder):
    for source, to in ((2, 99), (3, 2), (99, 3)):
        intruder.sql("UPDATE jobs_event SET seq = %s WHERE seq = %s", to, source)
    [found] = _findings()
    assert found.startswith(f"{job.ref} event 2: was changed, or stands in another's place")


def test_an_event_moved_to_another_job_is_found(job, intruder):
    other = JobFactory()
    Event.objects.filter(job=job, seq=4).update(job=other, seq=2)
    assert len(_findings()) == 2


def _cut(intruder, seq):
    """Take an event away, and what waits to be told of it."""
    told = "SELECT id FROM jobs_event WHERE seq = %s"
    intruder.sql(f"DELETE FROM reviews_occurrence WHERE event_id IN ({told})", seq)
    intruder.sql("DELETE FROM jobs_event WHERE seq = %s", seq)


def test_a_cut_tail_is_found(job, intruder):
    _cut(intruder, 4)
    assert _findings() == [f"{job.ref} event 4: 4 events are recorded, 3 found."]


def test_a_cut_tail_whose_job_was_made_to_fit_is_found_by_the_seal(job, intruder):
    audit.seal(now=NOW)
    _cut(intruder, 4)
    head = job.events.get(seq=3).hash
    Job.objects.filter(pk=job.pk).update(event_count=3, event_head=head, sealed_count=3)
    assert _findings() == [f"{job.ref} event 4: is not what seal 1 recorded."]


def test_an_event_that_the_job_does_not_know_of_is_found(job, intruder):
    last = job.events.last()
    forged = Event(job=job, seq=5, at=NOW, verb=Verb.ARCHIVED, actor_name="x")
    forged.hash = audit.event_hash(forged, last.hash)
    forged.save()
    assert _findings() == [f"{job.ref} event 5: 4 events are recorded, 5 found."]


def test_a_vanished_job_is_found_by_the_seal(intruder):
    kept, gone = JobFactory(), JobFactory()
    audit.seal(now=NOW)
    intruder.delete_job(gone)
    assert _findings() == [f"job {gone.pk}: was sealed in seal 1 and is gone."]
    assert Job.objects.get() == kept


def test_a_chain_mended_without_the_key_is_found(job, intruder, settings):
    Event.objects.filter(job=job, seq=4).update(reason_text="Another reason.")
    right, settings.AUDIT_KEY = settings.AUDIT_KEY, "a guess"
    intruder.mend(job)
    assert _findings() == []
    settings.AUDIT_KEY = right
    [found] = _findings()
    assert found.startswith(f"{job.ref} event 1: was changed")


def test_a_chain_mended_with_a_stolen_key_is_found_by_the_seal(job, intruder):
    audit.seal(now=NOW)
    Event.objects.filter(job=job, seq=4).update(reason_text="Another reason.")
    intruder.mend(job)
    assert _findings() == [f"{job.ref} event 4: is not what seal 1 recorded."]


def _two_seals():
    first = start(JobFactory()).attempt.job
    audit.seal(now=NOW)
    start(JobFactory())
    audit.seal(now=NOW)
    return first


SEAL_CHANGES = {
    "jobs": 99,
    "heads": [],
    "at": NOW.replace(hour=10),
    "hash": "0" * 64,
}


@pytest.mark.parametrize("field", SEAL_CHANGES)
@pytest.mark.parametrize("number", [1, 2])
def test_a_changed_seal_is_found(field, number, intruder):
    _two_seals()
    Seal.objects.filter(number=number).update(**{field: SEAL_CHANGES[field]})
    assert _findings() == [f"seal {number}: was changed."]


def test_a_seal_made_with_another_key_is_found(intruder):
    _two_seals()
    Seal.objects.filter(number=2).update(key_id="other")
    assert _findings() == ["seal 2: was made with another AUDIT_KEY."]


def test_a_removed_seal_is_found(intruder):
    _two_seals()
    intruder.sql("DELETE FROM jobs_seal WHERE number = %s", 1)
    assert _findings() == ["seal 1: is missing."]


def test_a_removed_last_seal_is_found_by_an_export(intruder):
    _two_seals()
    exported = audit.export()
    intruder.sql("DELETE FROM jobs_seal WHERE number = %s", 2)
    Job.objects.update(sealed_count=0)
    assert _findings() == []
    assert _findings(against=exported) == ["seal 2: differs from the exported seal."]


def test_seals_rewritten_with_a_stolen_key_are_found_by_an_export(intruder):
    job = _two_seals()
    exported = json.loads(json.dumps(audit.export()))
    assert _findings(against=exported) == []
    Event.objects.filter(job=job, seq=2).update(reason_text="Another reason.")
    intruder.sql("DELETE FROM jobs_seal")
    intruder.mend(job)
    Job.objects.update(sealed_count=0)
    audit.seal(now=NOW)
    assert _findings() == []
    assert _findings(against=exported) == [
        "seal 1: differs from the exported seal.",
        "seal 2: differs from the exported seal.",
    ]


def test_a_seal_covers_what_grew_since_the_last(job):
    quiet = JobFactory()
    first = audit.seal(now=NOW)
    assert first.jobs == 2
    assert {head[0] for head in first.heads} == {str(job.pk), str(quiet.pk)}
    assert audit.seal(now=NOW) is None
    decide(job.pk, Ask(Ruling.ARCHIVE, job.requester, NOW))
    second = audit.seal(now=NOW)
    job.refresh_from_db()
    assert second.heads == [[str(job.pk), 5, job.event_head]]
    assert not Job.objects.exclude(sealed_count=F("event_count")).exists()
    assert _findings() == []


def test_seals_are_made_at_most_as_often_as_asked(job):
    minute = timedelta(minutes=1)
    assert audit.seal(now=NOW, at_most_every=minute)
    start(JobFactory())
    assert audit.seal(now=NOW + minute / 2, at_most_every=minute) is None
    assert audit.seal(now=NOW + minute, at_most_every=minute)


def test_a_history_that_grows_while_it_is_verified_is_no_finding(job, intruder):
    """The first finding stops the walk half-way; meanwhile the second job gets another event."""
    Event.objects.filter(job=job, seq=4).update(reason_text="Another reason.")
    other = JobFactory()
    walk = audit.verify()
    assert next(walk).ref == job.ref
    with lifecycle.locked(other.pk) as held:
        lifecycle.record(held, Verb.WAITING, now=NOW)
    assert list(walk) == []


def test_the_key_is_named_without_being_given_away(settings):
    named = audit.key_id()
    assert settings.AUDIT_KEY not in named
    settings.AUDIT_KEY = "another"
    assert audit.key_id() != named


def test_the_whole_life_of_a_job_verifies(job):
    lead = UserFactory(workspace=job.workspace, roles=[Role.LEAD])
    with transaction.atomic():
        decide(job.pk, Ask(Ruling.REOPEN, lead, NOW, note="A reader doubts it."))
    decide(job.pk, Ask(Ruling.ESCALATE, lead, NOW, note="Above me."))
    decide(job.pk, Ask(Ruling.REQUEST_CHANGES, lead, NOW, note="Ünïcode, “quotes”, \x00 🙂"))
    audit.seal(now=NOW)
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, NOW))
    assert _findings() == []
