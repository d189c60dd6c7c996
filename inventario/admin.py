"""Products and reservations. Stock changes only by restocking and by sagas, never by editing."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from contracts import bounds
from coordination.admin import ReadOnlyInline, register_alike
from inventario import catalogue
from inventario.models import Product, Reservation, ReservationLine
from participant import trail
from participant.admin import DescribedAdmin, RecordAdmin

register_alike("inventario")


class NewProductForm(forms.ModelForm):
    """A product to be added; its whole initial stock is available."""

    initial = forms.IntegerField(min_value=0, help_text="The initial stock.")


class ProductForm(forms.ModelForm):
    """A product to be changed."""

    reason = forms.CharField(
        required=False,
        max_length=bounds.MOST_REASON,
        help_text="Why: stored with the change and its author.",
    )
    restock = forms.IntegerField(
        required=False, help_text="How many came in; negative: how many were lost."
    )

    def clean_restock(self) -> int:
        quantity = self.cleaned_data["restock"] or 0
        if self.instance.available + quantity < 0:
            raise forms.ValidationError(f"Only {self.instance.available} are available.")
        return int(quantity)


@admin.register(Product)
class ProductAdmin(DescribedAdmin):
    _described = ["name", "description", "price", "category", "sku"]
    _counted = ["initial", "available", "reserved", "sold"]
    list_display = ["id", "name", "sku", "category", "price", *_counted]
    list_display_links = ["id", "name"]
    list_filter = ["category"]
    search_fields = ["name", "sku"]

    def get_fields(self, request: HttpRequest, obj: Product | None = None) -> list[str]:
        if obj is None:
            return [*self._described, "initial"]
        return [*self._described, *self._counted, "restock", "reason"]

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
            self.note("add", obj)
            return
        # Only the described fields: a sale may have moved the stock since the page was shown.
        fields = {name: getattr(obj, name) for name in form.changed_data if name in self._described}
        trail.because(form.cleaned_data["reason"])
        catalogue.note_change(product=Product.objects.get(pk=obj.pk), fields=fields)
        obj.save(update_fields=self._described)
        if form.cleaned_data["restock"]:
            catalogue.restock(product=obj, quantity=form.cleaned_data["restock"])


class LineInline(ReadOnlyInline):
    model = ReservationLine
    fields = ["product", "quantity"]


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
