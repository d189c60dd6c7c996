"""inventario: what there is, and what is put aside for whom.

Owns         products (available, reserved, sold), reservations and their lines
Offers       the catalogue; reserve, unreserve, commit, restore; block a commit
Reacts to    checkout.initiated, order.created, payment.failed, payment.refunded,
             checkout.abort.requested, checkout.return.requested
Answers      inventory.reserve.requested, inventory.unreserve.requested,
             inventory.commit.requested, inventory.commit.block.requested,
             inventory.restore.requested
Publishes    inventory.reserved, inventory.reserve.failed, inventory.unreserved,
             inventory.committed, inventory.commit.failed, inventory.restored
"""
