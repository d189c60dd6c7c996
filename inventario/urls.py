"""The paths of inventario (ports 3001 and 8002)."""

from django.urls import path

from httpapi.steps import doors
from inventario import operations, views

urlpatterns = [
    path("api/products", views.ProductsView.as_view()),
    path("api/products/reserve", views.ReserveView.as_view()),
    path("api/products/unreserve", views.UnreserveView.as_view()),
    path("api/products/commit", views.CommitView.as_view()),
    path("api/products/restore", views.RestoreView.as_view()),
    path("api/products/reservations/<slug:subject>", views.ReservationsView.as_view()),
    path("api/products/availability/<str:product_id>", views.AvailabilityView.as_view()),
    path("api/products/<str:product_id>", views.ProductView.as_view()),
    path("api/products/<str:product_id>/restock", views.RestockView.as_view()),
    path("inventory", views.InventoryView.as_view()),
    *doors(operations),
]
