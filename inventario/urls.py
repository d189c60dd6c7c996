"""The paths of inventario (ports 3001 and 8002)."""

from django.urls import path

from httpapi.steps import StepView, doors, made
from inventario import operations, views

urlpatterns = [
    path("api/products", views.ProductsView.as_view()),
    path("api/products/reserve", views.ReserveView.as_view()),
    path("api/products/unreserve", made(StepView, operation=operations.unreserve)),
    path("api/products/commit", made(StepView, operation=operations.commit)),
    path("api/products/restore", made(StepView, operation=operations.restore)),
    path("api/products/reservations/<slug:subject>", views.ReservationsView.as_view()),
    path("api/products/availability/<str:product_id>", views.AvailabilityView.as_view()),
    path("api/products/prices", views.PricesView.as_view()),
    path("api/products/<str:product_id>", views.ProductView.as_view()),
    path("api/products/<str:product_id>/restock", views.RestockView.as_view()),
    path("inventory", views.InventoryView.as_view()),
    *doors(operations),
]
