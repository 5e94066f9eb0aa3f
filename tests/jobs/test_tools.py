"""The tools that come along: what they find, what they refuse, and what they never cross."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core import checks, mail
from django.utils import timezone
from standardwebhooks import Webhook

from jobs import library, tools
from jobs.documents import Upload
from jobs.models import CallEffect, Role, Status
from jobs.tools import ToolContext, ToolProblem, reading, registry
from reviews import signing
from reviews.models import Endpoint
from tests.factories import (
    EMAIL,
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
)
from tests.receiver import Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def job():
    uploads = (Upload("terms.txt", b"Returns are taken for thirty days."),)
    return JobFactory(uploads=uploads)


def use(job, tool_name, /, **arguments):
    tool = tools.find(tool_name)
    checked = tool.arguments(json.dumps(arguments))
    return json.loads(tool.call(ToolContext(job, uuid.uuid4(), NOW), checked))


def completed(workspace, requester=None, topic="the harbour"):
    return JobFactory(
        workspace=workspace,
        requester=requester,
        status=Status.COMPLETED,
        input={"topic": topic},
    )


def test_every_tool_can_be_offered_strictly():
    names = {tool.name for tool in registry.registered()}
    assert names == {
        "search_library",
        "read_library_document",
        "search_results",
        "read_result",
        "read_document",
        "send_email",
        "post_webhook",
    }
    for tool in registry.registered():
        parameters = tool.definition["parameters"]
        assert parameters["additionalProperties"] is False
        assert parameters["required"] == list(parameters["properties"])
        assert "default" not in json.dumps(parameters)
        assert len(tool.description) > 40
    writes = {tool.name for tool in registry.registered() if tool.effect == CallEffect.WRITE}
    assert writes == {"send_email", "post_webhook"}


def test_the_library_is_searched_and_read(job):
    member = UserFactory(workspace=job.workspace, roles=[Role.REQUESTER])
    text = b"# Returns\n\nReturns are taken for thirty days from the day of delivery."
    [added] = library.add(job.workspace, [Upload("terms.md", text)], actor=member, now=NOW)
    [hit] = use(job, "search_library", query="returns delivery")["hits"]
    assert hit["ref"] == added.document.ref
    assert "thirty days" in hit["passage"]
    read = use(job, "read_library_document", ref=hit["ref"])
    assert (read["page"], read["pages"]) == (1, 1)
    assert "day of delivery" in read["text"]


def test_no_other_workspaces_library_is_seen(job):
    elsewhere = WorkspaceFactory()
    member = UserFactory(workspace=elsewhere, roles=[Role.REQUESTER])
    [added] = library.add(elsewhere, [Upload("a.txt", b"Secret returns.")], actor=member, now=NOW)
    assert use(job, "search_library", query="secret returns")["hits"] == []
    with pytest.raises(ToolProblem, match="no document"):
        use(job, "read_library_document", ref=added.document.ref)


def test_past_results_are_those_that_the_requester_could_read(job):
    own = completed(job.workspace, job.requester)
    others = completed(job.workspace)
    elsewhere = completed(WorkspaceFactory())
    unread = JobFactory(
        workspace=job.workspace, requester=job.requester, status=Status.NEEDS_REVIEW
    )
    found = use(job, "search_results", query="answer harbour", limit=20)["results"]
    assert [one["ref"] for one in found] == [own.ref]
    assert use(job, "read_result", ref=own.ref.lower())["text"] == "The answer."
    for hidden in (others, elsewhere, unread):
        with pytest.raises(ToolProblem, match="no finished job"):
            use(job, "read_result", ref=hidden.ref)
    job.requester.memberships.create(workspace=job.workspace, role=Role.OPERATOR)
    found = use(job, "search_results", query="answer", limit=20)["results"]
    assert {one["ref"] for one in found} == {own.ref, others.ref}


def test_of_many_past_results_the_newest_are_searched(job, monkeypatch):
    _older, newer = (completed(job.workspace, job.requester) for _ in range(2))
    monkeypatch.setattr(reading, "MOST_SEARCHED", 1)
    found = use(job, "search_results", query="answer", limit=20)["results"]
    assert [one["ref"] for one in found] == [newer.ref]


@pytest.mark.parametrize("query", ["%", "_", "'; --", "\\", "a" * 500, "é ü 漢字", "answer " * 60])
def test_any_words_can_be_looked_for(job, query):
    completed(job.workspace, job.requester)
    assert "results" in use(job, "search_results", query=query)
    assert "hits" in use(job, "search_library", query=query)


def test_the_jobs_own_documents_are_read_page_by_page(job):
    assert "thirty days" in use(job, "read_document", name="TERMS.txt")["text"]
    with pytest.raises(ToolProblem, match="Its documents: terms.txt"):
        use(job, "read_document", name="other.txt")
    with pytest.raises(ToolProblem, match="There are 1 pages"):
        use(job, "read_document", name="terms.txt", page=2)


def test_a_long_output_is_cut_and_says_so(job, monkeypatch):
    monkeypatch.setattr(registry, "MOST_OUTPUT", 20)
    tool = tools.find("read_document")
    output = tool.call(ToolContext(job, uuid.uuid4(), NOW), {"name": "terms.txt"})
    assert "cut after 20 of" in output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"to": "nobody"}, "“nobody” is no e-mail address"),
        ({"to": "a@example.com\nBcc: b@example.com"}, "is no e-mail address"),
        ({"to": "a@example.com, b@example.com"}, "is no e-mail address"),
        ({"to": "a@ex\u0430mple.com"}, "letters that look like others"),
        ({"subject": "Hello\nBcc: b@example.com"}, "A subject is one line"),
    ],
)
def test_an_email_that_is_none_is_refused(job, change, said):
    with pytest.raises(ToolProblem, match=said):
        use(job, "send_email", **{**EMAIL, **change})
    assert mail.outbox == []


class _Receiver(BaseHTTPRequestHandler):
    got: list = []
    raw = b""
    status = 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).raw = body
        self.got.append((self.headers["webhook-id"], json.loads(body)))
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("location", "http://127.0.0.1/elsewhere")
        self.end_headers()
        self.wfile.write(b"noted")

    def log_message(self, *_args):
        pass


@pytest.fixture
def receiver():
    _Receiver.got, _Receiver.status = [], 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_is_posted_with_the_calls_id(job, receiver, settings):
    settings.WEBHOOKS_WITHIN = True
    answer = use(job, "post_webhook", url=receiver, payload='{"a": 1}')
    assert answer == {"status": 200, "answer": "noted"}
    [(call_id, body)] = _Receiver.got
    assert uuid.UUID(call_id) and body == {"a": 1}


@pytest.fixture
def signed_to(job, settings):
    """`signed_to(url)` posts as a call does at this moment, and answers what was received."""
    settings.WEBHOOKS_WITHIN = True
    running = Receiver()

    def post(path="", payload='{"type": "note", "a": "\\ud800"}', now=None):
        context = ToolContext(job, uuid.uuid4(), now or timezone.now())
        arguments = json.dumps({"url": f"{running.url}{path}", "payload": payload})
        tool = tools.find("post_webhook")
        tool.call(context, tool.arguments(arguments))
        headers, body = running.got[-1]
        assert (headers["webhook-id"], body) == (str(context.key), payload.encode())
        return headers, body

    post.url, post.got = running.url, running.got
    yield post
    running.close()


def test_a_post_to_an_endpoint_of_the_workspace_is_signed_with_its_secrets(job, signed_to):
    now = timezone.now()
    endpoint = Endpoint.objects.create(workspace=job.workspace, name="CMS", url=signed_to.url)
    signing.rotate(endpoint, now=now)
    headers, body = signed_to(now=now)
    new, old = signing.secrets(endpoint, now=now)
    for secret in (new, old):
        Webhook(secret).verify(body, headers)
    assert len(headers["webhook-signature"].split()) == 2


@pytest.mark.parametrize(
    "whose", ["nobody", "another workspace", "switched off", "another address"]
)
def test_no_other_post_is_signed(job, signed_to, whose):
    """Whoever it goes to could send it on to the endpoint, signed."""
    if whose != "nobody":
        place = WorkspaceFactory() if whose == "another workspace" else job.workspace
        Endpoint.objects.create(
            workspace=place, name="CMS", url=signed_to.url, enabled=whose != "switched off"
        )
    headers, _body = signed_to("/elsewhere" if whose == "another address" else "")
    assert "webhook-signature" not in headers


@pytest.mark.parametrize(
    "payload",
    [
        '{"type": "job.completed", "data": {}}',
        '{"type": "endpoint.test"}',
        '{"type": "job.completed", "type": "note"}',
        '{"type": "note", "type": "job.completed"}',
        '{"t\\u0079pe": "job.completed"}',
    ],
)
def test_no_call_is_signed_as_a_delivery(job, signed_to, payload):
    Endpoint.objects.create(workspace=job.workspace, name="CMS", url=signed_to.url)
    with pytest.raises(ToolProblem, match="type of its own"):
        signed_to(payload=payload)
    assert signed_to.got == []
    signed_to(payload='{"type": "note", "data": {"type": "job.completed"}}')


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_is_refused_or_sent_elsewhere_says_so(job, receiver, settings, status):
    settings.WEBHOOKS_WITHIN = True
    _Receiver.status = status
    with pytest.raises(ToolProblem, match="answered|could not be reached"):
        use(job, "post_webhook", url=receiver, payload="{}")
    assert len(_Receiver.got) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://2130706433/",
    ],
)
def test_a_webhook_reaches_nothing_within(job, url):
    with pytest.raises(ToolProblem, match="within this network|could not be reached"):
        use(job, "post_webhook", url=url, payload="{}")


@pytest.mark.parametrize(
    ("url", "payload", "said"),
    [
        ("http://example.com/", "{}", "begins with https"),
        ("file:///etc/passwd", "{}", "begins with https"),
        ("https://user@example.com/", "{}", "names no user"),
        ("https://:password@example.com/", "{}", "names no user"),
        ("https://evil.example\\.example.com/", "{}", "look like others"),
        ("https://", "{}", "begins with https"),
        ("https://ex\u0430mple.com/", "{}", "look like others"),
        ("https://example.com\uff0fpath", "{}", "look like others"),
        ("https://[::1", "{}", "is no address"),
        ("https://exa\tmple.com/", "{}", "look like others"),
        ("https://example.com/", "[1]", "must be a JSON object"),
        ("https://example.com/", "{", "must be a JSON object"),
        ("https://example.com/", '{"a": NaN}', "must be a JSON object"),
    ],
)
def test_a_webhook_that_makes_no_sense_is_refused(job, url, payload, said):
    with pytest.raises(ToolProblem, match=said):
        use(job, "post_webhook", url=url, payload=payload)


@pytest.mark.parametrize(
    "payload",
    [
        '{"a": 1e999}',
        '{"a": 1, "a": 2}',
        '{"a": "\\ud800"}',
        '{"a": 1.00000000000000000001}',
        "{ }",
    ],
)
def test_what_is_posted_is_the_text_that_was_approved(job, receiver, settings, payload):
    settings.WEBHOOKS_WITHIN = True
    use(job, "post_webhook", url=receiver, payload=payload)
    assert _Receiver.raw == payload.encode()


def test_a_tool_without_a_docstring_or_with_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="no docstring"):
        registry.tool(effect=CallEffect.READ, title="Mute")(mute)
    with pytest.raises(ValueError, match="two tools"):
        registry.tool(effect=CallEffect.READ, title="Twin")(twin())


def mute(context):
    return ""


def twin():
    def send_email(context):
        """Another."""

    return send_email


def test_a_version_that_names_a_tool_which_is_not_there_does_not_break_the_request():
    from jobs import requests

    job_type = JobTypeFactory(version__tools=[{"type": "function", "name": "gone"}])
    planned = requests.planned(JobFactory(job_type=job_type))
    assert "tools" not in planned


def test_a_module_of_tools_that_cannot_be_loaded_is_a_check_with_a_hint(settings):
    settings.TOOLS = ["jobs.tools.reading", "shop.tools"]
    [problem] = checks.run_checks()
    assert problem.id == "jobsite.E008"
    assert "shop.tools" in problem.msg and "TOOLS" in problem.hint
