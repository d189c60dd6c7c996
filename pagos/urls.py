"""The paths of pagos (ports 3002 and 8003)."""

from django.urls import path

from httpapi.steps import StepView, doors, made
from pagos import operations, views
from participant.operations import NO, YES

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
    *(
        path(f"payments/{below}{name}", made(views.VerdictView, word=word))
        for name, word in (("confirm", YES), ("cancel", NO))
        for below in ("", "<slug:payment_id>/")
    ),
    path("payments/<slug:payment_id>", views.CustomersPaymentView.as_view()),
    path("bills/<slug:saga_id>/pay", views.PayBillView.as_view()),
    path("bills/<slug:saga_id>/options", views.BillOptionsView.as_view()),
    path("credits", views.CreditsView.as_view()),
    path("credits/<str:user_id>", views.CreditAccountView.as_view()),
    *doors(operations),
]
