"""The operations of the card network: it takes money once a key, and gives it back once.

charge    free key        captured, refused, or processing until the card has answered
          known key       the first answer; key_reused if the first charge was another
          voided key      refused: voided
refund    captured        refunded in full
          anything else   voided: a charge that comes later finds the key voided, and takes nothing
"""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from django.conf import settings
from django.db import transaction

from contracts import bounds
from contracts.outcomes import Refused
from participant import failpoints
from tarjetas import rules, store
from tarjetas.models import ChargeStatus
from tarjetas.store import LockedCharge

SERVICE = "tarjetas"

KEY_REUSED, VOIDED = "key_reused", "voided"
_VOIDED = Refused(VOIDED, "This key was voided before: nothing is taken under it any more.")
REUSED = Refused(KEY_REUSED, "This key belongs to another charge: send a new one.")
ERROR = "error"
"""The status of an answer without a charge: the request was wrong."""

Status = ChargeStatus


class ChargeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A charge to be made. `saga_id`: empty outside of sagas."""

    key: str
    saga_id: str
    saga: str
    amount: Decimal
    payment_method: str

    @property
    def fingerprint(self) -> str:
        """Equal for equal requests; 12.5 equals 12.50."""
        amount = self.amount
        if rules.is_chargeable(amount=amount):
            amount = bounds.amount(amount)
        encoded = msgspec.json.encode([self.saga_id, self.saga, str(amount), self.payment_method])
        return hashlib.sha256(encoded).hexdigest()


class ChargeState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a charge: captured, refused (with code and detail), or processing (with the
    seconds after which to ask again); `error` if the key belongs to another charge.
    """

    key: str
    status: str
    amount: Decimal
    code: str | None = None
    detail: str | None = None
    retry_after_seconds: float | None = None


class RefundState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a key after a refund: refunded, with the amount, or voided."""

    key: str
    status: str
    amount: Decimal


def charge(*, asked: Sequence[ChargeRequest]) -> list[ChargeState]:
    """Takes the money. Returns an answer for each request, in order; equal keys are one charge.

    Opens the transaction: its answers are durable.
    """
    with transaction.atomic(using=SERVICE):
        found = _charged(asked)
        failpoints.reach("network.before_commit")
    failpoints.reach("network.after_commit")
    return [_answer(charge, found[charge.key]) for charge in asked]


def refund(*, keys: Sequence[str]) -> list[RefundState]:
    """Gives back the money taken under each key, however long ago, and voids the key for the
    future.

    Opens the transaction.
    """
    with transaction.atomic(using=SERVICE):
        refunded = _given_back(set(keys))
        failpoints.reach("network.before_refund")
    failpoints.reach("network.refunded")
    return [_back(key, refunded.get(key, [])) for key in keys]


def _charged(asked: Sequence[ChargeRequest]) -> dict[str, LockedCharge]:
    """The charges to which the keys belong now, by key."""
    first = {charge.key: charge for charge in reversed(asked)}
    found: dict[str, LockedCharge] = {}
    # Repeated for keys that were freed: here, or by another call meanwhile.
    while missing := first.keys() - found.keys():
        added = store.add_charges(charges=[_row(first[key]) for key in missing])
        found |= {charge.key: charge for charge in added}
        known = [charge for charge in _locked(missing - found.keys()) if charge.is_current]
        store.free_keys(charges=[charge for charge in known if _is_free(charge)])
        found |= {charge.key: charge for charge in known if not _is_free(charge)}
    return found


def _given_back(keys: set[str]) -> dict[str, list[LockedCharge]]:
    """The charges that are refunded now, by key."""
    store.add_charges(charges=[_tombstone(key) for key in keys])
    locked = _locked(keys)
    captured = [charge for charge in locked if charge.status is Status.CAPTURED]
    store.mark(charges=captured, status=Status.REFUNDED)
    untaken = [charge for charge in locked if charge.status in (Status.PROCESSING, Status.REFUSED)]
    store.mark(charges=[charge for charge in untaken if charge.is_current], status=Status.VOIDED)
    refunded: dict[str, list[LockedCharge]] = {}
    for charge in locked:
        if charge.status in (Status.CAPTURED, Status.REFUNDED):
            refunded.setdefault(charge.key, []).append(charge)
    return refunded


def _locked(keys: set[str]) -> list[LockedCharge]:
    """Locks all charges under these keys; captures those whose card has answered since."""
    if not keys:
        return []
    found = store.lock(keys=keys)
    due = [charge for charge in found if charge.status is Status.PROCESSING and not charge.seconds]
    store.mark(charges=due, status=Status.CAPTURED)
    return [
        dataclasses.replace(charge, status=Status.CAPTURED) if charge in due else charge
        for charge in found
    ]


def _is_free(charge: LockedCharge) -> bool:
    """Whether its key may be used again; never after a refund or void."""
    return charge.is_over and charge.status not in (Status.REFUNDED, Status.VOIDED)


def _row(asked: ChargeRequest) -> dict[str, object]:
    """The row of a new charge; a refused amount is stored as 0, and named in `detail`."""
    refused = rules.refusal(
        saga_id=asked.saga_id,
        saga=asked.saga,
        amount=asked.amount,
        payment_method=asked.payment_method,
        decline_shares=settings.DECLINE_SHARES,
    )
    seconds = rules.seconds_of(
        payment_method=asked.payment_method, slow_card_seconds=settings.SLOW_CARD_SECONDS
    )
    taken = Status.PROCESSING if seconds else Status.CAPTURED
    return {
        "key": asked.key,
        "saga_id": asked.saga_id,
        "saga": asked.saga,
        "amount": asked.amount if rules.is_chargeable(amount=asked.amount) else 0,
        "payment_method": asked.payment_method[:64],
        "fingerprint": asked.fingerprint,
        "status": (Status.REFUSED if refused else taken).value,
        "code": refused.code if refused else "",
        "detail": refused.detail if refused else "",
        "seconds": 0.0 if refused else seconds,
        "key_seconds": settings.KEY_SECONDS,
    }


def _tombstone(key: str) -> dict[str, object]:
    """A voided charge that takes a free key, so that nothing is charged under it."""
    texts = dict.fromkeys(
        ("saga_id", "saga", "payment_method", "fingerprint", "code", "detail"), ""
    )
    status = Status.VOIDED.value
    return {"key": key, **texts, "amount": 0, "status": status, "seconds": 0, "key_seconds": 0}


def _answer(asked: ChargeRequest, charge: LockedCharge) -> ChargeState:
    if charge.status is Status.VOIDED:
        return _no(charge, Status.REFUSED, _VOIDED)
    if charge.fingerprint != asked.fingerprint:
        return _no(charge, ERROR, REUSED)
    if charge.status is Status.REFUSED:
        return _no(charge, Status.REFUSED, Refused(charge.code, charge.detail))
    if charge.status is Status.PROCESSING:
        # Rounded up, so that the caller need come back only once.
        seconds = math.ceil(charge.seconds * 1000) / 1000
        return ChargeState(
            key=charge.key,
            status=Status.PROCESSING.value,
            amount=charge.amount,
            retry_after_seconds=seconds,
        )
    # The first answer again, also if it was refunded since.
    return ChargeState(key=charge.key, status=Status.CAPTURED.value, amount=charge.amount)


def _no(charge: LockedCharge, status: str, why: Refused) -> ChargeState:
    return ChargeState(
        key=charge.key, status=str(status), amount=charge.amount, code=why.code, detail=why.detail
    )


def _back(key: str, refunded: Sequence[LockedCharge]) -> RefundState:
    status = Status.REFUNDED if refunded else Status.VOIDED
    amount = sum((charge.amount for charge in refunded), Decimal(0))
    return RefundState(key=key, status=status.value, amount=bounds.amount(amount))
