"""Bills and invoices, read-only: only sagas write them."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from coordination.admin import register_alike
from facturas.models import Bill, Invoice, InvoiceCounter
from participant.admin import RecordAdmin

register_alike("facturas")


@admin.register(Bill)
class BillAdmin(RecordAdmin):
    list_display = ["id", "saga_id", "user_id", "amount", "status", "created_at", "paid_at"]
    list_filter = ["status"]
    search_fields = ["saga_id__startswith", "subject__exact", "user_id__exact"]
    search_help_text = "The beginning of a saga's id, a booking's id, or a user's"
    ordering = ["-id"]


@admin.register(Invoice)
class InvoiceAdmin(RecordAdmin):
    list_display = ["number", "kind", "bill", "amount", "issued_at"]
    list_filter = ["kind"]
    list_select_related = ["bill"]
    search_fields = ["number__startswith"]
    search_help_text = "The beginning of a number"
    ordering = ["-issued_at", "-number"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        return super().get_queryset(request).select_related("bill")


@admin.register(InvoiceCounter)
class InvoiceCounterAdmin(RecordAdmin):
    list_display = ["year", "last"]
    ordering = ["-year"]
