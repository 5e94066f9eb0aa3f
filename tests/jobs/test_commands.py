"""The commands as scripts meet them: exit codes, one JSON document, one sentence."""

import io
import json

import pytest
from django.conf import settings
from django.db import OperationalError, ProgrammingError

from jobs import audit, shipped
from jobs.documents import Upload
from jobs.models import (
    Event,
    Job,
    JobType,
    Lane,
    Membership,
    PromptVersion,
    Role,
    Status,
    User,
    Workspace,
)
from jobsite.management.commands.demo import Command as Demo
from reviews.actions import Ask, decide
from reviews.models import Ruling
from tests.factories import (
    NOW,
    JobFactory,
    JobTypeFactory,
    UserFactory,
    WorkspaceFactory,
    walk,
)
from tests.processes import Installation

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada():
    return UserFactory(
        username="ada", workspace=WorkspaceFactory(slug="north"), roles=["requester"]
    )


@pytest.fixture
def brief(ada):
    shipped.load()
    return JobType.objects.get(slug="research-brief")


@pytest.fixture
def digest(brief):
    return JobType.objects.get(slug="document-digest")


def _refused(ran, code, *said):
    """One sentence on stderr, and the same as the one JSON document where JSON was asked for."""
    assert ran.code == code, ran.err
    line = ran.err.strip().splitlines()[-1]
    for part in said:
        assert part in line
    if ran.out:
        assert set(ran.json) == {"error"}
        assert all(part in ran.json["error"] for part in said)
    return ran


# job -----------------------------------------------------------------------------------------------


def test_job_prints_the_whole_of_a_job(shell):
    job = JobFactory(status=Status.COMPLETED, uploads=(Upload("a.txt", b"one"),))
    ran = shell("job", job.ref, "--json")
    assert (ran.code, ran.err) == (0, "")
    said = ran.json
    assert set(said) >= {
        *("id", "ref", "type", "lane", "status", "reason", "warnings", "attempts", "gate"),
        *("result", "events", "cost", "workspace", "requester", "input", "documents", "progress"),
    }
    assert (said["id"], said["ref"], said["type"]) == (str(job.pk), job.ref, job.job_type.slug)
    assert (said["lane"], said["status"]) == ("background", "completed")
    assert said["reason"] == {"code": "", "text": ""}
    [attempt] = said["attempts"]
    assert (attempt["number"], attempt["state"], attempt["error"]) == (1, "succeeded", None)
    [turn] = attempt["turns"]
    assert turn["response_id"].startswith("resp_")
    assert attempt["cost"] == said["cost"] and float(said["cost"]) > 0
    result = said["result"]
    assert set(result) >= {"text", "structured", "citations", "tool_calls", "files", "hash"}
    assert result["text"] == "The answer."
    assert result["hash"] == job.attempts.get().result.content_hash
    assert [event["verb"] for event in said["events"]] == [
        *("submitted", "started", "review_asked", "approved"),
    ]
    last = said["events"][-1]
    assert (last["from"], last["to"]) == ("needs_review", "completed")
    assert last["actor"].startswith("person-")
    assert last["at"] == "2026-03-02T09:00:00Z"
    assert set(last["reason"]) == {"code", "text"}
    assert said["documents"][0]["name"] == "a.txt"


def test_job_shows_the_open_gate(shell):
    job = JobFactory(status=Status.NEEDS_REVIEW)
    gate = shell("job", job.ref, "--json").json["gate"]
    assert (gate["kind"], gate["level"]) == ("output", 1)
    assert gate["content_hash"] == job.open_gate.content_hash
    assert [reason["code"] for reason in gate["reasons"]] == ["always"]


@pytest.mark.parametrize("status", Status)
def test_job_is_readable_in_every_status(status, shell):
    job = JobFactory(status=status)
    ran = shell("job", job.ref)
    assert ran.code == 0
    assert ran.out.startswith(f"{job.ref}  {job.job_type.slug}  {status.replace('_', ' ')}\n")
    assert "submitted by" in ran.out
    assert shell("job", job.ref, "--json").json["status"] == status


@pytest.mark.parametrize("spelled", [str.lower, lambda ref: ref.removeprefix("J-")])
def test_a_reference_is_read_as_people_write_it(spelled, shell):
    job = JobFactory()
    assert shell("job", spelled(job.ref), "--json").json["ref"] == job.ref


def test_a_job_that_is_not_there_is_a_sentence(shell):
    _refused(shell("job", "J-0000000", "--json"), 1, "There is no job J-0000000.")
    ran = shell("job", "J-0000000")
    assert (ran.out, ran.err) == ("", "There is no job J-0000000.\n")


def test_job_looks_with_a_persons_eyes(shell):
    job = JobFactory()
    auditor = UserFactory(workspace=job.workspace, roles=[Role.AUDITOR])
    stranger = UserFactory(workspace=WorkspaceFactory(), roles=[Role.LEAD])
    assert shell("job", job.ref, "--as", auditor, "--json").code == 0
    _refused(shell("job", job.ref, "--as", stranger, "--json"), 1, f"no job {job.ref}")
    _refused(shell("job", job.ref, "--as", "nobody", "--json"), 2, "no active account nobody")


# jobs ----------------------------------------------------------------------------------------------


def test_jobs_lists_the_newest_first(shell):
    jobs = [JobFactory(), JobFactory(status=Status.FAILED), JobFactory()]
    refs = [job.ref for job in reversed(jobs)]
    assert [line["ref"] for line in shell("jobs", "--json").json] == refs
    ran = shell("jobs")
    assert [line.split()[0] for line in ran.out.splitlines()] == refs
    assert [line["ref"] for line in shell("jobs", "--limit", 2, "--json").json] == refs[:2]


def test_jobs_are_filtered(shell):
    failed, queued = JobFactory(status=Status.FAILED), JobFactory()

    def refs(*args):
        return [line["ref"] for line in shell("jobs", "--json", *args).json]

    assert refs("--status", "failed") == [failed.ref]
    assert refs("--type", queued.job_type.slug) == [queued.ref]
    assert refs("--as", failed.requester) == [failed.ref]
    assert refs("--status", "expired") == []
    assert refs("--status", "failed", "--as", queued.requester) == []


def test_no_jobs_are_an_empty_list(shell):
    ran = shell("jobs", "--json")
    assert (ran.code, ran.json) == (0, [])
    assert shell("jobs").err == "No jobs match.\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--status", "paused"], "invalid choice: 'paused'"),
        (["--limit", "0"], "--limit must be 1 or more"),
        (["--limit", "many"], "invalid int value: 'many'"),
        (["--type", "nothing"], "no job type nothing"),
        (["--as", "nobody"], "no active account nobody"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_jobs_called_wrongly_is_exit_code_2(args, said, shell):
    _refused(shell("jobs", *args), 2, said)
    ran = _refused(shell("jobs", *args, "--json"), 2, said)
    assert said in ran.json["error"]


# submit --------------------------------------------------------------------------------------------


def test_submit_makes_a_job_and_prints_it(shell, brief):
    ran = shell("submit", "research-brief", "--as", "ada", "--input", "topic=tides", "--json")
    assert ran.code == 0
    job = Job.objects.get()
    assert ran.json["ref"] == job.ref
    assert (ran.json["status"], ran.json["input"]) == ("queued", {"topic": "tides"})
    assert (job.requester.username, job.workspace.slug) == ("ada", "north")


def test_a_pair_is_split_at_its_first_equals_sign(shell, brief):
    args = ("--as", "ada", "--input", "topic=a=b=c", "--input", "questions=")
    said = shell("submit", "research-brief", *args, "--json").json
    assert said["input"] == {"topic": "a=b=c", "questions": ""}


def test_values_are_read_by_the_types_schema(shell, ada):
    properties = {
        "pages": {"type": "integer"},
        "tags": {"type": "array"},
        "word": {"type": "string"},
        "maybe": {"type": ["string", "null"]},
        "free": {},
    }
    JobTypeFactory(slug="typed", input_schema={"properties": properties})
    pairs = ["pages=3", 'tags=["a"]', "word=3", "maybe=3", "free=3"]
    args = [part for pair in pairs for part in ("--input", pair)]
    said = shell("submit", "typed", "--as", "ada", *args, "--json").json
    assert said["input"] == {"pages": 3, "tags": ["a"], "word": "3", "maybe": "3", "free": "3"}
    ran = shell("submit", "typed", "--as", "ada", "--input", "pages=many", "--json")
    _refused(ran, 2, "--input pages: 'many' is not a JSON integer.")


def test_input_comes_from_a_file_or_from_stdin(shell, brief, tmp_path):
    path = tmp_path / "input.json"
    path.write_text('{"topic": "tides", "city": "Pune"}')
    args = ("submit", "research-brief", "--as", "ada", "--json")
    given = {"topic": "tides", "city": "Pune"}
    assert shell(*args, "--input-json", path).json["input"] == given
    assert shell(*args, "--input-json", "-", stdin=path.read_text()).json["input"] == given
    both = shell(*args, "--input-json", path, "--input", "city=Goa").json["input"]
    assert both == {"topic": "tides", "city": "Goa"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "--input-json cannot be read"),
        ("[1]", "--input-json must be a JSON object."),
        ("[" * 100_000, "--input-json cannot be read"),
        ("", "--input-json cannot be read"),
    ],
)
def test_input_that_is_no_json_object_is_exit_code_2(text, said, shell, brief):
    args = ("submit", "research-brief", "--as", "ada", "--json", "--input-json", "-")
    _refused(shell(*args, stdin=text), 2, said)
    assert not Job.objects.exists()


def test_files_travel_with_a_submit(shell, digest, tmp_path):
    for name in ("a.md", "b.txt"):
        (tmp_path / name).write_text("Tides.")
    files = ("--file", tmp_path / "a.md", "--file", tmp_path / "b.txt")
    said = shell("submit", "document-digest", "--as", "ada", *files, "--json").json
    assert [(d["name"], d["content_type"]) for d in said["documents"]] == [
        ("a.md", "text/markdown"),
        ("b.txt", "text/plain"),
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["nothing", "--as", "ada"],
            "There is no job type nothing. Known: customer-reply, document-digest,",
        ),
        (["research-brief", "--as", "nobody"], "no active account nobody"),
        (["research-brief", "--as", "ada"], "topic: is required."),
        (["research-brief", "--as", "ada", "--input", "topic"], "takes KEY=VALUE, not 'topic'"),
        (["research-brief", "--as", "ada", "--input", "=x"], "takes KEY=VALUE, not '=x'"),
        (["research-brief", "--as", "ada", "--input-json", "/nowhere"], "cannot be read"),
        (["document-digest", "--as", "ada"], "takes 1 to 10 files."),
        (["document-digest", "--as", "ada", "--file", "/nowhere"], "No such file"),
        (["document-digest", "--as", "ada", "--file", "/"], "--file / cannot be read"),
        (["research-brief", "--as", "ada", "--workspace", "south"], "no workspace south"),
        (["research-brief", "--as", "ada", "--wait", "long"], "invalid float value: 'long'"),
        ([], "Say what to submit: a TYPE, or --follow REF."),
    ],
)
def test_a_wrong_submit_is_exit_code_2_and_stores_nothing(args, said, shell, brief):
    _refused(shell("submit", *args), 2, said)
    assert said in _refused(shell("submit", *args, "--json"), 2, said).json["error"]
    assert not Job.objects.exists()
    assert not [path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()]


def test_whoever_may_not_submit_is_exit_code_1(shell, brief, ada):
    auditor = UserFactory(workspace=ada.workspaces.get(), roles=[Role.AUDITOR])
    args = ("submit", "research-brief", "--as", auditor, "--input", "topic=tides")
    _refused(shell(*args, "--json"), 1, "may not submit jobs")
    assert not Job.objects.exists()


def test_a_person_in_several_workspaces_says_which(shell, brief, ada):
    south = WorkspaceFactory(slug="south")
    args = ("submit", "research-brief", "--as", "ada", "--input", "topic=tides", "--json")
    # A workspace in which she only looks on is no choice.
    Membership.objects.create(user=ada, workspace=south, role=Role.AUDITOR)
    assert shell(*args).json["workspace"] == "north"
    Membership.objects.create(user=ada, workspace=south, role=Role.REQUESTER)
    _refused(shell(*args), 2, "say which with --workspace SLUG")
    assert shell(*args, "--workspace", "south").json["workspace"] == "south"


def test_a_person_without_a_workspace_is_told(shell, brief):
    UserFactory(username="bob")
    ran = shell("submit", "research-brief", "--as", "bob", "--input", "topic=tides")
    _refused(ran, 1, "bob may not submit jobs in any workspace.")


def test_without_a_name_the_account_of_the_login_submits(shell, brief, monkeypatch):
    monkeypatch.setenv("JOBSITE_USER", "ada")
    UserFactory(workspace=WorkspaceFactory(), roles=[Role.REQUESTER])
    said = shell("submit", "research-brief", "--input", "topic=tides", "--json").json
    assert said["requester"] == "ada"


def test_without_a_name_the_only_requester_submits_and_is_named(shell, brief, monkeypatch):
    monkeypatch.setenv("JOBSITE_USER", "")
    monkeypatch.setattr("jobs.management.commands.submit.getuser", lambda: "nobody")
    args = ("submit", "research-brief", "--input", "topic=tides", "--json")
    ran = shell(*args)
    assert ran.json["requester"] == "ada"
    assert "Submitting as ada." in ran.err
    UserFactory(workspace=WorkspaceFactory(), roles=[Role.REQUESTER])
    _refused(shell(*args), 2, "--as USERNAME")


def test_the_workspaces_own_type_comes_before_the_shared_one(shell, brief, ada):
    own = JobTypeFactory(slug="research-brief", workspace=ada.workspaces.get())
    shell("submit", "research-brief", "--as", "ada", "--json")
    assert Job.objects.get().job_type == own


def test_the_same_key_is_the_same_job(shell, brief):
    args = ("submit", "research-brief", "--as", "ada", "--idempotency-key", "k", "--json")
    first = shell(*args, "--input", "topic=tides")
    again = shell(*args, "--input", "topic=tides")
    assert first.json["ref"] == again.json["ref"]
    assert again.err == ""
    other = shell(*args, "--input", "topic=ebb")
    assert (other.code, other.json["ref"]) == (0, first.json["ref"])
    assert "was used before, with another input" in other.err
    assert Job.objects.count() == 1


def test_submit_shows_its_requester_no_result_that_waits_for_a_person(shell, brief, ada):
    args = ("submit", "research-brief", "--as", "ada", "--idempotency-key", "k", "--json")
    shell(*args, "--input", "topic=tides")
    walk(Job.objects.get(), Status.NEEDS_REVIEW)
    said = shell(*args, "--input", "topic=tides").json
    assert (said["status"], said["result"]) == ("needs_review", None)


def test_wait_ends_when_a_person_is_needed(shell, ada):
    JobTypeFactory(slug="careful", lane=Lane.APPROVAL)
    said = shell("submit", "careful", "--as", "ada", "--wait", "60", "--json").json
    assert said["status"] == "needs_review"


def test_wait_ends_when_its_time_is_over(shell, brief):
    args = ("--as", "ada", "--input", "topic=tides", "--wait", "0", "--json")
    ran = shell("submit", "research-brief", *args)
    assert (ran.code, ran.json["status"]) == (0, "queued")


# verify_audit --------------------------------------------------------------------------------------


def test_verify_audit_counts_what_it_walked(shell):
    JobFactory(status=Status.COMPLETED)
    audit.seal(now=NOW)
    ran = shell("verify_audit", "--json")
    assert (ran.code, ran.json) == (0, {"ok": True, "events": 4, "seals": 1})
    assert shell("verify_audit").out == "All 4 events and 1 seals are as written.\n"


def test_verify_audit_names_the_first_event_that_is_wrong(shell, settings):
    job = JobFactory(status=Status.RUNNING)
    settings.AUDIT_KEY = "another key, which is long enough"
    _refused(shell("verify_audit", "--json"), 1, f"{job.ref} event 1: was changed")
    _refused(shell("verify_audit"), 1, f"{job.ref} event 1: was changed")


def test_verify_audit_exports_and_compares(shell, tmp_path):
    JobFactory()
    audit.seal(now=NOW)
    path = tmp_path / "seals.json"
    assert shell("verify_audit", "--export", path).code == 0
    assert json.loads(path.read_text()) == audit.export()
    assert shell("verify_audit", "--against", path).code == 0
    exported = audit.export()
    exported[0]["hash"] = "0" * 64
    path.write_text(json.dumps(exported))
    ran = shell("verify_audit", "--against", path, "--json")
    _refused(ran, 1, "seal 1: differs from the exported seal.")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"number": 1}]', '"seals"'])
def test_what_is_no_export_is_exit_code_2(text, shell, tmp_path):
    path = tmp_path / "seals.json"
    path.write_text(text)
    _refused(shell("verify_audit", "--against", path, "--json"), 2, "--against")


def test_an_export_that_cannot_be_written_is_a_sentence(shell, tmp_path):
    path = tmp_path / "nowhere" / "seals.json"
    _refused(shell("verify_audit", "--export", path, "--json"), 1, "cannot be written")


# setup ---------------------------------------------------------------------------------------------


def test_setup_can_be_repeated(shell, settings, monkeypatch):
    settings.DEBUG = True
    monkeypatch.setenv("DEMO_PASSWORD", "sesame")
    first = shell("setup", "--demo", "--json")
    assert first.code == 0
    assert first.json["job_types"] == [kind.slug for kind in shipped.SHIPPED]
    names = ["requester", "reviewer", "lead", "operator", "auditor", "admin"]
    assert [account["username"] for account in first.json["accounts"]] == names
    for account in first.json["accounts"]:
        assert User.objects.get(username=account["username"]).check_password(account["password"])
    before = [
        list(model.objects.order_by("pk").values())
        for model in (User, Workspace, Membership, JobType, PromptVersion)
    ]
    again = shell("setup", "--demo", "--json")
    assert (again.code, again.json["accounts"]) == (0, [])
    assert before == [
        list(model.objects.order_by("pk").values())
        for model in (User, Workspace, Membership, JobType, PromptVersion)
    ]


def test_setup_makes_up_passwords_that_differ(shell, settings, monkeypatch):
    settings.DEBUG = True
    monkeypatch.delenv("DEMO_PASSWORD", raising=False)
    accounts = shell("setup", "--demo", "--json").json["accounts"]
    assert len({account["password"] for account in accounts}) == len(accounts)
    assert all(len(account["password"]) >= 12 for account in accounts)


def test_setup_without_demo_makes_no_account(shell, settings):
    settings.DEBUG = True
    assert shell("setup", "--json").json["accounts"] == []
    assert not User.objects.exists()


def test_the_demo_leads_the_reviewer_to_what_waits_or_else_to_the_inbox():
    said = io.StringIO()
    Demo(stdout=said)._say_where(8123)
    assert "decide on a result: http://127.0.0.1:8123/w/demo/reviews/\n" in said.getvalue()
    JobFactory(status=Status.NEEDS_REVIEW)
    waiting = JobFactory(status=Status.NEEDS_REVIEW, workspace=WorkspaceFactory(slug="demo"))
    Demo(stdout=said)._say_where(8123)
    assert f"result: http://127.0.0.1:8123/jobs/{waiting.ref}/review/\n" in said.getvalue()


# All of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OperationalError, ProgrammingError])
def test_a_database_that_was_not_set_up_is_a_sentence(error, shell, monkeypatch):
    def fail(*args, **kwargs):
        raise error("no such table: jobs_job")

    monkeypatch.setattr("jobs.management.commands.jobs.Job.objects.select_related", fail)
    ran = shell("jobs", "--json")
    _refused(ran, 1, "no such table: jobs_job", "manage.py setup")


def test_an_interrupted_command_says_so(shell, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("jobs.management.commands.jobs.Job.objects.select_related", interrupt)
    _refused(shell("jobs", "--json"), 130, "Interrupted.")


def test_a_reason_in_every_alphabet_is_printed(shell):
    job = JobFactory(input={"topic": "潮汐 🙂"})
    decide(job.pk, Ask(Ruling.CANCEL, job.requester, NOW, note="Überholt “so”."))
    assert shell("job", job.ref, "--json").json["reason"]["text"] == "Überholt “so”."
    assert "潮汐 🙂" in shell("job", job.ref).out
    assert Event.objects.filter(reason_text="Überholt “so”.").exists()


def test_real_processes_keep_json_on_stdout_and_logs_on_stderr(tmp_path):
    """From nothing to a submitted job, with a document that logs a warning on its way in."""
    here = Installation(tmp_path, f"sqlite:///{tmp_path}/db.sqlite3")
    before = here.manage("jobs", "--json", check=False)
    assert before.returncode == 1
    assert "manage.py setup" in json.loads(before.stdout)["error"]
    assert "Traceback" not in before.stderr
    assert "job_types" in json.loads(here.manage("setup", "--demo", "--json").stdout)
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4\nnothing that makes sense")
    args = ("submit", "document-digest", "--as", "requester", "--file", str(broken), "--json")
    submitted = here.manage(*args)
    assert json.loads(submitted.stdout)["status"] == "queued"
    assert "no text could be read in broken.pdf" in submitted.stderr
    assert here.manage("jobs", "--limit", "0", check=False).returncode == 2
