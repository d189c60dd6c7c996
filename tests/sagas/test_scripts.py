"""The commands that users of two other systems type, in their order; only the addresses are this
stack's.
"""

import json
import re
import subprocess
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.installed import need

SERVICES = {
    "3000": "carrito",
    "3001": "inventario",
    "3002": "pagos",
    "3003": "saga_orchestrator",
    "3004": "saga_choreography",
    "3005": "reservas",
    "3006": "facturas",
    "8001": "pedidos",
    "8002": "inventario",
    "8003": "pagos",
    "8004": "envios",
}
"""By the port that the scripts name."""
UNTIL_ENDED = """
until_ended() {
  until curl "$1" | jq -e '.status | IN("completed", "failed", "compensated")'; do sleep 0.1; done
} > /dev/null
"""
FILL_CART = """
cart_response=$(curl -X POST http://localhost:3000/carts \\
  -H "Content-Type: application/json" \\
  -d '{"user_id": "user123"}')

cart_id=$(echo $cart_response | jq -r '.id')

curl -X POST http://localhost:3000/carts/$cart_id/items \\
  -H "Content-Type: application/json" \\
  -d '{
    "product_id": "1",
    "quantity": 2
  }'
"""
CHECK_OUT = """
saga_response=$(curl -X POST http://localhost:DOOR \\
  -H "Content-Type: application/json" \\
  -d '{
    "cart_id": "'$cart_id'",
    "user_id": "user123",
    "payment_method": "credit_card",
    "billing_address": {
      "street": "123 Main St",
      "city": "Anytown",
      "country": "USA",
      "postal_code": "12345"
    }
  }')

saga_id=$(echo $saga_response | jq -r '.saga_id')
until_ended http://localhost:STATE/$saga_id

curl http://localhost:STATE/$saga_id | jq
"""
CHECK_OUT_ANYHOW = """
saga_response=$(curl -X POST http://localhost:3000/checkout/saga \\
  -H "Content-Type: application/json" \\
  -d '{
    "cart_id": "'$cart_id'",
    "user_id": "user123",
    "payment_method": "credit_card",
    "billing_address": {},
    "saga_pattern": "PATTERN"
  }')

saga_id=$(echo $saga_response | jq -r '.saga_id')
until_ended http://localhost:STATE/$saga_id
curl http://localhost:STATE/$saga_id | jq
"""
DOORS = {
    "orchestrated": ("3003/saga/checkout", "3003/saga"),
    "choreographed": ("3004/saga/choreography/checkout", "3004/saga/choreography"),
}
ADD_PRODUCT = """
curl -X POST http://localhost:3001/api/products \\
  -H "Content-Type: application/json" \\
  -d '{
    "name": "Laptop Pro",
    "description": "High-performance laptop",
    "price": 1299.99,
    "quantity": 10,
    "category": "Electronics",
    "sku": "LAPTOP-001"
  }'
"""
FAILING_PAYMENT = """
curl -X POST http://localhost:3002/api/v1/payments \\
  -H "Content-Type: application/json" \\
  -d '{
    "merchant_id": "test",
    "order_id": "fail-test",
    "amount": -1,
    "payment_method": "invalid_card"
  }'
"""
FAR_TOO_MANY = """
curl -X POST http://localhost:3000/carts/$cart_id/items \\
  -H "Content-Type: application/json" \\
  -d '{
    "product_id": "1",
    "quantity": 999999
  }'
"""
ORDER = """
order=$(curl -X POST http://localhost:8001/orders \\
  -H "Content-Type: application/json" \\
  -d '{
    "user_id": "USER",
    "product_id": "PRODUCT",
    "quantity": QUANTITY,
    "amount": AMOUNT
  }')
echo $order

order_id=$(echo $order | jq -r '.order_id')
until_ended http://localhost:8001/orders/$order_id
curl http://localhost:8001/orders/$order_id
curl http://localhost:8002/inventory
curl http://localhost:8003/payments
curl http://localhost:8004/deliveries
"""

Typed = Callable[[str], list[Any]]


@pytest.fixture
def typed(stack) -> Typed:
    """Runs a script; returns the JSON values that it prints."""
    for program in ("curl", "jq"):
        need(program, package=program)

    def run(script: str) -> list[Any]:
        commands = re.sub(
            r"http://localhost:(\d+)", lambda port: stack.urls[SERVICES[port[1]]], script
        )
        shell = ["bash", "-e", "-o", "pipefail", "-c", UNTIL_ENDED + commands]
        ran = subprocess.run(shell, check=True, capture_output=True, text=True, timeout=60)
        return list(printed(ran.stdout))

    return run


def printed(text: str) -> Any:
    """Yields the JSON values of a text."""
    while text := text.strip():
        value, end = json.JSONDecoder().raw_decode(text)
        yield value
        text = text[end:]


def test_product_is_added(typed):
    (product,) = typed(ADD_PRODUCT)
    assert (product["sku"], product["price"]) == ("LAPTOP-001", "1299.99")


@pytest.mark.parametrize("pattern", DOORS)
def test_checkout_is_begun_and_watched_at_its_coordinator(typed, pattern):
    door, state = DOORS[pattern]
    script = FILL_CART + CHECK_OUT.replace("DOOR", door).replace("STATE", state)
    cart, saga = typed(script)
    assert [item["quantity"] for item in cart["items"]] == [2]
    assert (saga["status"], saga["saga_pattern"], saga["cart_id"]) == (
        "completed",
        pattern,
        cart["id"],
    )
    assert {step["status"] for step in saga["steps"]} == {"completed"}


@pytest.mark.parametrize("pattern", DOORS)
def test_checkout_is_begun_at_the_door_of_every_pattern(typed, pattern):
    check_out = CHECK_OUT_ANYHOW.replace("PATTERN", pattern).replace("STATE", DOORS[pattern][1])
    _, saga = typed(FILL_CART + check_out)
    assert (saga["status"], saga["saga_pattern"]) == ("completed", pattern)


def test_choreographed_checkouts_are_listed(typed):
    (listed,) = typed("curl http://localhost:3004/saga/choreography/status | jq")
    assert listed["sagas"] == listed["results"]
    assert {saga["saga_pattern"] for saga in listed["sagas"]} == {"choreographed"}


@pytest.mark.parametrize("port", ["3000", "3001", "3002", "3003", "3004"])
def test_every_service_shows_its_health(typed, port):
    (health,) = typed(f"curl http://localhost:{port}/health")
    assert health["service"] == SERVICES[port]


def test_payment_that_must_fail_is_refused(typed):
    (problem,) = typed(FAILING_PAYMENT)
    assert problem["status"] == 409
    assert problem["code"] in ("invalid_amount", "invalid_card")


def test_far_too_many_are_refused_at_the_cart(typed):
    _, problem = typed(FILL_CART + FAR_TOO_MANY)
    assert (problem["status"], problem["code"]) == (409, "out_of_stock")


def ordered(user: str, product: str, quantity: int, amount: str) -> str:
    given = {"USER": user, "PRODUCT": product, "QUANTITY": str(quantity), "AMOUNT": amount}
    return re.sub("|".join(given), lambda name: given[name[0]], ORDER)


def test_order_is_placed_and_seen_at_every_service(typed):
    script = ordered("user_123", "product_1", 2, "199.99")
    placed, order, inventory, payments, deliveries = typed(script)
    order_id = placed["order_id"]
    assert placed["status"] == "pending"
    assert (order["status"], order["saga"], order["saga_pattern"]) == (
        "completed",
        "fulfilment",
        "choreographed",
    )
    assert inventory["inventory"]["product_1"]["name"] == "Laptop"
    assert order_id not in inventory["reserved"]
    assert (payments["payments"][order_id]["status"], payments["payments"][order_id]["amount"]) == (
        "captured",
        "199.99",
    )
    assert deliveries["deliveries"][order_id]["status"] == "scheduled"


def test_order_for_more_than_there_is_fails_with_no_payment_and_no_delivery(typed):
    script = ordered("user_456", "product_3", 100, "4999.99")
    placed, order, _, payments, deliveries = typed(script)
    order_id = placed["order_id"]
    assert placed["status"] == "pending"
    assert (order["status"], order["failure"]["code"]) == ("failed", "out_of_stock")
    assert order_id not in payments["payments"]
    assert order_id not in deliveries["deliveries"]


BOOK = """
slot=$(curl http://localhost:3005/slots -H "Content-Type: application/json" \\
  -d '{"name": "Sala Roja", "price_per_hour": "40.00"}' | jq -r .id)
curl http://localhost:3002/credits -H "Content-Type: application/json" \\
  -d '{"user_id": "USER", "amount": "CREDITS"}'
booking=$(curl http://localhost:3005/bookings -H "Content-Type: application/json" -d '{
  "user_id": "USER", "slot_id": "'$slot'",
  "starts_at": "2026-12-01T10:00:00Z", "ends_at": "2026-12-01T11:00:00Z"}' | jq -r .booking_id)
curl http://localhost:3005/bookings/$booking
curl http://localhost:3005/bookings/$booking/approve -H "Content-Type: application/json" \\
  -d '{"by": "eva"}'
{ until curl --fail http://localhost:3002/bills/$booking/options; do sleep 0.1; done } > /dev/null
curl http://localhost:3002/bills/$booking/options
curl http://localhost:3002/bills/$booking/pay -H "Content-Type: application/json" \\
  -d '{"payment_method": "credits"}' > /dev/null
until_ended http://localhost:3004/saga/choreography/$booking
curl http://localhost:3004/saga/choreography/$booking
curl http://localhost:3005/bookings/$booking
curl http://localhost:3006/bills?booking_id=$booking
"""


@pytest.mark.parametrize(
    ("given", "ends", "bill", "last"),
    [
        ("500.00", "reserved", "paid", ["booking.paid", "invoice.generated", "booking.reserved"]),
        (
            "20.00",
            "failed",
            "failed",
            [
                *["booking.payment.failed", "bill.failed"],
                *["booking.approval.withdrawn", "booking.failed"],
            ],
        ),
    ],
)
def test_booking_is_typed_from_the_request_to_its_end(typed, given, ends, bill, last):
    script = BOOK.replace("USER", f"ana-{uuid.uuid4()}").replace("CREDITS", given)
    account, pending, approved, options, saga, booking, bills = typed(script)
    assert (pending["status"], approved["status"], booking["status"]) == (
        "pending",
        "approved",
        ends,
    )
    assert options["options"][0]["balance"] == account["balance"] == given
    assert options["options"][0]["is_enough"] == (ends == "reserved")
    events = [event["type"] for event in saga["events"]]
    assert events == ["booking.created", "booking.approved", "booking.billed", *last]
    assert [bill["status"] for bill in bills["results"]] == [bill]
