"""Payments, refunds and credits, read-only: money moves only through the operations."""

from django.contrib import admin

from coordination.admin import ReadOnlyInline, register_alike
from pagos.models import CreditAccount, CreditMovement, Payment, Refund
from participant.admin import RecordAdmin

register_alike("pagos")


class RefundInline(ReadOnlyInline):
    model = Refund
    fields = ["amount", "reason", "created_at"]


@admin.register(Payment)
class PaymentAdmin(RecordAdmin):
    list_display = [
        *["id", "saga_id", "step", "amount"],
        *["payment_method", "status", "code", "created_at"],
    ]
    list_filter = ["status", "payment_method", "code"]
    search_fields = ["id__exact", "saga_id__startswith", "subject__exact", "order_id__exact"]
    search_help_text = "A payment's, cart's or order's id, or the beginning of a saga's"
    ordering = ["-created_at"]
    inlines = [RefundInline]


@admin.register(Refund)
class RefundAdmin(RecordAdmin):
    list_display = ["id", "payment_id", "saga_id", "amount", "reason", "created_at"]
    search_fields = ["payment__id__exact", "saga_id__startswith", "reason__icontains"]
    search_help_text = "A payment's id, the beginning of a saga's, or words of the reason"
    ordering = ["-id"]


class MovementInline(ReadOnlyInline):
    model = CreditMovement
    fields = ["kind", "amount", "saga_id", "created_at"]


@admin.register(CreditAccount)
class CreditAccountAdmin(RecordAdmin):
    list_display = ["user_id", "initial", "balance", "spent", "refunded"]
    search_fields = ["user_id__exact"]
    search_help_text = "A user's id"
    ordering = ["user_id"]
    inlines = [MovementInline]
