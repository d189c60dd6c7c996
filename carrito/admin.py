"""Carts, checkouts and orders, read-only: they change only through the shop and its sagas."""

from django.contrib import admin
from django.utils.safestring import SafeString

from carrito.models import Cart, CartItem, Checkout, Order
from carrito.operations import OWNER
from coordination.admin import AcceptedSagaAdmin, ReadOnlyInline, register_alike
from participant.admin import RecordAdmin, as_json

register_alike("carrito")


class CartItemInline(ReadOnlyInline):
    model = CartItem


@admin.register(Cart)
class CartAdmin(RecordAdmin):
    list_display = ["id", "user_id", "status", "version", "created_at"]
    list_filter = ["status"]
    search_fields = ["id__startswith", "user_id__exact"]
    search_help_text = "The beginning of a cart's id, or a user's id"
    ordering = ["-created_at", "-id"]
    inlines = [CartItemInline]


@admin.register(Checkout)
class CheckoutAdmin(AcceptedSagaAdmin):
    owner = OWNER
    list_display = [
        *["saga_id", "saga_pattern", "status", "total_amount", "failure_code"],
        *["accepted_at", "handed_over_at", "ended_at", "dead_lettered_at"],
    ]
    list_filter = [
        ("dead_lettered_at", admin.EmptyFieldListFilter),
        *["status", "saga_pattern", "failure_code"],
    ]
    search_fields = ["saga_id__startswith", "cart_id__exact"]
    search_help_text = "The beginning of a saga's id, or a cart's id"
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
    ordering = ["-created_at", "-id"]
