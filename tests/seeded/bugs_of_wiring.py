"""Bugs in who says what to whom: changed tables, and nothing else."""

from dataclasses import replace

import carrito.reactions
import inventario.reactions
import pagos.reactions
import saga_choreography.reactions
from catalogue import SAGAS
from contracts import projection
from contracts.saga import Direction
from messaging.reactions import EventHandler
from participant.operations import all_in

CHECKOUT = SAGAS["checkout"]


def undos_forward(patch) -> None:
    _rewire(patch, pagos.reactions, {"order.cancelled": "inventory.commit.failed"})
    _rewire(patch, carrito.reactions, {"inventory.commit.failed": "payment.refunded"})
    _rewire(patch, inventario.reactions, {"payment.refunded": "order.cancelled"})


def second_decider(patch) -> None:
    _undoes_on(patch, carrito, CHECKOUT.abort, "create_order")


def refusal_unheard(patch) -> None:
    _rewire(patch, pagos.reactions, {"order.create.failed": None})


def abort_without_the_pivot(patch) -> None:
    """Whoever is before it undoes its step at once."""
    _rewire(patch, inventario.reactions, {CHECKOUT.abort: None})
    _undoes_on(patch, carrito, CHECKOUT.abort, "create_order")


def watcher_deaf(patch) -> None:
    _rewire(patch, saga_choreography.reactions, {"order.created": None})


def undo_passed_over(patch) -> None:
    """No order, so the stock goes back at once: nobody gives the money back."""
    _rewire(patch, pagos.reactions, {"order.create.failed": None})
    _undoes_on(patch, inventario, "order.create.failed", "reserve_inventory")


def _undoes_on(patch, service, event: str, step: str) -> None:
    """The service undoes its step on this event, too."""
    undone = CHECKOUT.step(step)
    row = projection.ReactionRow(CHECKOUT.name, event, Direction.UNDO, undone, undone.undone)
    action = undone.operation.partition(".")[2]
    undo = all_in(service.operations)[action, Direction.UNDO]
    also = EventHandler(row=row, operation=undo)
    patch.setattr(service.reactions, "REACTIONS", [*service.reactions.REACTIONS, also])


def _rewire(patch, module, on: dict[str, str | None]) -> None:
    """The service's reactions hear other events (None: the reaction is taken out)."""
    changed = []
    for reaction in module.REACTIONS:
        to = on.get(reaction.on, reaction.on) if reaction.saga == CHECKOUT.name else reaction.on
        if to == reaction.on:
            changed.append(reaction)
        elif to:
            changed.append(replace(reaction, row=reaction.row._replace(event=to)))
    patch.setattr(module, "REACTIONS", changed)
