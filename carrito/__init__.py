"""carrito: carts, orders, and the checkout endpoint shared by all patterns.

Owns         carts and their items, checkouts (accepted, frozen), orders
Offers       the cart; POST /checkout/saga for every pattern; create, confirm, cancel an order;
             unlock a cart
Calls        inventario: the offers, and the prices of a cart before its checkout is accepted
Accepts      the checkout; publishes checkout.initiated itself in the choreographed pattern
Reacts to    payment.processed, inventory.committed, inventory.commit.failed, inventory.restored,
             inventory.reserve.failed, inventory.unreserved
Answers      order.create, order.confirm, order.cancel, checkout.fail
Publishes    checkout.initiated, order.created, order.create.failed, order.cancelled,
             checkout.completed, checkout.failed
"""
