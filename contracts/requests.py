"""What a conductor asks for by message, and how the answers are called.

A request names what is wanted of which service; its answer has the same name with `replied` in
the place of `requested`, whether it was done or refused. A request is a question: heard again, it
is answered again.

What the choreography asks for (`checkout.abort.requested`) is among `events`: it is heard by
whoever listens, and nobody owes it an answer.
"""

CART_UNLOCK = "cart.unlock.requested"
INVENTORY_RESERVE = "inventory.reserve.requested"
INVENTORY_UNRESERVE = "inventory.unreserve.requested"
INVENTORY_COMMIT = "inventory.commit.requested"
INVENTORY_COMMIT_BLOCK = "inventory.commit.block.requested"
INVENTORY_RESTORE = "inventory.restore.requested"
PAYMENT = "payment.requested"
PAYMENT_REFUND = "payment.refund.requested"
ORDER_CREATE = "order.create.requested"
ORDER_CANCEL = "order.cancel.requested"
ORDER_CONFIRM = "order.confirm.requested"


def reply_to(*, request: str) -> str:
    """What the answer to this request is called: `order.create.replied`."""
    return f"{request.removesuffix('requested')}replied"
