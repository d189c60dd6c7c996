"""A stack whose processes die on command."""

from urllib.parse import urlsplit

import pytest

from participant import failpoints
from stack.local import LocalStack
from stack.proxy import Proxy
from tests.chaos.round import RetryingShop
from tests.chaos.triggers import Triggers

NEVER = "86400"
"""Seconds: no saga ends because the watchdog helped, or its time was over."""


class Proxies:
    """The proxies to RabbitMQ, one for each URL."""

    def __init__(self) -> None:
        self._made: dict[str, Proxy] = {}

    def detour(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "amqp":
            return url
        address = f"{parts.hostname}:{parts.port}"
        if address not in self._made:
            self._made[address] = Proxy(str(parts.hostname), int(parts.port or 0))
        return url.replace(address, f"127.0.0.1:{self._made[address].port}")

    def cut(self) -> None:
        """Ends every connection to the broker."""
        for proxy in self._made.values():
            proxy.cut()

    def close(self) -> None:
        for proxy in self._made.values():
            proxy.close()


@pytest.fixture(scope="package")
def proxies():
    made = Proxies()
    yield made
    made.close()


@pytest.fixture(scope="package")
def triggers(tmp_path_factory):
    return Triggers(tmp_path_factory.mktemp("points"))


@pytest.fixture(scope="package")
def stack(tmp_path_factory, triggers, proxies):
    with LocalStack(
        folder=tmp_path_factory.mktemp("stack"),
        fresh=True,
        free_ports=True,
        use_given=False,
        longest_pause=0.0,
        detour=proxies.detour,
        environment={
            failpoints.FOLDER: str(triggers.folder),
            "DUETO_REDRIVE_SECONDS": NEVER,
            "DUETO_SAGA_SECONDS": NEVER,
        },
    ) as running:
        yield running


@pytest.fixture(scope="package")
def shop(stack):
    return RetryingShop(stack)
