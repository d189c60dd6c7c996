"""A saga of the tests: its services declare none of these operations, and one step needs the
result of an earlier step.
"""

from contracts.saga import COMPENSABLE, PIVOT, RETRIABLE, Saga, Step

SAGA = Saga(
    name="loan",
    subject="loan_id",
    door="/loans",
    abort="loan.abort.requested",
    give_back="loan.return.requested",
    steps=(
        Step("accept_loan", "carrito.lend", COMPENSABLE, done="loan.asked", undone="loan.off"),
        Step(
            "create_bill",
            "pagos.bill",
            COMPENSABLE,
            done="bill.created",
            refused="bill.refused",
            undone="bill.void",
            decided_by="librarian",
            decide_seconds=900.0,
        ),
        Step(
            "process_payment",
            "pagos.charge",
            COMPENSABLE,
            done="payment.done",
            refused="payment.refused",
            undone="payment.back",
            needs={"amount": "create_bill.amount"},
        ),
        Step(
            "hand_out_book",
            "inventario.hand_out",
            PIVOT,
            done="book.out",
            refused="book.kept",
            undone="book.back",
        ),
        Step("confirm_loan", "carrito.confirm_loan", RETRIABLE, done="loan.confirmed"),
    ),
)
