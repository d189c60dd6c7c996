"""An order that is paid first: money taken, stock reserved, a courier found, the stock sold."""

from contracts.saga import COMPENSABLE, PIVOT, RETRIABLE, Saga, Step

SAGA = Saga(
    name="shipment",
    subject="order_id",
    door="/orders",
    pattern="orchestrated",
    abort="order.abort.requested",
    give_back="order.return.requested",
    steps=(
        Step(
            "accept_order",
            "pedidos.accept",
            COMPENSABLE,
            done="order.placed",
            undone="order.failed",
            undo="fail",
        ),
        Step(
            "process_payment",
            "pagos.charge",
            COMPENSABLE,
            done="payment.completed",
            refused="payment.failed",
            undone="payment.refunded",
            undo="refund",
            needs={"amount": "total_amount"},
        ),
        Step(
            "reserve_inventory",
            "inventario.reserve",
            COMPENSABLE,
            done="inventory.reserved",
            refused="inventory.failed",
            undone="inventory.released",
            undo="release",
        ),
        Step(
            "schedule_delivery",
            "envios.schedule",
            COMPENSABLE,
            done="delivery.scheduled",
            refused="delivery.failed",
            undone="delivery.cancelled",
            undo="cancel",
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
        Step(
            "complete_order",
            "pedidos.complete",
            RETRIABLE,
            done="order.completed",
            needs={
                "evidence": "commit_inventory.reservation_id",
                "paid": "process_payment.amount",
            },
        ),
    ),
)
