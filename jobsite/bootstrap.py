"""`make setup`: a virtual environment, the packages, and a .env for this machine.

Runs on whatever Python is there, so it uses the standard library alone. Quick when nothing is to
be done: what was installed is remembered in .venv.
"""

import hashlib
import os
import secrets
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")

ENV = """\
# Settings of this machine, made by `make setup`. The README lists what can be set.
DEBUG=true
ALLOWED_HOSTS=localhost,127.0.0.1
SECRET_KEY={key}
"""


def main(argv):
    if sys.version_info < (3, 11):  # noqa: UP036 - said before anything newer is used
        return f"Jobsite needs Python 3.11 or newer; this is {sys.version.split()[0]}. Run `make PYTHON=python3.12 …`."
    try:
        import ensurepip  # noqa: F401 - Debian parts it from Python
        import sqlite3  # noqa: F401
        import venv
    except ImportError as error:
        return (
            f"This Python lacks the module {error.name}. On Debian and Ubuntu: "
            "apt-get install python3-venv."
        )
    requirements = "requirements-dev.txt" if "--dev" in argv else "requirements.txt"
    if not os.path.exists(PYTHON):
        print("Making a virtual environment in .venv", flush=True)
        venv.create(VENV, with_pip=True, clear=True)
    if not is_installed(requirements):
        print(f"Installing {requirements} (a minute or so)", flush=True)
        command = [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]
        done = subprocess.run(command + [os.path.join(ROOT, requirements)], check=False)  # noqa: S603
        if done.returncode:
            return "The packages could not be installed; what pip said stands above."
        remember(requirements)
    write_env()
    return 0


def stamp(requirements):
    """Names what is installed: the Python and the text of the requirement files."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements.txt", requirements):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def is_installed(requirements):
    return os.path.exists(os.path.join(VENV, "installed-" + stamp(requirements)))


def remember(requirements):
    # What is installed for the tests is more than what is needed to run.
    for name in {requirements, "requirements.txt"}:
        with open(os.path.join(VENV, "installed-" + stamp(name)), "w"):
            pass


def write_env():
    path = os.path.join(ROOT, ".env")
    if not os.path.exists(path):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(ENV.format(key=secrets.token_urlsafe(50)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
