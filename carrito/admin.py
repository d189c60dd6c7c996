"""Carts, checkouts and orders, to look at. They change through the shop and its sagas only."""

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from carrito.models import (
    BarrierEntry,
    Cart,
    CartItem,
    Checkout,
    Order,
    OutboxEntry,
    ParkedMessage,
    WorkerHeartbeat,
)
from messaging.admin import OutboxEntryAdmin, ParkedMessageAdmin, WorkerHeartbeatAdmin
from sagas.admin import BarrierEntryAdmin, RecordAdmin, as_json


class CartItemInline(admin.TabularInline):
    model = CartItem
    extra = 0
    can_delete = False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(Cart)
class CartAdmin(RecordAdmin):
    list_display = ["id", "user_id", "status", "version", "created_at"]
    list_filter = ["status"]
    search_fields = ["id__startswith", "user_id__exact"]
    search_help_text = "The beginning of a cart's id, or a user's id"
    ordering = ["-created_at"]
    inlines = [CartItemInline]


@admin.register(Checkout)
class CheckoutAdmin(RecordAdmin):
    list_display = [
        "saga_id",
        "saga_pattern",
        "status",
        "total_amount",
        "failure_code",
        "accepted_at",
        "handed_over_at",
        "ended_at",
    ]
    list_filter = ["status", "saga_pattern", "failure_code"]
    search_fields = ["saga_id__startswith", "cart_id__exact", "idempotency_key__exact"]
    search_help_text = "The beginning of a saga's id, a cart's id, or an Idempotency-Key"
    ordering = ["-accepted_at"]
    readonly_fields = ["lines"]

    @admin.display(description="lines")
    def lines(self, checkout: Checkout) -> SafeString:
        return as_json(checkout.items)


@admin.register(Order)
class OrderAdmin(RecordAdmin):
    list_display = ["id", "status", "total_amount", "user_id", "created_at", "confirmed_at"]
    list_filter = ["status", "cancelled_because"]
    search_fields = ["id__startswith", "checkout__saga_id__startswith", "cart_id__exact"]
    search_help_text = "The beginning of an order's or saga's id, or a cart's id"
    ordering = ["-created_at"]


admin.site.register(BarrierEntry, BarrierEntryAdmin)
admin.site.register(OutboxEntry, OutboxEntryAdmin)
admin.site.register(ParkedMessage, ParkedMessageAdmin)
admin.site.register(WorkerHeartbeat, WorkerHeartbeatAdmin)
