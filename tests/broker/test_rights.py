"""Each service has its own login at the broker, with the rights that the definitions require."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pika.exceptions
import psycopg
import pytest
from psycopg import sql

from contracts import rights, topology
from messaging.brokers import Broker, Message, Rejected, Unroutable, connect
from messaging.components import make_topology
from tests.broker.adapters import postgres_url, rabbitmq_url, rabbitmqctl

RESERVED = Message("m", "checkout.inventory.reserved", b"{}")
REFUNDED = Message("m", "checkout.payment.refunded", b"{}")
ASKED = Message("m", "checkout.payment.process", b"{}")
REPLIED = Message("m", "checkout.payment.process.replied", b"{}")
PASSWORDS = {login.name: uuid.uuid4().hex for login in rights.logins()}

Open = Callable[[str], Broker]
"""A handle on the broker, for this login."""


class Node:
    """A virtual host of RabbitMQ with the logins, their rights, and the topology."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.vhost = url, f"rights-{uuid.uuid4().hex[:8]}"
        path = folder / "definitions.json"
        path.write_text(json.dumps(rights.definitions(passwords=PASSWORDS, vhost=self.vhost)))
        self.opened: list[Broker] = []
        rabbitmqctl(url, "import_definitions", str(path))
        make_topology(broker=self.open(rights.TOPOLOGY))

    def url_of(self, login: str) -> str:
        where = urlsplit(self.url)
        return f"amqp://{login}:{PASSWORDS[login]}@{where.hostname}:{where.port}/{self.vhost}"

    def open(self, login: str) -> Broker:
        self.opened.append(connect(self.url_of(login)))
        return self.opened[-1]

    def close(self) -> None:
        for broker in self.opened:
            broker.close()
        rabbitmqctl(self.url, "delete_vhost", self.vhost)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(rabbitmq_url(), tmp_path_factory.mktemp("rights"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def roles() -> Iterator[Open]:
    """A database as the broker, and two roles that can only log in to its server."""
    name = f"broker_{uuid.uuid4().hex[:8]}"
    opened: list[Broker] = []
    owner = postgres_url()
    where = psycopg.conninfo.conninfo_to_dict(owner)

    def url_of(login: str) -> str:
        own = {"user": login, "password": PASSWORDS[login]} if login in PASSWORDS else {}
        return psycopg.conninfo.make_conninfo("", **where | own | {"dbname": name})

    def opening(login: str) -> Broker:
        # A URL, as the services have it.
        parts = psycopg.conninfo.conninfo_to_dict(url_of(login))
        user, password = parts.pop("user"), parts.pop("password")
        options = "&".join(f"{key}={value}" for key, value in parts.items() if key != "dbname")
        opened.append(connect(f"postgresql://{user}:{password}@/{name}?{options}"))
        return opened[-1]

    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
        )
        for login in ("pagos", "inventario"):
            role = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(role.format(sql.Identifier(login), PASSWORDS[login]))
        make_topology(broker=opening(""))
        yield opening
        for broker in opened:
            broker.close()
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for login in ("pagos", "inventario"):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


@pytest.fixture(params=["rabbitmq", "postgres"])
def logged_in(request: pytest.FixtureRequest) -> Open:
    if request.param == "postgres":
        opening: Open = request.getfixturevalue("roles")
        return opening
    node: Node = request.getfixturevalue("node")
    return node.open


def test_pagos_can_publish_its_own_messages_and_the_consumer_gets_its_login(
    logged_in: Open,
) -> None:
    logged_in("pagos").publish([REFUNDED, REPLIED])
    queue = topology.queue_of(service="inventario")
    subscription = logged_in("inventario").subscribe(queue=queue, prefetch=10)
    (delivery,) = subscription.take(limit=1, timeout=10)
    assert (delivery.message.type, delivery.speaker) == (REFUNDED.type, "pagos")
    subscription.ack([delivery])
    subscription.close()


@pytest.mark.parametrize("message", [RESERVED, ASKED], ids=["event", "request"])
def test_pagos_cannot_publish_inventory_reserved(logged_in: Open, message: Message) -> None:
    with pytest.raises(Rejected, match=r"(?i)refused|may not publish"):
        logged_in("pagos").publish([message])


def test_inventario_can_publish_it(logged_in: Open) -> None:
    """The control."""
    logged_in("inventario").publish([RESERVED])


def test_pagos_cannot_declare_a_queue(logged_in: Open) -> None:
    with pytest.raises(Exception, match=r"(?i)refused|permission denied"):
        logged_in("pagos").declare(queue="dueto.spy", events=[RESERVED.type])


def test_pagos_cannot_bind_its_own_queue_to_more(logged_in: Open) -> None:
    with pytest.raises(Exception, match=r"(?i)refused|permission denied"):
        logged_in("pagos").declare(queue="dueto.pagos", events=["booking.booking.created"])


def test_pagos_cannot_read_anothers_queue(logged_in: Open) -> None:
    with pytest.raises(Rejected, match=r"(?i)refused|may not consume"):
        logged_in("pagos").subscribe(queue="dueto.inventario", prefetch=1).take(limit=1, timeout=1)


def test_pagos_may_count_what_lies_in_any_queue(logged_in: Open) -> None:
    assert "dueto.carrito" in logged_in("pagos").depths(["dueto.carrito"])


def test_login_of_a_service_may_configure_nothing(logged_in: Open) -> None:
    assert not logged_in("pagos").may_configure()


def test_login_that_may_configure_is_found(node: Node, roles: Open) -> None:
    """The control."""
    assert node.open(rights.TOPOLOGY).may_configure()
    assert roles("").may_configure()


def test_only_messages_that_it_may_not_publish_are_refused(node: Node) -> None:
    broker = node.open("pagos")
    own = Message("own", REFUNDED.type, b"{}")
    with pytest.raises(Rejected) as refused:
        broker.publish([own, RESERVED])
    assert refused.value.ids == ("m",)


@pytest.fixture
def channel(node: Node) -> Iterator[Any]:
    """Of any client, with the login of pagos."""
    with pika.BlockingConnection(pika.URLParameters(node.url_of("pagos"))) as connection:
        yield connection.channel()


@pytest.mark.parametrize(
    "deed",
    [
        lambda channel: channel.queue_declare("", exclusive=True),
        lambda channel: channel.exchange_declare("spy", "topic"),
        lambda channel: channel.queue_bind("dueto.pagos", "saga_events", "#"),
        lambda channel: channel.queue_unbind("dueto.carrito", "saga_events", "#"),
        lambda channel: channel.queue_delete("dueto.pagos"),
        lambda channel: channel.queue_purge("dueto.carrito"),
        lambda channel: channel.exchange_delete("saga_events"),
        lambda channel: channel.basic_get("dueto.carrito"),
        lambda channel: channel.basic_get("dueto.pagos.dead"),
    ],
)
def test_no_client_can_do_more_with_that_login(channel: Any, deed: Callable[[Any], Any]) -> None:
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
        deed(channel)


@pytest.mark.parametrize(
    ("exchange", "key", "login", "reason"),
    [
        ("", "dueto.carrito", "pagos", "ACCESS_REFUSED"),
        ("saga_commands", ASKED.type, "pagos", "ACCESS_REFUSED"),
        ("saga_events", "checkout.order.created", "pagos", "ACCESS_REFUSED"),
        ("saga_events", REFUNDED.type, "inventario", "PRECONDITION_FAILED"),
    ],
    ids=["past the exchanges", "a request", "another's event", "in another's name"],
)
def test_no_client_can_publish_more_with_that_login(
    channel: Any, exchange: str, key: str, login: str, reason: str
) -> None:
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match=reason):
        channel.basic_publish(exchange, key, b"{}", pika.BasicProperties(user_id=login))


def test_broker_has_the_rights_that_follow_from_the_definitions(node: Node) -> None:
    definitions = rights.definitions(passwords=PASSWORDS, vhost=node.vhost)
    listed = rabbitmqctl(node.url, "list_permissions", "-p", node.vhost, "--formatter", "json")
    topics = rabbitmqctl(
        node.url, "list_topic_permissions", "-p", node.vhost, "--formatter", "json"
    )
    users = rabbitmqctl(node.url, "list_users", "--formatter", "json")
    assert _rows(listed) == _rows(definitions["permissions"], without="vhost")
    assert _rows(topics) == _rows(definitions["topic_permissions"], without="vhost")
    tags = {user["user"]: user["tags"] for user in json.loads(users)}
    assert not any(tags[login.name] for login in rights.logins())


def _rows(listed: Any, *, without: str = "") -> set[tuple[tuple[str, str], ...]]:
    rows = json.loads(listed) if isinstance(listed, str) else listed
    return {
        tuple(sorted((key, value) for key, value in row.items() if key != without)) for row in rows
    }


def test_every_message_of_a_publisher_reaches_a_queue(node: Node) -> None:
    """Each event of the definitions can be routed, and its publisher may publish it."""
    for service in topology.services():
        broker = node.open(service)
        for keys in topology.published_by(service).values():
            try:
                broker.publish([Message(key, key, b"{}") for key in keys])
            except Unroutable as error:
                pytest.fail(f"{service}: no queue takes {error.ids}")
