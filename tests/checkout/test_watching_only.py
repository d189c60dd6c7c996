"""A choreographed saga needs no watcher: it may be down before the saga begins."""

from contracts.patterns import CHOREOGRAPHED, PATTERNS

CHECKOUTS = 20
WATCHING = PATTERNS[CHOREOGRAPHED].coordinator


def test_checkouts_begin_and_end_without_a_watcher_which_learns_of_them_later(shop, stack):
    sold, declined = shop.product(quantity=CHECKOUTS), shop.product(quantity=1)
    carts, cart = shop.carts(CHECKOUTS, product=sold), shop.cart(product=declined)
    for kind in ("web", "worker"):
        stack.stop_process(f"{WATCHING}.{kind}")
    try:
        sagas = shop.check_out_all(carts, [CHOREOGRAPHED])
        _, refused = shop.check_out(cart, CHOREOGRAPHED, method="card_declined")
        assert shop.all_ended(sagas) == {"completed": CHECKOUTS}
        assert shop.ended(refused["saga_id"])["status"] == "compensated"
        assert (shop.stock(sold), shop.stock(declined)) == ((0, 0, CHECKOUTS), (1, 0, 0))
    finally:
        for kind in ("web", "worker"):
            stack.restart(f"{WATCHING}.{kind}")
        stack.wait_ready()
    for saga_id in sagas:
        state = shop.state_when(saga_id, CHOREOGRAPHED, "completed")
        assert all(step["finished_at"] for step in state["steps"])
    state = shop.state_when(refused["saga_id"], CHOREOGRAPHED, "compensated")
    assert state["failure"]["code"] == "card_declined"
