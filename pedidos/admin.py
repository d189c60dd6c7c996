"""Orders, to look at. They change through their sagas only."""

from collections.abc import Set

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from contracts import refusals
from contracts.outcomes import Refused
from coordination import handover
from messaging.admin import OutboxEntryAdmin, ParkedMessageAdmin, WorkerHeartbeatAdmin
from participant.admin import BarrierEntryAdmin, RecordAdmin
from pedidos.models import (
    BarrierEntry,
    IdempotencyKey,
    Order,
    OutboxEntry,
    ParkedMessage,
    WorkerHeartbeat,
)
from pedidos.operations import OWNER

admin.site.register(BarrierEntry, BarrierEntryAdmin)
admin.site.register(OutboxEntry, OutboxEntryAdmin)
admin.site.register(ParkedMessage, ParkedMessageAdmin)
admin.site.register(WorkerHeartbeat, WorkerHeartbeatAdmin)


@admin.register(Order)
class OrderAdmin(RecordAdmin):
    list_display = [
        *["saga_id", "saga", "saga_pattern", "order_status", "status", "total_amount"],
        *["failure_code", "accepted_at", "handed_over_at", "ended_at", "set_aside_at"],
    ]
    list_filter = [
        ("set_aside_at", admin.EmptyFieldListFilter),
        *["order_status", "status", "saga", "saga_pattern", "failure_code"],
    ]
    search_fields = ["saga_id__startswith", "user_id__exact"]
    search_help_text = "The beginning of an order's id, or a user's id"
    ordering = ["-accepted_at", "-saga_id"]
    actions = ["retry", "discard"]
    arrives = "accepted_at"

    @admin.action(description="Retry: hand over again what was set aside", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        def act(saga_id: str) -> Refused | None:
            return _refusal(saga_id, handover.retry(owner=OWNER, saga_ids=[saga_id]))

        return self.in_bulk(request, queryset, act=act, done="handed over again")

    @admin.action(description="Discard: end what was set aside", permissions=["operate"])
    def discard(self, request: HttpRequest, queryset: QuerySet[Order]) -> HttpResponse | None:
        def act(saga_id: str) -> Refused | None:
            done = handover.discard(owner=OWNER, saga_ids=[saga_id], reason="from the admin")
            return _refusal(saga_id, done)

        return self.in_bulk(request, queryset, act=act, done="discarded")


def _refusal(saga_id: str, done: Set[str]) -> Refused | None:
    if saga_id in done:
        return None
    detail = "This order is not set aside, or it runs by itself: it goes its way."
    return Refused(refusals.NOT_SET_ASIDE, detail)


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(RecordAdmin):
    list_display = ["id", "user_id", "key", "saga_id", "created_at"]
    search_fields = ["user_id__exact", "saga_id__startswith"]
    search_help_text = "A user's id, or the beginning of an order's"
    ordering = ["-id"]
