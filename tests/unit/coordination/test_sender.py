"""A thread hands over the sagas that a process has accepted, and marks them together."""

import pytest

from contracts.saga import Context
from coordination.handover import BATCH, Sender
from httpapi.client import Unreachable
from tests.waiting import eventually


class Coordinator:
    """A fake hand-over, which stores the sagas that it gets and those that are marked."""

    name, service = "handover.test", "carrito"

    def __init__(self) -> None:
        self.received: list[str] = []
        self.marked: list[list[str]] = []
        self.is_away = False

    def tell(self, contexts: list[Context]) -> list[str]:
        if self.is_away:
            raise Unreachable("away")
        ids = [context.saga_id for context in contexts]
        self.received += ids
        return ids

    def mark(self, saga_ids: list[str]) -> None:
        self.marked.append(saga_ids)


@pytest.fixture
def coordinator():
    return Coordinator()


@pytest.fixture
def sender(coordinator):
    return Sender(handover=coordinator)


def saga(number: int) -> Context:
    return Context(saga="checkout", saga_id=f"s{number}", pattern="orchestrated", subject="c")


def test_sagas_are_marked_while_more_keep_coming(sender, coordinator):
    """The queue is never empty."""
    numbers = iter(range(10 * BATCH))

    def another():
        sender.give(saga(next(numbers)))
        return coordinator.marked

    eventually(another, what="the first of them are marked")
    assert coordinator.marked[0] == coordinator.received[: len(coordinator.marked[0])]
    assert len(coordinator.marked[0]) < BATCH


def test_saga_that_can_not_be_handed_over_delays_no_mark_of_others(sender, coordinator):
    sender.give(saga(1))
    eventually(lambda: coordinator.received)
    coordinator.is_away = True
    sender.give(saga(2))
    eventually(lambda: coordinator.marked)
    coordinator.is_away = False
    sender.give(saga(3))
    eventually(lambda: len(coordinator.marked) == 2)
    assert coordinator.marked == [["s1"], ["s3"]]
