"""Bugs in who says what to whom: changed tables, and nothing else."""

import carrito.reactions
import inventario.reactions
import pagos.reactions
import saga_choreography.reactions
from carrito import operations as carrito_operations
from contracts import events
from inventario import operations as inventario_operations
from messaging.reactions import on
from saga_choreography import tracking
from saga_choreography.models import Action


def undos_forward(patch) -> None:
    _rewire(patch, pagos.reactions, {events.ORDER_CANCELLED: events.INVENTORY_COMMIT_FAILED})
    _rewire(patch, carrito.reactions, {events.INVENTORY_COMMIT_FAILED: events.PAYMENT_REFUNDED})
    _rewire(patch, inventario.reactions, {events.PAYMENT_REFUNDED: events.ORDER_CANCELLED})


def second_decider(patch) -> None:
    cancels = on(
        events.CHECKOUT_ABORT_REQUESTED,
        do=carrito_operations.cancel_order,
        says=events.ORDER_CANCELLED,
    )
    patch.setattr(carrito.reactions, "REACTIONS", [*carrito.reactions.REACTIONS, *cancels])


def refusal_unheard(patch) -> None:
    _rewire(patch, pagos.reactions, {events.ORDER_CREATE_FAILED: None})


def abort_without_the_pivot(patch) -> None:
    patch.setitem(tracking.ASKS, Action.ABORT, events.INVENTORY_COMMIT_FAILED)


def watcher_deaf(patch) -> None:
    _rewire(patch, saga_choreography.reactions, {events.ORDER_CREATED: None})


def undo_passed_over(patch) -> None:
    """No order, so the stock goes back at once: nobody gives the money back."""
    _rewire(patch, pagos.reactions, {events.ORDER_CREATE_FAILED: None})
    unreserves = on(
        events.ORDER_CREATE_FAILED,
        do=inventario_operations.unreserve,
        says=events.INVENTORY_UNRESERVED,
    )
    patch.setattr(inventario.reactions, "REACTIONS", [*inventario.reactions.REACTIONS, *unreserves])


def _rewire(patch, module, hears: dict[str, str | None]) -> None:
    """The service's reactions hear other events (None: the reaction is taken out)."""
    changed = []
    for one in module.REACTIONS:
        to = hears.get(one.hears, one.hears)
        if to:
            changed.append(type(one)(**{**one.__dict__, "hears": to}))
    patch.setattr(module, "REACTIONS", changed)
