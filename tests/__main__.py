"""`python -m tests`: everything, on every database that can be had, and in a browser.

What cannot be had here is named loudly; with CI=true that is a failure. What fails in a browser is
run once more, alone: two browsers, each with servers of its own, can starve each other on two cores.
A fault fails twice; what fails once is named.
"""

import os
import subprocess
import sys

from tests import browser, postgres

ALONE = [sys.executable, "-m", "pytest", "-q"]
TWO_AT_A_TIME = [*ALONE, "-n", "2"]
# Those that start clusters take turns. With groups, a worker that died and was replaced would leave
# the run without an end (pytest-xdist #1323): there the run ends with it.
GROUPED = [*TWO_AT_A_TIME, "--dist", "loadgroup", "--max-worker-restart", "0"]
#: Seconds after which a browser test hangs; the longest takes one minute where nothing else runs.
IN_A_BROWSER = ["-m", "browser", "-o", "faulthandler_timeout=300"]
ONCE_MORE = ["-v", "--last-failed", "--last-failed-no-failures=none"]
#: pytest's exit codes.
PASSED, FAILED, NOTHING_TO_RUN = 0, 1, 5


def main(arguments: list[str]) -> int:
    # Read anew by each process, all those tests take longer to compile than many of them to run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    runs = [("SQLite", [*GROUPED, "-m", "not browser", *arguments])]
    left_out = []
    if postgres.server_folder():
        # What asks no database has been run.
        those = ["-m", "not browser and not no_database"]
        command = [sys.executable, "-m", "tests.postgres", *GROUPED, *those]
        runs.append(("PostgreSQL", [*command, *arguments]))
    else:
        left_out.append("PostgreSQL: no server is installed (Debian: apt-get install postgresql)")
    if browser.chromium():
        runs.append(("Chromium", [*TWO_AT_A_TIME, *IN_A_BROWSER, *arguments]))
    else:
        left_out.append("Chromium: not installed (Debian: apt-get install chromium)")
    failed = []
    for name, command in runs:
        print(f"\n=== {name} ===", flush=True)
        code = subprocess.run(command, check=False).returncode
        if name == "Chromium" and code == FAILED:
            print("\n=== Chromium, alone: what failed ===", flush=True)
            again = [*ALONE, *IN_A_BROWSER, *ONCE_MORE, *arguments]
            code = subprocess.run(again, check=False).returncode and FAILED
        # Nothing is there to run when the arguments name a file without such tests.
        if code not in (PASSED, *([NOTHING_TO_RUN] if arguments else [])):
            failed.append(name)
    for what in left_out:
        print(f"\n!!! LEFT OUT  {what}", flush=True)
    if failed:
        print(f"\nFailed on {', '.join(failed)}.")
    if left_out and os.environ.get("CI") == "true":
        print("\nWith CI=true nothing may be left out.")
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
