"""The checkout of a cart: stock is reserved, money taken, an order made, and the stock sold."""

import os

from contracts.saga import COMPENSABLE, PIVOT, RETRIABLE, Saga, Step

PADDING = "DUETO_EXTRA_STEPS"
"""The number of steps without effect before the last step, at most 3, the same for every process:
for measuring how a saga's cost grows with its length (docs/adr/0009-extra-steps.md)."""
PADDED = ("pagos", "inventario", "pagos")
"""Each at another service than the step before it, so each costs a whole hop."""


def padding_steps(count: str) -> tuple[Step, ...]:
    """Raises ValueError unless `count` is a whole number from 0 to 3."""
    if not count.isdecimal() or int(count) > len(PADDED):
        raise ValueError(f"{PADDING} is {count!r}: it must be a whole number from 0 to 3")
    return tuple(
        Step(f"pad_saga_{number}", f"{service}.pad", RETRIABLE, done=f"saga.padded.{number}")
        for number, service in enumerate(PADDED[: int(count)], start=1)
    )


SAGA = Saga(
    name="checkout",
    subject="cart_id",
    door="/checkout/saga",
    abort="checkout.abort.requested",
    give_back="checkout.return.requested",
    steps=(
        Step(
            "accept_checkout",
            "carrito.accept",
            COMPENSABLE,
            done="checkout.initiated",
            undone="checkout.failed",
            undo="fail",
        ),
        Step(
            "reserve_inventory",
            "inventario.reserve",
            COMPENSABLE,
            done="inventory.reserved",
            refused="inventory.reserve.failed",
            undone="inventory.unreserved",
            undo="unreserve",
        ),
        Step(
            "process_payment",
            "pagos.charge",
            COMPENSABLE,
            done="payment.processed",
            refused="payment.failed",
            undone="payment.refunded",
            undo="refund",
            needs={"amount": "total_amount"},
        ),
        Step(
            "create_order",
            "carrito.create_order",
            COMPENSABLE,
            done="order.created",
            refused="order.create.failed",
            undone="order.cancelled",
            undo="cancel",
            needs={"paid": "process_payment.amount"},
        ),
        Step(
            "commit_inventory",
            "inventario.commit",
            PIVOT,
            done="inventory.committed",
            refused="inventory.commit.failed",
            undone="inventory.restored",
            undo="restore",
            needs={"due": "total_amount", "paid": "process_payment.amount"},
        ),
        *padding_steps(os.environ.get(PADDING) or "0"),
        Step(
            "confirm_order",
            "carrito.confirm_order",
            RETRIABLE,
            done="checkout.completed",
            needs={"evidence": "commit_inventory.reservation_id"},
        ),
    ),
)
