"""The paths of reservas (port 3005)."""

from django.urls import path

from httpapi.steps import doors
from reservas import operations, views

urlpatterns = [
    path("slots", views.SlotsView.as_view()),
    path("bookings", views.BookingsView.as_view()),
    path("bookings/<slug:booking_id>", views.BookingView.as_view()),
    path("bookings/<slug:booking_id>/approve", views.VerdictView.as_view()),
    path("bookings/<slug:booking_id>/reject", views.RejectView.as_view()),
    path("bookings/<slug:booking_id>/cancel", views.CancelView.as_view()),
    *doors(operations),
]
