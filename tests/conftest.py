"""What every test stands on: sealed settings, and a provider over real HTTP."""

import atexit
import os
import shutil
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
import hypothesis
import pytest
from django.apps import apps as django_apps
from django.conf import settings as django_settings
from django.db import connection, connections
from django.db.models.signals import post_migrate

# Nothing of this machine's own set-up gets in. That must be done before Django reads its settings,
# so pyproject.toml does not name them: pytest-django would read them before this file.
SEALED = {
    "ENV_FILE": "",
    "SECRET_KEY": "a key for tests that is long enough to be one",
    "DEBUG": "false",
    "SECURE_SSL_REDIRECT": "false",
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "OPENAI_API_KEY": "",
    "OPENAI_BASE_URL": "",
    "OPENAI_WEBHOOK_SECRET": "",
    "EMAIL_URL": "",
}
# A worker of pytest-xdist inherits what is set here, and has read its settings already.
if django_settings.configured and SEALED["SECRET_KEY"] != django_settings.SECRET_KEY:
    pytest.exit("The settings were read too early: unset DJANGO_SETTINGS_MODULE.", 2)
os.environ.update(SEALED, DJANGO_SETTINGS_MODULE="jobsite.settings")
if "DATABASE_URL" not in os.environ:
    # One of its own: another run in the same checkout would empty it in the middle of a test.
    _folder = tempfile.mkdtemp(prefix="jobsite-tests-")
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    os.environ["DATABASE_URL"] = f"sqlite:///{_folder}/tests.sqlite3"
django.setup()

from jobs.models import Price, ToolFee  # noqa: E402 - needs the settings
from jobsite.sandbox.testing import RunningSandbox  # noqa: E402
from tests import databases  # noqa: E402
from tests.commands import Shell  # noqa: E402
from tests.driver import Clock, Driver  # noqa: E402

# Static files come from where they are written; nothing is collected for a test.
django_settings.STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
django_settings.WHITENOISE_USE_FINDERS = django_settings.WHITENOISE_AUTOREFRESH = True


#: The price book as it was seeded, with its history.
_BOOK: list[tuple[Any, list[Any]]] = []


def _with_prices(**kwargs):
    """Seeding anew takes a second. A test that migrates has the book still, or what it left of it."""
    if not any(model.objects.exists() for model, _rows in _BOOK):
        for model, rows in _BOOK:
            model.objects.bulk_create(rows)


# Where a test's database has been emptied.
post_migrate.connect(_with_prices, sender=django_apps.get_app_config("jobs"), weak=False)

# A busy machine is no failure, and a first example pays for imports.
hypothesis.settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    # A run of the whole must not fail by chance; the search goes on at developers' machines.
    derandomize=os.environ.get("CI") == "true",
)
hypothesis.settings.load_profile("tests")

#: What asks for a database, itself or by way of another fixture, or starts processes that do.
_WITH_DATABASE = {"db", "transactional_db", "django_db_setup", "installation"}


def pytest_collection_modifyitems(items):
    """What asks no database says the same on each, and is marked: one run of it is enough."""
    for item in items:
        asks = _WITH_DATABASE & {*item.fixturenames, *vars(item.module)}
        if not asks and not item.get_closest_marker("django_db"):
            item.add_marker("no_database")


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker, django_db_modify_db_settings):
    """The database of this process: as pytest-django's, but copied instead of migrated."""
    name = connection.creation._get_test_db_name()
    with ExitStack() as until_the_end:
        if connection.vendor == "sqlite":
            databases.fill_sqlite(Path(name))
        else:
            until_the_end.enter_context(databases.on_postgresql(name))
        until_the_end.enter_context(django_db_blocker.unblock())
        connection.close()
        django_settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name
        for model in (Price, ToolFee, Price.history.model, ToolFee.history.model):
            _BOOK.append((model, list(model.objects.all())))
        yield
        connections.close_all()


_connect = socket.socket.connect


def _connect_to_loopback_only(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"a test reached out to {address}")
    return _connect(self, address)


@pytest.fixture(autouse=True)
def sealed(monkeypatch, tmp_path, settings):
    """No connection but to this machine, and no file but under a folder of the test's own."""
    monkeypatch.setattr(socket.socket, "connect", _connect_to_loopback_only)
    settings.MEDIA_ROOT = tmp_path / "media"
    # The real hasher takes a third of a second for each password.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATIC_ROOT.mkdir()


@pytest.fixture(scope="session")
def _sandbox_process():
    with RunningSandbox(pace=0.0) as running:
        yield running


@pytest.fixture
def sandbox(_sandbox_process):
    """The stand-in, thinking in no time, with nothing scripted. Shared; reset for each test."""
    _sandbox_process.reset()
    return _sandbox_process


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def driver(db, sandbox, clock):
    """The engine against the stand-in, on a clock that only the test moves."""
    with Driver(sandbox.base_url, clock) as running:
        yield running


@pytest.fixture
def webhook_secret():
    return django_settings.OPENAI_WEBHOOK_SECRET


@pytest.fixture
def shell(db, monkeypatch, capsys):
    """`shell("jobs", "--json")` runs `manage.py jobs --json`."""
    return Shell(monkeypatch, capsys)
