"""The paths of inventario (port 3001)."""

from django.urls import path

from httpapi import extras
from inventario import operations, views

urlpatterns = [
    path("api/products", views.ProductsView.as_view()),
    path("api/products/reserve", views.ReserveView.as_view()),
    path("api/products/unreserve", views.UnreserveView.as_view()),
    path("api/products/commit", views.CommitView.as_view()),
    path("api/products/commit/block", views.BlockCommitView.as_view()),
    path("api/products/restore", views.RestoreView.as_view()),
    path("api/products/reservations/<slug:cart_id>", views.ReservationsOfCartView.as_view()),
    path("api/products/availability/<str:product_id>", views.AvailabilityView.as_view()),
    path("api/products/<str:product_id>", views.ProductView.as_view()),
    path("api/products/<str:product_id>/restock", views.RestockView.as_view()),
    *extras.urls(service=operations.SERVICE),
]
