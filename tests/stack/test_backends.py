"""Servers that the user names, and those that are missing."""

from urllib.parse import urlsplit

import pytest

from stack import rabbitmq
from stack.backing import Backends, chosen_broker
from stack.console import StackError
from stack.ports import free_ports
from tests.broker.adapters import rabbitmq_url


@pytest.fixture(scope="session")
def lent():
    """The broker of other tests, read before `_own_servers` hides it."""
    return rabbitmq_url()


@pytest.fixture
def backends(folder, supervisor, announced):
    def make():
        return Backends(
            folder=folder, supervisor=supervisor, announce=announced.append, broker=chosen_broker()
        )

    return make


def test_unreachable_broker_is_named_without_its_password(monkeypatch, backends, supervisor):
    port = free_ports(1)[0]
    monkeypatch.setenv("RABBITMQ_URL", f"amqp://ana:secret@127.0.0.1:{port}/%2F")
    with pytest.raises(StackError, match=f"RABBITMQ_URL.*127.0.0.1:{port}.*unset") as refused:
        backends().start()
    assert "secret" not in str(refused.value)
    assert supervisor.pids() == {}


def test_unreachable_database_is_named_without_its_password(monkeypatch, backends, supervisor):
    port = free_ports(1)[0]
    monkeypatch.setenv("DUETO_BROKER", "postgresql")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ana:secret@127.0.0.1:{port}/shop")
    with pytest.raises(StackError, match=f"(?s)DATABASE_URL.*127.0.0.1:{port}.*unset") as refused:
        backends().start()
    assert "secret" not in str(refused.value)
    assert supervisor.pids() == {}


def test_each_login_gets_its_own_url_of_a_given_broker(monkeypatch, backends, folder, lent):
    folder.is_temporary = True  # which is quicker
    own = f"{lent}?heartbeat=30"
    monkeypatch.setenv("RABBITMQ_URL", lent)
    monkeypatch.setenv("CARRITO_RABBITMQ_URL", own)
    made = backends()
    made.start()
    assert made.broker_environment("carrito") == {"RABBITMQ_URL": own}
    assert made.broker_environment("pagos") == {"RABBITMQ_URL": lent}


def test_login_of_a_broker_that_is_not_named_is_refused(monkeypatch, backends, supervisor):
    monkeypatch.setenv("CARRITO_RABBITMQ_URL", "amqp://carrito:secret@127.0.0.1/%2F")
    with pytest.raises(StackError, match=r"CARRITO_RABBITMQ_URL.*set RABBITMQ_URL too"):
        backends().start()
    assert supervisor.pids() == {}


def test_login_that_the_broker_does_not_know_is_named(monkeypatch, backends, supervisor, lent):
    parts = urlsplit(lent)
    unknown = parts._replace(netloc=f"nobody:secret@{parts.netloc.rpartition('@')[2]}")
    monkeypatch.setenv("RABBITMQ_URL", lent)
    monkeypatch.setenv("CARRITO_RABBITMQ_URL", unknown.geturl())
    with pytest.raises(StackError, match="CARRITO_RABBITMQ_URL") as refused:
        backends().start()
    assert "secret" not in str(refused.value)
    assert supervisor.pids() == {}


@pytest.mark.parametrize("demand", [("CI", "true"), ("DUETO_REQUIRE_RABBITMQ", "1")])
def test_missing_rabbitmq_is_an_error_where_it_is_required(
    monkeypatch, backends, supervisor, demand
):
    monkeypatch.setattr(rabbitmq, "is_installed", lambda: False)
    monkeypatch.setenv(*demand)
    with pytest.raises(StackError, match="apt-get install rabbitmq-server"):
        backends().start()
    assert supervisor.pids() == {}


def test_without_rabbitmq_postgresql_is_the_broker_and_that_is_announced(
    monkeypatch, backends, announced, folder
):
    folder.is_temporary = True  # which is quicker
    monkeypatch.setattr(rabbitmq, "is_installed", lambda: False)
    made = backends()
    made.start()
    made.wait_for_broker()
    assert made.rabbitmq_url is None
    (url,) = made.environment().values()
    assert "//dueto_broker:" in url
    assert "/dueto_broker?" in url
    assert any("apt-get install rabbitmq-server" in line for line in announced)
    folder.remove_sockets()


def test_unknown_broker_is_refused(monkeypatch):
    monkeypatch.setenv("DUETO_BROKER", "kafka")
    with pytest.raises(StackError, match="kafka"):
        chosen_broker()
