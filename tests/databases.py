"""Databases for tests, copied from one that was migrated once: to migrate takes longer than most
files of tests run. What was migrated is kept in var/, or on the test's own server, under a name made
of all that it came from."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "var" / "tests"
#: A migrated database as no test has changed it.
MAKE = (["migrate", "--verbosity", "0"], ["createcachetable"], ["prices", "seed"])


def fill_sqlite(path: Path) -> None:
    """A migrated database at `path`, in place of what was there."""
    kept = KEPT / f"{_made_of()}.sqlite3"
    with _alone():
        if not kept.exists():
            for old in KEPT.glob("*.sqlite3*"):
                old.unlink()
            unfinished = kept.with_suffix(".sqlite3-unfinished")
            _migrate(f"sqlite:///{unfinished}")
            unfinished.rename(kept)
    for old in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        old.unlink(missing_ok=True)
    shutil.copyfile(kept, path)


@contextmanager
def on_postgresql(name: str) -> Iterator[str]:
    """The address of a migrated database `name` on the server of DATABASE_URL, gone afterwards."""
    kept, unfinished = f"migrated_{_made_of()}", f"unfinished_{_made_of()}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        with _alone():
            found = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [kept])
            if not found.fetchone():
                server.execute(f'DROP DATABASE IF EXISTS "{unfinished}" WITH (FORCE)')
                server.execute(f'CREATE DATABASE "{unfinished}"')
                _migrate(_address(unfinished))
                server.execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{kept}"')
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{kept}"')
        try:
            yield _address(name)
        finally:
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _address(name: str) -> str:
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def _migrate(url: str) -> None:
    for arguments in MAKE:
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url},
            stdout=subprocess.DEVNULL,
            check=True,
        )


@cache
def _made_of() -> str:
    """All that decides what `_migrate` leaves, as twelve hexadecimal digits."""
    digest = hashlib.sha256(version("genai-prices").encode())
    sources = [ROOT / "requirements.txt", ROOT / "jobs" / "price_book.py", Path(__file__)]
    for app in ("jobs", "reviews"):
        sources += sorted((ROOT / app / "migrations").glob("*.py"))
        sources += sorted((ROOT / app / "models").glob("*.py"))
    for source in sources:
        digest.update(f"{source.relative_to(ROOT)}\n".encode() + source.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time, and none that waits for one that has died."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
