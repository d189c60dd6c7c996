"""The paths of envios (port 8004)."""

from django.urls import path

from envios import operations, views
from httpapi.steps import doors

urlpatterns = [
    path("couriers", views.CouriersView.as_view()),
    path("deliveries", views.DeliveriesView.as_view()),
    path("deliveries/<slug:delivery_id>", views.DeliveryView.as_view()),
    path("deliveries/<slug:delivery_id>/in_transit", views.InTransitView.as_view()),
    path("deliveries/<slug:delivery_id>/delivered", views.DeliveredView.as_view()),
    *doors(operations),
]
