"""The network's decision on a charge: deterministic, so that runs can be repeated."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal

from catalogue import refusals
from contracts import bounds
from contracts.outcomes import Refused

SLOW_CARD = "slow_card"
"""Accepted after a delay (`PAGOS_SLOW_CARD_SECONDS`), to slow down a run visibly."""
CLOSED_ACCOUNT = "closed_account"
"""Accepted, but its account is closed for refunds, which pagos finds (pagos.operations): to see a
saga parked and mended."""
ACCEPTED = frozenset({"credit_card", "debit_card", "paypal", SLOW_CARD, CLOSED_ACCOUNT})
REFUSED = {
    "invalid_card": Refused(refusals.INVALID_CARD, "There is no such card."),
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
    """Why the charge is refused; None: it is accepted.

    `decline_shares`: by saga ("": all others) the share (0 to 1) of sagas that are declined
    whatever the card, always the same sagas. A charge without a saga (empty id) never is.
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
    """Whether the amount is positive, in whole cents and at most LARGEST."""
    return bounds.is_money(amount, least=bounds.CENT, most=LARGEST)


def seconds_of(*, payment_method: str, slow_card_seconds: float) -> float:
    """How long the network takes for an accepted card."""
    return slow_card_seconds if payment_method == SLOW_CARD else 0.0


def _share_of(saga_id: str) -> float:
    """A number from 0 to 1, evenly distributed over sagas and fixed for each."""
    return int.from_bytes(hashlib.sha256(saga_id.encode()).digest()[:8]) / 2**64
