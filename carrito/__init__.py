"""carrito: carts, orders, and the universal checkout.

Owns         carts and their items, checkouts (accepted, frozen), orders
Offers       the cart; POST /checkout/saga for every pattern; create, confirm, cancel an order;
             unlock a cart
Reacts to    payment.processed, inventory.committed, inventory.commit.failed, inventory.restored,
             inventory.reserve.failed, inventory.unreserved
Answers      order.create.requested, order.confirm.requested, order.cancel.requested,
             cart.unlock.requested
Publishes    order.created, order.create.failed, order.cancelled, checkout.completed,
             checkout.failed
"""
