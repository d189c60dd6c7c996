"""Where the shop is: all that a load test knows of a running stack."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contracts import extras
from contracts.extras import Extra
from stack.local import LocalStack

SERVICES = ("carrito", "inventario", "pagos", "saga_orchestrator", "saga_choreography")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A running stack. `urls` and `databases` by service; `processes`: pid by name, now.
    `extras`: the extra steps of its checkout.
    """

    urls: Mapping[str, str]
    databases: Mapping[str, str]
    broker: str
    processes: Callable[[], Mapping[str, int]]
    extras: Sequence[Extra] = ()


def shop_of(*, stack: LocalStack) -> Shop:
    """The shop that a started stack runs."""
    databases = stack.database_urls
    return Shop(
        urls=stack.urls,
        databases=databases,
        broker=stack.rabbitmq_url or databases["default"],
        processes=lambda: stack.processes,
        extras=extras.asked_for(environment=stack.environment),
    )
