"""The simulated card network: the same answer for the same question, to repeat a run by."""

import hashlib
import time
from collections.abc import Collection
from decimal import Decimal

from contracts import bounds, refusals
from contracts.outcomes import Refused

SLOW_CARD = "slow_card"
"""Accepted like any other, once the network has taken its time: what a comparison must notice."""
ACCEPTED = frozenset({"credit_card", "debit_card", "paypal", SLOW_CARD})
REFUSED = {
    "invalid_card": Refused(refusals.INVALID_CARD, "The card network knows no such card."),
    "card_declined": Refused(refusals.CARD_DECLINED, "The bank declined the charge."),
    "insufficient_funds": Refused(refusals.INSUFFICIENT_FUNDS, "The account has too little."),
    "expired_card": Refused(refusals.EXPIRED_CARD, "The card is past its date."),
}
LARGEST = bounds.MOST_MONEY


def wait_for(*, payment_methods: Collection[str], slow_card_seconds: float) -> None:
    """Takes as long as the network needs for all of these, which it is asked at once."""
    if slow_card_seconds and SLOW_CARD in payment_methods:
        time.sleep(slow_card_seconds)


def authorise(
    *, saga_id: str, amount: Decimal, payment_method: str, decline_share: float
) -> Refused | None:
    """None: the money is taken. Otherwise why it is not.

    `decline_share` (0 to 1) of all sagas is declined whatever the card, always the same ones.
    """
    if not is_chargeable(amount=amount):
        return Refused(
            refusals.INVALID_AMOUNT,
            f"An amount is more than 0, at most {LARGEST}, with two decimals; not {amount:.40}.",
        )
    if payment_method in REFUSED:
        return REFUSED[payment_method]
    if payment_method not in ACCEPTED:
        methods = ", ".join(sorted(ACCEPTED))
        return Refused(
            refusals.UNKNOWN_PAYMENT_METHOD, f"{payment_method[:64]!r} is none of: {methods}."
        )
    if _share_of(saga_id) < decline_share:
        return Refused(refusals.CARD_DECLINED, "Declined for this run's share of refusals.")
    return None


def is_chargeable(*, amount: Decimal) -> bool:
    """Whether it is an amount that money can be: positive, whole cents, not beyond the table."""
    return bounds.is_money(amount, least=bounds.CENT, most=LARGEST)


def is_free(*, amount: Decimal) -> bool:
    """Whether there is nothing to be charged: then the network is not asked, whatever the card."""
    return amount.is_finite() and amount == 0


def _share_of(saga_id: str) -> float:
    """A number from 0 to 1, evenly spread over sagas and fixed for each."""
    return int.from_bytes(hashlib.sha256(saga_id.encode()).digest()[:8]) / 2**64
