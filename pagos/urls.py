"""The paths of pagos (ports 3002 and 8003)."""

from django.urls import path

from coordination import decisions
from httpapi.steps import StepView, doors, made
from pagos import operations, views

CHARGE = made(StepView, operation=operations.charge, aliases={"cart_id": "subject"})

urlpatterns = [
    path("api/v1/payments", views.PlainPaymentsView.as_view()),
    path("api/v1/payments/saga", CHARGE),
    path("api/v1/payments/saga/refund", views.RefundView.as_view()),
    path("api/v1/payments/saga/<slug:payment_id>/refund", views.RefundView.as_view()),
    path("api/v1/payments/saga/<slug:saga_id>/status", views.PaymentOfSagaView.as_view()),
    path("api/v1/payments/saga/<slug:subject>", views.PaymentsOfSubjectView.as_view()),
    path("api/v1/payments/<slug:payment_id>", views.PaymentView.as_view()),
    path("api/v1/payments/<slug:payment_id>/refund", views.AnyRefundView.as_view()),
    path("payments", views.PaymentsView.as_view()),
    *decisions.urls("pagos"),
    *doors(operations),
]
