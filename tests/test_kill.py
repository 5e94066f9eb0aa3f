"""Killing the cluster, whole and in part, at random moments of fifty jobs."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from jobsite.sandbox.testing import RunningSandbox
from tests.processes import Installation, children, installation, wait_for

JOBS = 50
SUBMIT = """
import time
from django.core.management import call_command
for number in range({jobs}):
    call_command("submit", "research-brief", username="requester", pairs=[f"topic=queues {{number}}"],
                 stdout=open("/dev/null", "w"))
    time.sleep(0.25)
"""


@pytest.mark.xdist_group("processes")
def test_fifty_jobs_settle_although_the_cluster_is_killed_again_and_again(tmp_path):
    seed = int(os.environ.get("KILL_SEED", "20261"))
    chance = random.Random(seed)
    with (
        RunningSandbox(pace=0.5) as sandbox,
        installation(tmp_path, OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=sandbox.base_url) as site,
    ):
        # An answer takes its time, so that kills find creates on their way.
        sandbox.script({"on": "create", "times": None, "do": {"hang": 0.4, "work": True}})
        supervisor = site.start("run", "--port", str(site.port))
        wait_for(lambda: _cluster(supervisor.pid), 20, "a cluster")
        submitting = site.start("shell", "-v", "0", "-c", SUBMIT.format(jobs=JOBS))
        for number in range(12):
            time.sleep(chance.uniform(0.3, 2.5))
            _kill(supervisor.pid, whole=number % 2 == 0, chance=chance)
        assert submitting.wait(60) == 0
        settled_by = time.monotonic() + 180

        def all_settled():
            jobs = site.json("jobs", "--limit", "100")
            ended = [job for job in jobs if job["settled_at"] or job["status"] == "needs_review"]
            return jobs if len(ended) == JOBS == len(jobs) else None

        jobs = wait_for(
            all_settled, settled_by - time.monotonic(), f"settled (seed {seed})", every=2.0
        )
        started = sandbox.stats()["by_turn"]
        assert max(started.values()) == 1, "a turn started more than one response"
        _nothing_is_left_behind(site)
        for job in jobs:
            if job["status"] != "completed":
                assert job["status"] == "failed"
                assert job["reason"]["code"] == "submit_outcome_unknown"
                assert "twice" in job["reason"]["text"]
        assert any(job["status"] == "completed" for job in jobs)
        assert site.json("verify_audit")["ok"]


def _cluster(supervisor: int) -> int | None:
    for pid in children(supervisor):
        try:
            if b"qcluster" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        except OSError:
            continue
    return None


def _kill(supervisor: int, *, whole: bool, chance: random.Random) -> None:
    cluster = wait_for(lambda: _cluster(supervisor), 30, "a cluster to kill")
    if whole:
        os.killpg(cluster, signal.SIGKILL)
        return
    inner = [pid for sentinel in children(cluster) for pid in children(sentinel)]
    if inner:
        os.kill(chance.choice(inner), signal.SIGKILL)


def _nothing_is_left_behind(site: Installation) -> None:
    said = site.manage(
        "shell",
        "-v",
        "0",
        "-c",
        "from jobs.models import *; from jobs.models.attempts import OPEN;"
        "print(Attempt.objects.filter(state__in=sorted(OPEN)).count(),"
        "Attempt.objects.exclude(lease_token=None).count())",
    )
    assert said.stdout.split() == ["0", "0"]
