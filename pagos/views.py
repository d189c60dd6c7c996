"""The HTTP door of pagos. No decisions here."""

from typing import Annotated

import msgspec
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import bounds, refusals
from contracts.outcomes import Refused
from httpapi import pages, problems
from httpapi.json import answer, fingerprint
from httpapi.problems import Problem
from httpapi.steps import StepView
from pagos import operations, queries, serializers
from pagos.models import Payment, PaymentStatus
from pagos.operations import PlainPayment
from pagos.serializers import NewPayment


class _Reason(msgspec.Struct, frozen=True):
    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


class RefundView(StepView):
    """POST: gives the saga's payment back, named by its saga (in the body) or its own id."""

    operation = operations.refund

    def saga_of(self, **path: str) -> str | None:
        return queries.saga_of(**path)


class AnyRefundView(RefundView):
    """POST: gives any payment back; 409 where a saga made it, which alone gives it back."""

    def post(self, request: HttpRequest, **path: str) -> HttpResponse:
        if queries.saga_of(**path):
            return super().post(request, **path)
        payment = _known(queries.payment(**path), "payment", **path)
        reason = msgspec.json.decode(self.read(request) or b"{}", type=_Reason).reason
        with transaction.atomic(using=operations.SERVICE):
            refund = operations.give_back(payment_id=payment.id, reason=reason)
        if isinstance(refund, Refused):
            raise problems.refusal(refund)
        return answer(serializers.payment(_known(queries.payment(**path), "payment", **path)))


class PlainPaymentsView(APIView):
    """POST: a payment outside of any saga; 201, or 409 with the refusal's code."""

    def post(self, request: Request) -> HttpResponse:
        asked = _asked(request)
        with transaction.atomic(using=operations.SERVICE):
            payment = operations.pay(asked=asked)
        if payment.fingerprint != asked.fingerprint:
            raise Problem(
                status=422,
                code=refusals.KEY_REUSED,
                detail="This Idempotency-Key was used for another payment: send a new one.",
            )
        if payment.status == PaymentStatus.REFUSED:
            raise problems.refusal(Refused(payment.code, payment.detail))
        made = _known(queries.payment(payment_id=payment.id), "payment", payment_id=payment.id)
        headers = {"Location": request.build_absolute_uri(f"/api/v1/payments/{payment.id}")}
        return answer(serializers.payment(made), status=201, headers=headers)


class PaymentView(APIView):
    def get(self, request: Request, **path: str) -> HttpResponse:
        return answer(serializers.payment(_known(queries.payment(**path), "payment", **path)))


class PaymentsOfSubjectView(APIView):
    """GET: the payments of a cart or an order, newest first; none where nothing was asked yet."""

    def get(self, request: Request, subject: str) -> HttpResponse:
        found = [serializers.payment(row) for row in queries.payments_of(subject=subject)]
        return answer({"subject": subject, "cart_id": subject, "payments": found})


class PaymentsView(APIView):
    """GET: all payments, newest first, in pages; `payments` has them by the order they are of."""

    def get(self, request: Request) -> HttpResponse:
        wanted = problems.read_query(request.query_params, pages.Wanted)
        page = pages.page(request=request, found=queries.payments(), wanted=wanted)
        shown = [serializers.payment(row) for row in page.rows]
        by_order = {row["subject"] or row["order_id"]: row for row in reversed(shown)}
        return answer({**page.answer(results=shown), "payments": by_order, "total": page.count})


class PaymentOfSagaView(APIView):
    def get(self, request: Request, **path: str) -> HttpResponse:
        found = _known(queries.payment_of_saga(**path), "payment of saga", **path)
        return answer(serializers.payment_of_saga(found))


def _asked(request: Request) -> PlainPayment:
    asked = problems.read(request.data, NewPayment)
    wanted = {
        "merchant_id": str(asked.merchant_id),
        "order_id": str(asked.order_id),
        "amount": bounds.amount(asked.amount),
        "payment_method": asked.payment_method,
    }
    return PlainPayment(**wanted, key=problems.read_key(request), fingerprint=fingerprint(wanted))


def _known(payment: Payment | None, what: str, **path: str) -> Payment:
    if payment is None:
        raise problems.unknown(what, *path.values())
    return payment
