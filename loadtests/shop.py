"""Where the shop is: all that a load test knows of a running stack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from django.apps import apps

from accounts.passes import Passes
from catalogue import SAGAS
from catalogue.checkout import PADDED, PADDING, padding_steps
from catalogue.services import WITH_WORKER
from contracts.saga import Saga
from stack.local import LocalStack

CHECKOUT = "checkout"
"""What is loaded unless another saga is named; a survey knows no other."""
OWN_STEPS = sum(not step.operation.endswith(".pad") for step in SAGAS[CHECKOUT].steps) - 1
"""Of a checkout after its acceptance."""
MOST_STEPS = OWN_STEPS + len(PADDED)
"""With those that change nothing."""
_OF_ACCEPTED = frozenset({"saga", "saga_pattern", "context", "handed_over_at", "ended_at"})
"""Fields that an owner's table of accepted sagas has, and no other table."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A running stack. `services`: those that run and work for sagas; `urls` and `databases` by
    service; `processes`: pid by name, now. `saga`: what is started there, as long as its processes
    have it. `passes`: with what people ask there.
    """

    saga: Saga
    services: tuple[str, ...]
    urls: Mapping[str, str]
    databases: Mapping[str, str]
    broker: str
    processes: Callable[[], Mapping[str, int]]
    passes: Passes


def shop_of(*, stack: LocalStack, saga: str = CHECKOUT) -> Shop:
    """The shop that a started stack runs. `saga`: what is to be started there."""
    databases = stack.audit_urls
    extra_steps = int(stack.environment.get(PADDING) or 0) if saga == CHECKOUT else 0
    return Shop(
        saga=page(saga=saga, extra_steps=extra_steps),
        services=tuple(service for service in WITH_WORKER if service in stack.options.names),
        urls=stack.urls,
        databases=databases,
        broker=stack.broker_url,
        processes=lambda: stack.processes,
        passes=stack.passes,
    )


def page(*, saga: str, extra_steps: int = 0) -> Saga:
    """The saga's page, a checkout's with so many padding steps whatever our own environment says.

    Raises KeyError where there is no such saga, ValueError where it can't be so long.
    """
    found = SAGAS[saga]
    own = [step for step in found.steps if not step.operation.endswith(".pad")]
    steps = (*own[:-1], *padding_steps(str(extra_steps)), own[-1])
    return msgspec.structs.replace(found, steps=steps)


def owners() -> list[str]:
    """Who accepts sagas."""
    return list(dict.fromkeys(saga.owner for saga in SAGAS.values()))


def accepted_table(*, service: str) -> str:
    """Where an owner has the sagas that it has accepted. Raises LookupError where it has none."""
    for model in apps.get_app_config(service).get_models():
        if {field.name for field in model._meta.get_fields()} >= _OF_ACCEPTED:
            return model._meta.db_table
    raise LookupError(f"{service} owns a saga, and has no table of accepted sagas")
