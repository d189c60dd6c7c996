"""What a shopper says to the shop, as plain values: the same for both locustfiles and `compare`."""

from collections.abc import Mapping
from typing import Any

MONOLITH = "monolith"
"""No pattern of the shop: the floor, in a stack that was started for it."""
PATTERNS = ("orchestrated", "choreographed", "orchestrated_messaging", MONOLITH)
THE_TWO = PATTERNS[:2]
"""Those that are compared unless others are named; the others tell why they differ."""
WITH_CONTROL = PATTERNS[:3]
"""Those of a full run."""
GOOD_CARD = "credit_card"
SLOW_CARD = "slow_card"
DECLINED_CARD = "card_declined"
FINAL = frozenset({"completed", "failed", "compensated"})
ADDRESS = {"street": "Calle Mayor 1", "city": "Madrid", "country": "ES", "postal_code": "28013"}


def checkout(*, cart_id: str, user_id: str, pattern: str, payment_method: str) -> dict[str, Any]:
    """The body of POST /checkout/saga."""
    return {
        "cart_id": cart_id,
        "user_id": user_id,
        "payment_method": payment_method,
        "billing_address": ADDRESS,
        "saga_pattern": pattern,
    }


def product(*, name: str, quantity: int, sku: str) -> dict[str, Any]:
    """The body of POST /api/products, for goods of a load test."""
    return {
        "name": name,
        "description": "Made by a load test",
        "price": "19.99",
        "quantity": quantity,
        "category": "load test",
        "sku": sku,
    }


def patterns(*, text: str) -> list[str]:
    """The patterns in "one,other", each once, as given. Raises ValueError naming a wrong one."""
    named = list(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    wrong = [one for one in named if one not in PATTERNS]
    if wrong or not named:
        what = f"not {', '.join(wrong)}" if wrong else "at least one"
        raise ValueError(f"patterns: {what}; there are {', '.join(PATTERNS)}")
    return named


def is_expected(*, payment_method: str, status: str) -> bool:
    """Whether this is how a checkout with that card should end, where stock is plenty."""
    return status == ("compensated" if payment_method == DECLINED_CARD else "completed")


def code_of(body: Mapping[str, Any]) -> str:
    """The code of a problem+json body; empty where it has none."""
    return str(body.get("code", ""))
