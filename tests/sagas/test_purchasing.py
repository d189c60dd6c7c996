"""The customer's commands of a purchase, in their order, and the results: in every pattern."""

import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from catalogue import SAGAS
from tests.checkout.shop import STATE_PATHS, Shop
from tests.sagas.test_endings import completed, ended, settled_state, steps_of_refused
from tests.waiting import eventually

SAGA = "purchase"
WANTED = {
    "customer_id": 7,
    "order_items": [
        {"product_id": 1, "quantity": 2, "unit_price": 10.25},
        {"product_id": "chair", "quantity": 1, "unit_price": "4.50"},
    ],
    "total_amount": 25,
}
RACES = 100
AT_ONCE = 8


def placed(shop: Shop, pattern: str, area: dict[str, str], **more: Any) -> str:
    """The id of an order that was created."""
    wanted = {**WANTED, "saga_pattern": pattern, **area, **more}
    status, body = shop.call("POST", "pedidos", "/orders/create_order", wanted)
    assert status == 201, body
    assert (body["status"], body["saga"], body["order_id"]) == ("pending", SAGA, body["saga_id"])
    return str(body["order_id"])


def courier(shop: Shop, *, capacity: int = 1) -> dict[str, str]:
    """The province and city of a new courier, the only courier there."""
    area = {"province": f"Province {uuid.uuid4()}", "city": "Plaza"}
    body = {"name": "Eva", "phone_number": "+53 5", "capacity": capacity, **area}
    status, made = shop.call("POST", "envios", "/couriers", body)
    assert status == 201, made
    return area


def order(shop: Shop, order_id: str) -> dict[str, Any]:
    """As its customer sees it."""
    status, body = shop.call("GET", "pedidos", f"/orders/{order_id}")
    assert status == 200, body
    return dict(body)


def to_confirm(shop: Shop, order_id: str) -> dict[str, Any]:
    """The payment, once it waits for its customer."""

    def look() -> dict[str, Any] | None:
        payment = order(shop, order_id)["payment"]
        return payment if payment and payment["confirm_url"] else None

    return dict(eventually(look, what=f"the payment of {order_id} waits for its customer"))


def waiting(shop: Shop, pattern: str, area: dict[str, str], **more: Any) -> tuple[str, str]:
    """The ids of an order and of its payment, which waits."""
    order_id = placed(shop, pattern, area, **more)
    return order_id, to_confirm(shop, order_id)["payment_id"]


def decide(shop: Shop, payment_id: str, word: str) -> tuple[int, Any]:
    """Status and body; `word`: confirm or cancel."""
    return shop.call("POST", "pagos", f"/payments/{payment_id}/{word}", {})


def payment(shop: Shop, payment_id: str) -> str:
    """Its status."""
    status, body = shop.call("GET", "pagos", f"/payments/{payment_id}")
    assert status == 200, body
    return str(body["status"])


def places_taken(shop: Shop, area: dict[str, str]) -> int:
    ((count,),) = shop.rows(
        "envios", "SELECT sum(busy) FROM envios_courier WHERE province = %s", [area["province"]]
    )
    return int(count)


def cancelled(shop: Shop, order_id: str, pattern: str, *, step: str, code: str) -> dict[str, Any]:
    """The order, which ended for this reason, once its coordinator shows it."""
    state = settled_state(shop, SAGA, order_id, pattern, steps_of_refused(SAGA, step))
    assert (state["status"], state["failure"]["code"]) == ("compensated", code)
    shown = order(shop, order_id)
    assert (shown["status"], shown["failure"]["step"], shown["failure"]["code"]) == (
        "cancelled",
        step,
        code,
    )
    return shown


def test_customer_confirms_and_the_order_is_dispatched(shop, pattern):
    area = courier(shop)
    order_id, payment_id = waiting(shop, pattern, area)
    assert (order(shop, order_id)["status"], payment(shop, payment_id)) == ("pending", "pending")
    assert shop.state(order_id, pattern)["waiting"]["step"] == "confirm_payment"
    assert decide(shop, payment_id, "confirm")[0] == 200
    settled_state(shop, SAGA, order_id, pattern, completed(SAGA))
    shown = order(shop, order_id)
    assert (shown["status"], shown["delivery"]["status"]) == ("dispatched", "scheduled")
    assert (payment(shop, payment_id), shop.money(order_id)[1]) == ("completed", "25.00")
    assert [entry["event"] for entry in shown["history"]] == [
        step.done for step in SAGAS[SAGA].steps
    ]


def test_delivered_order_is_shown_as_delivered_and_its_courier_is_free(shop, pattern):
    area = courier(shop)
    order_id = placed(shop, pattern, area, auto_confirm=True)
    assert ended(shop, SAGA, order_id)["status"] == "completed"
    delivery = shop.delivery(order_id)["id"]
    assert shop.call("POST", "envios", f"/deliveries/{delivery}/delivered")[0] == 200
    assert (order(shop, order_id)["status"], places_taken(shop, area)) == ("delivered", 0)


def test_payment_is_confirmed_by_itself_where_that_was_asked_for(shop, pattern):
    order_id = placed(shop, pattern, courier(shop), auto_confirm=True)
    settled_state(shop, SAGA, order_id, pattern, completed(SAGA))
    assert order(shop, order_id)["status"] == "dispatched"


def test_customer_cancels_the_payment_and_the_order_is_cancelled(shop, pattern):
    area = courier(shop)
    order_id, payment_id = waiting(shop, pattern, area)
    status, body = shop.call("POST", "pagos", "/payments/cancel", {"order_id": order_id})
    assert status == 200, body
    cancelled(shop, order_id, pattern, step="confirm_payment", code="cancelled_by_customer")
    assert (payment(shop, payment_id), places_taken(shop, area)) == ("cancelled", 0)


def test_payment_is_named_by_its_id_in_the_body_as_well(shop, pattern):
    order_id, payment_id = waiting(shop, pattern, courier(shop))
    status, body = shop.call("POST", "pagos", "/payments/confirm", {"payment_id": payment_id})
    assert status == 200, body
    assert ended(shop, SAGA, order_id)["status"] == "completed"


def test_same_verdict_again_has_the_first_answer_and_the_other_is_a_conflict(shop, pattern):
    order_id, payment_id = waiting(shop, pattern, courier(shop))
    first = decide(shop, payment_id, "confirm")
    assert ended(shop, SAGA, order_id)["status"] == "completed"
    status, again = decide(shop, payment_id, "confirm")
    assert (first[0], status) == (200, 200)
    assert again["payment_id"] == payment_id
    status, refused = decide(shop, payment_id, "cancel")
    assert (status, refused["code"]) == (409, "already_decided")


def test_payment_without_a_confirmation_in_time_is_overdue(shop, pattern):
    """Its time is over at once: DUETO_DECIDE_SECONDS would apply to all payments."""
    order_id, payment_id = waiting(shop, pattern, courier(shop))
    shop.rows(
        "pagos",
        "UPDATE pagos_decision SET until = clock_timestamp() WHERE saga_id = %s RETURNING id",
        [order_id],
    )
    cancelled(shop, order_id, pattern, step="confirm_payment", code="confirmation_overdue")
    status, body = decide(shop, payment_id, "confirm")
    assert (status, body["code"]) == (409, "decision_closed")
    assert payment(shop, payment_id) in ("cancelled", "failed")


def test_declined_card_cancels_the_order(shop, pattern):
    order_id, payment_id = waiting(shop, pattern, courier(shop), payment_method="card_declined")
    decide(shop, payment_id, "confirm")
    cancelled(shop, order_id, pattern, step="confirm_payment", code="card_declined")


def test_delivery_that_is_not_assigned_gives_the_money_back(shop, pattern):
    area = courier(shop)
    first = placed(shop, pattern, area, auto_confirm=True)
    assert ended(shop, SAGA, first)["status"] == "completed"
    order_id, payment_id = waiting(shop, pattern, area)
    decide(shop, payment_id, "confirm")
    shown = cancelled(shop, order_id, pattern, step="schedule_delivery", code="no_courier_free")
    assert (payment(shop, payment_id), shown["delivery"]) == ("refunded", None)
    undone = [step.undone for step in reversed(SAGAS[SAGA].steps[:4])]
    assert [entry["event"] for entry in shown["history"]][-len(undone) :] == undone


def test_city_without_a_courier_is_refused(shop, pattern):
    area = courier(shop) | {"city": "Regla"}
    order_id = placed(shop, pattern, area, auto_confirm=True)
    cancelled(shop, order_id, pattern, step="schedule_delivery", code="area_not_served")


def test_order_that_is_stopped_while_it_waits_can_not_be_confirmed_any_more(shop, pattern):
    order_id, payment_id = waiting(shop, pattern, courier(shop))
    assert shop.compensate(order_id, pattern)[0] == 202
    shop.state_when(order_id, pattern, "compensated")
    assert order(shop, order_id)["status"] == "cancelled"
    status, body = decide(shop, payment_id, "confirm")
    assert (status, body["code"]) == (409, "decision_closed")


def test_dispatched_order_is_returned(shop, pattern):
    area = courier(shop)
    order_id = placed(shop, pattern, area, auto_confirm=True)
    settled_state(shop, SAGA, order_id, pattern, completed(SAGA))
    assert shop.compensate(order_id, pattern)[0] == 202
    shop.state_when(order_id, pattern, "compensated")
    shown = order(shop, order_id)
    assert (shown["status"], shown["payment"]["status"]) == ("cancelled", "refunded")
    assert (shown["delivery"]["status"], places_taken(shop, area)) == ("cancelled", 0)


def test_purchase_started_at_its_coordinator_goes_the_same_way(shop, pattern):
    service, path = STATE_PATHS[pattern]
    wanted = {**WANTED, **courier(shop), "auto_confirm": True, "saga_pattern": pattern}
    status, body = shop.call("POST", service, path.format(SAGA), wanted, Prefer="wait=10")
    assert (status, body["status"], body["saga"]) == (200, "dispatched", SAGA)
    assert body["status_url"].startswith(shop.stack.urls[service])
    status, body = shop.call("POST", service, path.format(SAGA), wanted)
    assert (status, body["saga_pattern"]) == (201, pattern)
    assert ended(shop, SAGA, body["saga_id"])["status"] == "compensated"


@pytest.mark.timeout(300)
def test_either_confirm_or_cancel_wins_if_both_are_sent_at_once(shop, pattern):
    area = courier(shop, capacity=RACES)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        raced = list(threads.map(lambda _: _race(shop, pattern, area), range(RACES)))
    ends = shop.all_ended([order_id for order_id, _ in raced], saga=SAGA)
    confirmed = sum(won == "confirm" for _, won in raced)
    assert ends == Counter(completed=confirmed, compensated=RACES - confirmed) - Counter()
    assert places_taken(shop, area) == confirmed


def _race(shop: Shop, pattern: str, area: dict[str, str]) -> tuple[str, str]:
    """The order, and the verdict that won; the other was refused."""
    order_id, payment_id = waiting(shop, pattern, area)
    together = threading.Barrier(2)

    def ask(word: str) -> tuple[int, Any]:
        together.wait()
        return decide(shop, payment_id, word)

    words = ("confirm", "cancel")
    with ThreadPoolExecutor(len(words)) as threads:
        answers = dict(zip(words, threads.map(ask, words), strict=True))
    (won,) = [word for word, (status, _) in answers.items() if status == 200]
    ((status, body),) = [answer for word, answer in answers.items() if word != won]
    assert (status, body["code"]) == (409, "already_decided")
    return order_id, won
