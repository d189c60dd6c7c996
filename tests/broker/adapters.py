"""The brokers under test: fresh names on each of them, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import psutil
import psycopg
import pytest

from contracts.topology import DEAD, EXCHANGES
from messaging.brokers import Message, connect
from messaging.brokers.latency import LatencyBroker
from messaging.brokers.memory import forget
from stack.rabbitmq import SERVER

DISTANCE_SECONDS = 0.002


class Adapter:
    """One broker, and connections to it that share unique names."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.url = name, url
        self.namespace = f"test-{uuid.uuid4().hex[:12]}."
        self.opened: list[Any] = []
        self.declared: set[str] = set()

    def open(self, url: str = "") -> Any:
        """Give another handle, as another process would have; `url` leads through a proxy."""
        near = connect(url or self.url, namespace=self.namespace)
        is_near = self.name != "latency"
        return self.adopt(near if is_near else LatencyBroker(near, seconds=DISTANCE_SECONDS))

    def adopt(self, broker: Any) -> Any:
        """Have a broker closed, and what it made deleted, after the test."""
        self.opened.append(broker)
        declare = broker.declare

        def noted(*, queue: str, events: Any) -> None:
            self.declared.add(queue)
            declare(queue=queue, events=events)

        broker.declare = noted
        return broker

    def clean(self) -> None:
        for broker in self.opened:
            broker.close()
        if self.name == "rabbitmq":
            self._clean_rabbitmq()
        elif self.name == "postgres":
            self._clean_postgres()
        else:
            forget(self.url.removeprefix("memory://"))

    def _clean_rabbitmq(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            for queue in self.declared:
                channel.queue_delete(f"{self.namespace}{queue}")
                channel.queue_delete(f"{self.namespace}{queue}.dead")
            for exchange in (*EXCHANGES, DEAD):
                channel.exchange_delete(self.namespace + exchange)

    def _clean_postgres(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{self.namespace}dueto_broker" CASCADE')


def rabbitmq_url() -> str:
    """Skip if there is no RabbitMQ, but fail if there must be one."""
    url = os.environ.get("RABBITMQ_URL", "")
    if url:
        return url
    reason = "RABBITMQ_URL is not set: nothing is tested on RabbitMQ"
    if os.environ.get("CI") == "true" or os.environ.get("DUETO_REQUIRE_RABBITMQ") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def rabbitmqctl(url: str, *command: str) -> str:
    """Run a tool against the private node at `url`, with the node's own variables; its output."""
    port = urlsplit(url).port
    listening = [
        connection
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.laddr.port == port
    ]
    (node,) = {
        psutil.Process(listener.pid)
        for listener in listening
        if listener.status == psutil.CONN_LISTEN
    }
    kept = ("PATH", "LANG", "HOME", "RABBITMQ_NODENAME", "RABBITMQ_CONF_ENV_FILE", "ERL_EPMD_PORT")
    ended = subprocess.run(
        [str(Path(SERVER).with_name("rabbitmqctl")), "--quiet", *command],
        env={name: node.environ()[name] for name in kept if name in node.environ()},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ended.stdout


def postgres_url() -> str:
    """Give the database of the tests."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        pytest.skip("DATABASE_URL is not set: nothing is tested on PostgreSQL")
    return url


def adapter(name: str) -> Iterator[Adapter]:
    urls = {"rabbitmq": rabbitmq_url, "postgres": postgres_url}
    made = Adapter(name, urls.get(name, lambda: f"memory://{uuid.uuid4().hex}")())
    yield made
    made.clean()


def messages(count: int, *, kind: str = "thing.happened", first: int = 0) -> list[Message]:
    """Make messages numbered from `first`; the number is in their ids."""
    return [Message(f"m{n}", kind, b'{"n": %d}' % n) for n in range(first, first + count)]
