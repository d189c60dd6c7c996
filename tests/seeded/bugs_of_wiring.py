"""Bugs in the tables of events and reactions."""

from dataclasses import replace
from importlib import import_module

from django.apps import apps

from catalogue import SAGAS
from contracts import projection
from contracts.saga import Direction
from messaging.handlers import EventHandler
from participant.operations import all_in

CHECKOUT = SAGAS["checkout"]


def undos_forward(patch) -> None:
    _rewire(patch, "pagos", {"order.cancelled": "inventory.commit.failed"})
    _rewire(patch, "carrito", {"inventory.commit.failed": "payment.refunded"})
    _rewire(patch, "inventario", {"payment.refunded": "order.cancelled"})


def second_decider(patch) -> None:
    _undoes_on(patch, "carrito", CHECKOUT.abort, "create_order")


def refusal_not_consumed(patch) -> None:
    _rewire(patch, "pagos", {"order.create.failed": None})


def abort_without_the_pivot(patch) -> None:
    """The step before it is undone at once."""
    _rewire(patch, "inventario", {CHECKOUT.abort: None})
    _undoes_on(patch, "carrito", CHECKOUT.abort, "create_order")


def watcher_misses_an_event(patch) -> None:
    _rewire(patch, "saga_choreography", {"order.created": None})


def undo_passed_over(patch) -> None:
    """Without an order the stock is released at once: the money is not refunded."""
    _rewire(patch, "pagos", {"order.create.failed": None})
    _undoes_on(patch, "inventario", "order.create.failed", "reserve_inventory")


def _undoes_on(patch, service: str, event: str, step: str) -> None:
    """The service undoes its step on this event, too."""
    undone = CHECKOUT.step(step)
    row = projection.ReactionRow(CHECKOUT.name, event, Direction.UNDO, undone, undone.undone)
    action = undone.operation.partition(".")[2]
    undo = all_in(import_module(f"{service}.operations"))[action, Direction.UNDO]
    also = EventHandler(row=row, operation=undo)
    config = apps.get_app_config(service)
    changed = [*config.reactions(), also]
    patch.setattr(config, "reactions", lambda: changed)


def _rewire(patch, service: str, on: dict[str, str | None]) -> None:
    """The service reacts to other events (None: the reaction is removed)."""
    config, changed = apps.get_app_config(service), []
    for reaction in config.reactions():
        to = on.get(reaction.on, reaction.on) if reaction.saga == CHECKOUT.name else reaction.on
        if to == reaction.on:
            changed.append(reaction)
        elif to:
            changed.append(replace(reaction, row=reaction.row._replace(event=to)))
    patch.setattr(config, "reactions", lambda: changed)
