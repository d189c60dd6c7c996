"""The scenarios of the shop: each ends well, unless there is a bug.

A scenario gets the shop, and runs it; its result is the audit's findings.
"""

from contracts.patterns import ORCHESTRATED, PATTERNS
from inventario import operations as inventario
from tests.seeded.in_process import HAND_OVER, Killed
from tests.seeded.shop import Shop

CHARGE, REFUND = "/steps/pagos.charge", "/steps/pagos.charge/undo"
ALWAYS = 10**6


def every_end(shop: Shop) -> None:
    """Sold, out of stock and declined, in each pattern."""
    for pattern in PATTERNS:
        shop.check_out(pattern, cart=shop.cart(shop.stock(price="4.35")))
        shop.check_out(pattern, quantity=99)
        shop.check_out(pattern, payment_method="card_declined")
    shop.settle()


def an_orchestrated_sale(shop: Shop) -> None:
    """No fault."""
    shop.check_out("orchestrated")
    shop.settle()


def the_last_unit(shop: Shop) -> None:
    """Two carts want the only unit."""
    product = shop.stock(units=1)
    for _ in range(2):
        shop.check_out("choreographed", cart=shop.cart(product))
    shop.settle()


def a_cart_checked_out_twice(shop: Shop) -> None:
    cart = shop.cart(shop.stock())
    for pattern in PATTERNS:
        shop.check_out(pattern, cart=cart)
    shop.settle()


def a_key_used_again(shop: Shop) -> None:
    """The same Idempotency-Key, for another cart."""
    for _ in range(2):
        shop.check_out("orchestrated", key="k")
    shop.settle()


def killed_before_commit(shop: Shop) -> None:
    """inventario dies before it has committed a reservation; the others go on without it."""
    shop.check_out("choreographed")
    shop.at("executing.before_commit of do inventario.reserve", shop.workers["inventario"].kill)
    shop.settle()
    shop.workers["inventario"].revive()
    shop.settle()


def killed_in_a_charge(shop: Shop) -> None:
    """pagos dies before it has committed a charge, and gets the message again."""
    shop.check_out("choreographed")
    shop.at("executing.before_commit of do pagos.charge", _die)
    shop.settle()


def killed_before_ack(shop: Shop) -> None:
    """pagos dies after it has committed a charge, and gets the message again."""
    shop.check_out("choreographed")
    shop.at("executing.after_commit of do pagos.charge", _die)
    shop.settle()


def the_broker_away(shop: Shop) -> None:
    """The first time that something is published, the broker can't be reached."""
    shop.check_out("choreographed")
    shop.break_broker(times=1)
    shop.settle()


def a_message_lost(shop: Shop) -> None:
    """An event is lost on its way to the next service and to the watcher, which redrives."""
    _known_to_the_watcher(shop)
    shop.settle(without=("pagos", "saga_choreography"))
    for service in ("pagos", "saga_choreography"):
        shop.workers[service].lose()
    for _ in range(3):
        shop.look()


def an_abort_that_overtakes(shop: Shop) -> None:
    """An abort arrives while the first event is still in flight."""
    saga_id = _known_to_the_watcher(shop)
    arrive = shop.workers["inventario"].take_away()
    shop.undo(saga_id, "choreographed")
    shop.settle()
    arrive()
    shop.settle()


def a_late_event(shop: Shop) -> None:
    """The watcher receives the refusal after the end."""
    _known_to_the_watcher(shop, payment_method="card_declined")
    shop.settle(without=("saga_choreography",))
    reserved = shop.workers["saga_choreography"].take_away()
    refused = shop.workers["saga_choreography"].take_away()
    shop.settle()
    reserved()
    refused()
    shop.settle()


def a_reservation_that_expires(shop: Shop) -> None:
    """Its time is over before it is sold."""
    for pattern in PATTERNS:
        shop.check_out(pattern)
        shop.at("executing.after_commit of do carrito.create_order", inventario.expire)
        shop.settle()


def a_return(shop: Shop) -> None:
    """A completed sale is returned."""
    for pattern in PATTERNS:
        saga_id = shop.check_out(pattern)
        shop.settle()
        shop.undo(saga_id, pattern)
        shop.settle()


def a_fault(shop: Shop) -> None:
    """A charge faults once, as by a deadlock in the database."""
    shop.check_out("choreographed")
    shop.at("executing.before_commit of do pagos.charge", _fault)
    shop.settle_to_the_last_try()


def a_poison_message(shop: Shop) -> None:
    """One saga's charge always faults; another's comes after it."""
    shop.poisoned.add(shop.check_out("choreographed"))
    shop.settle_to_the_last_try()
    shop.check_out("choreographed")
    shop.settle_to_the_last_try()


def the_coordinator_away(shop: Shop) -> None:
    """The first hand-over fails."""
    shop.check_out("orchestrated")
    shop.network.before = True
    shop.network.breaks[HAND_OVER] = 1
    shop.settle()


def an_undo_that_fails_for_ever(shop: Shop) -> None:
    """The refund can't be reached: it is left to a person."""
    saga_id = shop.check_out("orchestrated")
    shop.at(
        "executing.after_commit of do carrito.create_order",
        lambda: shop.undo(saga_id, ORCHESTRATED),
    )
    shop.network.before = True
    shop.network.breaks[REFUND] = ALWAYS
    shop.settle()


def a_reply_consumed_twice(shop: Shop) -> None:
    """The orchestrator dies before it has acked the first reply; then the card is declined."""
    shop.check_out("orchestrated_messaging", payment_method="card_declined")
    shop.at("replies.after_commit", _die)
    shop.settle()


def a_worker_that_wakes_up(shop: Shop) -> None:
    """A runner that was taken for dead continues where it had stopped; its saga has ended
    elsewhere.
    """
    shop.check_out("orchestrated")
    shop.hand_over()
    asleep = shop.orchestrator.executor
    held = shop.orchestrator.claim(early=True)
    shop.orchestrator.open_again()
    shop.settle()
    asleep.execute(sagas=held)
    shop.at("executor.recorded", _die)
    shop.work_off(asleep)


def _known_to_the_watcher(shop: Shop, *, payment_method: str = "credit_card") -> str:
    """A saga whose first event is on its way, and was seen by the watcher."""
    saga_id = shop.check_out("choreographed", payment_method=payment_method)
    shop.workers["carrito"].relay()
    shop.workers["saga_choreography"].consume()
    return saga_id


def _die() -> None:
    raise Killed


def _fault() -> None:
    raise ValueError("a fault")
