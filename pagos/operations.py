"""The operations of pagos: in a saga (charge, a payment that its customer confirms, a bill), and
outside of sagas (pay, give_back).

A card is charged in three parts, each in its own transaction or none: the intent (a pending
payment, whose step waits), the call to the card network under the saga's key (`desk`), and the
decision, which is the network's answer. If a process dies in between, another asks the network
again under the same key. A payment that is too late while the network may be taking its money is
cancelled, and the network is asked to give back what it took under that key.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
from django.conf import settings
from django.db.models.functions import Now

from catalogue import refusals
from catalogue.commands import Charge, ConfirmPayment, CreatePayment, PayBill
from contracts import bounds
from contracts.outcomes import Done, Outcome, Refused, Waiting
from contracts.saga import Command, Undo
from pagos import store
from pagos.models import Payment, PaymentStatus, Refund
from pagos.store import Key, LockedPayment
from participant import sql, trail
from participant.operations import (
    NO,
    OVERDUE,
    WITHDRAWN,
    YES,
    Operation,
    Verdict,
    asks,
    does,
    undoes,
)

SERVICE = "pagos"
NETWORK = "card_network"
"""The system that decides whether a card is charged."""
CLOSED_ACCOUNT = "closed_account"
"""A payment method that the simulated network charges, but whose account is closed for refunds.
That is a fault (an undo can't be refused): the saga is parked until an operator has set another
method for the refund (`refund_to`).
"""
CREDITS = "credits"
"""The payment method for paying from an account here, without the network."""
LEASE_SECONDS = 10.0
"""The time for the process that writes or claims an intent to ask the network, which takes at most
`desk.CALL_SECONDS`. Then another process asks, which is harmless."""

Captured, Cancelled = PaymentStatus.CAPTURED.value, PaymentStatus.CANCELLED.value
Pending, Turned = PaymentStatus.PENDING.value, PaymentStatus.REFUSED.value


class PlainPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment outside of sagas. `key`: the merchant's idempotency key."""

    merchant_id: str
    order_id: str
    amount: Decimal
    payment_method: str
    key: str | None = None
    fingerprint: str = ""


class AccountClosed(sql.Damaged):
    """The account that paid is closed: an operator must say where the refund goes."""


def _decided(verdicts: Sequence[Verdict]) -> list[Outcome]:
    """Applies verdicts of customers and of the card network, on charges, confirmed payments and
    bills alike.
    """
    keys = [(verdict.command.saga_id, verdict.step) for verdict in verdicts]
    locked = store.lock_payments(keys=keys)
    paid = _pay_from_credits(dict(zip(keys, verdicts, strict=True)), locked)
    decided = [
        paid.get(key) or _after(verdict, locked[key])
        for key, verdict in zip(keys, verdicts, strict=True)
    ]
    store.settle(payments=[row for row, _ in decided], lease=LEASE_SECONDS)
    return [outcome for _, outcome in decided]


Change = tuple[dict[str, Any], Outcome]
"""The new values of a payment (`store.settle`), and the outcome of its step."""


def _after(verdict: Verdict, payment: LockedPayment) -> Change:
    if verdict.word in (OVERDUE, WITHDRAWN):
        return _never(payment, verdict)
    if verdict.decided_by == NETWORK:
        return _answered(payment, verdict)
    if verdict.word == NO:
        why = Refused(refusals.CANCELLED_BY_CUSTOMER, verdict.reason)
        return _row(payment, Cancelled), why
    method = verdict.data.get("payment_method") or payment.payment_method
    return _begin(payment, step=verdict.step, method=method)


def _begin(payment: LockedPayment, *, step: str, method: str = "") -> Change:
    """The intent: from its commit on the network may take the money."""
    if payment.amount == 0:
        return _row(payment, Captured, taken_by=step), _charged(payment.id, payment.amount)
    row = _row(payment, Pending, asks=True, taken_by=step)
    return (row | {"payment_method": method[:64]} if method else row), _asks_network()


def _answered(payment: LockedPayment, verdict: Verdict) -> Change:
    if verdict.word == NO:
        code, detail = str(verdict.data["code"]), str(verdict.data["detail"])
        return _row(payment, Turned, code=code, detail=detail), Refused(code, detail)
    return _row(payment, Captured), _charged(payment.id, payment.amount)


def _never(payment: LockedPayment, verdict: Verdict) -> Change:
    """The decision came too late, or the saga goes backward: what was taken is given back."""
    is_networks = verdict.decided_by == NETWORK
    if is_networks:
        why = Refused(refusals.NETWORK_UNAVAILABLE, "The card network has not answered in time.")
    elif isinstance(verdict.command, PayBill):
        why = Refused(refusals.PAYMENT_OVERDUE, "The bill was not paid in time.")
    else:
        why = Refused(refusals.CONFIRMATION_OVERDUE, "The payment was not confirmed in time.")
    return _row(payment, Cancelled, asks=is_networks), why


def _pay_from_credits(
    verdicts: Mapping[Key, Verdict], locked: Mapping[Key, LockedPayment]
) -> dict[Key, Change]:
    """The changes for verdicts that pay from credits, in order, while the credits last."""
    paying = {key: locked[key] for key, verdict in verdicts.items() if _is_from_credits(verdict)}
    if not paying:
        return {}
    balances = store.lock_balances(user_ids=[payment.user_id for payment in paying.values()])
    changes: dict[Key, Change] = {}
    spent: list[LockedPayment] = []
    for key, payment in paying.items():
        why = _why_not(payment, balances.get(payment.user_id))
        if why is None:
            balances[payment.user_id] -= payment.amount
            spent.append(payment)
        changes[key] = _from_credits(payment, key[1], why)
    store.move_credits(kind="spent", payments=[payment for payment in spent if payment.amount])
    return changes


def _is_from_credits(verdict: Verdict) -> bool:
    if verdict.word != YES or verdict.decided_by == NETWORK:
        return False
    usual = CREDITS if isinstance(verdict.command, PayBill) else ""
    return bool(verdict.data.get("payment_method", usual) == CREDITS)


def _why_not(payment: LockedPayment, balance: Decimal | None) -> Refused | None:
    if balance is None:
        return Refused(refusals.NO_CREDIT_ACCOUNT, f"{payment.user_id} has no credits here.")
    if balance < payment.amount:
        detail = f"{payment.amount} is more than the {balance} credits of {payment.user_id}."
        return Refused(refusals.INSUFFICIENT_FUNDS, detail)
    return None


def _from_credits(payment: LockedPayment, step: str, why: Refused | None) -> Change:
    row = _row(
        payment,
        Turned if why else Captured,
        taken_by=step,
        payment_method=CREDITS,
        code=why.code if why else "",
        detail=why.detail if why else "",
    )
    return row, why or _charged(payment.id, payment.amount)


def _row(payment: LockedPayment, status: str, *, asks: bool = False, **more: str) -> dict[str, Any]:
    return {"id": payment.id, "status": status, "asks": asks, **more}


def _asks_network() -> Waiting:
    return Waiting(NETWORK, seconds=settings.NETWORK_SECONDS)


@does(service=SERVICE, decide=_decided)
def charge(commands: Sequence[Charge]) -> list[Outcome]:
    """Writes the intent and waits for the card network. Refused: invalid_amount,
    card_network_unavailable, or by the network: unknown_payment_method, or the card's code.

    A payment of 0 is completed without the network.
    Locks no row: the barrier holds the step's key, and no two steps share a payment.
    """
    charges = {(command.saga_id, charge.step_of(command)): command for command in commands}
    ids = _add(charges, taken_by=True)
    return [
        _refusal(command.amount) or _taken(ids[key], command.amount)
        for key, command in charges.items()
    ]


@undoes(charge)
def refund(commands: Sequence[Undo]) -> list[Outcome]:
    """Refunds the step's payment: recorded at once, then sent to the network."""
    return _refund_all(commands, refund)


@does(service=SERVICE)
def create_payment(commands: Sequence[CreatePayment]) -> list[Outcome]:
    """Makes a payment for its customer to confirm. Refused: invalid_amount."""
    asked = {(command.saga_id, create_payment.step_of(command)): command for command in commands}
    ids = _add(asked, taken_by=False)
    return [
        _refusal(command.amount) or _told(ids[key], command.amount, Pending)
        for key, command in asked.items()
    ]


@undoes(create_payment)
def void_payment(commands: Sequence[Undo]) -> list[Outcome]:
    """Cancels the payment, unless it is decided already."""
    locked = store.lock_payments(
        keys=[(command.saga_id, void_payment.step_of(command)) for command in commands]
    )
    open_ones = [payment for payment in locked.values() if payment.status is PaymentStatus.PENDING]
    store.settle(payments=[_row(payment, Cancelled) for payment in open_ones])
    found = [locked[command.saga_id, void_payment.step_of(command)] for command in commands]
    return [
        _told(
            payment.id, payment.amount, Cancelled if payment in open_ones else payment.status.value
        )
        for payment in found
    ]


@does(service=SERVICE, decide=_decided)
def confirm_payment(commands: Sequence[ConfirmPayment]) -> list[Outcome]:
    """Waits for the customer, unless the command confirms by itself; then takes the money as
    `charge` does. Refused: no_payment, cancelled_by_customer, confirmation_overdue, and as
    `charge`.
    """
    asked = {(command.saga_id, confirm_payment.step_of(command)): command for command in commands}
    locked = store.lock_named(ids={key: command.payment_id for key, command in asked.items()})
    begun = {
        key: _begin(locked[key], step=key[1])
        for key, command in asked.items()
        if command.auto_confirm and _is_open(locked.get(key))
    }
    waiting = {
        key: _row(locked[key], Pending, taken_by=key[1])
        for key in asked
        if key not in begun and _is_open(locked.get(key))
    }
    store.settle(
        payments=[*(row for row, _ in begun.values()), *waiting.values()], lease=LEASE_SECONDS
    )
    return [
        begun[key][1]
        if key in begun
        else asks(command=command, operation=confirm_payment)
        if key in waiting
        else Refused(refusals.NO_PAYMENT, f"There is no payment {command.payment_id} to confirm.")
        for key, command in asked.items()
    ]


@undoes(confirm_payment)
def refund_confirmed(commands: Sequence[Undo]) -> list[Outcome]:
    """Refunds the confirmed payment, as `refund` does."""
    return _refund_all(commands, refund_confirmed)


@does(service=SERVICE, decide=_decided)
def pay_bill(commands: Sequence[PayBill]) -> list[Outcome]:
    """Waits for the customer to pay from credits, or by a card as `charge` does. Refused:
    invalid_amount, wrong_amount (not the amount due), no_credit_account, insufficient_funds,
    cancelled_by_customer, payment_overdue, and as `charge`.
    """
    asked = {(command.saga_id, pay_bill.step_of(command)): command for command in commands}
    ids = _add(asked, taken_by=False)
    return [
        _refusal_of(command)
        or (
            _charged(ids[key], command.amount)
            if command.amount == 0
            else asks(command=command, operation=pay_bill)
        )
        for key, command in asked.items()
    ]


@undoes(pay_bill)
def give_bill_back(commands: Sequence[Undo]) -> list[Outcome]:
    """Refunds the bill, to the card or the credits that paid it."""
    return _refund_all(commands, give_bill_back)


@does(service=SERVICE)
def pad(commands: Sequence[Command]) -> list[Outcome]:
    """Changes nothing: makes a saga longer, to measure what its length costs."""
    return [Done() for _ in commands]


def pay(*, asked: PlainPayment) -> Payment:
    """Writes the intent of a payment outside of sagas. Runs in the caller's transaction, after
    which the network is asked (`desk`).

    Returns the payment, pending or refused; for a known key the payment that has the key already
    (compare its `fingerprint`).
    """
    wanted = {
        "id": str(uuid.uuid4()),
        "merchant_id": asked.merchant_id,
        "order_id": asked.order_id,
        "amount": bounds.amount(asked.amount),
        "payment_method": asked.payment_method,
        "fingerprint": asked.fingerprint,
        **_begun(asked),
    }
    if asked.key is None:
        return Payment.objects.create(**wanted)
    return Payment.objects.get_or_create(
        merchant_id=asked.merchant_id, idempotency_key=asked.key, defaults=wanted
    )[0]


def give_back(*, payment_id: str, reason: str) -> Refund | Refused:
    """Refunds a payment without a saga; if repeated, returns the same refund. Refused: no_payment.

    Runs in the caller's transaction. Raises Payment.DoesNotExist.
    """
    payment = Payment.objects.select_for_update(no_key=True).get(pk=payment_id, saga_id=None)
    if payment.status == PaymentStatus.REFUSED:
        return Refused(refusals.NO_PAYMENT, "This payment was refused: nothing was taken.")
    if payment.status == PaymentStatus.PENDING:
        return Refused(refusals.NO_PAYMENT, "The card network has not answered yet: ask again.")
    if payment.status == PaymentStatus.CAPTURED:
        store.settle(
            payments=[{"id": payment_id, "status": PaymentStatus.REFUNDED.value, "asks": True}]
        )
        Refund.objects.create(payment=payment, amount=payment.amount, reason=reason[:200])
        trail.because(reason)
        trail.note(
            service=SERVICE,
            action="payment.refund",
            subjects=[(f"payment {payment.id}", str(payment.amount))],
        )
    return Refund.objects.get(payment=payment)


def is_chargeable(*, amount: Decimal) -> bool:
    """Whether the amount is positive, in whole cents and at most MOST_MONEY."""
    return bounds.is_money(amount, least=bounds.CENT, most=bounds.MOST_MONEY)


def is_free(*, amount: Decimal) -> bool:
    """Whether the amount is 0: then the network is not asked, whatever the card."""
    return amount.is_finite() and amount == 0


def _refusal(amount: Decimal) -> Refused | None:
    if is_free(amount=amount) or is_chargeable(amount=amount):
        return None
    most = bounds.MOST_MONEY
    return Refused(
        refusals.INVALID_AMOUNT,
        f"An amount is more than 0, at most {most}, with two decimals; not {amount:.40}.",
    )


def _refusal_of(asked: CreatePayment | Charge | PayBill) -> Refused | None:
    refused = _refusal(asked.amount)
    if refused or not isinstance(asked, PayBill) or asked.amount == asked.due:
        return refused
    return Refused(
        refusals.WRONG_AMOUNT, f"The bill is for {asked.amount:.40}, but {asked.due:.40} is due."
    )


def _add(
    asked: Mapping[Key, CreatePayment | Charge | PayBill], *, taken_by: bool
) -> dict[Key, str]:
    rows = [_new(key, command, taken_by=taken_by) for key, command in asked.items()]
    return store.add_payments(payments=rows, lease=LEASE_SECONDS)


def _new(key: Key, asked: CreatePayment | Charge | PayBill, *, taken_by: bool) -> dict[str, object]:
    """The row of a new payment; a refused amount is stored as 0, and named in `detail`."""
    refused = _refusal_of(asked)
    is_over = is_free(amount=asked.amount) and not isinstance(asked, CreatePayment)
    return {
        "saga_id": key[0],
        "step": key[1],
        "subject": asked.subject,
        "amount": 0 if refused else asked.amount,
        "payment_method": getattr(asked, "payment_method", "")[:64],
        "user_id": getattr(asked, "user_id", ""),
        "status": Turned if refused else Captured if is_over else Pending,
        "taken_by": key[1] if taken_by else "",
        "code": refused.code if refused else "",
        "detail": refused.detail if refused else "",
    }


def _taken(payment_id: str, amount: Decimal) -> Outcome:
    return _charged(payment_id, amount) if is_free(amount=amount) else _asks_network()


def _is_open(payment: LockedPayment | None) -> bool:
    return payment is not None and payment.status is PaymentStatus.PENDING


def _refund_all(commands: Sequence[Undo], undo: Operation) -> list[Outcome]:
    reasons = {(command.saga_id, undo.step_of(command)): command.reason for command in commands}
    locked = store.lock_payments(keys=reasons)
    captured = [payment for payment in locked.values() if payment.status is PaymentStatus.CAPTURED]
    for payment in captured:
        if (payment.refund_to or payment.payment_method) == CLOSED_ACCOUNT:
            where = f"PATCH /api/v1/payments/{payment.id}"
            raise AccountClosed(f"Its account is closed: {where} refund_to, and retry.")
    by_card = [
        payment for payment in captured if payment.payment_method != CREDITS and payment.amount
    ]
    from_credits = [
        payment for payment in captured if payment.payment_method == CREDITS and payment.amount
    ]
    refunded = PaymentStatus.REFUNDED.value
    store.settle(
        payments=[_row(payment, refunded, asks=payment in by_card) for payment in captured]
    )
    store.add_refunds(payments=captured, reasons=reasons)
    if from_credits:
        store.lock_balances(user_ids=[payment.user_id for payment in from_credits])
        store.move_credits(kind=refunded, payments=from_credits)
    return [_refunded(locked[key]) for key in reasons]


def _charged(payment_id: str, amount: Decimal) -> Done:
    return _told(payment_id, amount, Captured)


def _told(payment_id: str, amount: Decimal, status: str) -> Done:
    return Done({"payment_id": payment_id, "amount": str(bounds.amount(amount)), "status": status})


def _refunded(payment: LockedPayment) -> Done:
    return Done(
        {
            "payment_id": payment.id,
            "refunded_amount": str(bounds.amount(payment.amount)),
            "status": PaymentStatus.REFUNDED.value,
        }
    )


def _begun(asked: PlainPayment) -> dict[str, Any]:
    refused = _refusal(asked.amount) if asked.amount else _refusal(Decimal(-1))
    if refused:
        return {"status": Turned, "code": refused.code, "detail": refused.detail}
    return {"status": Pending, "ask_at": Now() + timedelta(seconds=LEASE_SECONDS)}
