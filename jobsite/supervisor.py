"""Runs the parts of Jobsite as child processes, and keeps them running.

A child that ends is started again. A cluster whose sweeps have stopped beating is ended and
started again: django-q2 can be left wedged and silent when one of its workers dies at a bad moment.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError, connection
from django.utils import timezone

from jobs import leases
from jobs.operations.snapshot import last_beat

#: Seconds.
WEDGED_AFTER = 30.0
GRACE = 8.0
SETTLED_AFTER = 5.0
MOST_QUICK_ENDS = 5
_PR_SET_PDEATHSIG = 1


class CannotRun(Exception):
    """Something that the person must mend first, in one sentence."""


@dataclass
class Child:
    """One part. `beats` marks the cluster, whose heartbeat is in the database."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    beats: bool = False
    process: subprocess.Popen[str] | None = None
    started: float = 0.0
    quick_ends: int = 0


class Supervisor:
    """Starts, watches and stops children. `check` is called again and again by its owner."""

    def __init__(self, children: Sequence[Child], *, quiet: bool = False) -> None:
        self.children = children
        self.quiet = quiet
        self._last_beat_check = 0.0

    def start(self) -> None:
        for child in self.children:
            self._start(child)

    def check(self) -> None:
        """Start again what has ended or no longer beats. Raises `CannotRun` where that is no use."""
        for child in self.children:
            assert child.process is not None
            code = child.process.poll()
            if code is not None:
                self._ended(child, code)
        if time.monotonic() - self._last_beat_check >= 2.0:
            self._last_beat_check = time.monotonic()
            for child in self.children:
                if child.beats and self._is_wedged(child):
                    self._say(child, f"no heartbeat for {WEDGED_AFTER:.0f} s: starting it again")
                    self._kill(child)
                    self._start(child)

    def stop(self) -> None:
        """End all children: politely, and after `GRACE` seconds by force."""
        for child in self.children:
            _signal(child, signal.SIGTERM, group=False)
        time.sleep(0.3)
        try:
            # A sweep that has lost its slot stops claiming and finishes what is on its way.
            leases.revoke_here()
        except DatabaseError:
            connection.close()
        ends = time.monotonic() + GRACE
        for child in self.children:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(child, "does not end by itself: ending it")
            self._kill(child)

    def _start(self, child: Child) -> None:
        child.started = time.monotonic()
        child.process = subprocess.Popen(  # noqa: S603 - our own commands
            child.argv,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **child.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            # Its own group: Ctrl-C reaches the supervisor alone, and a kill reaches grandchildren.
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        threading.Thread(target=self._pump, args=(child, child.process), daemon=True).start()

    def _ended(self, child: Child, code: int) -> None:
        # A child that refuses to start ends by itself, with a code; a kill says nothing of it.
        quick = code > 0 and time.monotonic() - child.started < SETTLED_AFTER
        child.quick_ends = child.quick_ends + 1 if quick else 0
        if child.quick_ends >= MOST_QUICK_ENDS:
            raise CannotRun(f"{child.name} ends again and again (exit code {code}); see above.")
        self._say(child, f"ended with exit code {code}: starting it again")
        self._kill(child)
        if quick:
            time.sleep(min(0.5 * child.quick_ends, 2.0))
        self._start(child)

    def _is_wedged(self, child: Child) -> bool:
        if time.monotonic() - child.started < WEDGED_AFTER:
            return False
        try:
            last = last_beat()
        except DatabaseError:
            # Nothing can be said of the cluster while the database is away.
            connection.close()
            return False
        return last is None or (timezone.now() - last).total_seconds() > WEDGED_AFTER

    def _kill(self, child: Child) -> None:
        """End whatever is left of a child's group: a dead cluster leaves workers behind."""
        _signal(child, signal.SIGKILL, group=True)
        if child.process is not None:
            child.process.wait()

    def _pump(self, child: Child, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if not self.quiet:
                    self._say(child, line.rstrip())

    def _say(self, child: Child, text: str) -> None:
        sys.stderr.write(f"{child.name:<8}| {text}\n")
        sys.stderr.flush()


def parts(*, host: str, port: int, sandbox_port: int | None) -> list[Child]:
    """Web and cluster, and the stand-in where `sandbox_port` is given."""
    python = sys.executable
    env: dict[str, str] = {}
    children = []
    if sandbox_port is not None:
        from django.conf import settings

        env = {"SANDBOX_PORT": str(sandbox_port)}
        state = settings.VAR_DIR / "sandbox"
        children.append(
            Child(
                "sandbox",
                [
                    python,
                    "-m",
                    "jobsite.sandbox",
                    "--port",
                    str(sandbox_port),
                    "--state",
                    str(state),
                ],
                {
                    "SANDBOX_WEBHOOK_URL": f"http://127.0.0.1:{port}/webhooks/openai/",
                    "SANDBOX_WEBHOOK_SECRET": settings.OPENAI_WEBHOOK_SECRET,
                },
            )
        )
    gunicorn = [python, "-m", "gunicorn", "jobsite.wsgi", "--bind", f"{host}:{port}"]
    options = ["--worker-class", "gthread", "--workers", "2", "--threads", "16"]
    quiet = ["--no-control-socket", "--log-level", "warning"]
    children.append(Child("web", [*gunicorn, *options, *quiet], env))
    children.append(Child("cluster", [python, "manage.py", "qcluster"], env, beats=True))
    return children


def check_port(host: str, port: int, *, what: str, hint: str) -> None:
    """Raises `CannotRun` where something else listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OverflowError:
            raise CannotRun(f"{port} is no port: they go up to 65535. {hint}") from None
        except OSError as error:
            raise CannotRun(
                f"Port {port} for {what} cannot be had ({error.strerror}). {hint}"
            ) from None


def _signal(child: Child, number: int, *, group: bool) -> None:
    if child.process is None:
        return
    try:
        if group:
            os.killpg(child.process.pid, number)
        elif child.process.poll() is None:
            child.process.send_signal(number)
    except ProcessLookupError:
        pass


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """In the child: have the kernel end it when the supervisor dies, however that dies."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
