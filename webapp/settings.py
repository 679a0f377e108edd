"""Canopy's one settings file. Every value comes from the environment, and every default works with nothing set.

docs/operations.md lists each variable. The broker, the live layer and the cache are one Valkey or Redis server:
``REDIS_URL``, or the socket of the embedded server that ``manage.py serve`` starts in the data folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import django_stubs_ext
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from pythonjsonlogger.core import RESERVED_ATTRS

from engine.endpoint import EndpointError, parse_endpoints
from webapp import env

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("CANOPY_DATA", str(BASE_DIR / ".canopy"))).resolve()
try:
    DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(
        f"the data folder {DATA_DIR} cannot be made ({error.strerror}): set CANOPY_DATA to a folder you may write to."
    ) from error


def _secret_key() -> str:
    """CANOPY_SECRET_KEY, or a key made once and kept in the data folder so that sessions survive a restart."""
    if key := env.secret("CANOPY_SECRET_KEY"):
        return key
    path = DATA_DIR / "secret-key"
    if not path.exists():
        try:
            with tempfile.NamedTemporaryFile("w", dir=DATA_DIR, delete=False) as draft:
                draft.write(secrets.token_urlsafe(50))
        except OSError as error:
            raise ImproperlyConfigured(f"the data folder {DATA_DIR} cannot be written: {error.strerror}.") from error
        with contextlib.suppress(FileExistsError):
            os.link(draft.name, path)  # atomic: of two processes starting together, one key wins
        Path(draft.name).unlink()
    return path.read_text().strip()


SECRET_KEY = _secret_key()
DEBUG = env.boolean("CANOPY_DEBUG", False)
ALLOWED_HOSTS = env.words("CANOPY_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("CANOPY_TRUSTED_ORIGINS")
HTTPS = env.boolean("CANOPY_HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "webapp.apps.WebappConfig",
    "webapp.accounts",
    "webapp.activity",
    "webapp.api",
    "webapp.boards",
    "webapp.experiments",
    "webapp.notifications",
    "webapp.prices",
    "webapp.sharing",
    "jobs",
    # One line per kind of experiment; each registers itself with jobs.kinds.
    "jobs.kinds.sampling",
    "jobs.kinds.audit",
    "jobs.kinds.detection",
    "jobs.kinds.scenes",
    "channels",
    "csp",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "webapp.operations.requests.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Every page needs a signed-in person unless its view says login_not_required.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "webapp.middleware.LinkMiddleware",
    "webapp.api.middleware.ApiMiddleware",
    "webapp.activity.recorder.ActivityMiddleware",
]
ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "webapp.context.shell",
            ]
        },
    }
]

# --- database -------------------------------------------------------------------------------------------------------


def _database(url: str) -> dict[str, Any]:
    """DATABASE_URL as Django wants it: ``postgres://user:password@host:port/name`` or ``sqlite:///path``."""
    if not url:
        return _sqlite(DATA_DIR / "canopy.db")
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return _sqlite(Path(parts.path))
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"DATABASE_URL must start with postgres:// or sqlite://, not {parts.scheme!r}.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),  # a %2F-encoded path is a unix socket's folder
        "PORT": str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
    }


def _sqlite(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            # IMMEDIATE takes the write lock when a transaction starts: a later upgrade would fail at once
            # with "database is locked" instead of waiting its turn.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
        },
        "TEST": {"NAME": env.text("CANOPY_TEST_DB") or None},
    }


DATABASES = {"default": _database(env.secret("DATABASE_URL"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- broker, live layer, cache --------------------------------------------------------------------------------------


def _embedded_socket() -> Path:
    """Where the embedded server listens. A unix socket's path must stay under 108 bytes, so a deep data folder
    gets a short name in the runtime folder instead."""
    path = DATA_DIR / "valkey.sock"
    if len(str(path).encode()) < 100:
        return path
    name = hashlib.sha256(str(DATA_DIR).encode()).hexdigest()[:12]
    return Path(env.text("XDG_RUNTIME_DIR", tempfile.gettempdir())) / f"canopy-{name}.sock"


VALKEY_SOCKET = _embedded_socket()
REDIS_URL = env.secret("REDIS_URL")  # empty: the embedded server


def _redis(database: int) -> str:
    if REDIS_URL:
        return f"{REDIS_URL.rstrip('/')}/{database}"
    return f"unix://{VALKEY_SOCKET}?db={database}"


CHANNEL_LAYERS = {
    "default": {
        # The Pub/Sub layer subscribes again by itself after a broker restart; the core layer goes deaf.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            # redis-py 8 times sockets out after 5 s by default, which kills idle subscriptions.
            "hosts": [{"address": _redis(1), "socket_timeout": None}],
            "prefix": "canopy",
            "on_disconnect": "redis.disconnect",
            "on_reconnect": "redis.reconnect",
        },
    }
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": _redis(2)}}
CELERY_BROKER_URL = _redis(0) if REDIS_URL else f"redis+socket://{VALKEY_SOCKET}?virtual_host=0"

# --- jobs -----------------------------------------------------------------------------------------------------------

LEASE_SECONDS = env.integer("CANOPY_LEASE_SECONDS", 30, least=2)
HANG_SECONDS = env.integer("CANOPY_HANG_SECONDS", 600, least=5)
MAX_ATTEMPTS = env.integer("CANOPY_MAX_ATTEMPTS", 3, least=1)
# Token and GPU prices laid over the shipped table (engine/cost/prices.toml); a TOML file of the same shape.
PRICES_FILE = Path(env.text("CANOPY_PRICES")).resolve() if env.text("CANOPY_PRICES") else None
try:
    # The web server needs the names, workers the keys too; no key is shown or stored.
    ENDPOINTS = parse_endpoints(env.secret("CANOPY_ENDPOINTS"))
except EndpointError as error:
    raise ImproperlyConfigured(f"CANOPY_ENDPOINTS: {error}") from None
MODEL_DIRS = [Path(part).resolve() for part in env.words("CANOPY_MODEL_DIRS", str(DATA_DIR / "models"))]

# Folders on the workers below which a data set may be used by its path, in detection. None unless the operator says so.
DETECTION_DIRS = [Path(part).resolve() for part in env.words("CANOPY_DETECTION_DIRS")]
DETECTION_MAX_BYTES = env.integer("CANOPY_DETECTION_MAX_MB", 4096, least=1) * 2**20  # of an uploaded data set

# The same for posed pictures, in scenes.
SCENES_DIRS = [Path(part).resolve() for part in env.words("CANOPY_SCENES_DIRS")]
SCENES_MAX_BYTES = env.integer("CANOPY_SCENES_MAX_MB", 8192, least=1) * 2**20

# What verifiers may do on this installation's workers: the operator's half of engine.verification.Settings.
VERIFICATION: dict[str, Any] = {
    "minimum": env.choice("CANOPY_SANDBOX_MINIMUM", "confined", ["confined", "isolated"]),
    "functions": env.text("CANOPY_VERIFIER_DIR"),
    "endpoints": tuple(env.words("CANOPY_VERIFIER_URLS")),
    "lean_url": env.text("CANOPY_LEAN_URL"),
    "lean_key": env.secret("CANOPY_LEAN_KEY"),
    "repositories": env.text("CANOPY_REPOSITORIES"),
    "harness": env.text("CANOPY_SWE_HARNESS"),
}

# --- API --------------------------------------------------------------------------------------------------------------

API_REQUESTS_A_MINUTE = env.integer("CANOPY_API_REQUESTS_A_MINUTE", 600, least=1)  # of one token
API_SUBMITS_A_MINUTE = env.integer("CANOPY_API_SUBMITS_A_MINUTE", 60, least=1)

# --- accounts, mail, pages --------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign-in"
OPEN_SIGN_UP = env.boolean("CANOPY_OPEN_SIGN_UP", True)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
EMAIL_HOST = env.text("CANOPY_SMTP_HOST")
EMAIL_PORT = env.integer("CANOPY_SMTP_PORT", 587, least=1)
EMAIL_HOST_USER = env.text("CANOPY_SMTP_USER")
EMAIL_HOST_PASSWORD = env.secret("CANOPY_SMTP_PASSWORD")
EMAIL_USE_TLS = env.boolean("CANOPY_SMTP_TLS", True)
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"
DEFAULT_FROM_EMAIL = env.text("CANOPY_MAIL_FROM", "canopy@localhost")
# What links in mails and webhooks begin with: they are made where no request tells the address.
PUBLIC_URL = env.text("CANOPY_URL").rstrip("/") or (
    f"https://{ALLOWED_HOSTS[0]}" if HTTPS and ALLOWED_HOSTS else f"http://localhost:{env.integer('CANOPY_PORT', 8000)}"
)
WEBHOOK_PRIVATE = env.boolean("CANOPY_WEBHOOK_PRIVATE", False)  # whether webhooks may call private addresses

# --- files ------------------------------------------------------------------------------------------------------------


def _storage() -> dict[str, Any]:
    """Where artifacts and uploads are kept: a folder, or a bucket that speaks S3 (CANOPY_S3_BUCKET)."""
    bucket = env.text("CANOPY_S3_BUCKET")
    if not bucket:
        return {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": bucket,
            "endpoint_url": env.text("CANOPY_S3_URL") or None,
            "region_name": env.text("CANOPY_S3_REGION") or None,
            "access_key": env.secret("CANOPY_S3_KEY") or None,
            "secret_key": env.secret("CANOPY_S3_SECRET") or None,
            "location": env.text("CANOPY_S3_PREFIX"),
            "default_acl": None,  # the bucket's own rules
            "file_overwrite": False,
            "addressing_style": "path",  # servers other than Amazon's rarely have a name for each bucket
            "signature_version": "s3v4",
        },
    }


MEDIA_ROOT = DATA_DIR / "artifacts"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES: dict[str, dict[str, Any]] = {
    "default": _storage(),
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024
IMPORT_MAX_BYTES = env.integer("CANOPY_IMPORT_MAX_MB", 1024, least=1) * 2**20
USE_TZ = True
TIME_ZONE = env.text("CANOPY_TIME_ZONE", "UTC")
LANGUAGE_CODE = "en-us"
USE_THOUSAND_SEPARATOR = False

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF, "blob:"],
        "manifest-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}

# --- what operators see -----------------------------------------------------------------------------------------------

METRICS_TOKEN = env.secret("CANOPY_METRICS_TOKEN")  # empty: no /metrics

# Days after which something is removed for good; 0: never (webapp.operations.retention).
KEEP_LOG_DAYS = env.integer("CANOPY_KEEP_LOG_DAYS", 0)
KEEP_EXPERIMENT_DAYS = env.integer("CANOPY_KEEP_EXPERIMENT_DAYS", 0)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "context": {"()": "jobs.log_context.ContextFilter"},
        "hide_tokens": {"()": "webapp.operations.logs.HideTokens"},
    },
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s%(context)s"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
            "reserved_attrs": [*RESERVED_ATTRS, "context"],  # the ids are fields of their own
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": env.choice("CANOPY_LOG_FORMAT", "text", ["text", "json"]),
            "filters": ["context"],
        }
    },
    "root": {"handlers": ["console"], "level": env.text("CANOPY_LOG_LEVEL", "INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
        "django.request": {"filters": ["hide_tokens"]},
    },
}
