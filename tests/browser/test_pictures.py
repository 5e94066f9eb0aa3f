"""The pictures in README.md and docs/, drawn by `make pictures`; any other run draws them aside,
so that what they show is known to work."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.scenes import day

pytestmark = pytest.mark.django_db(transaction=True)

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "pictures"


@pytest.fixture
def folder(tmp_path):
    return DOCS if os.environ.get("PICTURES") else tmp_path


def test_pictures_of_the_main_pages(sandbox, person, visit, folder):
    quality = day(sandbox.base_url, person)
    jobs = quality.jobs
    shots = [
        ("submit", "requester", "/w/quality/jobs/new/document-digest/"),
        ("jobs", "requester", "/w/quality/jobs/"),
        ("status", "requester", f"/jobs/{jobs['done'].ref}/"),
        ("inbox", "reviewer", "/w/quality/reviews/"),
        ("review", "reviewer", f"/jobs/{jobs['review'].ref}/review/"),
        ("tool-call", "reviewer", f"/jobs/{jobs['reply'].ref}/review/"),
        ("comparison", "reviewer", f"/jobs/{jobs['compared'].ref}/review/"),
        ("library", "requester", "/w/quality/library/?q=incident"),
        ("operations", "operator", "/w/quality/operations/"),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        seen = {}
        for name, who, path in shots:
            if who not in seen:
                seen[who] = visit(who, color_scheme=scheme).page
            page = seen[who]
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            suffix = "" if scheme == "light" else "-dark"
            picture = page.screenshot(path=folder / f"{name}{suffix}.png")
            assert len(picture) > 20_000, f"{name} is nearly empty"
