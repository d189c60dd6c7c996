"""The paths of pagos (port 3002)."""

from django.urls import path

from httpapi import extras
from pagos import operations, views

urlpatterns = [
    path("api/v1/payments", views.PlainPaymentsView.as_view()),
    path("api/v1/payments/saga", views.ChargeView.as_view()),
    path("api/v1/payments/saga/refund", views.RefundView.as_view()),
    path("api/v1/payments/saga/<slug:payment_id>/refund", views.RefundView.as_view()),
    path("api/v1/payments/saga/<slug:saga_id>/status", views.PaymentOfSagaView.as_view()),
    path("api/v1/payments/saga/<slug:cart_id>", views.PaymentsOfCartView.as_view()),
    path("api/v1/payments/<slug:payment_id>", views.PaymentView.as_view()),
    path("api/v1/payments/<slug:payment_id>/refund", views.AnyRefundView.as_view()),
    *extras.urls(service=operations.SERVICE),
]
