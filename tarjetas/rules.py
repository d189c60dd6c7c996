"""What the network makes of a card: the same answer for the same question, to repeat a run by."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal

from catalogue import refusals
from contracts import bounds
from contracts.outcomes import Refused

SLOW_CARD = "slow_card"
"""Accepted like any other, once the network has taken its time: what a comparison must notice."""
CLOSED_ACCOUNT = "closed_account"
"""Accepted like any other; by the time that money is to go back to it, its account is closed, which
pagos meets (pagos.operations): for a saga that is parked, and mended."""
ACCEPTED = frozenset({"credit_card", "debit_card", "paypal", SLOW_CARD, CLOSED_ACCOUNT})
REFUSED = {
    "invalid_card": Refused(refusals.INVALID_CARD, "The card network knows no such card."),
    "card_declined": Refused(refusals.CARD_DECLINED, "The bank declined the charge."),
    "insufficient_funds": Refused(refusals.INSUFFICIENT_FUNDS, "The account has too little."),
    "expired_card": Refused(refusals.EXPIRED_CARD, "The card is past its date."),
}
LARGEST = bounds.MOST_MONEY


def refusal(
    *,
    saga_id: str,
    saga: str,
    amount: Decimal,
    payment_method: str,
    decline_shares: Mapping[str, float],
) -> Refused | None:
    """None: the card is good for it. Otherwise why it is not.

    `decline_shares`: by saga ("": all others) the share (0 to 1) that is declined whatever the
    card, always the same ones; of no saga (an empty id) none is.
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
    if saga_id and _share_of(saga_id) < decline_shares.get(saga, decline_shares[""]):
        return Refused(refusals.CARD_DECLINED, "Declined for this run's share of refusals.")
    return None


def is_chargeable(*, amount: Decimal) -> bool:
    """Whether it is an amount that money can be: positive, whole cents, not beyond the table."""
    return bounds.is_money(amount, least=bounds.CENT, most=LARGEST)


def seconds_of(*, payment_method: str, slow_card_seconds: float) -> float:
    """How long the network takes for a card that is good."""
    return slow_card_seconds if payment_method == SLOW_CARD else 0.0


def _share_of(saga_id: str) -> float:
    """A number from 0 to 1, evenly spread over sagas and fixed for each."""
    return int.from_bytes(hashlib.sha256(saga_id.encode()).digest()[:8]) / 2**64
