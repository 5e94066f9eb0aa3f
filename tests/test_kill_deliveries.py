"""Killing the cluster while results leave the building, with a receiver that counts."""

import os
import random
import time

import pytest

from jobsite.sandbox.testing import RunningSandbox
from tests.processes import installation, wait_for
from tests.receiver import Receiver
from tests.test_kill import SUBMIT, _cluster, _kill

JOBS = 12
ROUTE = """
from jobs.models import JobType, Review, Workspace
from reviews.models import Endpoint, Route
JobType.objects.update(review=Review.NEVER)
for place in Workspace.objects.all():
    cms = Endpoint.objects.create(workspace=place, name="CMS", url="{url}")
    Route.objects.create(workspace=place, channel="webhook", endpoint=cms, hold=0)
    Route.objects.create(workspace=place, channel="folder", hold=0)
"""


@pytest.mark.xdist_group("processes")
def test_every_result_arrives_although_the_cluster_is_killed_again_and_again(tmp_path):
    seed = int(os.environ.get("KILL_SEED", "20262"))
    chance = random.Random(seed)
    drop = tmp_path / "drop"
    drop.mkdir()
    receiver = Receiver()
    # It thinks, so that kills find requests on their way, and it fails now and then.
    receiver.answers = [*[(200, {}, 0.5), (503, {}, 0.1)] * 4, (200, {}, 0.5)]
    try:
        with (
            RunningSandbox(pace=0.2) as sandbox,
            installation(
                tmp_path,
                OPENAI_API_KEY="sk-test",
                OPENAI_BASE_URL=sandbox.base_url,
                WEBHOOKS_WITHIN="true",
                FILE_DROP_ROOT=str(drop),
            ) as site,
        ):
            site.manage("shell", "-v", "0", "-c", ROUTE.format(url=receiver.url))
            supervisor = site.start("run", "--port", str(site.port))
            wait_for(lambda: _cluster(supervisor.pid), 30, "a cluster")
            submitting = site.start("shell", "-v", "0", "-c", SUBMIT.format(jobs=JOBS))
            for number in range(6):
                time.sleep(chance.uniform(0.5, 3.0))
                _kill(supervisor.pid, whole=number % 2 == 0, chance=chance)
            assert submitting.wait(90) == 0

            def all_over():
                jobs = site.json("jobs", "--limit", "100")
                rows = site.json("deliveries", "--limit", "100")
                done = [job for job in jobs if job["status"] in ("completed", "failed")]
                completed = [job for job in jobs if job["status"] == "completed"]
                arrived = [row for row in rows if row["state"] == "delivered"]
                return rows if len(done) == JOBS and len(arrived) == 2 * len(completed) else None

            rows = wait_for(all_over, 240, f"delivered (seed {seed})", every=3.0)
            posted = {row["id"] for row in rows if row["channel"] == "webhook"}
            assert posted and set(receiver.counts) == posted
            dropped = {row["job"] for row in rows if row["channel"] == "folder"}
            there = sorted(path.name[:9] for path in drop.rglob("*.json"))
            assert there == sorted(dropped), "each is there, and there once"
            assert site.json("verify_audit")["ok"]
    finally:
        receiver.close()
