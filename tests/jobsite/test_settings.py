"""Settings from the environment, each in a process of its own with nothing else set."""

import json
import os
import subprocess
import sys

import pytest

from tests.processes import ROOT

KEY = "M4k9$wQx0v7!bT2mZ4pL8rS6nD1fG3hJ5yC-eUaWiOtRz_XqVb"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
PRODUCTION = {
    "SECRET_KEY": KEY,
    "ALLOWED_HOSTS": "jobs.example.com",
    "OPENAI_API_KEY": "sk-production",
    "OPENAI_WEBHOOK_SECRET": SECRET,
}


def run(*argv, **env):
    """Run Python with these variables and no others; None takes one away."""
    given = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": "",
        "DATABASE_URL": "sqlite://:memory:",
        **PRODUCTION,
        **env,
    }
    return subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        env={name: value for name, value in given.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=60,
    )


def values(*names, **env):
    code = (
        "import json, jobsite.settings as s;"
        f"print(json.dumps([getattr(s, n, None) for n in {names!r}] + [s.SETTINGS_PROBLEMS]))"
    )
    done = run("-c", code, **env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


#: name: (what is set wrongly, the check's id, what is said)
WRONG = {
    "no secret key": ({"SECRET_KEY": None}, "E003", "SECRET_KEY is not set."),
    "an empty secret key": ({"SECRET_KEY": " "}, "E003", "SECRET_KEY is not set."),
    "no hosts": ({"ALLOWED_HOSTS": None}, "E004", "ALLOWED_HOSTS is not set."),
    "empty hosts": ({"ALLOWED_HOSTS": " , "}, "E004", "ALLOWED_HOSTS is not set."),
    "a short secret key": ({"SECRET_KEY": KEY[:31]}, "E007", "SECRET_KEY is shorter than 32"),
    "a short audit key": ({"AUDIT_KEY": KEY[:31]}, "E007", "AUDIT_KEY is shorter than 32"),
    "a short endpoint key": ({"ENDPOINT_KEY": KEY[:31]}, "E007", "ENDPOINT_KEY is shorter than 32"),
    "proxies": ({"TRUSTED_PROXY_COUNT": "all"}, "E001", "TRUSTED_PROXY_COUNT cannot be read"),
    "fewer than no proxies": ({"TRUSTED_PROXY_COUNT": "-1"}, "E001", "-1 is less than none"),
    "a switch": ({"DEBUG": "maybe"}, "E001", "'maybe' is neither true nor false"),
    "another switch": ({"SECURE_SSL_REDIRECT": "2"}, "E001", "SECURE_SSL_REDIRECT cannot be"),
    "a port": ({"SANDBOX_PORT": "many"}, "E001", "SANDBOX_PORT cannot be read"),
    "a port that is none": ({"SANDBOX_PORT": "99999"}, "E001", "SANDBOX_PORT cannot be read"),
    "seconds": ({"OPENAI_CREATE_TIMEOUT": "soon"}, "E001", "OPENAI_CREATE_TIMEOUT cannot be"),
    "no seconds": ({"OPENAI_RETRIEVE_TIMEOUT": "0"}, "E001", "OPENAI_RETRIEVE_TIMEOUT cannot be"),
    "endless seconds": ({"OPENAI_CREATE_TIMEOUT": "nan"}, "E001", "OPENAI_CREATE_TIMEOUT cannot"),
    "a database": ({"DATABASE_URL": "mysql://u@h/n"}, "E001", "no database that Jobsite runs on"),
    "no database": ({"DATABASE_URL": "nonsense"}, "E001", "DATABASE_URL"),
    "a mail address": ({"EMAIL_URL": "pigeon://coop"}, "E001", "EMAIL_URL cannot be read"),
    "a log level": ({"LOG_LEVEL": "LOUD"}, "E001", "LOG_LEVEL cannot be read"),
    "the queue's log level": ({"QUEUE_LOG_LEVEL": "LOUD"}, "E001", "QUEUE_LOG_LEVEL cannot be"),
    "a base address": ({"OPENAI_BASE_URL": "api.openai.com"}, "E006", "not an http address"),
    "a secret's file": ({"SECRET_KEY_FILE": "/nowhere"}, "E002", "SECRET_KEY_FILE cannot be read"),
    "the env file": ({"ENV_FILE": "/nowhere"}, "E002", "ENV_FILE"),
    "a secret without its mark": (
        {"OPENAI_WEBHOOK_SECRET": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        "E005",
        "does not start with whsec_.",
    ),
    "a secret that is not base64": (
        {"OPENAI_WEBHOOK_SECRET": "whsec_not-base64!"},
        "E005",
        "is not base64 after whsec_.",
    ),
    "a secret that is too short": (
        {"OPENAI_WEBHOOK_SECRET": "whsec_c2hvcnQ="},
        "E005",
        "is too short to be a secret.",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_a_check_with_an_id_and_a_hint(case):
    env, check_id, said = WRONG[case]
    done = run("manage.py", "check", **env)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    [complaint] = [line for line in done.stderr.splitlines() if f"(jobsite.{check_id})" in line]
    assert said in complaint
    hint = done.stderr.split(complaint)[1].strip().splitlines()[0]
    assert hint.startswith("HINT: ") and len(hint) > 15


def test_one_run_names_everything_that_is_wrong():
    env = {"SECRET_KEY": None, "ALLOWED_HOSTS": None, "DEBUG": "maybe", "SANDBOX_PORT": "many"}
    said = run("manage.py", "check", **env).stderr
    for check_id in ("E001", "E003", "E004"):
        assert f"jobsite.{check_id}" in said
    assert said.count("jobsite.E001") == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_WEBHOOK_SECRET", "whsec_half-a-secret!"),
        ("DATABASE_URL", "postgress://me:half-a-secret@host/name"),
    ],
)
def test_a_secret_is_never_repeated(name, value):
    done = run("manage.py", "check", **{name: value})
    assert done.returncode == 1
    assert "half-a-secret" not in done.stderr + done.stdout


def test_a_wrong_database_is_never_replaced_silently():
    assert values("DEBUG", DATABASE_URL="postgress://host/name")[1] != []


@pytest.mark.parametrize("database", ["sqlite://:memory:", "postgres://me:secret@db:5432/jobs"])
def test_production_passes_the_deploy_check(database):
    argv = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = run(*argv, DATABASE_URL=database, OPENAI_WEBHOOK_SECRET=None)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_production_for_every_host_is_warned_of():
    assert "jobsite.W002" in run("manage.py", "check", "--deploy", ALLOWED_HOSTS="*").stderr


def test_a_short_key_does_on_ones_own_machine():
    done = run("manage.py", "check", DEBUG="true", SECRET_KEY="check", AUDIT_KEY="check")
    assert done.returncode == 0, done.stderr


def test_proxies_are_trusted_by_number():
    assert values("ALLAUTH_TRUSTED_PROXY_COUNT") == [0, []]
    assert values("ALLAUTH_TRUSTED_PROXY_COUNT", TRUSTED_PROXY_COUNT="2") == [2, []]


def test_production_on_the_stand_in_is_warned_of():
    done = run("manage.py", "check", "--deploy", OPENAI_API_KEY=None)
    assert "jobsite.W001" in done.stderr


def test_secrets_come_from_files(tmp_path):
    env = dict.fromkeys(PRODUCTION, None) | {"ALLOWED_HOSTS": "x"}
    names = ["SECRET_KEY", "OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET", "AUDIT_KEY"]
    for name in names:
        (tmp_path / name).write_text(f"{PRODUCTION.get(name, KEY)}\n")
        env[f"{name}_FILE"] = str(tmp_path / name)
    *read, problems = values(*names, **env)
    assert read == [KEY, "sk-production", SECRET, KEY]
    assert problems == []


def test_settings_come_from_an_env_file(tmp_path):
    path = tmp_path / "env"
    path.write_text(f"SECRET_KEY='{KEY}'\nALLOWED_HOSTS=a.example.com,b.example.com\n")
    env = {"SECRET_KEY": None, "ALLOWED_HOSTS": None, "ENV_FILE": str(path)}
    assert values("SECRET_KEY", "ALLOWED_HOSTS", **env) == [
        KEY,
        ["a.example.com", "b.example.com"],
        [],
    ]
    # The environment has the last word.
    assert values("ALLOWED_HOSTS", **env | {"ALLOWED_HOSTS": "c"})[0] == ["c"]


def test_production_is_the_default_and_closed():
    names = ["DEBUG", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT"]
    assert values(*names) == [False, True, True, True, []]
    names = ["LOGIN_URL", "X_FRAME_OPTIONS", "SESSION_COOKIE_HTTPONLY", "CSRF_COOKIE_HTTPONLY"]
    assert values(*names) == ["account_login", "DENY", True, True, []]


def test_without_a_key_the_stand_in_on_this_machine_answers():
    env = {"OPENAI_API_KEY": None, "OPENAI_WEBHOOK_SECRET": None, "SANDBOX_PORT": "8123"}
    sandbox, address, secret, problems = values(
        "SANDBOX", "OPENAI_BASE_URL", "OPENAI_WEBHOOK_SECRET", **env
    )
    assert (sandbox, address, problems) == (True, "http://127.0.0.1:8123/v1", [])
    assert secret.startswith("whsec_")
    other = values("OPENAI_WEBHOOK_SECRET", **env, SECRET_KEY=KEY[::-1])[0]
    assert other != secret


def test_with_a_key_openai_answers_and_no_secret_is_made_up():
    assert values("SANDBOX", "OPENAI_BASE_URL", OPENAI_WEBHOOK_SECRET=None) == [
        False,
        "https://api.openai.com/v1",
        [],
    ]
    assert values("OPENAI_WEBHOOK_SECRET", OPENAI_WEBHOOK_SECRET=None)[0] == ""


def test_the_audit_key_is_not_the_secret_key():
    derived = values("AUDIT_KEY")[0]
    assert KEY not in derived
    assert values("AUDIT_KEY", AUDIT_KEY="its own")[0] == "its own"


REFUSED = {
    "a webhook secret that would let forgeries in": {"OPENAI_WEBHOOK_SECRET": "whsec_x"},
    "no secret key": {"SECRET_KEY": None},
    "no hosts": {"ALLOWED_HOSTS": None},
}
PROCESSES = {
    "wsgi": ["-c", "import jobsite.wsgi"],
    "asgi": ["-c", "import jobsite.asgi"],
    "qcluster": ["manage.py", "qcluster"],
}


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("case", REFUSED)
def test_nothing_serves_with_settings_that_fail_open(case, process):
    done = run(*PROCESSES[process], **REFUSED[case])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "jobsite.E00" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("process", ["wsgi", "asgi"])
def test_right_settings_serve(process):
    done = run(*PROCESSES[process])
    assert done.returncode == 0, done.stderr
    assert "jobsite." not in done.stderr
