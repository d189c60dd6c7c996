"""All settings, on one screen. What differs between machines comes from the environment."""

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

import httpapi
from catalogue import SAGAS, services
from contracts import bounds
from participant import secrets
from participant.databases import SHARED, databases_of, variable_of

BASE_DIR = Path(__file__).resolve().parent.parent

SERVICES = services.WITH_DATABASE
SERVICE = os.environ.get("DUETO_SERVICE", "")
"""This process's service (`carrito`, ..., `dashboard`); empty: all services in one process."""

SECRETS = (
    *("DUETO_SECRET_KEY", "DUETO_SECRET_KEY_FALLBACKS", "DUETO_ADMIN_PASSWORD"),
    *("RABBITMQ_URL", "DUETO_BROKER_DATABASE_URL", SHARED),
    *(f"DUETO_{who}_DATABASE_URL" for who in ("SUPERUSER", "AUDIT", "MONOLITH")),
    "TEMPORAL_API_KEY",
    *(variable_of(alias=service) for service in SERVICES),
)
"""The variables with a secret in them: `<VARIABLE>_FILE` may name a file instead."""
secrets.read_files(SECRETS)

AUTH = os.environ.get("DUETO_AUTH") or "required"
"""`required`: each door authenticates and authorizes its callers. `demo`: requests from this
machine without a token may do everything (httpapi.authentication)."""
if AUTH not in ("required", "demo"):
    raise ImproperlyConfigured(f"DUETO_AUTH is {AUTH!r}: required, or demo")
JWKS = os.environ.get("DUETO_JWKS", "")
"""The public keys of the identity provider: a file, or a URL; beside the file, `revoked.json`."""
SERVICE_KEYS = os.environ.get("DUETO_SERVICE_KEYS", "")
"""The public keys of all services: a file, or a URL."""
SIGNING_KEY = os.environ.get("DUETO_SIGNING_KEY", "")
"""The file with this service's private keys."""
ACCOUNTS_KEY = os.environ.get("DUETO_ACCOUNTS_KEY", "")
"""The file with the private keys that sign the tokens of people; only the dashboard has it."""

_IS_DEMO = AUTH == "demo"
PERSON_RATE = float(os.environ.get("DUETO_PERSON_RATE") or (0 if _IS_DEMO else 20))
"""Requests per second that a person may send to a process (httpapi.rates); 0: unlimited."""
PERSON_BURST = float(os.environ.get("DUETO_PERSON_BURST") or 40)
"""Requests that a person may send at once."""
MOST_UNDER_WAY = int(os.environ.get("DUETO_MOST_UNDER_WAY") or (0 if _IS_DEMO else 5))
"""Unfinished sagas of one owner that a user may have (coordination.acceptance); 0: unlimited."""

# Signs the sessions of the dashboard, where config/wsgi.py requires it. Others use a random key.
SECRET_KEY = os.environ.get("DUETO_SECRET_KEY") or get_random_secret_key()
SECRET_KEY_FALLBACKS = os.environ.get("DUETO_SECRET_KEY_FALLBACKS", "").split()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("DUETO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
PUBLISHED_PORTS = frozenset(filter(None, os.environ.get("DUETO_PUBLISHED_PORTS", "").split(",")))
"""Ports that Location, status_url and next may name, beside the process's own port."""
# Behind a proxy that terminates TLS. Off by default: a client that can reach us without the proxy
# could set its headers to anything.
CSRF_TRUSTED_ORIGINS = [o for o in os.environ.get("DUETO_TRUSTED_ORIGINS", "").split(",") if o]
_TLS_HEADER = os.environ.get("DUETO_PROXY_TLS_HEADER", "").upper().replace("-", "_")
SECURE_PROXY_SSL_HEADER = (f"HTTP_{_TLS_HEADER}", "https") if _TLS_HEADER else None
USE_X_FORWARDED_HOST = os.environ.get("DUETO_FORWARDED_HOST", "") == "1"
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = bounds.MOST_BYTES
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_ADMIN_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
HAS_ADMIN = SERVICE in ("", "dashboard")
_TOOLS = [a for a in ("loadtests", "stack", "checker") if (BASE_DIR / a).exists()]
"""Apps that are not in the shop's image."""
INSTALLED_APPS = ["rest_framework", "accounts", "messaging", "coordination", *SERVICES, *_TOOLS]
if HAS_ADMIN:
    INSTALLED_APPS = [*_ADMIN_APPS, "axes", "dashboard", *INSTALLED_APPS]

MIDDLEWARE = ["httpapi.middleware.RequestContext"]
if HAS_ADMIN:
    MIDDLEWARE += [
        "django.middleware.security.SecurityMiddleware",
        "csp.middleware.CSPMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "accounts.acting.ActingMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "axes.middleware.AxesMiddleware",
    ]
_NONE, _SELF = "'none'", "'self'"
# Only our own scripts, styles and pictures; a stored report is shown in a frame of its own.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [_NONE],
        **{f"{kind}-src": [_SELF] for kind in ("script", "style", "font", "connect", "frame")},
        "form-action": [_SELF],
        "img-src": [_SELF, "data:"],
        "base-uri": [_NONE],
        "frame-ancestors": [_NONE],
    }
}
SECURE_REFERRER_POLICY = SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"

# People: a session ends with the browser, or after 8 hours; behind a proxy with TLS their cookies
# are bound to this host. Too many wrong passwords lock a person out (accounts.logins).
AUTHENTICATION_BACKENDS = [
    "accounts.logins.OneAddress",
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
]
SESSION_COOKIE_AGE = 8 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = bool(_TLS_HEADER)
_OF_HOST = "__Host-" if _TLS_HEADER else ""
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{_OF_HOST}sessionid", f"{_OF_HOST}csrftoken"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "accounts.logins.locked_out"
AXES_CLIENT_IP_CALLABLE = "accounts.logins.address_of"
AXES_VERBOSE = False
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "DIRS": [BASE_DIR / "config" / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = databases_of(services=SERVICES)
DATABASE_ROUTERS = ["participant.databases.ServiceRouter"]
REST_FRAMEWORK = httpapi.REST_FRAMEWORK

# The addresses of everything else.
BROKER_URL = os.environ.get("RABBITMQ_URL") or os.environ.get(
    "DUETO_BROKER_DATABASE_URL", os.environ.get("DATABASE_URL", "")
)
SAGA = os.environ.get("DUETO_SAGA", "")
"""The only saga of this installation; empty: all sagas of the catalogue."""
_NEEDED = services.needed_by(SAGAS[SAGA]) if SAGA else tuple(services.BY_NAME)
SERVICE_URLS = {
    service.name: os.environ.get(service.url_variable, f"http://127.0.0.1:{service.port}")
    for service in services.ALL
    if service.url_variable and service.name in (*_NEEDED, *services.COORDINATORS)
}

SERVICE_URL_VARIABLES = {name: services.BY_NAME[name].url_variable for name in SERVICE_URLS}

# Business rules that a run may change.
MOST_RESERVED = int(os.environ.get("INVENTARIO_MOST_RESERVED") or (0 if _IS_DEMO else 200))
"""Units that a user may have reserved at a time; 0: unlimited."""
RESERVATION_SECONDS = int(os.environ.get("INVENTARIO_RESERVATION_SECONDS", "1800"))
_DECLINE_SHARE = "PAGOS_DECLINE_SHARE"
DECLINE_SHARES = {"": 0.0} | {
    name.removeprefix(_DECLINE_SHARE).removeprefix("_").lower(): float(share)
    for name, share in os.environ.items()
    if name == _DECLINE_SHARE or name.startswith(f"{_DECLINE_SHARE}_")
}
"""The share of declined charges, by saga (PAGOS_DECLINE_SHARE_FULFILMENT); "": of all others."""
NETWORK_SECONDS = float(os.environ.get("PAGOS_NETWORK_SECONDS", "60"))
"""How long a charge waits for the card network; after it any charge is voided."""
SLOW_CARD_SECONDS = float(os.environ.get("PAGOS_SLOW_CARD_SECONDS", "0"))
KEY_SECONDS = float(os.environ.get("TARJETAS_KEY_SECONDS", "86400"))
"""How long the card network remembers a charge's key."""
DELIVERY_FAIL_SHARE = float(os.environ.get("ENVIOS_FAIL_SHARE", "0"))
AUTO_APPROVE_BELOW = Decimal(os.environ.get("RESERVAS_AUTO_APPROVE_BELOW", "0"))
"""Bookings that cost less are approved without asking a manager."""
SAGA_SECONDS = float(os.environ.get("DUETO_SAGA_SECONDS") or 0)
"""A saga that has not passed its pivot is undone after this time; 0: that of its definition."""
DECIDE_SECONDS: dict[str, float] = {
    step.strip(): float(seconds)
    for step, _, seconds in (
        pair.partition("=")
        for pair in os.environ.get("DUETO_DECIDE_SECONDS", "").split(",")
        if pair
    )
}
"""By saga and step: how long steps wait for a decision, if it is not the time of the definition:
`DUETO_DECIDE_SECONDS=booking.approve_booking=60,purchase.confirm_payment=30`."""
REDRIVE_SECONDS = float(os.environ.get("DUETO_REDRIVE_SECONDS", "10"))
"""A choreographed saga without an event for this time is redriven, then ever more rarely."""

LEAST_KEEP_SECONDS = 3600
KEEP_SECONDS = float(os.environ.get("DUETO_KEEP_SECONDS", "2592000"))
"""How long services keep the rows of ended sagas (coordination.closing)."""
if not KEEP_SECONDS >= LEAST_KEEP_SECONDS:
    raise ImproperlyConfigured(
        f"DUETO_KEEP_SECONDS is {KEEP_SECONDS:g}: it must be at least {LEAST_KEEP_SECONDS}, or a"
        " late duplicate may be executed again"
    )

# The address of Temporal's server, for saga_temporal's worker; the last three are files.
TEMPORAL = {
    "address": os.environ.get("TEMPORAL_ADDRESS") or "127.0.0.1:7233",
    "namespace": os.environ.get("TEMPORAL_NAMESPACE") or "default",
    "api_key": os.environ.get("TEMPORAL_API_KEY", ""),
    "tls": os.environ.get("TEMPORAL_TLS", "") == "1",
    "ca": os.environ.get("TEMPORAL_TLS_CA", ""),
    "certificate": os.environ.get("TEMPORAL_TLS_CERTIFICATE", ""),
    "key": os.environ.get("TEMPORAL_TLS_KEY", ""),
}

TRACE_URL = os.environ.get("DUETO_TRACE_URL", "")
"""The URL of a trace, with `{trace_id}`, for links in the dashboard; empty: no links."""
HOP_SECONDS = float(os.environ.get("DUETO_HOP_SECONDS", "0"))
"""Injected one-way delay between services, and between services and broker: for comparisons."""

# For benchmarks only: carrito takes checkouts of the pattern `monolith` too (loadtests/floor.py).
MONOLITH = os.environ.get("DUETO_MONOLITH", "") == "1"

# One JSON object per line, with its saga if there is one, or text for a terminal.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "rename_fields": {"asctime": "at", "levelname": "level", "name": "logger"},
            "static_fields": {"service": SERVICE or "dueto"},
        },
        "text": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"},
    },
    "filters": {
        # Answers of 503 are intended; their cause is logged elsewhere.
        "only_bugs": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: getattr(record, "status_code", None) != 503,
        }
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": os.environ.get("DUETO_LOG_FORMAT", "json"),
        }
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # 4xx answers are errors of the callers; the views log our own errors.
    "loggers": {
        "django.request": {"level": "ERROR", "filters": ["only_bugs"]},
        "pika": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
    },
}

WEAK_SECRETS = secrets.problems_of_values(SECRETS, keys=["DUETO_SECRET_KEY"])
"""The problems of the given secrets (`manage.py check_security`)."""
if WEAK_SECRETS and SERVICE and AUTH == "required":
    raise ImproperlyConfigured(f"{'; '.join(WEAK_SECRETS)} (python manage.py secrets makes better)")
if SERVICE:  # a command may start processes, which need them
    secrets.forget(SECRETS)
