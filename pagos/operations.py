"""What pagos can do: in a saga (charge, refund), and outside of any (pay, give_back)."""

import uuid
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from django.conf import settings

from contracts import bounds, refusals
from contracts.commands import Charge, Command, Undo
from contracts.outcomes import Done, Outcome, Refused
from pagos import gateway, store
from pagos.models import Payment, PaymentStatus, Refund
from pagos.store import LockedPayment
from participant.operations import does, undoes

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


@does(service=SERVICE)
def charge(commands: Sequence[Charge]) -> list[Outcome]:
    """Takes the money. Refused: invalid_amount, unknown_payment_method, or the card's own code.

    What is free is completed without a charge: a payment of 0, for which no card is asked.
    There is nothing to lock: the barrier holds the step's key, and no two steps share a row.
    """
    gateway.wait_for(
        payment_methods={command.payment_method for command in commands},
        slow_card_seconds=settings.SLOW_CARD_SECONDS,
    )
    charges = {(command.saga_id, charge.step_of(command)): command for command in commands}
    refused = {key: no for key, command in charges.items() if (no := _refusal(command))}
    ids = store.add_payments(charges=charges, refusals=refused)
    return [
        refused.get(key) or _charged(ids[key], command.amount) for key, command in charges.items()
    ]


@undoes(charge)
def refund(commands: Sequence[Undo]) -> list[Outcome]:
    """Gives the step's whole payment back."""
    reasons = {(command.saga_id, refund.step_of(command)): command.reason for command in commands}
    locked = store.lock_payments(keys=reasons)
    captured = [held for held in locked.values() if held.status is PaymentStatus.CAPTURED]
    store.refund(payments=captured, reasons=reasons)
    return [_refunded(locked[key]) for key in reasons]


@does(service=SERVICE)
def pad(commands: Sequence[Command]) -> list[Outcome]:
    """Changes nothing: makes a saga longer, to measure what its length costs."""
    return [Done() for _ in commands]


def pay(*, asked: PlainPayment) -> Payment:
    """Takes the money outside of any saga. Runs in the caller's transaction.

    Returns the payment, captured or refused; under a known key, the one that was made then
    (`fingerprint` says for which body).
    """
    wanted = {
        "id": str(uuid.uuid4()),
        "merchant_id": asked.merchant_id,
        "order_id": asked.order_id,
        "amount": bounds.amount(asked.amount),
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


def _refusal(command: Charge) -> Refused | None:
    if gateway.is_free(amount=command.amount):
        return None
    shares = settings.DECLINE_SHARES
    return gateway.authorise(
        saga_id=command.saga_id,
        amount=command.amount,
        payment_method=command.payment_method,
        decline_share=shares.get(command.saga, shares[""]),
    )


def _charged(payment_id: str, amount: Decimal) -> Done:
    return Done(
        {
            "payment_id": payment_id,
            "amount": str(bounds.amount(amount)),
            "status": PaymentStatus.CAPTURED.value,
        }
    )


def _refunded(payment: LockedPayment) -> Done:
    return Done(
        {
            "payment_id": payment.id,
            "refunded_amount": str(bounds.amount(payment.amount)),
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


from contracts.commands import PayBill  # noqa: E402
from contracts.outcomes import Done as _Done  # noqa: E402
from participant.operations import YES, Verdict, asks  # noqa: E402


def _bill_decided(verdicts: Sequence[Verdict]) -> list[Outcome]:
    return [
        _Done({"status": "paid"})
        if one.word == YES and one.data.get("payment_method") != "poor"
        else Refused(refusals.INSUFFICIENT_FUNDS if one.word == YES else refusals.PAYMENT_OVERDUE)
        for one in verdicts
    ]


@does(service=SERVICE, decide=_bill_decided)
def pay_bill(commands: Sequence[PayBill]) -> list[Outcome]:
    """STAND-IN."""
    return [asks(command=command) for command in commands]


@undoes(pay_bill)
def give_bill_back(commands: Sequence[Undo]) -> list[Outcome]:
    """STAND-IN."""
    return [Done({"status": "refunded"}) for _ in commands]
