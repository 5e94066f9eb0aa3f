"""Settings: one file, read from the environment.

A value that cannot be used does not stop the import. It is noted in ``SETTINGS_PROBLEMS`` and
reported by the system checks in ``jobsite.checks`` with a hint, so that one run names everything
that is wrong; ``jobsite.wsgi`` refuses to serve until the checks pass.
"""

import base64
import hashlib
import hmac
import logging
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

#: (check id, what is wrong, hint) for every variable that could not be used.
SETTINGS_PROBLEMS: list[tuple[str, str, str]] = []

_env_file = os.environ.get("ENV_FILE", str(BASE_DIR / ".env"))
if _env_file and Path(_env_file).is_file():
    environ.Env.read_env(_env_file)
elif os.environ.get("ENV_FILE"):
    SETTINGS_PROBLEMS.append(
        ("jobsite.E002", f"ENV_FILE names no file: {_env_file}", "Mend the path, or leave it out.")
    )
#: Every variable may also come from a file: NAME_FILE=/run/secrets/name.
_environ = environ.FileAwareEnv().ENVIRON


def _read(name: str, parse: Callable[[str], Any], default: Any, hint: str) -> Any:
    """``parse(value)``, or `default` and a noted problem where the value is there but unusable."""
    try:
        value = _environ.get(name, "").strip()
        return parse(value) if value else default
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{name}_FILE cannot be read: {error}"
        file_hint = f"Make the file readable for this process, or set {name} itself."
        SETTINGS_PROBLEMS.append(("jobsite.E002", problem, file_hint))
    except (ValueError, KeyError, environ.ImproperlyConfigured) as error:
        SETTINGS_PROBLEMS.append(("jobsite.E001", f"{name} cannot be read: {error}", hint))
    return default


def _text(name: str, default: str = "") -> str:
    return str(_read(name, str, default, ""))


def _bool(value: str) -> bool:
    if value.lower() in ("true", "1", "yes", "on"):
        return True
    if value.lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError(f"{value!r} is neither true nor false")


def _list(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _port(value: str) -> int:
    if not 1 <= int(value) <= 65535:
        raise ValueError(f"{value} is no port")
    return int(value)


def _count(value: str) -> int:
    if int(value) < 0:
        raise ValueError(f"{value} is less than none")
    return int(value)


def _seconds(value: str) -> float:
    if not 0 < float(value) < math.inf:
        raise ValueError(f"{value} is no number of seconds")
    return float(value)


def _log_level(value: str) -> str:
    if value.upper() not in logging.getLevelNamesMapping():
        raise ValueError(f"{value!r} is no level")
    return value.upper()


def _database_config(value: str) -> dict[str, Any]:
    """Without the address in any message: it holds a password."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config: dict[str, Any] = environ.Env.db_url_config(value)
    if not str(config.get("ENGINE", "")).endswith(("sqlite3", "postgresql", "psycopg2")):
        raise ValueError("it names no database that Jobsite runs on")
    return config


# What kind of process this is -----------------------------------------------------------------

DEBUG = _read("DEBUG", _bool, False, "Use true or false.")
ALLOWED_HOSTS = _read("ALLOWED_HOSTS", _list, [], "Host names, separated by commas.")
CSRF_TRUSTED_ORIGINS = _read(
    "CSRF_TRUSTED_ORIGINS", _list, [], "Origins with a scheme, such as https://jobs.example.com."
)
SECRET_KEY = _text("SECRET_KEY")
if not SECRET_KEY:
    SECRET_KEY = "missing"  # noqa: S105 - refused by the check below; never used to serve
    SETTINGS_PROBLEMS.append(
        (
            "jobsite.E003",
            "SECRET_KEY is not set.",
            "`make setup` writes one for this machine into .env; elsewhere set SECRET_KEY or "
            "SECRET_KEY_FILE to 50 random characters.",
        )
    )
#: Key of the audit chain. Its own secret, so that SECRET_KEY can be rotated.
AUDIT_KEY = _text("AUDIT_KEY") or hashlib.sha256(f"audit:{SECRET_KEY}".encode()).hexdigest()

# Applications ---------------------------------------------------------------------------------

INSTALLED_APPS = [
    "jobsite",
    "reviews",
    "jobs",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "template_partials",
    "simple_history",
    "django_q",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
]

MIDDLEWARE = [
    # First, so that redirects to https, static files and errors carry their headers as well.
    "csp.middleware.CSPMiddleware",
    "jobsite.headers.headers",
    "django.middleware.security.SecurityMiddleware",
    "jobsite.middleware.limit_bodies",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "jobsite.login.FragmentsRequireLogin",
    "simple_history.middleware.HistoryRequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    # Last, so that its page knows who asks.
    "jobsite.middleware.refuse_nul",
]

ROOT_URLCONF = "jobsite.urls"
WSGI_APPLICATION = "jobsite.wsgi.application"
AUTH_USER_MODEL = "jobs.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["template_partials.templatetags.partials", "jobs.templatetags.jobsite"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "jobsite.context.provider",
                "jobsite.context.navigation",
            ],
        },
    },
]

#: As the style sheet calls them.
MESSAGE_TAGS = {10: "info", 20: "info", 25: "good", 30: "warn", 40: "bad"}

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

# Database -------------------------------------------------------------------------------------

_SQLITE = f"sqlite:///{VAR_DIR / 'jobsite.sqlite3'}"
_database = _read(
    "DATABASE_URL",
    _database_config,
    None,
    "Use sqlite:////path/to/file or postgres://user:password@host:5432/name.",
) or _database_config(_SQLITE)
_engine = _database.get("ENGINE", "")
if _engine.endswith("sqlite3"):
    _database["OPTIONS"] = {
        # A writer waits for its turn instead of failing half-way through.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        **_database.get("OPTIONS", {}),
    }
    _database["CONN_MAX_AGE"] = None
    _name = _database.get("NAME") or ""
    if _name and _name != ":memory:":
        _database["TEST"] = {"NAME": f"{_name}.test"}
    if Path(_name).is_relative_to(VAR_DIR):
        VAR_DIR.mkdir(exist_ok=True)
else:
    _database["ENGINE"] = "django.db.backends.postgresql"
    _database.setdefault("CONN_MAX_AGE", 60)
    _database["CONN_HEALTH_CHECKS"] = True
DATABASES = {"default": _database}

#: Shared by all processes: rate limits count what each of them sees, and a code for the second step
#: works once, whichever of them is asked. Too small a table would forget counts that still hold.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# Files ----------------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
#: Documents and result files. Never served by the web server; only through a view that asks who.
MEDIA_ROOT = Path(_text("MEDIA_ROOT") or VAR_DIR / "media")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG

#: Limits of what a job takes in, in bytes.
MAX_DOCUMENT_BYTES = 20 * 1024 * 1024
MAX_DOCUMENTS_BYTES = 100 * 1024 * 1024
#: How documents reach the model, by their size together: within the request up to here,
INLINE_BYTES = 8 * 1024 * 1024
#: as uploaded files up to here (OpenAI reads 50 MB of files with one request) and up to this many,
FILES_BYTES = 45 * 1024 * 1024
FILES_IN_REQUEST = 20
#: and above, indexed in a vector store and searched.
#: Limits of what comes back: of one file that an answer names, and of all of them, in bytes.
MAX_RESULT_FILE_BYTES = 50 * 1024 * 1024
MAX_RESULT_FILES_BYTES = 100 * 1024 * 1024

# Mail -----------------------------------------------------------------------------------------

_email = _read(
    "EMAIL_URL",
    environ.Env.email_url_config,
    None,
    "Use smtp+tls://user:password@host:587 or consolemail://.",
)
_email = _email or environ.Env.email_url_config("consolemail://")
EMAIL_BACKEND = _email["EMAIL_BACKEND"]
EMAIL_HOST = _email.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _email.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _email.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _email.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = _email.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _email.get("EMAIL_USE_SSL", False)
#: Seconds. A mail server that does not answer must not hold what sends.
EMAIL_TIMEOUT = 10
EMAIL_FILE_PATH = _email.get("EMAIL_FILE_PATH") or None
#: Who hears of a refused key or an empty account: addresses, separated by commas.
OPERATORS = _read("OPERATORS", _list, [], "E-mail addresses, separated by commas.")
DEFAULT_FROM_EMAIL = _text("DEFAULT_FROM_EMAIL", "jobsite@localhost")


def _site_url() -> str:
    """Where people reach this site: by its first host name, unless it is said."""
    named = [host for host in ALLOWED_HOSTS if not host.startswith(("*", ".", "127.", "localhost"))]
    return f"https://{named[0]}" if named and not DEBUG else "http://127.0.0.1:8000"


#: What links in e-mails and in what is delivered begin with.
SITE_URL = _text("SITE_URL", _site_url()).rstrip("/")

#: What Prometheus shows to read /metrics. Without one there is no such page.
METRICS_KEY = _text("METRICS_KEY")

# The provider ---------------------------------------------------------------------------------

SANDBOX_PORT = _read("SANDBOX_PORT", _port, 8089, "A port from 1 to 65535.")
OPENAI_API_KEY = _text("OPENAI_API_KEY")
#: Without a key the stand-in on this machine answers, and every page says so.
SANDBOX = not OPENAI_API_KEY
OPENAI_BASE_URL = _text("OPENAI_BASE_URL") or (
    f"http://127.0.0.1:{SANDBOX_PORT}/v1" if SANDBOX else "https://api.openai.com/v1"
)
#: The model that shipped job types are set up with. Versions that exist keep theirs.
OPENAI_MODEL = _text("OPENAI_MODEL", "gpt-5.6-terra")
OPENAI_WEBHOOK_SECRET = _text("OPENAI_WEBHOOK_SECRET")
if SANDBOX and not OPENAI_WEBHOOK_SECRET:
    _derived = hmac.new(SECRET_KEY.encode(), b"sandbox webhooks", hashlib.sha256).digest()
    OPENAI_WEBHOOK_SECRET = "whsec_" + base64.b64encode(_derived).decode()
_SECONDS_HINT = "A number of seconds, more than 0."
#: Modules that register tools which a model may be offered: those that come along, and one's own.
TOOLS = [
    "jobs.tools.reading",
    "jobs.tools.writing",
    *_read("TOOLS", _list, [], "Modules to import, separated by commas."),
]
#: Whether what leaves by webhook may go to private addresses, and without TLS.
WEBHOOKS_WITHIN = _read("WEBHOOKS_WITHIN", _bool, False, "Use true or false.")
#: What the secrets of webhook endpoints are made from. Its own, so that SECRET_KEY can be rotated.
ENDPOINT_KEY = (
    _text("ENDPOINT_KEY") or hashlib.sha256(f"endpoint:{SECRET_KEY}".encode()).hexdigest()
)
#: The folder that results are dropped into, where a route says so. Empty: there is none.
FILE_DROP_ROOT = _text("FILE_DROP_ROOT")
#: Deliveries that are being sent at a time: fewer than the queue has workers, so that a receiver
#: which is slow holds up no sweep.
DELIVERIES_AT_A_TIME = 2
#: Tool calls that run at a time, for the same reason.
CALLS_AT_A_TIME = 2
#: Days after its end during which a response can be followed; OpenAI keeps them for 30 at least.
OPENAI_RESPONSES_KEPT_DAYS = 29
#: Seconds. A background create answers at once; what takes longer may have started.
OPENAI_CREATE_TIMEOUT = _read("OPENAI_CREATE_TIMEOUT", _seconds, 30.0, _SECONDS_HINT)
OPENAI_RETRIEVE_TIMEOUT = _read("OPENAI_RETRIEVE_TIMEOUT", _seconds, 20.0, _SECONDS_HINT)
#: The provider's own page about a response. Not linked to from the stand-in's responses.
OPENAI_LOG_URL = _text("OPENAI_LOG_URL", "https://platform.openai.com/logs/{response_id}")

# The queue: a nudge. What there is to do stands in our own tables. -------------------------------

_LEVEL_HINT = "Use DEBUG, INFO, WARNING, ERROR or CRITICAL."
#: How many sweeps share the work at any time, over all clusters.
SWEEPS = 2
Q_CLUSTER = {
    "name": "jobsite",
    "orm": "default",
    # One more than deliveries and tool calls can hold, so that a sweep always finds a free worker.
    "workers": DELIVERIES_AT_A_TIME + CALLS_AT_A_TIME + 1,
    "queue_limit": DELIVERIES_AT_A_TIME + CALLS_AT_A_TIME + 1,
    "bulk": 1,
    "poll": 0.2,
    "timeout": 90,
    "retry": 120,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,
    "catch_up": False,
    "recycle": 200,
    "label": "Queue",
    "log_level": _read("QUEUE_LOG_LEVEL", _log_level, "WARNING", _LEVEL_HINT),
}

# Accounts: made by admins, who also close them. Log-in, password and second step are allauth's. ----

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator")
    + ("CommonPasswordValidator", "NumericPasswordValidator")
]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "jobsite.accounts.AccountAdapter"
ACCOUNT_FORMS = {"login": "jobsite.accounts.LoginForm"}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
#: Nobody signs up; allauth checks its log-in methods against this.
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*"]
#: An admin vouches for the address.
ACCOUNT_EMAIL_VERIFICATION = "none"
MFA_ALLOW_UNVERIFIED_EMAIL = True
#: A mail to an address that is no account's would make this a way to write to strangers.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
#: Who is told by mail: the person, of each change to their password or second step.
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Jobsite] "
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
MFA_ADAPTER = "jobsite.accounts.SecondStepAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Jobsite"
#: How many proxies of yours stand in front. Rate limits go by the address that the outermost of
#: them saw; with 0, X-Forwarded-For is not believed, and everybody behind a proxy counts as one.
ALLAUTH_TRUSTED_PROXY_COUNT = _read("TRUSTED_PROXY_COUNT", _count, 0, "A number: 0, 1, 2, …")
#: Seconds: a link for a new password, and a session.
PASSWORD_RESET_TIMEOUT = 24 * 60 * 60
SESSION_COOKIE_AGE = 14 * 24 * 60 * 60

# Security -------------------------------------------------------------------------------------

if not DEBUG:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = _read("SECURE_SSL_REDIRECT", _bool, True, "Use true or false.")
    SECURE_REDIRECT_EXEMPT = [r"^webhooks/", r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = SECURE_SSL_REDIRECT
    CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
#: Nothing from elsewhere, and nothing that is written into a page. No view makes an exception.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "connect-src": [SELF],
        "font-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# Logs: one line each, on stderr, so that stdout stays a command's own. --------------------------

_log_at = _read("LOG_LEVEL", _log_level, "INFO", _LEVEL_HINT)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        # It warns of every oddity in a PDF; whether there was text is said with the result.
        "pypdf": {"level": "CRITICAL"},
        "jobs": {"level": _log_at},
        "reviews": {"level": _log_at},
        "jobsite": {"level": _log_at},
    },
}
