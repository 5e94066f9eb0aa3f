"""`manage.py decide`: a person's ruling from the command line."""

import json

import pytest

from jobs.models import FunctionCall, Role, State, Status
from reviews.models import Decision, Ruling
from tests import payloads
from tests.factories import EMAIL, JobFactory, JobTypeFactory, UserFactory, become_unknown, wants

pytestmark = pytest.mark.django_db


@pytest.fixture
def job():
    return JobFactory(status=Status.NEEDS_REVIEW)


@pytest.fixture
def reviewer(job):
    return UserFactory(workspace=job.workspace, roles=[Role.REVIEWER])


def test_an_approval_completes_the_job(shell, job, reviewer):
    args = ("decide", job.ref, "approve", "--as", reviewer, "--note", "Fine.")
    ran = shell(*args, "--hash", job.open_gate.content_hash, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["ref"], ran.json["status"], ran.json["gate"]) == (job.ref, "completed", None)
    last = ran.json["events"][-1]
    assert (last["verb"], last["actor"]) == ("approved", reviewer.username)
    assert last["reason"]["text"] == "Fine."
    assert Decision.objects.get().actor == reviewer


def test_a_decision_is_readable(shell, job, reviewer):
    ran = shell("decide", job.ref, "reject", "--as", reviewer, "--note", "Not sound.")
    assert ran.code == 0
    assert ran.out.startswith(f"{job.ref}  {job.job_type.slug}  failed\n")


@pytest.mark.parametrize("ruling", ["approve", "reject", "cancel", "retry"])
def test_the_second_to_decide_is_exit_code_1(ruling, shell, job, reviewer):
    assert shell("decide", job.ref, "approve", "--as", reviewer).code == 0
    ran = shell("decide", job.ref, ruling, "--as", reviewer, "--json")
    assert ran.code == 1
    assert f"{reviewer} decided at" in ran.json["error"]
    assert ran.err.strip() == ran.json["error"]
    assert Decision.objects.count() == 1


def test_a_decision_on_an_older_result_is_exit_code_1(shell, job, reviewer):
    ran = shell("decide", job.ref, "approve", "--as", reviewer, "--hash", "0" * 64, "--json")
    assert (ran.code, "you looked at" in ran.json["error"]) == (1, True)


def test_whoever_may_not_decide_is_exit_code_1(shell, job):
    ran = shell("decide", job.ref, "approve", "--as", job.requester, "--json")
    assert ran.code == 1
    assert ran.json["error"] == "Your role (requester) does not allow “Approve”."
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["shrug", "--as", "{person}"], "invalid choice: 'shrug'"),
        (["approve"], "the following arguments are required: --as"),
        (["approve", "--as", "nobody"], "no active account nobody"),
        (["request_changes", "--as", "{person}"], "needs a note that says what to change"),
        (["reject", "--as", "{person}"], "needs a note that says why"),
        (["escalate", "--as", "{person}"], "needs a note that says what somebody else"),
        (["approve", "--as", "{person}", "--response-id", "resp_1"], "goes with settle"),
    ],
)
def test_a_wrong_call_is_exit_code_2(args, said, shell, job, reviewer):
    args = [arg.format(person=reviewer) for arg in args]
    ran = shell("decide", job.ref, *args, "--json")
    assert ran.code == 2
    assert said in ran.json["error"]
    assert said in ran.err
    assert not Decision.objects.exists()


def test_a_job_that_is_not_there_is_exit_code_1(shell, reviewer):
    ran = shell("decide", "J-0000000", "approve", "--as", reviewer, "--json")
    assert (ran.code, ran.json) == (1, {"error": "There is no job J-0000000."})


def test_requested_changes_queue_the_job_again(shell, job, reviewer):
    args = ("--as", reviewer, "--note", "Shorter.")
    ran = shell("decide", job.ref, "request_changes", *args, "--json")
    assert (ran.code, ran.json["status"]) == (0, "queued")
    assert [attempt["cause"] for attempt in ran.json["attempts"]] == ["first", "changes"]


def test_an_unknown_submit_is_settled_with_its_response(shell):
    job = JobFactory()
    become_unknown(job)
    operator = UserFactory(workspace=job.workspace, roles=[Role.OPERATOR])
    args = ("decide", job.ref, "settle", "--as", operator, "--json")
    assert shell(*args, "--response-id", "../x").code == 2
    ran = shell(*args, "--response-id", "resp_found")
    assert (ran.code, ran.json["status"]) == (0, "running")
    assert job.attempts.get().state == State.UNKNOWN
    assert (shell(*args).json["status"], Decision.objects.count()) == ("failed", 2)


def test_every_ruling_can_be_named(shell, job, reviewer):
    for ruling in Ruling:
        assert shell("decide", job.ref, ruling, "--as", reviewer).code in (0, 1, 2)
        assert "invalid choice" not in shell("decide", job.ref, ruling, "--as", reviewer).err


def test_tool_calls_are_edited_and_refused_by_their_place(shell):
    two = [
        payloads.function_call("send_email", EMAIL, call_id="call_1"),
        payloads.function_call("send_email", EMAIL, call_id="call_2"),
    ]
    tools = [{"type": "function", "name": "send_email"}]
    job = wants(JobTypeFactory(version__tools=tools), *two)
    UserFactory(username="lea", workspace=job.workspace, roles=[Role.LEAD])
    edited = json.dumps({**EMAIL, "subject": "Again"})

    def lea(*args):
        return shell("decide", job.ref, *args[:1], "--as", "lea", *args[1:])

    wrong = lea("approve", "--edit", "1=[]")
    assert (wrong.code, "arguments of send_email are wrong" in wrong.err) == (2, True)
    assert lea("approve", "--edit", "here").code == 2
    assert lea("approve", "--refuse", "3").code == 2
    assert lea("reject", "--note", "No.", "--refuse", "1").code == 2
    assert lea("approve", "--edit", f"1={edited}", "--refuse", "2").code == 0
    first, second = FunctionCall.objects.order_by("position")
    assert (first.effective_arguments, second.outcome) == (edited, "refused")


def test_a_result_is_approved_as_it_stands_in_a_file(shell, job, reviewer, tmp_path):
    file = tmp_path / "better.md"
    file.write_text("Better,\nby far.")
    ran = shell("decide", job.ref, "approve", "--as", reviewer, "--edit", file, "--json")
    assert (ran.code, ran.json["status"]) == (0, "completed")
    assert ran.json["result"]["text"] == "Better,\nby far."
    assert ran.json["result"]["produced"]["text"] == "The answer."
    assert Decision.objects.get().edit.text == "Better,\nby far."


def test_an_edited_result_comes_from_stdin_too(shell, job, reviewer):
    args = ("decide", job.ref, "approve", "--as", reviewer, "--edit", "-", "--json")
    assert shell(*args, stdin="Better.").json["result"]["text"] == "Better."


def test_a_file_that_is_no_version_is_exit_code_2(shell, job, reviewer, tmp_path):
    (tmp_path / "empty").write_text("")
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff")
    for name, said in [
        ("empty", "nothing left"),
        ("picture", "no text in UTF-8"),
        ("missing", "cannot be read"),
        (".", "cannot be read"),
    ]:
        ran = shell("decide", job.ref, "approve", "--as", reviewer, "--edit", tmp_path / name)
        assert (ran.code, said in ran.err) == (2, True), ran.err
    args = ("decide", job.ref, "approve", "--as", reviewer, "--edit", "a", "--edit", "b")
    assert "takes one file" in shell(*args).err
    assert not Decision.objects.exists()


def test_a_reason_is_named_by_its_code(shell, job, reviewer):
    reject = ("decide", job.ref, "reject", "--as", reviewer, "--note", "No.")
    assert "not given for that reason" in shell(*reject, "--reason", "conflict").err
    assert shell(*reject, "--reason", "mood").code == 2
    assert shell(*reject, "--reason", "unsafe").code == 0
    assert Decision.objects.get().reason_code == "unsafe"


def test_whoever_decides_reads_of_the_job_what_they_may_read(shell, job, reviewer):
    written = job.attempts.get().result.text
    own = shell("decide", job.ref, "cancel", "--as", job.requester, "--json")
    assert own.code == 0
    assert (own.json["status"], own.json["result"], own.json["attempts"]) == ("canceled", None, [])
    assert written not in own.out
    other = JobFactory(status=Status.NEEDS_REVIEW, workspace=job.workspace)
    ran = shell("decide", other.ref, "reject", "--as", reviewer, "--note", "No.", "--json")
    assert ran.json["result"]["text"] == written
