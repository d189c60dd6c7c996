"""The paths of tarjetas (port 3007)."""

from django.urls import path

from tarjetas import views

urlpatterns = [
    path("charges", views.ChargesView.as_view()),
    path("charges/<path:key>", views.ChargeView.as_view()),
    path("refunds", views.RefundsView.as_view()),
]
