"""Charges as the network's API shows and receives them."""

from decimal import Decimal
from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta

from contracts.bounds import MOST_KEY, Asked, CauseId, MoneyText, Time, amount, words
from httpapi import pages
from tarjetas.models import Charge, ChargeStatus

Key = Annotated[str, Meta(min_length=1, max_length=MOST_KEY)]


class NewCharge(msgspec.Struct, frozen=True, kw_only=True):
    """A charge to be made. A wrong amount or card is a refusal with a code."""

    key: Key
    amount: Decimal
    payment_method: str
    saga_id: CauseId = ""
    saga: CauseId = ""


class NewRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund of the money that was, or may be, taken under this key."""

    key: Key


class ChargeFilter(pages.PageRequest, frozen=True, kw_only=True):
    """Which charges to list: `?saga_id=`, with the parameters of every page."""

    saga_id: Asked | None = None


class ChargeShown(TypedDict):
    """A charge. `answers_at`: when the card answers."""

    id: str
    key: str
    saga_id: str | None
    saga: str | None
    amount: MoneyText
    payment_method: str
    status: Annotated[str, words(ChargeStatus)]
    code: str | None
    detail: str | None
    created_at: Time
    answers_at: Time | None
    key_until: Time | None
    refunded_at: Time | None


def charge(row: Charge) -> ChargeShown:
    """A charge from `store.charges`."""
    return {
        "id": str(row.pk),
        "key": row.key,
        "saga_id": row.saga_id or None,
        "saga": row.saga or None,
        "amount": str(amount(row.amount)),
        "payment_method": row.payment_method,
        "status": row.stands,
        "code": row.code or None,
        "detail": row.detail or None,
        "created_at": row.created_at,
        "answers_at": row.answers_at,
        "key_until": row.key_until,
        "refunded_at": row.refunded_at,
    }
