"""The requests of a shopper as plain values: the same for both locustfiles and `compare`.

An arm of a comparison is a pattern, maybe with a variation: `orchestrated`; `orchestrated again`:
the same once more; `orchestrated +2ms`: with payments that take 2 ms longer;
`orchestrated in demo`: in a shop without authentication. It is one string, and is called a pattern
where its figures are.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from contracts import states
from contracts.patterns import (
    CHOREOGRAPHED,
    HAS_TEMPORAL,
    ORCHESTRATED,
    ORCHESTRATED_MESSAGING,
    TEMPORAL,
    TEMPORAL_VARIABLE,
)

MONOLITH = "monolith"
"""Not a pattern of the shop: the baseline, in a stack that was started for it."""
_OPTIONAL = (TEMPORAL,) * HAS_TEMPORAL
PATTERNS = (ORCHESTRATED, CHOREOGRAPHED, ORCHESTRATED_MESSAGING, *_OPTIONAL, MONOLITH)
THE_TWO = PATTERNS[:2]
"""The patterns that are compared by default."""
WITH_CONTROL = PATTERNS[:3]
"""The patterns of a full run."""
_IN_DEMO = " in demo"
FINAL = states.FINAL
GOOD_CARD = "credit_card"
SLOW_CARD = "slow_card"
DECLINED_CARD = "card_declined"
PRICE = "19.99"
ADDRESS = {"street": "Calle Mayor 1", "city": "Madrid", "country": "ES", "postal_code": "28013"}
SOON, HOUR = datetime(2031, 1, 1), timedelta(hours=1)
DESTINATION = {**ADDRESS, "province": "Madrid"}


def twice(*, pattern: str, delay_ms: float) -> list[str]:
    """A pattern and itself: no difference should be found, or only the delay."""
    return [pattern, f"{pattern} +{delay_ms:g}ms" if delay_ms else f"{pattern} again"]


def asked(*, pattern: str) -> list[str]:
    """A pattern and itself: without authentication, and with it."""
    return [f"{pattern}{_IN_DEMO}", pattern]


def is_asked(*, arm: str) -> bool:
    """Whether its shop has authentication."""
    return not arm.endswith(_IN_DEMO)


def pattern_of(*, arm: str) -> str:
    """The `saga_pattern` of its checkouts."""
    return arm.partition(" ")[0]


def delay_ms_of(*, arm: str) -> float:
    """The delay of its payments; 0 for most arms."""
    _, _, delay = arm.partition("+")
    return float(delay.removesuffix("ms")) if delay else 0.0


def card_of(*, arm: str) -> str:
    """The card of its checkouts, except those to be declined."""
    return SLOW_CARD if delay_ms_of(arm=arm) else GOOD_CARD


def checkout(*, cart_id: str, payment_method: str) -> dict[str, Any]:
    """The body of POST /checkout/saga, without `saga`, `user_id` and `saga_pattern`."""
    return {"cart_id": cart_id, "payment_method": payment_method, "billing_address": ADDRESS}


def order(*, products: Sequence[str], payment_method: str) -> dict[str, Any]:
    """The body of POST /orders for one of each product, without the same fields."""
    return {
        "items": [{"product_id": product, "quantity": 1} for product in products],
        "amount": f"{float(PRICE) * len(products):.2f}",
        "payment_method": payment_method,
        "destination": DESTINATION,
    }


def purchase(
    *, user: str, products: Sequence[str], payment_method: str, is_asked: bool = False
) -> dict[str, Any]:
    """The body of POST /orders/create_order for one of each product. `is_asked`: whether its
    customer has to confirm the payment.
    """
    lines = [{"product_id": product, "quantity": 1, "unit_price": PRICE} for product in products]
    where = {key: DESTINATION[key] for key in ("province", "city")}
    return {
        "customer_id": user,
        "order_items": lines,
        "total_amount": f"{float(PRICE) * len(products):.2f}",
        "payment_method": payment_method,
        "auto_confirm": not is_asked,
        **where,
    }


def bookings(*, slot: str, count: int) -> list[dict[str, Any]]:
    """The bodies of POST /bookings, without the same fields: one hour each, in a row."""
    hours = [SOON + HOUR * n for n in range(count)]
    return [
        {"slot_id": slot, "starts_at": f"{at:%FT%TZ}", "ends_at": f"{at + HOUR:%FT%TZ}"}
        for at in hours
    ]


def product(*, name: str, quantity: int, sku: str) -> dict[str, Any]:
    """The body of POST /api/products, for goods of a load test."""
    return {
        "name": name,
        "description": "Made by a load test",
        "price": PRICE,
        "quantity": quantity,
        "category": "load test",
        "sku": sku,
    }


def courier(*, name: str, capacity: int) -> dict[str, Any]:
    """The body of POST /couriers, for a courier where the load test's orders go."""
    where = {key: DESTINATION[key] for key in ("province", "city")}
    return {"name": name, "phone_number": "+34 600 000 000", "capacity": capacity, **where}


def patterns(*, text: str, known: Sequence[str] = PATTERNS) -> list[str]:
    """The patterns in "one,other", each once, as given. Raises ValueError for any that is not in
    `known`."""
    named = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    wrong = [name for name in named if name not in known]
    if wrong or not named:
        what = f"unknown pattern {wrong[0]!r}" if wrong else "name at least one pattern"
        if TEMPORAL in wrong:
            raise ValueError(
                f"{TEMPORAL} needs {TEMPORAL_VARIABLE}=1 and its packages:"
                f" make compare PATTERNS={','.join(named)} provides both"
            )
        raise ValueError(f"{what}; choose from {', '.join(known)}")
    return named


def is_expected(*, payment_method: str, status: str) -> bool:
    """Whether a checkout with that card should end so, with enough stock."""
    return status == ("compensated" if payment_method == DECLINED_CARD else "completed")
