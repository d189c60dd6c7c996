"""What only the memory broker does: misbehave on demand, and the same way each time. It …"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from messaging.brokers import connect
from messaging.brokers.memory import HistoryEntry, MemoryBroker, forget
from tests.broker.adapters import messages
from tests.broker.waiting import ids


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget("here")
    yield
    forget("here")


def run(options: str) -> tuple[list[str], list[HistoryEntry]]:
    """Pass 200 messages through; return the messages received, in order, and the history."""
    forget("here")
    broker = connect(f"memory://here?{options}")
    assert isinstance(broker, MemoryBroker)
    broker.declare(queue="shop", events=["thing.happened"])
    broker.publish(messages(200))
    subscription = broker.subscribe(queue="shop", prefetch=1000)
    deliveries = subscription.take(limit=1000, timeout=0)
    subscription.ack(deliveries)
    return ids(deliveries), broker.history


EVERYTHING = "seed={}&duplicate=0.1&drop=0.1&reorder=1"


def test_behaves_by_default() -> None:
    assert run("")[0] == [f"m{n}" for n in range(200)]


def test_does_the_same_for_the_same_seed() -> None:
    assert run(EVERYTHING.format(7)) == run(EVERYTHING.format(7))


def test_does_something_else_for_another_seed() -> None:
    assert run(EVERYTHING.format(7)) != run(EVERYTHING.format(8))


def test_duplicates_a_share() -> None:
    came, history = run("seed=1&duplicate=0.1")
    doubled = sum(done.action == "duplicated" for done in history)
    assert len(came) == 200 + doubled
    assert 5 < doubled < 40
    assert set(Counter(came).values()) == {1, 2}


def test_drops_a_share_silently() -> None:
    came, history = run("seed=1&drop=0.1")
    dropped = {done.message_id for done in history if done.action == "dropped"}
    assert 5 < len(dropped) < 40
    assert set(came) == {f"m{n}" for n in range(200)} - dropped


def test_reorders() -> None:
    came, _ = run("seed=1&reorder=1")
    assert came != [f"m{n}" for n in range(200)]
    assert sorted(came) == sorted(f"m{n}" for n in range(200))


def test_keeps_a_history() -> None:
    broker = connect("memory://here")
    assert isinstance(broker, MemoryBroker)
    broker.declare(queue="shop", events=["thing.happened"])
    broker.publish(messages(1))
    subscription = broker.subscribe(queue="shop", prefetch=1)
    subscription.give_back(subscription.take(limit=1, timeout=0))
    subscription.ack(subscription.take(limit=1, timeout=0))
    assert [done.action for done in broker.history] == [
        "stored",
        "taken",
        "returned",
        "taken",
        "acked",
    ]


@pytest.mark.parametrize("options", ["colour=red", "drop=often"])
def test_refuses_options_it_does_not_know(options: str) -> None:
    with pytest.raises(ValueError, match="memory://here"):
        connect(f"memory://here?{options}")


def test_refuses_other_options_for_a_name_in_use() -> None:
    connect("memory://here?seed=1")
    with pytest.raises(ValueError, match="in use with other options"):
        connect("memory://here?seed=2")
