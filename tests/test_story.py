"""A whole life over real HTTP, in real processes, while everything knocks twice."""

import base64
import secrets
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobsite.sandbox.testing import RunningSandbox
from tests.processes import ROOT, installation, wait_for

DOCUMENT = ROOT / "docs" / "examples" / "incident-review.md"


@pytest.mark.xdist_group("processes")
def test_one_life_while_everything_knocks_twice(tmp_path):
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with (
        RunningSandbox(pace=0.3, webhook_secret=secret) as sandbox,
        installation(
            tmp_path,
            OPENAI_API_KEY="sk-test",
            OPENAI_BASE_URL=sandbox.base_url,
            OPENAI_WEBHOOK_SECRET=secret,
        ) as site,
    ):
        # Every webhook comes three times, and polls go on besides.
        sandbox.set_webhook(f"http://127.0.0.1:{site.port}/webhooks/openai/", secret)
        sandbox.script({"on": "create", "times": None, "do": {"webhook": {"times": 3}}})
        site.start("run", "--port", str(site.port))
        site.start("qcluster")

        def submit(_number):
            return site.json(
                *("submit", "document-digest", "--as", "requester", "--file", str(DOCUMENT)),
                *("--idempotency-key", "one life", "--wait", "60"),
            )

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(submit, range(2))
        assert first["id"] == second["id"]
        assert first["status"] == "needs_review"
        ref = first["ref"]

        def decide(person):
            return site.manage("decide", ref, "approve", "--as", person, check=False)

        with ThreadPoolExecutor(3) as pool:
            decisions = list(pool.map(decide, ["reviewer", "lead", "reviewer"]))
        assert sorted(done.returncode for done in decisions) == [0, 1, 1]
        for refused in (done for done in decisions if done.returncode):
            assert "decided" in refused.stderr or "first" in refused.stderr
        again = decide("reviewer")
        assert again.returncode == 1
        assert "decided" in again.stderr

        wait_for(lambda: sandbox.stats()["webhooks"]["ok"] >= 3, 10, "three webhooks taken")
        job = site.json("job", ref)
        assert job["status"] == "completed"
        assert [attempt["state"] for attempt in job["attempts"]] == ["succeeded"]
        assert len(job["attempts"][0]["turns"]) == 1
        assert job["result"]["citations"]
        text = DOCUMENT.read_text()
        for citation in job["result"]["citations"]:
            found = text[citation["start"] : citation["end"]]
            assert " ".join(found.split()) == " ".join(citation["quote"].split())
        assert Counter(event["verb"] for event in job["events"]) == {
            "submitted": 1,
            "started": 1,
            "review_asked": 1,
            "approved": 1,
        }
        assert list(sandbox.stats()["by_turn"].values()) == [1]
        assert len(site.json("jobs")) == 1
        assert site.json("verify_audit")["events"] == 4


@pytest.mark.xdist_group("processes")
def test_a_cluster_sweeps_at_once_and_takes_a_submit_up_at_once(tmp_path):
    """First sweep within 3 s of the start, also after a kill; a submit within a second."""
    with (
        RunningSandbox(pace=0.0) as sandbox,
        installation(tmp_path, OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=sandbox.base_url) as site,
    ):
        script = (
            "import os, signal, subprocess, sys, time\n"
            "from django.utils import timezone\n"
            "from jobs.models import SweepSlot\n"
            "def began():\n"
            "    start = timezone.now()\n"
            "    process = subprocess.Popen([sys.executable, 'manage.py', 'qcluster'],\n"
            "        start_new_session=True)\n"
            "    while not SweepSlot.objects.filter(started_at__gt=start).exists():\n"
            "        time.sleep(0.05)\n"
            "    return process, (timezone.now() - start).total_seconds()\n"
            "process, cold = began()\n"
            "time.sleep(3)\n"
            "os.killpg(process.pid, signal.SIGKILL)\n"
            "process.wait()\n"
            "process, again = began()\n"
            "time.sleep(2)\n"
            "from jobs.models import *\n"
            "from jobs.actions import submit\n"
            "requester = User.objects.get(username='requester')\n"
            "job = submit(JobType.objects.get(slug='research-brief'), requester=requester,\n"
            "    workspace=Workspace.objects.get(), input={'topic': 'queues'},\n"
            "    now=timezone.now()).job\n"
            "while not (turn := Turn.objects.filter(attempt__job=job).exclude(\n"
            "        response_id=None).first()):\n"
            "    time.sleep(0.02)\n"
            "picked_up = (turn.sent_at - job.created_at).total_seconds()\n"
            "os.killpg(process.pid, signal.SIGKILL)\n"
            "process.wait()\n"
            "print('TIMES', cold, again, picked_up)\n"
        )
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", script],
            cwd=ROOT,
            env=site.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "TIMES" in done.stdout, done.stderr
        cold, again, picked_up = map(float, done.stdout.split("TIMES")[1].split())
        # Generous for a loaded machine: these are promises about seconds, not a benchmark.
        assert cold < 6
        assert again < 6
        assert picked_up < 2
