"""Extra steps of the checkout that change nothing: for measuring how a saga's cost grows with its
length (docs/adr/0009-extra-steps.md). Usually there are none.

    commit_inventory   inventario   inventory.committed     the pivot
    extra_1            pagos        extra.1.done
    extra_2            inventario   extra.2.done
    extra_3            pagos        extra.3.done
    confirm_order      carrito      checkout.completed

Each is at another service than the one before it, so each costs a whole hop. They come after the
pivot, where nothing is refused and nothing undone any more.
"""

import os
from collections.abc import Mapping, Sequence

import msgspec

from contracts import events

VARIABLE = "DUETO_EXTRA_STEPS"
"""How many there are; the same for every process of a shop."""
SERVICES = ("pagos", "inventario", "pagos")
MOST = len(SERVICES)


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """One of them. `hears`, `says`: the facts where nobody conducts; `request`: the same step by
    message; `path`: over HTTP.
    """

    name: str
    service: str
    hears: str
    says: str
    request: str
    path: str


def asked_for(*, environment: Mapping[str, str]) -> list[Extra]:
    """Those of a shop with these variables.

    Raises ValueError unless their number is a whole one from 0 to MOST.
    """
    text = environment.get(VARIABLE) or "0"
    if not text.isdecimal() or int(text) > MOST:
        raise ValueError(f"{VARIABLE} is {text!r}: it must be a whole number from 0 to {MOST}")
    return chain(count=int(text))


def chain(*, count: int) -> list[Extra]:
    """So many, in order, at most MOST."""
    return [
        Extra(
            name=f"extra_{number}",
            service=service,
            hears=f"extra.{number - 1}.done" if number > 1 else events.INVENTORY_COMMITTED,
            says=f"extra.{number}.done",
            request=f"extra.{number}.requested",
            path=f"/extra/{number}",
        )
        for number, service in enumerate(SERVICES[:count], start=1)
    ]


def last_fact(*, extras: Sequence[Extra]) -> str:
    """What is said last before the order is confirmed."""
    return extras[-1].says if extras else events.INVENTORY_COMMITTED


EXTRAS = asked_for(environment=os.environ)
"""Those of this process, and so of the whole shop."""
LAST_FACT = last_fact(extras=EXTRAS)
