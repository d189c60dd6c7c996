"""Brokers: one interface, and an adapter for each broker behind it.

Code outside this package uses only this module. `connect(url)` picks the adapter:

* `amqp://`, `amqps://`: RabbitMQ, durable quorum queues; several hosts with commas between them
  are the nodes of one broker (`rabbitmq.py`; `rabbitmq_link.py` is the only importer of pika);
* `postgresql://`, `postgres://`: PostgreSQL, for use without RabbitMQ (`postgres.py`);
* `memory://name`: this process only, for tests; reorders, duplicates and drops (`memory.py`).

All of them deliver **at least once**: an event is kept until it is acknowledged, and may come
again. One contract suite (`tests/broker/`) tests the three for the same behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from contracts.outcomes import Described

SCHEMES = ("amqp", "amqps", "postgresql", "postgres", "memory")
LONGEST_NAME = 255
"""Bytes of a message's id and type: a short string of AMQP."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """An event, a request or a reply as the broker sees it. `type`: its routing key, on every
    broker (`contracts.events.route`).
    """

    id: str
    type: str
    body: bytes


class Delivery(msgspec.Struct, frozen=True):
    """A message handed to this consumer, which owes an `ack` or a `give_back` for it.

    `redelivered` is a hint that it was handed out before; its absence promises nothing.
    `tag` belongs to the adapter. `speaker`: the login under which it was published, as the broker
    attests; empty if unknown.
    """

    message: Message
    redelivered: bool
    tag: Any
    speaker: str = ""


class BrokerUnavailable(Described):
    """The broker can't be reached, the connection broke, or it refuses to work for now.

    The operation that failed is in doubt. Back off and call again: the adapter reconnects by itself
    at the next call. The text names the reason (`blocked` for a memory or disk alarm).
    """


class Rejected(BrokerUnavailable):
    """The broker works but refuses: the message is too large, a permission is missing, or a queue
    of another kind has this name. The text is the broker's; a retry gives the same until something
    is changed.

    From `publish`: `ids` are those of the refused messages, empty if the broker does not name them.
    Any of the others may have been stored, or not.
    """

    def __init__(self, reason: str, ids: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.ids = tuple(ids)


class Unroutable(Exception):
    """The broker works, but no queue is bound to the type of some published messages.

    `ids` are theirs. All other messages of the same call are safely stored.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(f"no queue is bound for {len(ids)} message(s), first {ids[0]}")
        self.ids = tuple(ids)


class Subscription(Protocol):
    """One consumer's view of one queue. `take`, `ack` and `give_back` belong to one thread."""

    def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        """Return the waiting messages, oldest first, at most `limit`; does not wait for more.

        Blocks until at least one message is there, or `timeout` seconds have passed: then `[]`.
        No message comes while `prefetch` messages are taken and not yet settled.
        Raises BrokerUnavailable when the connection breaks: messages that were taken and not
        acknowledged will come again.
        """
        ...

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Settle them all: they are never delivered again, unless the ack is lost.

        Does nothing for deliveries of a connection that broke since.
        """
        ...

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Put them back into the queue, for this or another consumer, as near their old place
        as the broker can. Like `ack`, does nothing for deliveries of a broken connection.
        """
        ...

    def close(self) -> None:
        """Stop consuming; unacknowledged messages go back. Safe to call twice, and from another
        thread, where it ends a waiting `take` (which then returns `[]`).
        """
        ...


class Rights(msgspec.Struct, frozen=True):
    """`publishes`: by login, the types of messages that it may publish. `consumes`: by queue, the
    login that may consume it.
    """

    publishes: Mapping[str, Sequence[str]]
    consumes: Mapping[str, str]


class Broker(Protocol):
    """A connection to a broker, made at the first call and again after a loss.

    `publish` belongs to one thread and each subscription to another; they don't hinder each other.
    `login`: under which it publishes, the deliveries' `speaker`; empty without logins.
    """

    @property
    def login(self) -> str: ...

    def may_configure(self) -> bool:
        """Whether this login may make queues and exchanges, which no service needs.

        Raises BrokerUnavailable.
        """
        ...

    def describe(self) -> dict[str, str]:
        """Describe the broker, for reports: `broker`, `queues`, `publishing`, `acknowledging`.

        Raises BrokerUnavailable if the version can't be asked.
        """
        ...

    def declare(self, *, queue: str, events: Sequence[str]) -> None:
        """Make sure that a durable `queue` exists and gets these types of messages. For making the
        topology, before any service starts.

        Idempotent; removes neither queue nor binding. Raises BrokerUnavailable, or Rejected if a
        queue of another kind has this name, or the login has no right to do this.
        """
        ...

    def grant(self, rights: Rights) -> None:
        """Grant services exactly these rights, if the broker's rights are set through a connection;
        RabbitMQ's are set by its operator (`contracts.rights`). For making the topology, after all
        queues. Raises BrokerUnavailable.
        """
        ...

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish in order, and return when all of them are stored safely in every queue bound.

        Raises BrokerUnavailable (any of them may have been stored), Rejected or Unroutable.
        """
        ...

    def subscribe(self, *, queue: str, prefetch: int) -> Subscription:
        """Consume a declared queue, holding at most `prefetch` unsettled messages.

        Raises BrokerUnavailable, also for an unknown queue, and Rejected, also for the queue of
        another login.
        """
        ...

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        """Count, for each queue, the messages waiting and those taken but not settled.

        A queue that doesn't exist has 0. RabbitMQ does not report the messages that other processes
        have taken: there the count is of waiting messages and those that this process holds.
        Raises BrokerUnavailable.
        """
        ...

    def ping(self) -> None:
        """Do one round trip. Raises BrokerUnavailable."""
        ...

    def close(self) -> None:
        """Close subscriptions and connections, within seconds. Safe to call twice."""
        ...


def refuse_invalid(messages: Sequence[Message]) -> None:
    """Raise Rejected for messages that are too large for a broker or for the reading service."""
    invalid = [
        message.id
        for message in messages
        if len(message.body) > MOST_BYTES_OF_A_MESSAGE
        or len(message.type.encode()) > LONGEST_NAME
        or len(message.id.encode()) > LONGEST_NAME
    ]
    if invalid:
        limits = f"{MOST_BYTES_OF_A_MESSAGE} bytes, and {LONGEST_NAME} for its id and type"
        raise Rejected(f"a message has at most {limits}", invalid)


def connect(url: str, *, namespace: str = "") -> Broker:
    """Return the adapter for `url`; it connects at its first call, so this can't meet an outage.

    `namespace` prefixes all names on the broker, so that several stacks or test runs can share it.
    Raises ValueError for a URL without an adapter.
    """
    # Adapters are imported on demand: a service on RabbitMQ needs no second PostgreSQL client.
    scheme = url.partition("://")[0]
    if scheme in ("amqp", "amqps"):
        from messaging.brokers.rabbitmq import RabbitMQBroker

        return RabbitMQBroker(url, namespace=namespace)
    if scheme in ("postgresql", "postgres"):
        from messaging.brokers.postgres import PostgresBroker

        return PostgresBroker(url, namespace=namespace)
    if scheme == "memory":
        from messaging.brokers.memory import connect_memory

        return connect_memory(url, namespace=namespace)
    known = ", ".join(f"{known}://" for known in SCHEMES)
    raise ValueError(f"no broker for {scheme or 'an empty scheme'!r}; known are {known}")
