"""PATTERN 2, choreographed: how a checkout is started, and who listens to what from then on.

`start` is all that this service does for a checkout: it writes `checkout.initiated` to its
outbox. `LISTENS` executes nothing: it tells the reader, and `state`, what the services do by
themselves (each in its `reactions.py`; a test holds this table to them).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings

from contracts import events, sagas
from contracts.commands import Checkout
from contracts.extras import EXTRAS, LAST_FACT
from messaging import outbox
from saga_choreography import facts, trail
from sagas.operations import Kind

SERVICE = "saga_choreography"


class Listens(NamedTuple):
    """On hearing `event`, `service` does (or undoes, or blocks) `step`, and says what came of it.

    Undoing ends with `checkout.failed`; an empty name: nothing is said.
    """

    event: str
    service: str
    kind: Kind
    step: str
    says: str
    says_if_refused: str = ""


# fmt: off
# ruff: noqa: E501 -- a table, to be read as one
LISTENS = (
    # forward
    Listens(events.CHECKOUT_INITIATED,       "inventario", Kind.DO,    sagas.RESERVE,       events.INVENTORY_RESERVED,  events.INVENTORY_RESERVE_FAILED),
    Listens(events.INVENTORY_RESERVED,       "pagos",      Kind.DO,    sagas.CHARGE,        events.PAYMENT_PROCESSED,   events.PAYMENT_FAILED),
    Listens(events.PAYMENT_PROCESSED,        "carrito",    Kind.DO,    sagas.CREATE_ORDER,  events.ORDER_CREATED,       events.ORDER_CREATE_FAILED),
    Listens(events.ORDER_CREATED,            "inventario", Kind.DO,    sagas.COMMIT,        events.INVENTORY_COMMITTED, events.INVENTORY_COMMIT_FAILED),
    # the last fact is inventory.committed, unless there are extra steps
    *(Listens(one.hears, one.service, Kind.DO, one.name, one.says) for one in EXTRAS),
    Listens(LAST_FACT,                       "carrito",    Kind.DO,    sagas.CONFIRM_ORDER, events.CHECKOUT_COMPLETED),
    # backward
    Listens(events.INVENTORY_COMMIT_FAILED,  "carrito",    Kind.UNDO,  sagas.CREATE_ORDER,  events.ORDER_CANCELLED),
    Listens(events.ORDER_CREATE_FAILED,      "pagos",      Kind.UNDO,  sagas.CHARGE,        events.PAYMENT_REFUNDED),
    Listens(events.ORDER_CANCELLED,          "pagos",      Kind.UNDO,  sagas.CHARGE,        events.PAYMENT_REFUNDED),
    Listens(events.PAYMENT_FAILED,           "inventario", Kind.UNDO,  sagas.RESERVE,       events.INVENTORY_UNRESERVED),
    Listens(events.PAYMENT_REFUNDED,         "inventario", Kind.UNDO,  sagas.RESERVE,       events.INVENTORY_UNRESERVED),
    Listens(events.INVENTORY_RESERVE_FAILED, "carrito",    Kind.UNDO,  sagas.ACCEPT,        events.CHECKOUT_FAILED),
    Listens(events.INVENTORY_UNRESERVED,     "carrito",    Kind.UNDO,  sagas.ACCEPT,        events.CHECKOUT_FAILED),
    # on request: an abort says nothing when the sale is committed already; then a return undoes it
    Listens(events.CHECKOUT_ABORT_REQUESTED,  "inventario", Kind.BLOCK, sagas.COMMIT,       "",                         events.INVENTORY_COMMIT_FAILED),
    Listens(events.CHECKOUT_RETURN_REQUESTED, "inventario", Kind.UNDO,  sagas.COMMIT,       events.INVENTORY_RESTORED),
    Listens(events.INVENTORY_RESTORED,        "carrito",    Kind.UNDO,  sagas.CREATE_ORDER, events.ORDER_CANCELLED),
)
# fmt: on


def start(*, checkouts: Sequence[Checkout], now: datetime) -> int:
    """Starts these checkouts; one that is known already is left as it is. Returns how many began.

    Runs in the caller's transaction: a saga is tracked if and only if its first event goes out.
    Of two checkouts of one saga the first counts. `now`: the database's, as all times here are.
    """
    first: dict[str, trail.Started] = {}
    for one in checkouts:
        initiated = facts.initiated(checkout=one, now=now)
        first.setdefault(one.saga_id, trail.Started(checkout=one, initiated=initiated))
    begun = trail.add_sagas(started=list(first.values()), watch_at=next_look(now=now))
    said = [one.initiated for saga_id, one in first.items() if saga_id in begun]
    outbox.add(service=SERVICE, said=said)
    return len(begun)


def next_look(*, now: datetime) -> datetime:
    """When the watchdog looks at a saga that has moved just now."""
    return now + timedelta(seconds=settings.NUDGE_SECONDS)
