"""Couriers and deliveries. Only sagas change which deliveries a courier has."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from coordination.admin import register_alike
from envios.models import Courier, Delivery
from participant.admin import DescribedAdmin, RecordAdmin

register_alike("envios")


class CourierForm(forms.ModelForm):
    def clean_capacity(self) -> int:
        """Refuses less than the courier's current deliveries, which are not a field of the form."""
        capacity: int = self.cleaned_data["capacity"]
        if capacity < self.instance.busy:
            raise forms.ValidationError(f"There are {self.instance.busy} deliveries to be made.")
        return capacity


@admin.register(Courier)
class CourierAdmin(DescribedAdmin):
    form = CourierForm
    list_display = ["id", "name", "phone_number", "province", "city", "capacity", "busy"]
    list_display_links = ["id", "name"]
    list_filter = ["province"]
    search_fields = ["name", "phone_number", "city"]
    _described = ["name", "phone_number", "province", "city", "capacity"]
    fields = [*_described, "busy"]
    readonly_fields = ["busy"]

    def save_model(self, request: HttpRequest, obj: Courier, form: Any, change: bool) -> None:
        # Only the described fields: a delivery may have come since the page was shown.
        obj.save(update_fields=self._described if change else None)
        # The names of the fields only: the values are a person's data, and the trail is kept.
        self.note("change" if change else "add", obj, detail=", ".join(form.changed_data))


@admin.register(Delivery)
class DeliveryAdmin(RecordAdmin):
    list_display = ["id", "saga_id", "step", "subject", "courier", "status", "created_at"]
    list_filter = ["status"]
    list_select_related = ["courier"]
    search_fields = ["saga_id__startswith", "subject__exact"]
    search_help_text = "The beginning of a saga's id, or an order's id"
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Delivery]:
        return super().get_queryset(request).select_related("courier")
