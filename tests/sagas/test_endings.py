"""The end of a saga, and the rows it leaves: of every saga, the same in every pattern."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from catalogue import SAGAS
from contracts import projection
from contracts.patterns import CHOREOGRAPHED
from contracts.saga import Direction
from tests.checkout.shop import ENDED, STATE_PATHS, Shop, end_of_refused
from tests.waiting import eventually

UNITS = 5
BOUGHT = 2


def begun(shop: Shop, saga: str, pattern: str, product: str, **wanted: Any) -> str:
    """The id of an accepted saga."""
    (wish,) = shop.wishes(1, saga=saga, pattern=pattern, product=product, **wanted)
    status, body = shop.begin(wish)
    assert status == 202, body
    return str(body["saga_id"])


def ended(shop: Shop, saga: str, saga_id: str) -> dict[str, Any]:
    """The saga at its owner, once it has that status."""

    def look() -> dict[str, Any] | None:
        row = shop.accepted(saga_id, saga=saga)
        return row if row["status"] in ENDED else None

    return dict(eventually(look, what=f"{saga} {saga_id} ends"))


def completed(saga: str) -> dict[str, str]:
    """The status of each step in the end."""
    return {step.name: "completed" for step in SAGAS[saga].steps}


def steps_of_refused(saga: str, refused: str) -> dict[str, str]:
    """The status of each step in the end."""
    definition = SAGAS[saga]
    at = definition.position(refused)
    names = [step.name for step in definition.steps]
    statuses = dict.fromkeys(names[:at], "compensated") | {refused: "failed"}
    return statuses | dict.fromkeys(names[at + 1 :], "skipped")


def settled_state(
    shop: Shop, saga: str, saga_id: str, pattern: str, steps: dict[str, str]
) -> dict[str, Any]:
    """The coordinator's answer once it has all events: its steps have these statuses."""

    def look() -> dict[str, Any] | None:
        state = shop.state(saga_id, pattern)
        statuses = {step["step_name"]: step["status"] for step in state["steps"]}
        taken = [step for step in state["steps"] if step["status"] != "skipped"]
        is_settled = statuses == steps and all(step["finished_at"] for step in taken)
        return state if is_settled and state["status"] in ENDED else None

    state = dict(eventually(look, what=f"{pattern} {saga} {saga_id} has {steps}"))
    assert state["status"] == ended(shop, saga, saga_id)["status"]
    assert (state["saga"], state[SAGAS[saga].subject]) == (saga, state["subject"])
    return state


def require_refused(
    shop: Shop, saga: str, saga_id: str, pattern: str, *, at: str, code: str
) -> None:
    """It ended because of this, and every step before was undone."""
    state = settled_state(shop, saga, saga_id, pattern, steps_of_refused(saga, at))
    assert (state["failure"]["step"], state["failure"]["code"]) == (at, code)
    assert (state["status"], state["state"]) == (end_of_refused(saga=saga, step=at), "error")
    assert shop.delivery(saga_id) is None


def undone_in_order(shop: Shop, saga: str, saga_id: str, refused: str) -> None:
    """The order's history has every undo, in reverse, before the order has failed."""
    definition = SAGAS[saga]
    undone = [step.undone for step in reversed(definition.steps[: definition.position(refused)])]
    _, order = shop.call("GET", "pedidos", f"/orders/{saga_id}")
    history = [entry["event"] for entry in order["history"]]
    assert history[-len(undone) :] == undone
    assert order["status"] == "failed"


def test_completed_saga_sold_and_charged(shop, saga, pattern):
    product = shop.product(quantity=UNITS)
    saga_id = begun(shop, saga, pattern, product, quantity=BOUGHT)
    assert ended(shop, saga, saga_id)["status"] == "completed"
    assert shop.stock(product) == (UNITS - BOUGHT, 0, BOUGHT)
    assert shop.money(saga_id) == ("captured", "25.00")


def test_order_is_brought_by_a_courier_who_is_free(shop, delivered, pattern):
    area = shop.courier(capacity=1)
    product = shop.product(quantity=UNITS)
    saga_id = begun(shop, delivered, pattern, product, destination=area)
    settled_state(shop, delivered, saga_id, pattern, completed(delivered))
    delivery = shop.delivery(saga_id)
    assert (delivery["status"], delivery["destination"]) == ("scheduled", area)
    _, order = shop.call("GET", "pedidos", f"/orders/{saga_id}")
    assert (order["status"], order["delivery"]["id"]) == ("completed", delivery["id"])
    assert [entry["event"] for entry in order["history"]] == [
        step.done for step in SAGAS[delivered].steps
    ]


def test_coordinator_shows_every_step_of_a_completed_saga(shop, saga, pattern):
    saga_id = begun(shop, saga, pattern, shop.product(quantity=UNITS))
    state = settled_state(shop, saga, saga_id, pattern, completed(saga))
    assert [step["step_name"] for step in state["steps"]] == list(completed(saga))
    assert (state["state"], state["saga_pattern"], state["failure"]) == ("ok", pattern, None)


def test_choreographed_saga_shows_its_events(shop, saga):
    saga_id = begun(shop, saga, CHOREOGRAPHED, shop.product(quantity=UNITS))
    state = settled_state(shop, saga, saga_id, CHOREOGRAPHED, completed(saga))
    assert [event["type"] for event in state["events"]] == [step.done for step in SAGAS[saga].steps]


def test_declined_card_undoes_what_was_done_before(shop, saga, pattern):
    """A shipment is paid first: nothing is to be undone."""
    product = shop.product(quantity=UNITS)
    saga_id = begun(shop, saga, pattern, product, method="card_declined")
    require_refused(shop, saga, saga_id, pattern, at="process_payment", code="card_declined")
    assert shop.stock(product) == (UNITS, 0, 0)
    assert shop.money(saga_id)[0] == "refused"


def test_shortage_undoes_what_was_done_before(shop, saga, pattern):
    """Only a shipment is paid before: it is refunded before it ends."""
    product = shop.product(quantity=1)
    wishes = shop.wishes(2, saga=saga, pattern=pattern, product=product)
    first, second = shop.begin_all(wishes, at_once=1)
    shop.all_ended([first, second], saga=saga)
    short = [
        saga_id
        for saga_id in (first, second)
        if ended(shop, saga, saga_id)["status"] != "completed"
    ]
    (saga_id,) = short
    require_refused(shop, saga, saga_id, pattern, at="reserve_inventory", code="out_of_stock")
    assert shop.stock(product) == (0, 0, 1)
    is_paid_first = SAGAS[saga].position("process_payment") == 1
    assert shop.money(saga_id)[0] == ("refunded" if is_paid_first else "none")


def test_shortage_of_an_order_is_shown_once_all_is_undone(shop, delivered, pattern):
    product = shop.product(quantity=UNITS)
    saga_id = begun(shop, delivered, pattern, product, quantity=100)
    at = "reserve_inventory"
    require_refused(shop, delivered, saga_id, pattern, at=at, code="out_of_stock")
    undone_in_order(shop, delivered, saga_id, at)


def test_without_a_free_courier_money_and_stock_come_back_before_it_is_shown(
    shop, delivered, pattern
):
    area, product = shop.courier(capacity=1), shop.product(quantity=UNITS)
    first = begun(shop, delivered, pattern, product, destination=area)
    assert ended(shop, delivered, first)["status"] == "completed"
    saga_id = begun(shop, delivered, pattern, product, destination=area)
    at = "schedule_delivery"
    require_refused(shop, delivered, saga_id, pattern, at=at, code="no_courier_free")
    assert shop.stock(product) == (UNITS - 1, 0, 1)
    assert shop.money(saga_id)[0] == "refunded"
    undone_in_order(shop, delivered, saga_id, at)


def test_order_to_an_area_without_couriers_is_refused(shop, delivered, pattern):
    product = shop.product(quantity=UNITS)
    nowhere = {"province": "Isla del Tesoro"}
    saga_id = begun(shop, delivered, pattern, product, destination=nowhere)
    at, code = "schedule_delivery", "area_not_served"
    require_refused(shop, delivered, saga_id, pattern, at=at, code=code)
    assert shop.stock(product) == (UNITS, 0, 0)


@contextmanager
def payments_locked(shop: Shop) -> Iterator[None]:
    """No charge is made within the block; the saga continues after it."""
    with psycopg.connect(shop.stack.superuser_urls["pagos"]) as psql:
        psql.execute("LOCK TABLE pagos_payment IN ACCESS EXCLUSIVE MODE")
        yield


def test_saga_that_is_stopped_is_undone(shop, saga, pattern):
    product = shop.product(quantity=UNITS)
    with payments_locked(shop):
        saga_id = begun(shop, saga, pattern, product)
        assert shop.compensate(saga_id, pattern)[0] == 202
    state = shop.state_when(saga_id, pattern, "compensated", "failed")
    assert (state["failure"]["code"], state["state"]) == ("stopped", "error")
    assert ended(shop, saga, saga_id)["status"] == state["status"]
    assert shop.stock(product) == (UNITS, 0, 0)
    assert shop.money(saga_id)[0] in ("none", "refunded", "cancelled")
    assert shop.delivery(saga_id) is None or shop.delivery(saga_id)["status"] == "cancelled"


def test_completed_saga_is_returned_once(shop, saga, pattern):
    product = shop.product(quantity=UNITS)
    saga_id = begun(shop, saga, pattern, product, quantity=BOUGHT)
    assert settled_state(shop, saga, saga_id, pattern, completed(saga))["state"] == "ok"
    assert shop.compensate(saga_id, pattern)[0] == 202
    undone = [step.name for step in SAGAS[saga].steps if step.can(Direction.UNDO)]
    statuses = completed(saga) | dict.fromkeys(undone, "compensated")
    state = settled_state(shop, saga, saga_id, pattern, statuses)
    assert (state["status"], state["state"]) == ("compensated", "error")
    assert shop.stock(product) == (UNITS, 0, 0)
    assert shop.money(saga_id)[0] == "refunded"
    if "envios" in projection.services_of(SAGAS[saga]):
        assert shop.delivery(saga_id)["status"] == "cancelled"
    assert shop.compensate(saga_id, pattern)[0] == 409


def test_waiting_request_gets_the_end(shop, saga, pattern):
    product = shop.product(quantity=UNITS)
    (wish,) = shop.wishes(1, saga=saga, pattern=pattern, product=product)
    status, body = shop.begin(wish, Prefer="wait=10")
    assert (status, body["status"]) == (200, "completed")


def test_saga_started_at_its_coordinator_goes_the_same_way(shop, saga, pattern):
    (wish,) = shop.wishes(1, saga=saga, pattern=pattern, product=shop.product(quantity=UNITS))
    service, path = STATE_PATHS[pattern]
    status, body = shop.call("POST", service, path.format(saga), wish.body)
    assert (status, body["saga_pattern"], body["saga"]) == (202, pattern, saga)
    assert body["status_url"].startswith(shop.stack.urls[service])
    assert ended(shop, saga, body["saga_id"])["status"] == "completed"


def test_saga_just_accepted_is_known_to_its_coordinator(shop, saga, pattern):
    product = shop.product(quantity=10)
    for wish in shop.wishes(10, saga=saga, pattern=pattern, product=product):
        _, accepted = shop.begin(wish)
        assert shop.state(accepted["saga_id"], pattern)["saga_id"] == accepted["saga_id"]


def test_saga_is_known_only_to_the_coordinator_of_its_pattern(shop, saga, pattern):
    saga_id = begun(shop, saga, pattern, shop.product(quantity=UNITS))
    ended(shop, saga, saga_id)
    for service, path in set(STATE_PATHS.values()) - {STATE_PATHS[pattern]}:
        assert shop.call("GET", service, path.format(saga_id))[0] == 404
