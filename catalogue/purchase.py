"""An order that its customer pays: the payment is confirmed or cancelled, then a courier found."""

from contracts.saga import COMPENSABLE, PIVOT, RETRIABLE, Saga, Step

SAGA = Saga(
    name="purchase",
    subject="order_id",
    door="/orders/create_order",
    pattern="choreographed",
    abort="order.abort.requested",
    give_back="order.return.requested",
    steps=(
        Step(
            "accept_order",
            "pedidos.accept",
            COMPENSABLE,
            done="order.placed",
            undone="order.cancelled",
            undo="cancel",
        ),
        Step(
            "create_payment",
            "pagos.create_payment",
            COMPENSABLE,
            done="payment.created",
            refused="payment.create.failed",
            undone="payment.cancelled",
            undo="cancel",
            needs={"amount": "total_amount"},
        ),
        Step(
            "confirm_payment",
            "pagos.confirm_payment",
            COMPENSABLE,
            done="payment.confirmed",
            refused="payment.confirm.failed",
            undone="payment.refunded",
            undo="refund",
            needs={"payment_id": "create_payment.payment_id"},
            decided_by="customer",
            decide_seconds=900.0,
        ),
        Step(
            "confirm_order",
            "pedidos.confirm",
            COMPENSABLE,
            done="order.confirmed",
            refused="order.confirm.failed",
            undone="order.unconfirmed",
            undo="unconfirm",
        ),
        Step(
            "schedule_delivery",
            "envios.schedule",
            PIVOT,
            done="delivery.assigned",
            refused="delivery.failed",
            undone="delivery.cancelled",
            undo="cancel",
        ),
        Step("dispatch_order", "pedidos.dispatch", RETRIABLE, done="order.dispatched"),
    ),
)
