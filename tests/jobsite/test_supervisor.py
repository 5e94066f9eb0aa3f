"""The supervisor, with children that are real processes."""

import socket
import sys
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.models import SweepSlot
from jobsite import supervisor
from jobsite.supervisor import CannotRun, Child, Supervisor, check_port
from tests.processes import free_port, wait_for

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
FAILS = [sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)"]
GROUP = [
    sys.executable,
    "-c",
    "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', "
    "'import time; time.sleep(600)']); print(p.pid, flush=True); p.wait()",
]


@pytest.fixture
def running():
    made = []

    def make(*children):
        one = Supervisor(children)
        made.append(one)
        one.start()
        return one

    yield make
    for one in made:
        for child in one.children:
            one._kill(child)


def test_a_child_that_is_killed_is_started_again(running):
    child = Child("part", SLEEPS)
    one = running(child)
    for _time in range(7):
        before = child.process.pid
        child.process.kill()
        child.process.wait()
        one.check()
        assert child.process.pid != before
        assert child.process.poll() is None


def test_a_child_that_refuses_to_start_is_given_up_with_a_sentence(running, monkeypatch, capfd):
    monkeypatch.setattr(supervisor.time, "sleep", lambda seconds: None)
    child = Child("part", FAILS)
    one = running(child)
    with pytest.raises(CannotRun, match="part ends again and again .exit code 3."):
        while True:
            child.process.wait()
            one.check()
    wait_for(lambda: "part    | no such thing" in capfd.readouterr().err, 5, "its output")


@pytest.mark.django_db
def test_a_cluster_without_a_heartbeat_is_started_again(running, monkeypatch):
    child = Child("cluster", SLEEPS, beats=True)
    one = running(child)
    first = child.process.pid
    stale = timezone.now() - timedelta(seconds=supervisor.WEDGED_AFTER + 1)
    slot = SweepSlot.objects.create(number=0, beat_at=stale)
    one.check()
    assert child.process.pid == first, "it has only just begun"
    child.started = time.monotonic() - supervisor.WEDGED_AFTER - 1
    one._last_beat_check = 0
    one.check()
    second = child.process.pid
    assert second != first
    slot.beat_at = timezone.now()
    slot.save()
    child.started = time.monotonic() - supervisor.WEDGED_AFTER - 1
    one._last_beat_check = 0
    one.check()
    assert child.process.pid == second, "it beats"
    assert supervisor.WEDGED_AFTER < 60


@pytest.mark.django_db
def test_stopping_leaves_nothing_of_a_group_behind(running, capfd):
    child = Child("part", GROUP)
    one = running(child)
    said = wait_for(lambda: capfd.readouterr().err, 5, "the grandchild's pid")
    grandchild = int(said.split("|")[1])
    one.stop()
    wait_for(lambda: _gone(grandchild), 5, "the end of the grandchild")


def _gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_port_that_is_taken_is_named():
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(CannotRun, match=f"Port {port} for the web server cannot be had"):
            check_port("127.0.0.1", port, what="the web server", hint="Choose another.")
