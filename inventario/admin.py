"""Products and reservations. Stock is never typed over: it changes by restocking, and by sagas."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from inventario import catalogue
from inventario.models import (
    BarrierEntry,
    OutboxEntry,
    ParkedMessage,
    Product,
    Reservation,
    ReservationLine,
    WorkerHeartbeat,
)
from messaging.admin import OutboxEntryAdmin, ParkedMessageAdmin, WorkerHeartbeatAdmin
from participant.admin import BarrierEntryAdmin, RecordAdmin

admin.site.register(BarrierEntry, BarrierEntryAdmin)
admin.site.register(OutboxEntry, OutboxEntryAdmin)
admin.site.register(ParkedMessage, ParkedMessageAdmin)
admin.site.register(WorkerHeartbeat, WorkerHeartbeatAdmin)


class NewProductForm(forms.ModelForm):
    """A product to be added: all that comes in is available."""

    initial = forms.IntegerField(min_value=0, help_text="How many there are to begin with.")


class ProductForm(forms.ModelForm):
    """A product to be changed."""

    restock = forms.IntegerField(
        required=False, help_text="How many came in; negative: how many were lost."
    )

    def clean_restock(self) -> int:
        quantity = self.cleaned_data["restock"] or 0
        if self.instance.available + quantity < 0:
            raise forms.ValidationError(f"Only {self.instance.available} are available.")
        return int(quantity)


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = [
        "id",
        "name",
        "sku",
        "category",
        "price",
        "initial",
        "available",
        "reserved",
        "sold",
    ]
    list_display_links = ["id", "name"]
    list_filter = ["category"]
    search_fields = ["name", "sku"]
    _described = ["name", "description", "price", "category", "sku"]
    _counted = ["initial", "available", "reserved", "sold"]

    def get_fields(self, request: HttpRequest, obj: Product | None = None) -> list[str]:
        if obj is None:
            return [*self._described, "initial"]
        return [*self._described, *self._counted, "restock"]

    def get_readonly_fields(self, request: HttpRequest, obj: Product | None = None) -> list[str]:
        return self._counted if obj else []

    def get_form(
        self, request: HttpRequest, obj: Product | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        return super().get_form(
            request, obj, change, **kwargs, form=ProductForm if obj else NewProductForm
        )

    def save_model(
        self, request: HttpRequest, obj: Product, form: forms.ModelForm, change: bool
    ) -> None:
        if not change:
            obj.available = obj.initial
            obj.save()
            return
        # Only what was described: a sale may have moved the stock since the page was shown.
        obj.save(update_fields=self._described)
        if form.cleaned_data["restock"]:
            catalogue.restock(product=obj, quantity=form.cleaned_data["restock"])


class LineInline(admin.TabularInline):
    model = ReservationLine
    fields = ["product", "quantity"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Reservation)
class ReservationAdmin(RecordAdmin):
    list_display = [
        *["id", "saga_id", "step", "subject", "status"],
        *["created_at", "changed_at", "expires_at"],
    ]
    list_filter = ["status"]
    search_fields = ["saga_id__startswith", "subject__exact"]
    search_help_text = "The beginning of a saga's id, or a cart's or an order's"
    ordering = ["-id"]
    inlines = [LineInline]
