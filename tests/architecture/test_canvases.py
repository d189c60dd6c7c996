"""The canvas at the top of each service, and the choreography's table, say what is really so."""

import re
from importlib import import_module
from typing import NamedTuple

import pytest

from contracts import events, sagas
from messaging.answering import Answer
from messaging.reactions import Reaction, SagaReaction
from tests.architecture.tree import PARTICIPANTS, SERVICES

HEADINGS = ("Owns", "Offers", "Calls", "Asks", "Reacts to", "Answers", "Publishes")
EVERY_EVENT = {
    value
    for name, value in vars(events).items()
    if name.isupper() and isinstance(value, str) and "." in value
}


class Row(NamedTuple):
    """On hearing `event`, `service` does `operation`, and says this, or that if it is refused."""

    event: str
    service: str
    operation: str
    says: str
    says_if_refused: str = ""


CHOREOGRAPHY = {
    # Forward.
    Row(
        "checkout.initiated",
        "inventario",
        "reserve",
        "inventory.reserved",
        "inventory.reserve.failed",
    ),
    Row("inventory.reserved", "pagos", "charge", "payment.processed", "payment.failed"),
    Row("payment.processed", "carrito", "create_order", "order.created", "order.create.failed"),
    Row("order.created", "inventario", "commit", "inventory.committed", "inventory.commit.failed"),
    Row("inventory.committed", "carrito", "confirm_order", "checkout.completed"),
    # Backward, in reverse order.
    Row("inventory.commit.failed", "carrito", "cancel_order", "order.cancelled"),
    Row("order.create.failed", "pagos", "refund", "payment.refunded"),
    Row("order.cancelled", "pagos", "refund", "payment.refunded"),
    Row("payment.failed", "inventario", "unreserve", "inventory.unreserved"),
    Row("payment.refunded", "inventario", "unreserve", "inventory.unreserved"),
    Row("inventory.reserve.failed", "carrito", "unlock", "checkout.failed"),
    Row("inventory.unreserved", "carrito", "unlock", "checkout.failed"),
    # Asked for: an abort enters the backward chain unless the pivot has passed, a return after it.
    Row("checkout.abort.requested", "inventario", "block_commit", "", "inventory.commit.failed"),
    Row("checkout.return.requested", "inventario", "restore", "inventory.restored"),
    Row("inventory.restored", "carrito", "cancel_order", "order.cancelled"),
}
"""Who reacts to what, as it was designed."""


def test_reactions_are_those_of_the_design() -> None:
    registered = {
        Row(one.hears, service, _name(one), one.says, one.says_if_refused)
        for service in PARTICIPANTS
        for one in _reactions(service)
        if isinstance(one, SagaReaction)
    }
    assert registered == CHOREOGRAPHY


@pytest.mark.parametrize("service", SERVICES)
def test_canvas_has_its_headings(service: str) -> None:
    said = _canvas(service)
    assert {"Owns", "Offers", "Reacts to", "Publishes"} <= set(said)
    assert all(said.values()), "a heading without anything behind it"


@pytest.mark.parametrize("service", SERVICES)
def test_canvas_says_what_the_service_reacts_to(service: str) -> None:
    text = _canvas(service)["Reacts to"]
    # Its first event is written down by whoever says it: in the same transaction, the same table.
    said = EVERY_EVENT - {events.CHECKOUT_INITIATED} if "every event" in text else _events(text)
    said |= sagas.REPLIES if "every reply" in text else set()
    assert said == {one.hears for one in _reactions(service) if not isinstance(one, Answer)}


@pytest.mark.parametrize("service", PARTICIPANTS)
def test_canvas_says_what_the_service_answers(service: str) -> None:
    answers = {one.hears for one in _reactions(service) if isinstance(one, Answer)}
    assert _events(_canvas(service)["Answers"]) == answers
    assert answers == {
        request
        for step in sagas.CHECKOUT.steps
        if step.service == service
        for request in step.requests
    }


@pytest.mark.parametrize("service", PARTICIPANTS)
def test_canvas_says_what_the_service_publishes(service: str) -> None:
    said = {name for row in CHOREOGRAPHY if row.service == service for name in row[3:] if name}
    assert _events(_canvas(service)["Publishes"]) == said


def test_what_no_reaction_says_is_published_by_the_choreography() -> None:
    said = {name for row in CHOREOGRAPHY for name in row[3:]}
    # What every service says by itself, whatever its reactions are.
    said |= {events.STEP_PARKED}
    assert _events(_canvas("saga_choreography")["Publishes"]) == EVERY_EVENT - said


def _canvas(service: str) -> dict[str, str]:
    """What stands behind each heading of a service's docstring."""
    text = import_module(service).__doc__ or ""
    heading = rf"^({'|'.join(HEADINGS)})\s"
    pieces = re.split(heading, text, flags=re.MULTILINE)[1:]
    return {
        heading: body.partition("\n\n")[0].strip()
        for heading, body in zip(pieces[::2], pieces[1::2], strict=True)
    }


def _events(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+(?:\.[a-z]+)+", text))


def _reactions(service: str) -> list[Reaction]:
    """Those registered; a service without a `reactions` module has none."""
    try:
        found: list[Reaction] = import_module(f"{service}.reactions").REACTIONS
    except ModuleNotFoundError as error:
        if error.name != f"{service}.reactions":
            raise
        return []
    return found


def _name(reaction: SagaReaction) -> str:
    """What the operation is called in its service's `operations`."""
    operations = vars(import_module(f"{reaction.operation.service}.operations"))
    return next(name for name, one in operations.items() if one is reaction.operation)
