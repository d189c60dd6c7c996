"""PATTERN 1, orchestrated: one conductor tells each service what to do, and hears what came of it.

    carrito has accepted:    the cart is locked, items, prices and total are frozen
    tell inventario          reserve           and if it goes wrong later   unreserve
    tell pagos               charge                                         refund
    tell carrito             create the order                               cancel the order
    tell inventario          commit            <- the pivot: from here on only forward
    tell carrito             confirm the order

On a refusal, or a fault that outlasts its retries: the undos of what was done, in reverse order,
and in the end carrito unlocks the cart. A fault at the pivot is settled by asking inventario to
block it: blocked, it goes back; already sold, it goes on.

The same list as data is `contracts.sagas.CHECKOUT` (a test holds this page to it); the engine
knows no step by name. Here is how a checkout comes in; `runner` takes it from there.
"""

from collections.abc import Sequence

import msgspec
from django.conf import settings

from contracts import refusals, sagas
from contracts.commands import Checkout
from contracts.outcomes import Done, Outcome, Refused
from contracts.statuses import Pattern
from messaging import doorbell
from saga_orchestrator import sagalog

SAGA = sagas.CHECKOUT


def accept(*, handed: Sequence[msgspec.Raw]) -> list[Outcome]:
    """Starts what was handed over, as JSON; one that can't be read is refused alone."""
    read = [_read(one) for one in handed]
    started = iter(start(checkouts=[one for one in read if isinstance(one, Checkout)]))
    return [one if isinstance(one, Refused) else next(started) for one in read]


def start(*, checkouts: Sequence[Checkout]) -> list[Outcome]:
    """Writes a saga for each checkout that is not known yet, and wakes a runner.

    Done: it is started for certain, now or before. Refused: wrong_pattern. Rings after its own
    commit, so it must not be called within a transaction.
    """
    ours = [one for one in checkouts if one.saga_pattern == Pattern.ORCHESTRATED]
    if sagalog.start(saga=SAGA, checkouts=ours, seconds=settings.SAGA_SECONDS):
        doorbell.ring(service=sagalog.ALIAS, channel=sagalog.CHANNEL)
    return [_outcome(one) for one in checkouts]


def _read(handed: msgspec.Raw) -> Checkout | Refused:
    try:
        return msgspec.json.decode(handed, type=Checkout)
    except msgspec.ValidationError as error:
        return Refused(refusals.MALFORMED_CHECKOUT, str(error))


def _outcome(checkout: Checkout) -> Outcome:
    if checkout.saga_pattern == Pattern.ORCHESTRATED:
        return Done({"saga_id": checkout.saga_id})
    return Refused(
        refusals.WRONG_PATTERN, f"Here checkouts are orchestrated, not {checkout.saga_pattern}."
    )
