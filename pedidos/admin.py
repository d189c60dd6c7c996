"""Orders, read-only: they change only through their sagas."""

from django.contrib import admin

from coordination.admin import AcceptedSagaAdmin, register_alike
from pedidos.models import Order
from pedidos.operations import OWNER

register_alike("pedidos")


@admin.register(Order)
class OrderAdmin(AcceptedSagaAdmin):
    owner = OWNER
    list_display = [
        *["saga_id", "saga", "saga_pattern", "order_status", "status", "total_amount"],
        *["failure_code", "accepted_at", "handed_over_at", "ended_at", "dead_lettered_at"],
    ]
    list_filter = [
        ("dead_lettered_at", admin.EmptyFieldListFilter),
        *["order_status", "status", "saga", "saga_pattern", "failure_code"],
    ]
    search_fields = ["saga_id__startswith", "user_id__exact"]
    search_help_text = "The beginning of an order's id, or a user's id"
