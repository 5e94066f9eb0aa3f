"""A throw-away PostgreSQL for the tests: `python -m tests.postgres COMMAND…` runs the command with
its DATABASE_URL, and removes it afterwards. Exit code 3: no server is installed."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOT_INSTALLED = 3


def server_folder() -> Path | None:
    """Where initdb and pg_ctl are: Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextmanager
def throw_away() -> Iterator[str]:
    """A running server's DATABASE_URL. Needs `server_folder()`."""
    folder = server_folder()
    assert folder is not None
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="jobsite-postgres-") as base:
        if user:
            os.chown(base, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        data, port = f"{base}/data", _free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={base} "
        options += "-c fsync=off -c synchronous_commit=off -c max_connections=200"

        def call(program: str, *args: str) -> None:
            subprocess.run(
                [str(folder / program), *args],
                user=user,
                check=True,
                cwd=base,
                stdout=subprocess.DEVNULL,
            )

        call(
            "initdb", "-D", data, "-U", "jobsite", "--auth=trust", "--encoding=UTF8", "--no-locale"
        )
        call("pg_ctl", "-D", data, "-o", options, "-l", f"{base}/log", "-w", "start")
        try:
            call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "jobsite", "jobsite")
            yield f"postgres://jobsite@127.0.0.1:{port}/jobsite"
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(argv: list[str]) -> int:
    if server_folder() is None:
        return NOT_INSTALLED
    with throw_away() as url:
        return subprocess.run(argv, env={**os.environ, "DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
