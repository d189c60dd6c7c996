"""The paths of pedidos (port 8001)."""

from django.urls import path

from httpapi.steps import doors
from pedidos import operations, views

urlpatterns = [
    path("orders", views.OrdersView.as_view()),
    path("orders/create_order", views.CreateOrderView.as_view()),
    path("orders/<slug:order_id>", views.OrderView.as_view()),
    *doors(operations),
]
