"""Each test of a broker gets names on it that nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from messaging.brokers import Broker
from tests.broker.adapters import Adapter, adapter


@pytest.fixture(params=["rabbitmq", "postgres", "memory", "latency"])
def any_adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    yield from adapter(request.param)


@pytest.fixture
def rabbitmq() -> Iterator[Adapter]:
    yield from adapter("rabbitmq")


@pytest.fixture
def postgres() -> Iterator[Adapter]:
    yield from adapter("postgres")


@pytest.fixture
def broker(any_adapter: Adapter) -> Broker:
    """A broker with the queue `shop`, bound to `thing.happened`."""
    opened: Broker = any_adapter.open()
    opened.declare(queue="shop", events=["thing.happened"])
    return opened
