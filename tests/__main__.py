"""`python -m tests`: everything, on every database that can be had, and in a browser.

What cannot be had here is named loudly; with CI=true that is a failure.
"""

import os
import subprocess
import sys

from tests import browser, postgres

PYTEST = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup"]


def main(arguments: list[str]) -> int:
    runs = [("SQLite", [*PYTEST, "-m", "not browser", *arguments])]
    left_out = []
    if postgres.server_folder():
        command = [sys.executable, "-m", "tests.postgres", *PYTEST, "-m", "not browser"]
        runs.append(("PostgreSQL", [*command, *arguments]))
    else:
        left_out.append("PostgreSQL: no server is installed (Debian: apt-get install postgresql)")
    if browser.chromium():
        runs.append(("Chromium", [*PYTEST, "-m", "browser", *arguments]))
    else:
        left_out.append("Chromium: not installed (Debian: apt-get install chromium)")
    failed = []
    for name, command in runs:
        print(f"\n=== {name} ===", flush=True)
        # 5: nothing was collected, as when the arguments name a file without such tests.
        if subprocess.run(command, check=False).returncode not in (0, *([5] if arguments else [])):
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
