"""Payments and refunds, to be looked at: money moves only through the operations."""

from django.contrib import admin
from django.http import HttpRequest

from messaging.admin import OutboxEntryAdmin, ParkedMessageAdmin, WorkerHeartbeatAdmin
from pagos.models import BarrierEntry, OutboxEntry, ParkedMessage, Payment, Refund, WorkerHeartbeat
from participant.admin import BarrierEntryAdmin, RecordAdmin

admin.site.register(BarrierEntry, BarrierEntryAdmin)
admin.site.register(OutboxEntry, OutboxEntryAdmin)
admin.site.register(ParkedMessage, ParkedMessageAdmin)
admin.site.register(WorkerHeartbeat, WorkerHeartbeatAdmin)


class RefundInline(admin.TabularInline):
    model = Refund
    fields = ["amount", "reason", "created_at"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


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
