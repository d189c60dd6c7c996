"""Slots and bookings. Bookings change only through their sagas."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from coordination.admin import AcceptedSagaAdmin, register_alike
from participant.admin import DescribedAdmin
from reservas.models import Booking, Slot
from reservas.operations import OWNER

register_alike("reservas")


@admin.register(Slot)
class SlotAdmin(DescribedAdmin):
    list_display = ["id", "name", "price_per_hour"]
    list_display_links = ["id", "name"]
    search_fields = ["name"]


@admin.register(Booking)
class BookingAdmin(AcceptedSagaAdmin):
    owner = OWNER
    list_display = [
        *["saga_id", "saga_pattern", "slot", "starts_at", "ends_at", "booking_status", "status"],
        *[
            "total_amount",
            "approved_by",
            "failure_code",
            "accepted_at",
            "ended_at",
            "dead_lettered_at",
        ],
    ]
    list_filter = [
        ("dead_lettered_at", admin.EmptyFieldListFilter),
        *["booking_status", "status", "saga_pattern", "failure_code"],
    ]
    list_select_related = ["slot"]
    search_fields = ["saga_id__startswith", "user_id__exact"]
    search_help_text = "The beginning of a booking's id, or a user's id"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Booking]:
        return super().get_queryset(request).select_related("slot")
