"""The job types that come along, and how they meet what people changed."""

from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from jobs import actions, shipped
from jobs.documents import Upload
from jobs.inputs import BadInput
from jobs.models import JobType, PromptVersion, Review, Role
from tests.factories import NOW, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

DIGEST = shipped.DOCUMENT_DIGEST


@pytest.fixture
def digest():
    shipped.load()
    return JobType.objects.get(slug="document-digest")


def _reword(monkeypatch, words):
    monkeypatch.setattr(shipped, "SHIPPED", (replace(DIGEST, instructions=words),))
    shipped.load()


def test_loading_twice_changes_nothing():
    loaded = shipped.load()
    assert [t.slug for t in loaded] == [kind.slug for kind in shipped.SHIPPED]
    before = list(JobType.objects.values()), list(PromptVersion.objects.values())
    assert shipped.load() == loaded
    assert (list(JobType.objects.values()), list(PromptVersion.objects.values())) == before
    assert PromptVersion.objects.count() == len(shipped.SHIPPED)


def test_an_order_of_keys_that_was_lost_is_brought_back(digest):
    def backwards(value):
        if not isinstance(value, dict):
            return value
        return {name: backwards(value[name]) for name in reversed(value)}

    kept = digest.input_schema
    JobType.objects.filter(pk=digest.pk).update(input_schema=backwards(kept))
    version = digest.current_version
    shuffled = PromptVersion(
        job_type=digest,
        number=2,
        **{
            name: getattr(version, name)
            for name in ("model", "instructions", "template", "tools", "options")
        },
        output_schema=backwards(version.output_schema),
    )
    shuffled.save()
    shipped.load()
    digest.refresh_from_db()
    assert list(digest.input_schema["properties"]) == list(kept["properties"])
    latest = digest.current_version
    assert latest.number == 3
    assert list(latest.output_schema) == list(DIGEST.output_schema)


@pytest.mark.parametrize("slug", [kind.slug for kind in shipped.SHIPPED])
def test_a_shipped_type_is_valid(slug):
    shipped.load()
    job_type = JobType.objects.get(slug=slug)
    job_type.full_clean()
    job_type.current_version.full_clean()
    Draft202012Validator.check_schema(job_type.input_schema)
    assert job_type.enabled


def test_shipped_types_take_a_job_each(digest):
    requester = UserFactory(workspace=WorkspaceFactory(), roles=[Role.REQUESTER])
    common = {"requester": requester, "workspace": requester.workspaces.get(), "now": NOW}
    uploads = [Upload("a.txt", b"x")]
    assert actions.submit(digest, input={}, uploads=uploads, **common).created
    brief = JobType.objects.get(slug="research-brief")
    assert actions.submit(brief, input={"topic": "tides"}, **common).created
    with pytest.raises(BadInput, match="1 to 10 files"):
        actions.submit(digest, input={}, **common)


def test_a_new_wording_is_a_new_version_for_new_jobs(digest, monkeypatch):
    _reword(monkeypatch, "Better words.")
    _reword(monkeypatch, "Better words.")
    digest.refresh_from_db()
    assert [v.number for v in digest.versions.order_by("number")] == [1, 2]
    assert digest.current_version.number == 2
    assert digest.current_version.instructions == "Better words."
    assert digest.versions.get(number=1).instructions == DIGEST.instructions


def test_another_model_is_a_new_version(digest, settings):
    settings.OPENAI_MODEL = "gpt-next"
    shipped.load()
    digest.refresh_from_db()
    assert (digest.current_version.number, digest.current_version.model) == (2, "gpt-next")


def test_a_version_of_ones_own_stays_in_use(digest, monkeypatch):
    own = digest.versions.create(
        number=2, model="m", instructions="Ours.", created_by=UserFactory()
    )
    digest.current_version = own
    digest.save()
    shipped.load()
    assert digest.versions.count() == 2
    _reword(monkeypatch, "Better words.")
    digest.refresh_from_db()
    assert digest.current_version == own
    assert digest.versions.get(number=3).instructions == "Better words."


def test_an_older_version_that_somebody_went_back_to_stays_in_use(digest, monkeypatch):
    first = digest.current_version
    _reword(monkeypatch, "Worse words.")
    digest.refresh_from_db()
    digest.current_version = first
    digest.save()
    _reword(monkeypatch, "Worse words.")
    digest.refresh_from_db()
    assert digest.current_version == first
    _reword(monkeypatch, "Better words.")
    digest.refresh_from_db()
    assert digest.current_version.number == 3


def test_a_policy_that_somebody_set_stays_as_it_is(digest, monkeypatch):
    digest.review, digest.name, digest.enabled = Review.NEVER, "Our digest", False
    digest.save()
    _reword(monkeypatch, "Better words.")
    digest.refresh_from_db()
    assert (digest.review, digest.name, digest.enabled) == (Review.NEVER, "Our digest", False)


def test_a_workspaces_type_of_the_same_name_is_left_alone():
    own = JobType.objects.create(
        slug="document-digest", workspace=WorkspaceFactory(), name="Ours", description="x"
    )
    shipped.load()
    own.refresh_from_db()
    assert own.current_version is None
    assert JobType.objects.filter(slug="document-digest").count() == 2
