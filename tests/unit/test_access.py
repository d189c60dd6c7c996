"""The local stack requires tokens where another machine can reach it."""

from typing import Any

import pytest

from stack import access
from stack.console import StackError
from stack.services import Options


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (access.VARIABLE, "DUETO_HOST", "DATABASE_URL", "RABBITMQ_URL"):
        monkeypatch.delenv(name, raising=False)


def test_stack_on_this_machine_alone_needs_no_tokens() -> None:
    assert not Options().needs_tokens


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DUETO_HOST", "0.0.0.0"),  # noqa: S104 -- named, not bound to
        ("DATABASE_URL", "postgresql://dueto:secret@db.example/dueto"),
        ("CARRITO_DATABASE_URL", "postgresql:///carrito?host=db.example"),
        ("RABBITMQ_URL", "amqp://dueto:secret@rabbit.example"),
        ("RABBITMQ_URL", "amqp://dueto:secret@127.0.0.1:5672,rabbit.example:5672/%2F"),
        ("CARRITO_RABBITMQ_URL", "amqps://carrito:secret@rabbit.example:5671/%2F"),
        ("DUETO_ALLOWED_HOSTS", "localhost,shop.example"),
        ("DUETO_FORWARDED_HOST", "1"),
    ],
)
def test_variable_that_leads_to_another_machine_requires_tokens(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert Options().needs_tokens
    assert Options().beyond == [name]
    with pytest.raises(StackError, match=name):
        _ = Options(auth=access.DEMO).needs_tokens


def test_unused_variable_requires_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://dueto@db.example/dueto")
    assert not Options(use_given=False).needs_tokens


@pytest.mark.parametrize(
    "url", ["postgresql:///dueto?host=/run", "postgresql://u@localhost/d", "x"]
)
def test_server_of_this_machine_requires_no_tokens(
    monkeypatch: pytest.MonkeyPatch, url: Any
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert not Options().needs_tokens


def test_unknown_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.VARIABLE, "none")
    with pytest.raises(StackError, match="none"):
        _ = Options().needs_tokens
