"""The operations of pedidos in a saga. Each decides and writes for a whole list."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from catalogue import SAGAS, refusals
from catalogue.commands import CompleteOrder, Conclude, CreateOrder
from contracts import bounds
from contracts.bounds import IdRead, Quantity
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.saga import Command, Undo
from coordination import acceptance
from coordination.acceptance import Accepted, Owner
from coordination.store import status_after
from participant.operations import does, undoes
from participant.sql import Damaged
from pedidos import store
from pedidos.models import Order, OrderStatus
from pedidos.store import PricedOrder

SERVICE = "pedidos"


class OrderItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A product and its quantity. `sku`, `name`: as in the catalogue. An item of a purchase, which
    has no stock, has a `unit_price` instead, and the customer's own `product_id`.
    """

    product_id: IdRead
    sku: str = ""
    name: str = ""
    quantity: Quantity
    unit_price: Decimal | None = None


class Accept(acceptance.Accept, frozen=True, kw_only=True):
    """Take this order, for the agreed total. `due`: the total that its products cost, if no other
    may be agreed; `auto_confirm`: its customer is not asked to confirm the payment.
    """

    user_id: IdRead
    items: list[OrderItem]
    total_amount: Decimal
    due: Decimal | None = None
    payment_method: IdRead
    destination: dict[str, str] = {}
    auto_confirm: bool = False


@does(service=SERVICE, command=Accept)
def accept(commands: Sequence[Accept]) -> list[Outcome]:
    """Records the orders, pending. Locks no row: no two orders share one.

    Done with `repeats`, another saga's id: the user's key belongs to that saga already.
    Refused: idempotency_key_reused, too_many_under_way, wrong_amount.
    """
    users = {command.saga_id: command.user_id for command in commands}
    among = acceptance.sort_out(owner=OWNER, commands=commands, users=users)
    decided: dict[str, Outcome] = {
        command.saga_id: Refused(
            refusals.WRONG_AMOUNT, f"{command.total_amount} is offered, and {command.due} is due."
        )
        for command in among.fresh
        if command.due not in (None, command.total_amount)
    }
    orders = [_order(command) for command in among.fresh if command.saga_id not in decided]
    store.add_orders(orders=orders)
    decided |= {order.context.saga_id: _accepted(order) for order in orders}
    return acceptance.answered(owner=OWNER, commands=commands, among=among, decided=decided)


@undoes(accept)
def fail_order(commands: Sequence[Undo]) -> list[Outcome]:
    """Ends the order without success: failed; or cancelled if a person stopped or returned it, or
    if the saga's definition calls the end so.
    """
    failures = {
        command.saga_id: command.failure or Failure("", refusals.STOPPED) for command in commands
    }
    statuses = {
        command.saga_id: _status_of_end(command.saga, failures[command.saga_id])
        for command in commands
    }
    store.end_orders(failures=failures, statuses=statuses)
    return [
        Done(
            {
                "status": status_after(failures[command.saga_id]).value,
                "order_status": statuses[command.saga_id].value,
            }
        )
        for command in commands
    ]


OWNER = Owner(model=Order, accept=accept, fail=fail_order)


@does(service=SERVICE)
def confirm(commands: Sequence[CreateOrder]) -> list[Outcome]:
    """Confirms the order, if its total was paid. Refused: wrong_amount, no_order (a person has
    ended it).
    """
    due = store.totals(saga_ids=[command.saga_id for command in commands])
    wrong = {
        command.saga_id: no for command in commands if (no := decide_paid(command=command, due=due))
    }
    paid = [command for command in commands if command.saga_id not in wrong]
    confirmed = store.confirm_orders(saga_ids=[command.saga_id for command in paid])
    moved = iter(_moved(paid, confirmed, "confirmed_at"))
    return [wrong.get(command.saga_id) or next(moved) for command in commands]


@undoes(confirm)
def unconfirm(commands: Sequence[Undo]) -> list[Outcome]:
    """Takes the confirmation back; the saga then ends the order."""
    store.unconfirm_orders(saga_ids=[command.saga_id for command in commands])
    return [Done({"order_id": command.saga_id}) for command in commands]


@does(service=SERVICE)
def dispatch(commands: Sequence[Conclude]) -> list[Outcome]:
    """Marks the confirmed order as dispatched, which ends its saga. Refused: no_order (a person has
    ended it).
    """
    dispatched = store.complete_orders(
        saga_ids=[command.saga_id for command in commands],
        before=OrderStatus.CONFIRMED,
        after=OrderStatus.DISPATCHED,
    )
    return _moved(commands, dispatched, "dispatched_at")


@does(service=SERVICE)
def complete(commands: Sequence[CompleteOrder]) -> list[Outcome]:
    """Completes the order. Refused: no_order (a person has ended it). Raises Damaged if another
    amount than its total was paid: after the sale that can't be refused any more.
    """
    due = store.totals(saga_ids=[command.saga_id for command in commands])
    for command in commands:
        if refused := decide_paid(command=command, due=due):
            raise Damaged(f"Order {command.saga_id}: {refused.detail}")
    completed = store.complete_orders(
        saga_ids=[command.saga_id for command in commands],
        before=OrderStatus.PENDING,
        after=OrderStatus.COMPLETED,
    )
    return _moved(commands, completed, "completed_at")


def decide_paid(
    *, command: CreateOrder | CompleteOrder, due: Mapping[str, Decimal]
) -> Refused | None:
    """The refusal if another amount than the order's total was paid. `due`: totals by saga id."""
    total = due.get(command.saga_id, command.paid)
    if command.paid == total:
        return None
    return Refused(refusals.WRONG_AMOUNT, f"{command.paid:.40} was paid, and {total} is due.")


def _moved(commands: Sequence[Command], moved: Mapping[str, datetime], field: str) -> list[Outcome]:
    return [
        Done({"order_id": command.saga_id, field: moved[command.saga_id].isoformat()})
        if command.saga_id in moved
        else Refused(refusals.NO_ORDER, "This saga has no order that waits for this.")
        for command in commands
    ]


def _status_of_end(saga: str, failure: Failure) -> OrderStatus:
    is_so_called = saga in SAGAS and SAGAS[saga].steps[0].undone == "order.cancelled"
    if is_so_called or failure.code == refusals.STOPPED:
        return OrderStatus.CANCELLED
    return OrderStatus.FAILED


def _accepted(order: PricedOrder) -> Accepted:
    total = str(bounds.amount(order.total_amount))
    return Accepted(
        {"order_id": order.context.saga_id, "total_amount": total}, context=order.context
    )


def _order(command: Accept) -> PricedOrder:
    return PricedOrder(
        context=acceptance.context_of(
            command=command,
            subject=command.saga_id,
            user_id=command.user_id,
            known=_data(command),
        ),
        user_id=command.user_id,
        items=msgspec.to_builtins(command.items),
        total_amount=command.total_amount,
        destination=command.destination,
    )


def _data(command: Accept) -> dict[str, Any]:
    """The order's data; the saga's definition names the fields that its context carries."""
    return {
        "items": [
            {"product_id": item.product_id, "quantity": item.quantity} for item in command.items
        ],
        "total_amount": bounds.amount(command.total_amount),
        "payment_method": command.payment_method,
        "destination": command.destination,
        "auto_confirm": command.auto_confirm,
    }
