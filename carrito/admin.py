"""Carts, checkouts and orders, to look at. They change through the shop and its sagas only."""

from collections.abc import Set
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from carrito.models import (
    BarrierEntry,
    Cart,
    CartItem,
    Checkout,
    IdempotencyKey,
    Order,
    OutboxEntry,
    ParkedMessage,
    WorkerHeartbeat,
)
from carrito.operations import OWNER
from coordination import handover
from messaging.admin import OutboxEntryAdmin, ParkedMessageAdmin, WorkerHeartbeatAdmin
from participant.admin import BarrierEntryAdmin, RecordAdmin, as_json

IN_A_TRANSACTION = 100


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
        "set_aside_at",
    ]
    list_filter = [
        ("set_aside_at", admin.EmptyFieldListFilter),
        "status",
        "saga_pattern",
        "failure_code",
    ]
    search_fields = ["saga_id__startswith", "cart_id__exact"]
    search_help_text = "The beginning of a saga's id, or a cart's id"
    ordering = ["-accepted_at"]
    readonly_fields = ["lines"]
    actions = ["retry", "discard"]

    @admin.display(description="lines")
    def lines(self, checkout: Checkout) -> SafeString:
        return as_json(checkout.items)

    @admin.action(description="Retry: hand over again what was set aside", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Checkout]) -> None:
        saga_ids = [one.pk for one in queryset.only("pk")]
        self._tell(request, handover.retry(owner=OWNER, saga_ids=saga_ids), "handed over again")

    @admin.action(
        description="Discard: end what was set aside, without a sale", permissions=["operate"]
    )
    def discard(self, request: HttpRequest, queryset: QuerySet[Checkout]) -> None:
        saga_ids = [one.pk for one in queryset.only("pk")]
        for start in range(0, len(saga_ids), IN_A_TRANSACTION):
            some = saga_ids[start : start + IN_A_TRANSACTION]
            done = handover.discard(owner=OWNER, saga_ids=some, reason="from the admin")
            self._tell(request, done, "discarded")

    def _tell(self, request: HttpRequest, saga_ids: Set[str], done: str) -> None:
        found = list(Checkout.objects.filter(pk__in=saga_ids).only("pk"))
        if found:
            LogEntry.objects.log_actions(request.user.pk, found, CHANGE, done)
        self.message_user(request, f"{len(found)} checkouts {done}.", messages.SUCCESS)


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(RecordAdmin):
    list_display = ["key", "user_id", "saga_id", "created_at"]
    search_fields = ["key__exact", "user_id__exact", "saga_id__startswith"]
    search_help_text = "A key, a user's id, or the beginning of a saga's"
    ordering = ["-id"]


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
