"""What only PostgreSQL's adapter can get wrong: claims, locks and connections. It …"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from contracts.bounds import MOST_BYTES_OF_A_MESSAGE
from messaging.brokers import (
    LONGEST_NAME,
    BrokerUnavailable,
    Message,
    Rejected,
)
from messaging.brokers import postgres as adapter
from messaging.brokers.postgres import PostgresBroker
from tests.broker.adapters import Adapter, messages
from tests.broker.waiting import ids, nothing_comes, take, until_available
from tests.waiting import eventually


@pytest.fixture
def broker(postgres: Adapter) -> PostgresBroker:
    opened: PostgresBroker = postgres.open()
    opened.declare(queue="shop", events=["thing.happened"])
    return opened


@pytest.fixture
def plain(postgres: Adapter) -> Iterator[psycopg.Connection[Any]]:
    """An ordinary connection that sees the broker's tables."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f'SET search_path TO "{postgres.namespace}dueto_broker"')
        yield connection


def kill(plain: psycopg.Connection[Any], connection: psycopg.Connection[Any]) -> None:
    """End a connection as a killed process or a restarted server would."""
    pid = connection.info.backend_pid
    plain.execute("SELECT pg_terminate_backend(%s)", (pid,))
    eventually(
        lambda: (
            plain.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
            is None
        )
    )


def test_frees_at_once_what_a_dead_consumer_held(
    postgres: Adapter, broker: PostgresBroker, plain: psycopg.Connection[Any]
) -> None:
    broker.publish(messages(2))
    dying = broker.subscribe(queue="shop", prefetch=10)
    take(dying, 2)
    kill(plain, dying._connection)
    again = take(postgres.open().subscribe(queue="shop", prefetch=10), 2)
    assert ids(again) == ["m0", "m1"]
    assert all(delivery.redelivered for delivery in again)


def test_frees_it_for_a_consumer_that_waits_already(
    postgres: Adapter,
    broker: PostgresBroker,
    plain: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adapter, "SWEEP_SECONDS", 0.1)
    broker.publish(messages(1))
    dying = broker.subscribe(queue="shop", prefetch=10)
    take(dying, 1)
    waiting = postgres.open().subscribe(queue="shop", prefetch=10)
    with ThreadPoolExecutor(1) as consumer:
        taken = consumer.submit(waiting.take, limit=1, timeout=60)
        kill(plain, dying._connection)
        assert ids(taken.result(30)) == ["m0"]


def test_leaves_alone_what_a_slow_consumer_holds(
    postgres: Adapter, broker: PostgresBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "SWEEP_SECONDS", 0.0)
    broker.publish(messages(1))
    take(broker.subscribe(queue="shop", prefetch=10), 1)
    assert nothing_comes(postgres.open().subscribe(queue="shop", prefetch=10))


def test_raises_when_the_connection_breaks_while_it_waits(
    broker: PostgresBroker, plain: psycopg.Connection[Any]
) -> None:
    subscription = broker.subscribe(queue="shop", prefetch=10)
    with ThreadPoolExecutor(1) as consumer:
        taken = consumer.submit(subscription.take, limit=1, timeout=60)
        kill(plain, subscription._connection)
        with pytest.raises(BrokerUnavailable):
            taken.result(30)
    broker.publish(messages(1))
    assert ids(take(subscription, 1)) == ["m0"]


def test_ignores_the_ack_of_a_broken_connection(
    broker: PostgresBroker, plain: psycopg.Connection[Any]
) -> None:
    broker.publish(messages(2))
    subscription = broker.subscribe(queue="shop", prefetch=1)
    stale = take(subscription, 1)
    kill(plain, subscription._connection)
    with pytest.raises(BrokerUnavailable):
        subscription.take(limit=1, timeout=30)
    fresh = subscription.take(limit=1, timeout=30)
    assert ids(fresh) == ["m0"]
    subscription.ack(stale)
    subscription.give_back(stale)
    assert broker.depths(["shop"]) == {"shop": 2}
    subscription.ack(fresh)
    assert broker.depths(["shop"]) == {"shop": 1}


def test_publishes_again_after_its_connection_broke(
    broker: PostgresBroker, plain: psycopg.Connection[Any]
) -> None:
    broker.publish(messages(1))
    assert broker._connection is not None
    kill(plain, broker._connection)
    with pytest.raises(BrokerUnavailable):
        broker.publish(messages(1, first=1))
    until_available(lambda: broker.publish(messages(1, first=1)))
    assert broker.depths(["shop"]) == {"shop": 2}


def test_keeps_no_transaction_open_while_a_message_is_handled(
    broker: PostgresBroker, plain: psycopg.Connection[Any]
) -> None:
    broker.publish(messages(1))
    take(broker.subscribe(queue="shop", prefetch=10), 1)
    open_transactions = plain.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'dueto broker' AND state LIKE 'idle in transaction%'"
    ).fetchone()
    assert open_transactions == (0,)


def test_stores_in_tables_that_survive_a_crash(
    broker: PostgresBroker, plain: psycopg.Connection[Any]
) -> None:
    broker.publish(messages(1))
    logged = plain.execute(
        "SELECT relpersistence FROM pg_class WHERE oid = 'message'::regclass"
    ).fetchone()
    assert logged == ("p",)
    # The publishing connection waits for the disk, whatever the consuming ones do.
    assert broker._connection is not None
    waits = broker._connection.execute("SHOW synchronous_commit").fetchone()
    assert waits == plain.execute("SHOW synchronous_commit").fetchone()


def test_goes_on_once_dropped_tables_are_made_again(
    postgres: Adapter, broker: PostgresBroker, plain: psycopg.Connection[Any]
) -> None:
    plain.execute(f'DROP SCHEMA "{postgres.namespace}dueto_broker" CASCADE')
    with pytest.raises(BrokerUnavailable):
        broker.publish(messages(1))
    broker.declare(queue="shop", events=["thing.happened"])
    broker.publish(messages(1))
    assert broker.depths(["shop"]) == {"shop": 1}


def test_makes_its_tables_once_when_many_start_together(postgres: Adapter) -> None:
    with ThreadPoolExecutor(6) as starters:
        opened = [postgres.open() for _ in range(6)]
        list(starters.map(lambda broker: broker.declare(queue="shop", events=[]), opened))


def test_reports_that_it_never_takes_a_message_and_goes_on(
    broker: PostgresBroker, plain: psycopg.Connection[Any]
) -> None:
    plain.execute("ALTER TABLE message ADD CHECK (octet_length(body) < 100)")
    with pytest.raises(Rejected, match="check constraint"):
        broker.publish([*messages(1), Message("large", "thing.happened", b"x" * 100)])
    broker.publish(messages(1))
    assert ids(take(broker.subscribe(queue="shop", prefetch=10), 1)) == ["m0"]


def test_gives_only_enough_of_a_large_body_to_show_its_size(
    postgres: Adapter, broker: PostgresBroker, plain: psycopg.Connection[Any]
) -> None:
    plain.execute(
        "INSERT INTO message (queue, id, type, body, speaker) VALUES ('shop', %s, %s, %s, '')",
        ("i" * 9_000, "t" * 9_000, b"x" * (3 * MOST_BYTES_OF_A_MESSAGE)),
    )
    (delivery,) = take(broker.subscribe(queue="shop", prefetch=10), 1)
    message = delivery.message
    assert (len(message.id), len(message.type)) == (LONGEST_NAME, LONGEST_NAME)
    assert len(message.body) == MOST_BYTES_OF_A_MESSAGE + 1
