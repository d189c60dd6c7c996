"""The HTTP door of pagos. No decisions here."""

from typing import Annotated, TypeVar

import msgspec
from django.db import transaction
from django.db.models import Model, Q
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from catalogue import refusals
from catalogue.answers import ANSWERS, Refunded
from contracts import bounds, projection
from contracts.doors import (
    OPS_ACT,
    OPS_READ,
    PAYMENTS_READ,
    PAYMENTS_WRITE,
    SHOP,
    declared,
    door,
    door_by,
)
from contracts.outcomes import Refused, Waiting
from contracts.patterns import CONDUCTORS
from coordination import decisions
from httpapi import identity, pages, problems
from httpapi.json import answer, fingerprint
from httpapi.problems import Problem
from httpapi.steps import StepView
from pagos import desk, operations, serializers, store
from pagos.models import Payment, PaymentStatus
from pagos.operations import PlainPayment
from pagos.serializers import NewPayment
from participant import failpoints
from participant.decisions import GivenVerdict
from participant.models import owned_by
from participant.operations import YES

Row = TypeVar("Row", bound=Model)


class _CancelReason(msgspec.Struct, frozen=True):
    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


_GIVEN = {200: serializers.CustomersPayment, 202: serializers.CustomersPayment}
_ANSWERS = (
    "200 with the payment; 202 if the card network has not answered yet; 409 if it is decided"
    " already, or closed."
)
_NOT_GIVEN = {
    404: ("not_found",),
    409: (refusals.ALREADY_DECIDED, refusals.DECISION_CLOSED),
}


class RefundView(StepView):
    """POST: refunds the saga's payment, named by its saga (in the body) or its own id."""

    operation = operations.refund

    def saga_of(self, **path: str) -> str | None:
        return store.saga_of(**path)


class AnyRefundView(RefundView):
    """POST: refunds a payment outside of sagas: a merchant its own, an operator who may act any.
    409 for a payment that a saga made: only the saga refunds it.
    """

    @door(
        PAYMENTS_WRITE,
        callers=CONDUCTORS,
        takes=_CancelReason,
        gives={200: (serializers.PaymentShown, Refunded)},
        refuses={409: (refusals.PART_OF_A_SAGA, refusals.NO_PAYMENT)},
    )
    def post(self, request: HttpRequest, **path: str) -> HttpResponse:
        principal = identity.of(request)
        payment = _known(store.payment(**path, seen=_refundable(principal)), "payment", **path)
        if payment.saga_id:
            return super().post(request, **path)
        if principal.service:
            detail = "A payment outside of sagas is refunded by its merchant or an operator."
            raise Problem(status=403, code="forbidden", detail=detail)
        reason = msgspec.json.decode(self.read(request) or b"{}", type=_CancelReason).reason
        with transaction.atomic(using=operations.SERVICE):
            refund = operations.give_back(payment_id=payment.id, reason=reason)
        if isinstance(refund, Refused):
            raise problems.refusal(refund)
        return answer(serializers.payment(_known(store.payment(**path), "payment", **path)))


class PlainPaymentsView(APIView):
    """POST: a payment outside of sagas; 201, or 409 with the refusal's code; 202 if the card
    network has not answered yet.
    """

    @door(
        PAYMENTS_WRITE,
        takes=NewPayment,
        gives={201: serializers.PaymentShown, 202: serializers.PaymentShown},
        refuses={409: ANSWERS["pagos.charge"].refuses, 422: (refusals.KEY_REUSED,)},
        headers=("Idempotency-Key",),
    )
    def post(self, request: Request) -> HttpResponse:
        asked = _asked(request)
        with transaction.atomic(using=operations.SERVICE):
            payment = operations.pay(asked=asked)
        failpoints.reach("payments.intended")
        if payment.status == PaymentStatus.PENDING:
            desk.AT_ONCE.ask_about(payments=store.plain_to_ask(payment_id=payment.id))
            payment = _known(store.payment(payment_id=payment.id), "payment", id=payment.id)
        if payment.fingerprint != asked.fingerprint:
            raise Problem(
                status=422,
                code=refusals.KEY_REUSED,
                detail="This Idempotency-Key was used for another payment: send a new one.",
            )
        if payment.status == PaymentStatus.REFUSED:
            raise problems.refusal(Refused(payment.code, payment.detail))
        made = _known(store.payment(payment_id=payment.id), "payment", payment_id=payment.id)
        headers = {"Location": request.build_absolute_uri(f"/api/v1/payments/{payment.id}")}
        status = 202 if made.status == PaymentStatus.PENDING else 201
        return answer(serializers.payment(made), status=status, headers=headers)


class PaymentView(APIView):
    """GET: a payment and its state. PATCH `{"refund_to"}`: where its money goes back to, if what it
    was paid with takes none; 409 if there is no money to be given back.
    """

    @door(SHOP, PAYMENTS_READ, OPS_READ, gives={200: serializers.PaymentShown})
    def get(self, request: Request, **path: str) -> HttpResponse:
        found = store.payment(**path, seen=_seen(request))
        return answer(serializers.payment(_known(found, "payment", **path)))

    @door(
        OPS_ACT,
        takes=serializers.RefundTo,
        gives={200: serializers.PaymentShown},
        refuses={409: (refusals.NO_PAYMENT,)},
    )
    def patch(self, request: Request, payment_id: str) -> HttpResponse:
        method = problems.read(request.data or {}, serializers.RefundTo).refund_to
        _known(store.payment(payment_id=payment_id), "payment", id=payment_id)
        if not store.refund_to(payment_id=payment_id, method=method):
            detail = "This payment has no money to be given back."
            raise problems.refusal(Refused(refusals.NO_PAYMENT, detail))
        found = store.payment(payment_id=payment_id)
        return answer(serializers.payment(_known(found, "payment", id=payment_id)))


class PaymentsOfSubjectView(APIView):
    """GET: the payments of a cart or an order, newest first; an empty list if there are none."""

    @door(SHOP, OPS_READ, gives={200: serializers.PaymentsOf})
    def get(self, request: Request, subject: str) -> HttpResponse:
        rows = store.payments_of(subject=subject, seen=owned_by(identity.owner(request)))
        found = [serializers.payment(row) for row in rows]
        return answer({"subject": subject, "cart_id": subject, "payments": found})


class PaymentsView(APIView):
    """GET: all payments, newest first, in pages; `payments` has them by order."""

    @door(OPS_READ, takes=pages.PageRequest, gives={200: serializers.PaymentsPage})
    def get(self, request: Request) -> HttpResponse:
        wanted = bounds.of_query(request.query_params, pages.PageRequest)
        page = pages.page(request=request, found=store.payments(), wanted=wanted)
        shown = [serializers.payment(row) for row in page.rows]
        by_order = {row["subject"] or row["order_id"]: row for row in reversed(shown)}
        return answer({**page.answer(results=shown), "payments": by_order, "total": page.count})


class PaymentOfSagaView(APIView):
    """The payment of a saga, in short."""

    @door(SHOP, OPS_READ, gives={200: serializers.PaymentOfSaga})
    def get(self, request: Request, **path: str) -> HttpResponse:
        found = store.payment_of_saga(**path, seen=owned_by(identity.owner(request)))
        known = _known(found, "payment of saga", **path)
        return answer(serializers.payment_of_saga(known))


class CustomersPaymentView(APIView):
    """GET: a payment as its customer sees it: pending, completed, failed, refunded, cancelled."""

    @door(
        SHOP,
        OPS_READ,
        callers=projection.owners_with(operations.SERVICE),
        gives={200: serializers.CustomersPayment},
    )
    def get(self, request: Request, payment_id: str) -> HttpResponse:
        found = store.payment(payment_id=payment_id, seen=owned_by(identity.owner(request)))
        return answer(serializers.for_customer(_known(found, "payment", id=payment_id)))


class VerdictView(APIView):
    """POST: the customer confirms or cancels a payment. `word`: yes or no."""

    word = ""

    @door_by(
        lambda view, path: declared(
            SHOP,
            takes=serializers.CustomersWord,
            gives=_GIVEN,
            refuses=_NOT_GIVEN,
            what=f"The customer {'confirms' if view.word == YES else 'cancels'} a payment, named by"
            f" its id (in the path or the body) or by its order: {_ANSWERS}",
        )
    )
    def post(self, request: Request, payment_id: str = "") -> HttpResponse:
        asked = problems.read(request.data or {}, serializers.CustomersWord)
        payment_id = payment_id or asked.payment_id or ""
        order_id = asked.order_id or ""
        payment = store.payment_to_confirm(
            payment_id=payment_id, order_id=order_id, seen=owned_by(identity.owner(request))
        )
        named = payment_id or f"of the order {order_id}"
        by = identity.of(request).named(asked.by, field="by", otherwise="customer")
        return _given(_known(payment, "payment", id=named), self.word, by, asked.reason)


class PayBillView(APIView):
    """POST: the customer pays a bill."""

    @door(
        SHOP,
        takes=serializers.BillPayment,
        gives=_GIVEN,
        refuses=_NOT_GIVEN,
        what=f"The customer pays a bill, from credits or by a card: {_ANSWERS}",
    )
    def post(self, request: Request, saga_id: str) -> HttpResponse:
        asked = problems.read(request.data or {}, serializers.BillPayment)
        found = store.payment_of_bill(saga_id=saga_id, seen=owned_by(identity.owner(request)))
        payment = _known(found, "bill", id=saga_id)
        by = identity.of(request).named(asked.by, field="by", otherwise=payment.user_id)
        method = {"payment_method": asked.payment_method}
        return _given(payment, YES, by, "", data=method)


class BillOptionsView(APIView):
    """GET: the ways to pay a bill: cards, and credits, with whether they are enough."""

    @door(SHOP, OPS_READ, gives={200: serializers.BillOptions})
    def get(self, request: Request, saga_id: str) -> HttpResponse:
        found = store.payment_of_bill(saga_id=saga_id, seen=owned_by(identity.owner(request)))
        payment = _known(found, "bill", id=saga_id)
        account = store.credits(user_id=payment.user_id)
        return answer(serializers.options(payment, account))


class CreditsView(APIView):
    """POST: adds credits to a user's account."""

    @door(OPS_ACT, takes=serializers.NewCredits, gives={201: serializers.CreditsShown})
    def post(self, request: Request) -> HttpResponse:
        asked = problems.read(request.data or {}, serializers.NewCredits)
        store.grant(user_id=asked.user_id, amount=asked.amount)
        account = _known(store.credits(user_id=asked.user_id), "credits of", id=asked.user_id)
        return answer(serializers.credits(account), status=201)


class CreditAccountView(APIView):
    """GET: a user's credits."""

    @door(SHOP, OPS_READ, gives={200: serializers.CreditsShown})
    def get(self, request: Request, user_id: str) -> HttpResponse:
        found = store.credits(user_id=user_id, seen=owned_by(identity.owner(request)))
        return answer(serializers.credits(_known(found, "credit account of", id=user_id)))


def _seen(request: Request) -> Q:
    """A person's own payments; with payments:read their merchant's, too; all for an operator."""
    principal = identity.of(request)
    if principal.is_demo or principal.service or OPS_READ in principal.scopes:
        return store.EVERY
    own = owned_by(principal.sub) if SHOP in principal.scopes else Q(pk__in=())
    reads_merchants = principal.merchant and PAYMENTS_READ in principal.scopes
    return own | Q(merchant_id=principal.merchant) if reads_merchants else own


def _refundable(principal: identity.Principal) -> Q:
    """A merchant's own payments; all for operators who may act, and for coordinators."""
    if principal.is_demo or principal.service or OPS_ACT in principal.scopes:
        return store.EVERY
    return Q(merchant_id=principal.merchant) if principal.merchant else Q(pk__in=())


def _given(
    payment: Payment, word: str, by: str, reason: str, data: dict[str, str] | None = None
) -> HttpResponse:
    given = GivenVerdict(
        saga_id=payment.saga_id or "",
        step=payment.taken_by or payment.step,
        word=word,
        by=by,
        reason=reason,
        data=data,
    )
    _, outcome = decisions.give(service=operations.SERVICE, given=given, is_customer=True)
    failpoints.reach("payments.before_reply")
    now = _known(store.payment(payment_id=payment.id), "payment", id=payment.id)
    status = 202 if isinstance(outcome, Waiting) else 200
    return answer(serializers.for_customer(now), status=status)


def _asked(request: Request) -> PlainPayment:
    asked = problems.read(request.data, NewPayment)
    wanted = {
        "merchant_id": _merchant(request, asked),
        "order_id": str(asked.order_id),
        "amount": bounds.amount(asked.amount),
        "payment_method": asked.payment_method,
    }
    return PlainPayment(**wanted, key=problems.read_key(request), fingerprint=fingerprint(wanted))


def _merchant(request: Request, asked: NewPayment) -> str:
    """Raises Problem (403) if the request names another merchant than the token."""
    principal = identity.of(request)
    named = "" if asked.merchant_id is None else str(asked.merchant_id)
    if principal.is_demo:
        return principal.named(named, field="merchant_id")
    if not principal.merchant or named not in ("", principal.merchant):
        detail = f"merchant_id: your token is one of {principal.merchant or 'no merchant'}."
        raise Problem(status=403, code="forbidden", detail=detail)
    return principal.merchant


def _known(found: Row | None, what: str, **path: str) -> Row:
    if found is None:
        raise problems.unknown(what, *path.values())
    return found
