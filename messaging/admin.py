"""The admin of every service's messages: what it says, what it could not handle, who works.

Each service registers its own tables with these, in its `admin.py`:

    admin.site.register(OutboxEntry, OutboxEntryAdmin)
    admin.site.register(ParkedMessage, ParkedMessageAdmin)
    admin.site.register(WorkerHeartbeat, WorkerHeartbeatAdmin)
"""

from typing import Any, Protocol

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from messaging import parking
from messaging.models import ParkedStatus
from sagas.admin import RecordAdmin, as_json


class _ByIdOfParked(Protocol):
    def __call__(self, *, service: str, parked_id: int) -> None: ...


class OutboxEntryAdmin(RecordAdmin):
    """The events that this service says; `sent at` is empty until the broker has confirmed one."""

    list_display = ["id", "event_type", "saga_id", "created_at", "sent_at"]
    list_filter = [("sent_at", admin.EmptyFieldListFilter), "event_type"]
    search_fields = ["saga_id__startswith", "event_id__exact"]
    search_help_text = "The beginning of a saga's id, or an event's id"
    ordering = ["-id"]
    readonly_fields = ["message"]

    @admin.display(description="message")
    def message(self, entry: Any) -> SafeString:
        return as_json(entry.body.encode())


class ParkedMessageAdmin(RecordAdmin):
    """Messages that could not be handled, with the reason: to be tried again, or discarded."""

    list_display = [
        "id",
        "event_type",
        "saga_id",
        "status",
        "attempts",
        "reason",
        "next_attempt_at",
        "parked_at",
    ]
    list_filter = ["status", "event_type"]
    search_fields = ["saga_id__startswith", "event_id__exact", "reason__icontains"]
    search_help_text = "The beginning of a saga's id, an event's id, or words of the reason"
    ordering = ["-id"]
    readonly_fields = ["message"]
    actions = ["retry", "discard"]

    @admin.display(description="message")
    def message(self, parked: Any) -> SafeString:
        return as_json(parked.body)

    @admin.action(
        description="Retry: handle the message again, from the start", permissions=["operate"]
    )
    def retry(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        self._each(request, queryset, parking.retry, "put back to be tried again")

    @admin.action(
        description="Discard: the message is not wanted any more", permissions=["operate"]
    )
    def discard(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        self._each(request, queryset, parking.discard, "discarded")

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Model],
        act: _ByIdOfParked,
        done: str,
    ) -> None:
        open_ones = queryset.filter(status__in=[ParkedStatus.PARKED, ParkedStatus.RETRYING])
        for parked in open_ones:
            act(service=self.opts.app_label, parked_id=parked.pk)
            self.log_change(request, parked, done)
        self.message_user(request, f"{len(open_ones)} messages {done}.", messages.SUCCESS)


class WorkerHeartbeatAdmin(RecordAdmin):
    """The worker processes of this service, the last seen first."""

    list_display = ["pid", "host", "started_at", "seen_at"]
    list_filter = ["host"]
    ordering = ["-seen_at"]
    fields = ["host", "pid", "started_at", "seen_at", "has_done"]
    readonly_fields = ["has_done"]

    @admin.display(description="has done since its start")
    def has_done(self, beat: Any) -> SafeString:
        return as_json(beat.counters)
