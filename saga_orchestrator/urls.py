"""The paths of saga_orchestrator (port 3003)."""

from django.urls import path

from saga_orchestrator import views

urlpatterns = [
    path("saga/checkout", views.CheckoutView.as_view()),
    path("saga/transactions", views.TransactionsView.as_view()),
    path("saga/<str:saga_id>", views.SagaView.as_view()),
    path("saga/<str:saga_id>/status", views.SagaStatusView.as_view()),
    path("saga/<str:saga_id>/compensate", views.CompensateView.as_view()),
    path("saga/<str:saga_id>/retry", views.RetryView.as_view()),
    path("saga/<str:saga_id>/skip", views.SkipView.as_view()),
]
