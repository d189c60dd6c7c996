"""What pagos can do: in a saga (charge, refund), and outside of any (pay, give_back)."""

import uuid
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from django.conf import settings

from contracts import money, refusals, sagas
from contracts.commands import Charge, Undo
from contracts.outcomes import Done, Outcome, Refused
from pagos import gateway, ledger
from pagos.ledger import Held
from pagos.models import Payment, PaymentStatus, Refund
from sagas.operations import does, undoes

SERVICE = "pagos"


class PlainPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment outside of any saga. `key`: the merchant's; the same one is the same payment, asked
    for again.
    """

    merchant_id: str
    order_id: str
    amount: Decimal
    payment_method: str
    key: str | None = None
    fingerprint: str = ""


@does(service=SERVICE, step=sagas.CHARGE, command=Charge)
def charge(commands: Sequence[Charge]) -> list[Outcome]:
    """Takes the money. Refused: invalid_amount, unknown_payment_method, or the card's own code.

    What is free is completed without a charge: a payment of 0, for which no card is asked.
    There is nothing to lock: the barrier holds the saga's key, and no two sagas share a row.
    """
    gateway.wait_for(
        payment_methods={one.payment_method for one in commands},
        slow_card_seconds=settings.SLOW_CARD_SECONDS,
    )
    decided = [
        None
        if gateway.is_free(amount=one.amount)
        else gateway.authorise(
            saga_id=one.saga_id,
            amount=one.amount,
            payment_method=one.payment_method,
            decline_share=settings.DECLINE_SHARE,
        )
        for one in commands
    ]
    ids = ledger.add_payments(charges=commands, decided=decided)
    return [
        refused or _charged(ids[one.saga_id], one.amount)
        for one, refused in zip(commands, decided, strict=True)
    ]


@undoes(service=SERVICE, step=sagas.CHARGE, command=Undo)
def refund(commands: Sequence[Undo]) -> list[Outcome]:
    """Gives the whole payment back."""
    held = ledger.lock_payments(saga_ids=[one.saga_id for one in commands])
    captured = [one for one in held.values() if one.status is PaymentStatus.CAPTURED]
    ledger.refund(payments=captured, reasons={one.saga_id: one.reason for one in commands})
    return [_refunded(held[one.saga_id]) for one in commands]


def pay(*, asked: PlainPayment) -> Payment:
    """Takes the money outside of any saga. Runs in the caller's transaction.

    Returns the payment, captured or refused; under a known key, the one that was made then
    (`fingerprint` says for which body).
    """
    wanted = {
        "id": str(uuid.uuid4()),
        "merchant_id": asked.merchant_id,
        "order_id": asked.order_id,
        "amount": money.amount(asked.amount),
        "payment_method": asked.payment_method,
        "fingerprint": asked.fingerprint,
        **_decided(asked),
    }
    if asked.key is None:
        return Payment.objects.create(**wanted)
    return Payment.objects.get_or_create(
        merchant_id=asked.merchant_id, idempotency_key=asked.key, defaults=wanted
    )[0]


def give_back(*, payment_id: str, reason: str) -> Refund | Refused:
    """Refunds a payment of no saga, whole; again: the same refund. Refused: no_payment.

    Runs in the caller's transaction. Raises Payment.DoesNotExist.
    """
    payment = Payment.objects.select_for_update(no_key=True).get(pk=payment_id, saga_id=None)
    if payment.status == PaymentStatus.REFUSED:
        return Refused(refusals.NO_PAYMENT, "This payment was refused: nothing was taken.")
    if payment.status == PaymentStatus.CAPTURED:
        Payment.objects.filter(pk=payment_id).update(status=PaymentStatus.REFUNDED)
        Refund.objects.create(payment=payment, amount=payment.amount, reason=reason[:200])
    return Refund.objects.get(payment=payment)


def _charged(payment_id: str, amount: Decimal) -> Done:
    return Done(
        {
            "payment_id": payment_id,
            "amount": str(money.amount(amount)),
            "status": PaymentStatus.CAPTURED.value,
        }
    )


def _refunded(payment: Held) -> Done:
    return Done(
        {
            "payment_id": payment.id,
            "refunded_amount": str(money.amount(payment.amount)),
            "status": PaymentStatus.REFUNDED.value,
        }
    )


def _decided(asked: PlainPayment) -> dict[str, str]:
    refused = gateway.authorise(
        saga_id="", amount=asked.amount, payment_method=asked.payment_method, decline_share=0
    )
    if refused is None:
        return {"status": PaymentStatus.CAPTURED.value}
    return {
        "status": PaymentStatus.REFUSED.value,
        "code": refused.code,
        "detail": refused.detail,
    }
