"""Charges, read-only: the card network is not ours."""

from django.contrib import admin

from participant.admin import RecordAdmin
from tarjetas.models import Charge


@admin.register(Charge)
class ChargeAdmin(RecordAdmin):
    list_display = [
        *["key", "saga_id", "saga", "amount", "payment_method", "status", "code"],
        *["created_at", "answers_at", "refunded_at"],
    ]
    list_filter = ["status", "payment_method", "code", "saga"]
    search_fields = ["key__exact", "saga_id__startswith"]
    search_help_text = "A charge's key, or the beginning of a saga's id"
    ordering = ["-id"]
