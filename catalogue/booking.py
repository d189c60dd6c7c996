"""The booking of a slot: a manager approves, the customer pays the bill, the slot is reserved."""

from contracts.saga import COMPENSABLE, CUSTOMER, PIVOT, RETRIABLE, Saga, Step

SAGA = Saga(
    name="booking",
    subject="booking_id",
    door="/bookings",
    pattern="choreographed",
    abort="booking.abort.requested",
    give_back="booking.return.requested",
    steps=(
        Step(
            "accept_booking",
            "reservas.accept",
            COMPENSABLE,
            done="booking.created",
            undone="booking.failed",
            undo="fail",
        ),
        Step(
            "approve_booking",
            "reservas.approve",
            COMPENSABLE,
            done="booking.approved",
            refused="booking.rejected",
            undone="booking.approval.withdrawn",
            undo="withdraw",
            decided_by="manager",
            decide_seconds=24 * 60 * 60,
        ),
        Step(
            "create_bill",
            "facturas.create_bill",
            COMPENSABLE,
            done="booking.billed",
            refused="booking.bill.failed",
            undone="bill.failed",
            undo="fail",
            needs={"amount": "total_amount"},
        ),
        Step(
            "pay_bill",
            "pagos.pay_bill",
            PIVOT,
            done="booking.paid",
            refused="booking.payment.failed",
            undone="booking.refunded",
            undo="refund",
            needs={"amount": "create_bill.amount", "due": "total_amount"},
            decided_by=CUSTOMER,
            decide_seconds=30 * 60,
        ),
        Step(
            "issue_invoice",
            "facturas.issue_invoice",
            RETRIABLE,
            done="invoice.generated",
            needs={"bill_id": "create_bill.bill_id", "paid": "pay_bill.amount"},
        ),
        Step(
            "reserve_booking",
            "reservas.reserve",
            RETRIABLE,
            done="booking.reserved",
            needs={"evidence": "pay_bill.payment_id"},
        ),
    ),
)
