"""The shop as a load test sees it: the addresses of a running stack."""

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
"""The saga that is loaded by default; a survey knows no other."""
OWN_STEPS = sum(not step.operation.endswith(".pad") for step in SAGAS[CHECKOUT].steps) - 1
"""Of a checkout after its acceptance."""
MOST_STEPS = OWN_STEPS + len(PADDED)
"""With the padding steps, which change nothing."""
_OF_ACCEPTED = frozenset({"saga", "saga_pattern", "context", "handed_over_at", "ended_at"})
"""Fields that only an owner's table of accepted sagas has."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A running stack. `saga`: the one to start, with its padding steps. `services`: those that run
    and have workers; `urls`, `databases`: by service; `processes`: the current pids by name;
    `passes`: make the tokens of its users.
    """

    saga: Saga
    services: tuple[str, ...]
    urls: Mapping[str, str]
    databases: Mapping[str, str]
    broker: str
    processes: Callable[[], Mapping[str, int]]
    passes: Passes


def shop_of(*, stack: LocalStack, saga: str = CHECKOUT) -> Shop:
    """The shop of a started stack. `saga`: the one to start."""
    databases = stack.audit_urls
    extra_steps = int(stack.environment.get(PADDING) or 0) if saga == CHECKOUT else 0
    return Shop(
        saga=definition_of(saga=saga, extra_steps=extra_steps),
        services=tuple(service for service in WITH_WORKER if service in stack.options.names),
        urls=stack.urls,
        databases=databases,
        broker=stack.broker_url,
        processes=lambda: stack.processes,
        passes=stack.passes,
    )


def definition_of(*, saga: str, extra_steps: int = 0) -> Saga:
    """The saga's definition, with this many padding steps, whatever our own environment says.

    Raises KeyError for an unknown saga, ValueError for too many padding steps.
    """
    found = SAGAS[saga]
    own = [step for step in found.steps if not step.operation.endswith(".pad")]
    steps = (*own[:-1], *padding_steps(str(extra_steps)), own[-1])
    return msgspec.structs.replace(found, steps=steps)


def owners() -> list[str]:
    """The services that accept sagas."""
    return list(dict.fromkeys(saga.owner for saga in SAGAS.values()))


def accepted_table(*, service: str) -> str:
    """An owner's table of accepted sagas. Raises LookupError if it has none."""
    for model in apps.get_app_config(service).get_models():
        if {field.name for field in model._meta.get_fields()} >= _OF_ACCEPTED:
            return model._meta.db_table
    raise LookupError(f"{service} owns a saga, but has no table of accepted sagas")
