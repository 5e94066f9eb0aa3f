"""What people and models write is shown, and does nothing: no script runs, nothing is fetched from
elsewhere, nothing leaves its place."""

import json

import pytest
from playwright.sync_api import expect

from jobs import actions
from jobs.documents import Upload
from jobs.models import Job, JobType, PromptVersion, Role, Status
from reviews.notes import write_note
from tests.browser import faults
from tests.factories import NOW, JobTypeFactory, WorkspaceFactory, finish, start

pytestmark = pytest.mark.django_db(transaction=True)

SCRIPT = "<script>window.pwned = 1</script>"
IMAGE = "<img src=x onerror='window.pwned = 1'>"
SVG = "<svg onload='window.pwned = 1'><script>window.pwned = 1</script></svg>"
NAME = '"><img src=x onerror=window.pwned=1>\u202egnp.txt'
MARKDOWN = f"""# Findings {SCRIPT}

{IMAGE} {SVG} <iframe src="javascript:window.pwned=1"></iframe>
<style>body {{ display: none }}</style> <form action="https://evil.example"><input name=q></form>

[click](javascript:window.pwned=1) [data](data:text/html,{SCRIPT}) [ok](https://example.com/x)
![beacon](https://evil.example/beacon.png) <https://example.com/auto>
[ref]: javascript:window.pwned=1

| a | b |
|---|---|
| {IMAGE} | `{SCRIPT}` |

```html
{SCRIPT}
```
"""
STRUCTURED = {
    "title": f"Title {IMAGE}",
    "summary": MARKDOWN,
    f"key {SCRIPT}": [{"document": NAME, "quote": f"quoted {SVG}"}],
    "rows": [{"name": IMAGE, "link": "javascript:window.pwned=1"}, {"name": SVG, "link": "x"}],
}


def output(text):
    return [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": text,
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url": "javascript:window.pwned=1",
                            "title": IMAGE,
                            "start_index": 0,
                            "end_index": 5,
                        }
                    ],
                }
            ],
        },
        {"type": f"odd{SCRIPT}", "id": "odd_1", "note": IMAGE},
    ]


@pytest.fixture
def hostile(db, person):
    """Jobs that hold hostile text wherever text can be, and somebody who sees all of it."""
    workspace = WorkspaceFactory(slug="hostile", name=f"Workspace {IMAGE}")
    user = person("everyone", workspace, *Role, is_staff=True, is_superuser=True)
    requester = person("requester", workspace, Role.REQUESTER)
    schema = {
        "type": "object",
        "properties": {"topic": {"type": "string", "title": f"Topic {IMAGE}", "description": SVG}},
    }
    plain = JobTypeFactory(
        slug="plain", workspace=workspace, name=f"Type {SCRIPT}", input_schema=schema
    )
    JobType.objects.filter(pk=plain.pk).update(description=f"Does {IMAGE}")
    shaped = JobTypeFactory(slug="shaped", workspace=workspace, check_quotes=True)
    shaped.current_version = PromptVersion.objects.create(
        job_type=shaped, number=2, model="m", instructions=SVG, output_schema={"type": "object"}
    )
    shaped.save()
    refs = []
    for job_type, text in ((plain, MARKDOWN), (shaped, json.dumps(STRUCTURED))):
        job = actions.submit(
            job_type,
            requester=requester,
            workspace=workspace,
            input={"topic": f"{IMAGE}{SCRIPT}{MARKDOWN}"},
            uploads=[Upload(NAME, f"quoted {SVG} {SCRIPT}".encode())],
            now=NOW,
        ).job
        start(job)
        finish(job, "completed", output=output(text))
        job.refresh_from_db()
        assert job.status == Status.NEEDS_REVIEW
        write_note(job, author=user, text=f"{IMAGE} {SCRIPT}", now=NOW)
        refs.append(job.ref)
    failed = actions.submit(
        plain, requester=requester, workspace=workspace, input={"topic": IMAGE}, now=NOW
    ).job
    start(failed)
    finish(failed, "failed", error={"code": IMAGE, "message": f"{SCRIPT}{SVG}"})
    return [*refs, failed.ref]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_text_is_shown_and_harmless_on_every_page(hostile, visit, scheme):
    visitor = visit("everyone", color_scheme=scheme)
    page, asked = visitor.page, []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    paths = [
        "/w/hostile/jobs/",
        "/w/hostile/jobs/new/",
        "/w/hostile/jobs/new/plain/",
        "/w/hostile/reviews/",
        "/w/hostile/operations/",
        "/admin/jobs/job/",
        "/admin/jobs/jobtype/",
        "/admin/jobs/result/",
    ]
    for ref in hostile:
        job = Job.objects.get(ref=ref)
        paths += [f"/jobs/{ref}/", f"/jobs/{ref}/review/", f"/admin/jobs/job/{job.pk}/change/"]
        if job.documents.exists():
            paths += [f"/jobs/{ref}/documents/1/?quote=1&attempt=1", f"/jobs/{ref}/reject/"]
    found = []
    for path in paths:
        assert page.goto(path).status == 200, path
        closed = page.locator("main details:not([open]) > summary")
        for _ in range(closed.count()):
            closed.first.click()
        assert page.evaluate("window.pwned") is None, path
        hrefs = page.evaluate("[...document.links].map((a) => a.href)")
        assert not [href for href in hrefs if not href.startswith("http")], path
        # Django's admin has scripts of its own there, all of them files.
        foreign = "iframe, object, embed, style, script:not([src]), [onerror], [onload]"
        assert page.locator(f"main :is({foreign})").count() == 0, path
        if not path.startswith("/admin/"):
            found += faults(page)
    assert found == []
    here = page.url.partition("/admin")[0].partition("/jobs")[0]
    assert [url for url in asked if not url.startswith((here, "data:"))] == []
    page.goto(f"/jobs/{hostile[0]}/review/")
    expect(page.get_by_text("window.pwned").first).to_be_visible()
