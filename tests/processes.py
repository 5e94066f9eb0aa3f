"""A whole installation of its own for one test: database, files, and real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from tests import databases

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """`manage` runs a command to its end; `start` runs one beside the test."""

    def __init__(self, folder: Path, database_url: str, **env: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COV_")},
            "ENV_FILE": "",
            "DEBUG": "true",
            "SECRET_KEY": "a key for one installation under test, long enough",
            "ALLOWED_HOSTS": "127.0.0.1",
            "DATABASE_URL": database_url,
            "MEDIA_ROOT": str(folder / "media"),
            "DEMO_PASSWORD": "only for this test",
            "QUEUE_LOG_LEVEL": "CRITICAL",
            **env,
        }
        self.processes: list[subprocess.Popen[str]] = []

    def manage(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done

    def json(self, *args: str) -> Any:
        return json.loads(self.manage(*args, "--json").stdout)

    def start(self, *args: str) -> subprocess.Popen[str]:
        """A `manage.py` process in a group of its own. Its output goes to a file in the folder."""
        with (self.folder / f"{args[0]}-{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *args],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-4000:]}" for path in self.folder.glob("*.log")
        )


@contextmanager
def installation(folder: Path, **env: str) -> Iterator[Installation]:
    """Set up with demo accounts, on the kind of database that the tests run on."""
    with _database(folder) as url:
        made = Installation(folder, url, **env)
        made.manage("setup", "--demo")
        try:
            yield made
        except BaseException:
            sys.stderr.write(made.logs())
            raise
        finally:
            made.stop()


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        databases.fill_sqlite(folder / "jobsite.sqlite3")
        yield f"sqlite:///{folder / 'jobsite.sqlite3'}"
        return
    with databases.on_postgresql(f"test_{uuid.uuid4().hex}") as url:
        yield url


def wait_for(holds: Callable[[], Any], seconds: float, what: str, *, every: float = 0.2) -> Any:
    """`holds()` as soon as it is true. Fails after `seconds`, saying `what` was waited for."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := holds():
            return value
        time.sleep(every)
    raise AssertionError(f"not within {seconds} s: {what}")


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found
