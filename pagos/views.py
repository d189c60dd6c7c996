"""The HTTP door of pagos. No decisions here."""

from typing import Annotated, TypeVar

import msgspec
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from catalogue import refusals as shop
from catalogue.answers import ANSWERS, Refunded
from contracts import bounds, refusals
from contracts.doors import OPERATOR, SHOPPER, door
from contracts.outcomes import Refused, Waiting
from coordination import decisions
from httpapi import pages, problems
from httpapi.json import answer, fingerprint
from httpapi.problems import Problem
from httpapi.steps import StepView
from pagos import desk, operations, serializers, store
from pagos.models import Payment, PaymentStatus
from pagos.operations import PlainPayment
from pagos.serializers import NewPayment
from participant import failpoints
from participant.decisions import GivenVerdict
from participant.operations import YES

Row = TypeVar("Row", bound=Model)


class _Reason(msgspec.Struct, frozen=True):
    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


_GIVEN = {200: serializers.CustomersPayment, 202: serializers.CustomersPayment}
_NOT_GIVEN = {
    404: ("not_found",),
    409: (refusals.ALREADY_DECIDED, refusals.DECISION_CLOSED),
}


class RefundView(StepView):
    """POST: gives the saga's payment back, named by its saga (in the body) or its own id."""

    operation = operations.refund

    def saga_of(self, **path: str) -> str | None:
        return store.saga_of(**path)


class AnyRefundView(RefundView):
    """POST: gives any payment back; 409 where a saga made it, which alone gives it back."""

    @door(
        OPERATOR,
        takes=_Reason,
        gives={200: (serializers.PaymentShown, Refunded)},
        refuses={409: (refusals.PART_OF_A_SAGA, shop.NO_PAYMENT)},
    )
    def post(self, request: HttpRequest, **path: str) -> HttpResponse:
        if store.saga_of(**path):
            return super().post(request, **path)
        payment = _known(store.payment(**path), "payment", **path)
        reason = msgspec.json.decode(self.read(request) or b"{}", type=_Reason).reason
        with transaction.atomic(using=operations.SERVICE):
            refund = operations.give_back(payment_id=payment.id, reason=reason)
        if isinstance(refund, Refused):
            raise problems.refusal(refund)
        return answer(serializers.payment(_known(store.payment(**path), "payment", **path)))


class PlainPaymentsView(APIView):
    """POST: a payment outside of any saga; 201, or 409 with the refusal's code; 202 where the card
    network has not answered yet.
    """

    @door(
        SHOPPER,
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
    """GET: a payment, with what became of it. PATCH `{"refund_to"}`: where its money goes back to,
    where what it was paid with takes none; 409 where there is none to be given back.
    """

    @door(SHOPPER, gives={200: serializers.PaymentShown})
    def get(self, request: Request, **path: str) -> HttpResponse:
        return answer(serializers.payment(_known(store.payment(**path), "payment", **path)))

    @door(
        OPERATOR,
        takes=serializers.RefundTo,
        gives={200: serializers.PaymentShown},
        refuses={409: (shop.NO_PAYMENT,)},
    )
    def patch(self, request: Request, payment_id: str) -> HttpResponse:
        method = problems.read(request.data or {}, serializers.RefundTo).refund_to
        _known(store.payment(payment_id=payment_id), "payment", id=payment_id)
        if not store.refund_to(payment_id=payment_id, method=method):
            detail = "Nothing of it is there to be given back."
            raise problems.refusal(Refused(shop.NO_PAYMENT, detail))
        return self.get(request, payment_id=payment_id)


class PaymentsOfSubjectView(APIView):
    """GET: the payments of a cart or an order, newest first; none where nothing was asked yet."""

    @door(SHOPPER, gives={200: serializers.PaymentsOf})
    def get(self, request: Request, subject: str) -> HttpResponse:
        found = [serializers.payment(row) for row in store.payments_of(subject=subject)]
        return answer({"subject": subject, "cart_id": subject, "payments": found})


class PaymentsView(APIView):
    """GET: all payments, newest first, in pages; `payments` has them by the order they are of."""

    @door(OPERATOR, takes=pages.PageRequest, gives={200: serializers.PaymentsPage})
    def get(self, request: Request) -> HttpResponse:
        wanted = problems.read_query(request.query_params, pages.PageRequest)
        page = pages.page(request=request, found=store.payments(), wanted=wanted)
        shown = [serializers.payment(row) for row in page.rows]
        by_order = {row["subject"] or row["order_id"]: row for row in reversed(shown)}
        return answer({**page.answer(results=shown), "payments": by_order, "total": page.count})


class PaymentOfSagaView(APIView):
    """The payment of a saga, in short."""

    @door(SHOPPER, gives={200: serializers.PaymentOfSaga})
    def get(self, request: Request, **path: str) -> HttpResponse:
        found = _known(store.payment_of_saga(**path), "payment of saga", **path)
        return answer(serializers.payment_of_saga(found))


class CustomersPaymentView(APIView):
    """GET: a payment as its customer sees it: pending, completed, failed, refunded, cancelled."""

    @door(SHOPPER, gives={200: serializers.CustomersPayment})
    def get(self, request: Request, payment_id: str) -> HttpResponse:
        found = _known(store.payment(payment_id=payment_id), "payment", id=payment_id)
        return answer(serializers.for_customer(found))


class VerdictView(APIView):
    """POST: the customer's word on a payment, by its id (in the path or the body) or its order's:
    200 with the payment; 202 where the card network has not answered yet; 409 already_decided, or
    decision_closed. `word`: yes or no.
    """

    word = ""

    @door(SHOPPER, takes=serializers.CustomersWord, gives=_GIVEN, refuses=_NOT_GIVEN)
    def post(self, request: Request, payment_id: str = "") -> HttpResponse:
        asked = problems.read(request.data or {}, serializers.CustomersWord)
        payment = store.payment_to_confirm(
            payment_id=payment_id or asked.payment_id, order_id=asked.order_id
        )
        named = payment_id or asked.payment_id or f"of the order {asked.order_id}"
        return _given(_known(payment, "payment", id=named), self.word, asked.by, asked.reason)


class PayBillView(APIView):
    """POST: the customer pays a bill, from credits or by a card: as VerdictView."""

    @door(SHOPPER, takes=serializers.BillPayment, gives=_GIVEN, refuses=_NOT_GIVEN)
    def post(self, request: Request, saga_id: str) -> HttpResponse:
        asked = problems.read(request.data or {}, serializers.BillPayment)
        payment = _known(store.payment_of_bill(saga_id=saga_id), "bill", id=saga_id)
        method = {"payment_method": asked.payment_method}
        return _given(payment, YES, asked.by or payment.user_id, "", data=method)


class BillOptionsView(APIView):
    """GET: what a bill can be paid with: cards, and credits, with whether they are enough."""

    @door(SHOPPER, gives={200: serializers.BillOptions})
    def get(self, request: Request, saga_id: str) -> HttpResponse:
        payment = _known(store.payment_of_bill(saga_id=saga_id), "bill", id=saga_id)
        account = store.credits(user_id=payment.user_id)
        return answer(serializers.options(payment, account))


class CreditsView(APIView):
    """POST: gives a user credits, on top of those that there are."""

    @door(OPERATOR, takes=serializers.NewCredits, gives={201: serializers.CreditsShown})
    def post(self, request: Request) -> HttpResponse:
        asked = problems.read(request.data or {}, serializers.NewCredits)
        store.grant(user_id=asked.user_id, amount=asked.amount)
        account = _known(store.credits(user_id=asked.user_id), "credits of", id=asked.user_id)
        return answer(serializers.credits(account), status=201)


class CreditAccountView(APIView):
    """GET: what a user has."""

    @door(SHOPPER, gives={200: serializers.CreditsShown})
    def get(self, request: Request, user_id: str) -> HttpResponse:
        account = _known(store.credits(user_id=user_id), "credit account of", id=user_id)
        return answer(serializers.credits(account))


def _given(
    payment: Payment, word: str, by: str, reason: str, data: dict[str, str] | None = None
) -> HttpResponse:
    given = GivenVerdict(
        saga_id=payment.saga_id or "",
        step=payment.taken_by or payment.step,
        word=word,
        by=by or "customer",
        reason=reason,
        data=data,
    )
    _, outcome = decisions.give(service=operations.SERVICE, given=given)
    failpoints.reach("payments.before_reply")
    now = _known(store.payment(payment_id=payment.id), "payment", id=payment.id)
    status = 202 if isinstance(outcome, Waiting) else 200
    return answer(serializers.for_customer(now), status=status)


def _asked(request: Request) -> PlainPayment:
    asked = problems.read(request.data, NewPayment)
    wanted = {
        "merchant_id": str(asked.merchant_id),
        "order_id": str(asked.order_id),
        "amount": bounds.amount(asked.amount),
        "payment_method": asked.payment_method,
    }
    return PlainPayment(**wanted, key=problems.read_key(request), fingerprint=fingerprint(wanted))


def _known(found: Row | None, what: str, **path: str) -> Row:
    if found is None:
        raise problems.unknown(what, *path.values())
    return found
