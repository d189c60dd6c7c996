"""The projection of the checkout's definition equals the tables that were once written by hand."""

import json
import subprocess
import sys
from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from catalogue import SAGAS
from catalogue.checkout import padding_steps
from catalogue.commands import Charge, Reserve
from contracts import projection
from contracts.outcomes import Done, Failure, Refused
from contracts.saga import Context, Direction, Undo

DO, UNDO, BLOCK = Direction

# fmt: off
# ruff: noqa: E501 -- tables, to be read as such
REACTIONS = [
    # event, service, direction, step, emits, emits on refusal
    ("checkout.initiated",        "inventario", DO,    "reserve_inventory", "inventory.reserved",   "inventory.reserve.failed"),
    ("inventory.reserved",        "pagos",      DO,    "process_payment",   "payment.processed",    "payment.failed"),
    ("payment.processed",         "carrito",    DO,    "create_order",      "order.created",        "order.create.failed"),
    ("order.created",             "inventario", DO,    "commit_inventory",  "inventory.committed",  "inventory.commit.failed"),
    ("inventory.committed",       "carrito",    DO,    "confirm_order",     "checkout.completed",   ""),
    ("inventory.commit.failed",   "carrito",    UNDO,  "create_order",      "order.cancelled",      ""),
    ("order.create.failed",       "pagos",      UNDO,  "process_payment",   "payment.refunded",     ""),
    ("order.cancelled",           "pagos",      UNDO,  "process_payment",   "payment.refunded",     ""),
    ("payment.failed",            "inventario", UNDO,  "reserve_inventory", "inventory.unreserved", ""),
    ("payment.refunded",          "inventario", UNDO,  "reserve_inventory", "inventory.unreserved", ""),
    ("inventory.reserve.failed",  "carrito",    UNDO,  "accept_checkout",   "checkout.failed",      ""),
    ("inventory.unreserved",      "carrito",    UNDO,  "accept_checkout",   "checkout.failed",      ""),
    ("checkout.abort.requested",  "inventario", BLOCK, "commit_inventory",  "",                     "inventory.commit.failed"),
    ("checkout.return.requested", "inventario", UNDO,  "commit_inventory",  "inventory.restored",   ""),
    ("inventory.restored",        "carrito",    UNDO,  "create_order",      "order.cancelled",      ""),
]
CALLS = [
    # request, direction, step, path at its service
    ("checkout.fail",          UNDO,  "accept_checkout",   "/steps/carrito.accept/undo"),
    ("inventory.reserve",      DO,    "reserve_inventory", "/steps/inventario.reserve"),
    ("inventory.unreserve",    UNDO,  "reserve_inventory", "/steps/inventario.reserve/undo"),
    ("payment.process",        DO,    "process_payment",   "/steps/pagos.charge"),
    ("payment.refund",         UNDO,  "process_payment",   "/steps/pagos.charge/undo"),
    ("order.create",           DO,    "create_order",      "/steps/carrito.create_order"),
    ("order.cancel",           UNDO,  "create_order",      "/steps/carrito.create_order/undo"),
    ("inventory.commit",       DO,    "commit_inventory",  "/steps/inventario.commit"),
    ("inventory.restore",      UNDO,  "commit_inventory",  "/steps/inventario.commit/undo"),
    ("inventory.commit.block", BLOCK, "commit_inventory",  "/steps/inventario.commit/block"),
    ("order.confirm",          DO,    "confirm_order",     "/steps/carrito.confirm_order"),
]
# fmt: on

CONTEXT = Context(
    saga="checkout",
    saga_id="s1",
    pattern="choreographed",
    subject="c1",
    data={
        "items": [{"product_id": "1", "quantity": 2}],
        "total_amount": "19.98",
        "payment_method": "credit_card",
    },
)


def test_reactions_of_the_checkout_are_those_once_written_by_hand() -> None:
    rows = [
        (
            reaction.event,
            reaction.service,
            reaction.direction,
            reaction.step.name,
            reaction.emits,
            reaction.emits_on_refusal,
        )
        for reaction in projection.reactions("checkout")
    ]
    assert sorted(rows) == sorted(REACTIONS)


def test_calls_of_the_checkout_are_those_once_written_by_hand() -> None:
    calls = [
        (
            call.request,
            call.direction,
            call.step.name,
            projection.path_of(call.step, call.direction),
        )
        for call in projection.calls("checkout")
    ]
    assert calls == CALLS
    assert [projection.reply_to(request) for request, *_ in CALLS[:2]] == [
        "checkout.fail.replied",
        "inventory.reserve.replied",
    ]


@pytest.mark.parametrize("name", SAGAS)
def test_each_service_gets_its_own_rows_and_no_other(name: str) -> None:
    saga = SAGAS[name]
    rows = [
        row
        for service in projection.services_of(saga)
        for row in projection.of_service(service)
        if row.saga == name
    ]
    assert sorted(rows, key=repr) == sorted(projection.reactions(name), key=repr)


@pytest.mark.parametrize("name", SAGAS)
def test_each_event_of_a_saga_is_of_one_step_in_one_direction(name: str) -> None:
    names = list(projection.events(name))
    assert len(names) == len(set(names)), "an event that means two things"
    requests = [call.request for call in projection.calls(name)]
    assert len(requests) == len(set(requests)), "a request that means two things"


def test_command_takes_from_the_context_what_its_operation_needs() -> None:
    saga = SAGAS["checkout"]

    def command(step: str) -> object:
        return projection.command(step=saga.step(step), direction=DO, context=CONTEXT)

    reserve, charge = command("reserve_inventory"), command("process_payment")
    assert isinstance(reserve, Reserve)
    assert (reserve.subject, reserve.items[0].quantity) == ("c1", 2)
    assert isinstance(charge, Charge)
    assert (charge.amount, charge.payment_method) == (Decimal("19.98"), "credit_card")
    assert (charge.saga, charge.saga_id, charge.step) == ("checkout", "s1", "process_payment")


def test_command_that_the_context_has_not_enough_for_is_refused() -> None:
    poor = msgspec.structs.replace(CONTEXT, data={"payment_method": "credit_card"})
    with pytest.raises(msgspec.ValidationError, match="amount"):
        projection.command(
            step=SAGAS["checkout"].step("process_payment"), direction=DO, context=poor
        )


def test_undo_needs_nothing_of_the_context() -> None:
    poor = msgspec.structs.replace(CONTEXT, data={})
    failure = Failure("process_payment", "card_declined", "")
    assert projection.command(
        step=SAGAS["checkout"].step("reserve_inventory"),
        direction=UNDO,
        context=poor,
        failure=failure,
    ) == Undo(
        saga_id="s1",
        step="reserve_inventory",
        saga="checkout",
        reason="card_declined",
        failure=failure,
    )


def test_only_what_some_step_needs_travels() -> None:
    given = {**CONTEXT.data, "billing_address": {"city": "Madrid"}, "user_id": "ana"}
    assert projection.select("checkout", given) == CONTEXT.data


def test_no_step_of_the_checkout_needs_a_result_so_none_travels() -> None:
    outcome = Done({"payment_id": "p1"})
    after = projection.with_result(
        context=CONTEXT, steps=SAGAS["checkout"].steps, step="process_payment", outcome=outcome
    )
    assert after is CONTEXT


def test_result_that_a_later_step_needs_travels_and_a_refusal_has_none() -> None:
    steps = SAGAS["checkout"].steps
    needing = replace(steps[3], needs={"amount": "process_payment.amount"})
    asked = {"context": CONTEXT, "steps": (*steps[:3], needing), "step": "process_payment"}
    done = Done({"payment_id": "p1", "amount": "5.00"})
    after = projection.with_result(**asked, outcome=done)
    assert after.results == {"process_payment": {"amount": "5.00"}}
    assert projection.with_result(**asked, outcome=Refused("card_declined", "")) is CONTEXT


@pytest.mark.parametrize("count", ["many", "-1", "4", ""])
def test_invalid_number_of_padding_steps_is_refused(count: str) -> None:
    with pytest.raises(ValueError, match="DUETO_EXTRA_STEPS"):
        padding_steps(count)


def test_padding_steps_come_before_the_last_one_for_every_pattern() -> None:
    code = (
        "import json, catalogue; from contracts import projection as p;"
        "print(json.dumps([[r.event, r.step.name, r.emits] for r in p.reactions('checkout')[4:8]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"DUETO_EXTRA_STEPS": "3", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [
        ["inventory.committed", "pad_saga_1", "saga.padded.1"],
        ["saga.padded.1", "pad_saga_2", "saga.padded.2"],
        ["saga.padded.2", "pad_saga_3", "saga.padded.3"],
        ["saga.padded.3", "confirm_order", "checkout.completed"],
    ]
