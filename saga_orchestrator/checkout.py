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

It tells them over HTTP, or, in the control pattern `orchestrated_messaging`, by message: the same
page holds for both.

The same list as data is `contracts.sagas.CHECKOUT` (a test holds this page to it); the engine
knows no step by name. Here is how a checkout comes in; `runner` takes it from there.
"""

from collections.abc import Sequence

from django.conf import settings

from contracts import sagas
from contracts.commands import Checkout
from messaging import doorbell
from saga_orchestrator import sagalog
from sagas import points

SAGA = sagas.CHECKOUT


def start(*, checkouts: Sequence[Checkout]) -> None:
    """Writes a saga for each checkout that is not known yet, and wakes a runner.

    Each is started for certain then, now or before. Rings after its own commit, so it must not be
    called within a transaction.
    """
    points.reach("orchestration.before_start")
    started = sagalog.start(saga=SAGA, checkouts=checkouts, seconds=settings.SAGA_SECONDS)
    points.reach("orchestration.started")
    if started:
        doorbell.ring(service=sagalog.ALIAS, channel=sagalog.CHANNEL)
