"""What pedidos can do in a saga. Each: decide, write, for a whole list."""

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
    """How many of which product: with the names that it has in the catalogue, or, where no stock is
    held, as its customer calls it, and at which price each.
    """

    product_id: IdRead
    sku: str = ""
    name: str = ""
    quantity: Quantity
    unit_price: Decimal | None = None


class Accept(acceptance.Accept, frozen=True, kw_only=True):
    """Take this order, for the total that was agreed on. `due`: what its products cost, where
    nothing else can have been agreed on; `auto_confirm`: its customer is not asked to confirm the
    payment.
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
    """Records the orders, pending. There is nothing to lock: no two orders share a row.

    Done with `repeats`, another saga's id: the user's key stands for that one already.
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
    """The order ended without success, and says why: failed, or cancelled where a person stopped it
    or gave it back, or where its page calls the end so.
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
    """The order is confirmed: its total is paid. Refused: wrong_amount; where a person has ended
    it: no_order.
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
    """The order is confirmed no longer; its saga goes on to end it."""
    store.unconfirm_orders(saga_ids=[command.saga_id for command in commands])
    return [Done({"order_id": command.saga_id}) for command in commands]


@does(service=SERVICE)
def dispatch(commands: Sequence[Conclude]) -> list[Outcome]:
    """The confirmed order is on its way, which ends its saga. Refused, where a person has ended it
    meanwhile: no_order.
    """
    dispatched = store.complete_orders(
        saga_ids=[command.saga_id for command in commands],
        before=OrderStatus.CONFIRMED,
        after=OrderStatus.DISPATCHED,
    )
    return _moved(commands, dispatched, "dispatched_at")


@does(service=SERVICE)
def complete(commands: Sequence[CompleteOrder]) -> list[Outcome]:
    """The order is completed. Refused, where a person has ended it meanwhile: no_order. Raises
    Damaged where something else than its total was paid, and nothing sold can be refused any more.
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
    """Whether something else was paid than the order's total. `due`: the totals by saga id."""
    total = due.get(command.saga_id, command.paid)
    if command.paid == total:
        return None
    return Refused(refusals.WRONG_AMOUNT, f"{command.paid:.40} was paid, and {total} is due.")


def _moved(
    commands: Sequence[Command], moved: Mapping[str, datetime], told_as: str
) -> list[Outcome]:
    return [
        Done({"order_id": command.saga_id, told_as: moved[command.saga_id].isoformat()})
        if command.saga_id in moved
        else Refused(refusals.NO_ORDER, "No order of this saga is there that waits for this.")
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
    """All that is known of the order; the saga's page says what of it travels."""
    return {
        "items": [
            {"product_id": item.product_id, "quantity": item.quantity} for item in command.items
        ],
        "total_amount": bounds.amount(command.total_amount),
        "payment_method": command.payment_method,
        "destination": command.destination,
        "auto_confirm": command.auto_confirm,
    }
