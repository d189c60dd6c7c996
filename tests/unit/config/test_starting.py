"""A process without authentication starts only if no other machine can reach it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from participant import databases, starting

KEYS = {"JWKS": "people.json", "SERVICE_KEYS": "services.json", "SIGNING_KEY": "carrito.json"}


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Settings that name only this machine."""
    settings = SimpleNamespace()
    monkeypatch.setattr(starting, "settings", settings)
    settings.DATABASES = {"default": {"HOST": "/sockets"}}
    settings.BROKER_URL = "amqp://dueto:secret@127.0.0.1:5672/%2F"
    settings.SERVICE_URLS = {"carrito": "http://[::1]:3000"}
    settings.SERVICE_URL_VARIABLES = {"pagos": "PAGOS_SERVICE_URL"}
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
    for name in (starting.HOST, starting.PLAINTEXT):
        monkeypatch.delenv(name, raising=False)
    return settings


@pytest.fixture
def demo(configured: SimpleNamespace) -> None:
    configured.AUTH = "demo"


@pytest.fixture
def required(configured: SimpleNamespace) -> None:
    configured.AUTH, configured.SERVICE = "required", "carrito"
    for name, file in KEYS.items():
        setattr(configured, name, file)


def refusal() -> str:
    """Why the process does not start; empty if it does."""
    try:
        starting.require_safe()
    except ImproperlyConfigured as error:
        return str(error)
    return ""


def test_demo_starts_where_only_this_machine_gets_in(demo: None) -> None:
    assert refusal() == ""


@pytest.mark.parametrize(
    ("setting", "value", "variable"),
    [
        ("DATABASES", {"carrito": {"HOST": "db.example"}}, "CARRITO_DATABASE_URL"),
        ("DATABASES", {"carrito": {"HOST": "/sockets,10.0.0.1"}}, "CARRITO_DATABASE_URL"),
        ("BROKER_URL", "amqp://dueto:a@b@rabbit.example:5672/%2F", "RABBITMQ_URL"),
        ("BROKER_URL", "postgresql://dueto@db.example/dueto", "DUETO_BROKER_DATABASE_URL"),
        ("SERVICE_URLS", {"pagos": "http://pagos:3002"}, "PAGOS_SERVICE_URL"),
        ("ALLOWED_HOSTS", ["localhost", "shop.example"], "DUETO_ALLOWED_HOSTS"),
        ("ALLOWED_HOSTS", ["*"], "DUETO_ALLOWED_HOSTS"),
        ("CSRF_TRUSTED_ORIGINS", ["https://shop.example"], "DUETO_TRUSTED_ORIGINS"),
        ("SECURE_PROXY_SSL_HEADER", ("HTTP_X", "https"), "DUETO_PROXY_TLS_HEADER"),
        ("USE_X_FORWARDED_HOST", True, "DUETO_FORWARDED_HOST"),
    ],
)
def test_demo_does_not_start_where_others_get_in(
    demo: None, configured: SimpleNamespace, setting: str, value: Any, variable: str
) -> None:
    setattr(configured, setting, value)
    assert variable in refusal()
    assert "DUETO_AUTH=required" in refusal()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "shop.example"])  # noqa: S104 -- named, not bound to
def test_demo_does_not_start_where_it_listens_to_others(
    demo: None, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv(starting.HOST, host)
    assert starting.HOST in refusal()


def test_required_starts_with_its_keys(required: None) -> None:
    assert refusal() == ""


@pytest.mark.parametrize("missing", KEYS)
def test_required_does_not_start_without_a_key(
    required: None, configured: SimpleNamespace, missing: str
) -> None:
    setattr(configured, missing, "")
    assert f"DUETO_{missing} is not set" in refusal()


PLAIN = [
    ("BROKER_URL", "amqp://dueto@rabbit.example", "RABBITMQ_URL"),
    ("SERVICE_URLS", {"pagos": "http://pagos:3002"}, "PAGOS_SERVICE_URL"),
    ("DATABASES", {"default": {"HOST": "db.example"}}, "DATABASE_URL"),
    (
        "DATABASES",
        {"default": {"HOST": "db.example", "OPTIONS": {"sslmode": "require"}}},
        "DATABASE_URL",
    ),
]


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login without excessive rights."""
    monkeypatch.setattr(starting.logins, "problems_of_login", lambda **_: [])


@pytest.mark.parametrize(("setting", "value", "variable"), PLAIN)
def test_connection_to_another_machine_is_encrypted_or_declared_plain(
    required: None,
    harmless: None,
    configured: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: Any,
    variable: str,
) -> None:
    setattr(configured, setting, value)
    assert variable in refusal()
    assert starting.PLAINTEXT in refusal()
    monkeypatch.setenv(starting.PLAINTEXT, "1")
    assert refusal() == ""
    assert variable in str(starting.exceptions()["insecure"])


def test_encrypted_connection_needs_no_declaration(
    required: None, harmless: None, configured: SimpleNamespace
) -> None:
    configured.BROKER_URL = "amqps://dueto@rabbit.example"
    configured.SERVICE_URLS = {"pagos": "https://pagos.example"}
    database = {"HOST": "db.example", "OPTIONS": {"sslmode": "verify-full"}}
    configured.DATABASES = {"default": database}
    assert refusal() == ""
    assert starting.exceptions() == {}


def test_login_with_too_many_rights_does_not_start_where_others_get_in(
    required: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        starting.logins, "problems_of_login", lambda **_: ["the login dueto is a superuser"]
    )
    assert refusal() == ""
    monkeypatch.setenv(starting.HOST, "192.168.1.7")
    assert "is a superuser" in refusal()


def test_settings_read_the_named_variables() -> None:
    settings_file = (Path(__file__).resolve().parents[3] / "config" / "settings.py").read_text()
    for name in (*(f"DUETO_{key}" for key in KEYS), "DUETO_TRUSTED_ORIGINS"):
        assert f'"{name}"' in settings_file
    assert databases.variable_of(alias="carrito") == "CARRITO_DATABASE_URL"
