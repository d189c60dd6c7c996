"""Where the shop is: all that a load test knows of a running stack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stack.local import LocalStack

SERVICES = ("carrito", "inventario", "pagos", "saga_orchestrator", "saga_choreography")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A running stack. `urls` and `databases` by service; `processes`: pid by name, now."""

    urls: Mapping[str, str]
    databases: Mapping[str, str]
    broker: str
    processes: Callable[[], Mapping[str, int]]


def shop_of(*, stack: LocalStack) -> Shop:
    """The shop that a started stack runs."""
    databases = stack.database_urls
    return Shop(
        urls=stack.urls,
        databases=databases,
        broker=stack.rabbitmq_url or databases["default"],
        processes=lambda: stack.processes,
    )
