"""The admin of every service's messages: what it says, what it could not handle, who works.

Each service's own tables are registered with these by `coordination.admin.register_alike`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from messaging import failed, outbox
from participant.admin import RecordAdmin, as_json

AT_ONCE = 500
"""Rows of one statement of an action on many."""
SHOWN_IN_LISTS = 100


class _Act(Protocol):
    """Does it to those of these rows that it can be done to, and returns their ids."""

    def __call__(self, *, service: str, ids: Sequence[int]) -> Sequence[int]: ...


class _FailedAdmin(RecordAdmin):
    """Rows that may have failed, with a reason, to be retried or discarded."""

    ordering = ["-id"]
    readonly_fields = ["message"]
    actions = ["retry", "discard"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """Without the bodies, which only the page of a single one shows."""
        return super().get_queryset(request).defer("body")

    @admin.display(description="reason")
    def why(self, row: Any) -> str:
        return Truncator(row.reason).chars(SHOWN_IN_LISTS)

    def _act(self, request: HttpRequest, queryset: QuerySet[Model], act: _Act, done: str) -> None:
        """A statement for a few hundred, and one message for all of them."""
        ids, count = list(queryset.values_list("pk", flat=True)), 0
        for first in range(0, len(ids), AT_ONCE):
            lot = list(queryset.filter(pk__in=ids[first : first + AT_ONCE]))
            acted = set(act(service=self.opts.app_label, ids=[row.pk for row in lot]))
            count += len(acted)
            self._log(request, [row for row in lot if row.pk in acted], done)
        left = f" {len(ids) - count} need nothing: they are left." if count < len(ids) else ""
        self.message_user(request, f"{count} {done}.{left}", messages.SUCCESS)

    def _log(self, request: HttpRequest, rows: Sequence[Model], done: str) -> None:
        content_type = ContentType.objects.get_for_model(self.model)
        LogEntry.objects.bulk_create(
            LogEntry(
                user_id=str(request.user.pk),
                content_type_id=content_type.pk,
                object_id=str(row.pk),
                object_repr=str(row)[:200],
                action_flag=CHANGE,
                change_message=done,
            )
            for row in rows
        )


class OutboxEntryAdmin(_FailedAdmin):
    """The events that this service says; `sent at` is empty until the broker has confirmed one.

    One that the broker does not take is postponed, with the reason, and retried from time to time.
    """

    list_display = [
        *["id", "event_type", "saga_id", "created_at", "sent_at"],
        *["attempts", "why", "next_attempt_at"],
    ]
    list_filter = [
        ("sent_at", admin.EmptyFieldListFilter),
        ("next_attempt_at", admin.EmptyFieldListFilter),
        "event_type",
    ]
    search_fields = ["saga_id__startswith", "event_id__exact", "reason__icontains"]
    search_help_text = "The beginning of a saga's id, an event's id, or words of the reason"

    @admin.display(description="message")
    def message(self, entry: Any) -> SafeString:
        return as_json(entry.body.encode())

    @admin.action(
        description="Retry: send what was postponed, within a second", permissions=["operate"]
    )
    def retry(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        self._act(request, queryset, outbox.retry, "put back to be sent")

    @admin.action(
        description="Discard: never send what was postponed, and delete it", permissions=["operate"]
    )
    def discard(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        self._act(request, queryset, outbox.discard, "discarded")


class FailedMessageAdmin(_FailedAdmin):
    """Messages that could not be handled, with the reason: to be tried again, or discarded."""

    list_display = [
        *["id", "event_type", "saga_id", "status", "attempts", "why"],
        *["next_attempt_at", "failed_at"],
    ]
    list_filter = ["status", "event_type"]
    search_fields = ["saga_id__startswith", "event_id__exact", "reason__icontains"]
    search_help_text = "The beginning of a saga's id, an event's id, or words of the reason"

    @admin.display(description="message")
    def message(self, parked: Any) -> SafeString:
        return as_json(parked.body)

    @admin.action(
        description="Retry: handle the message again, from the start", permissions=["operate"]
    )
    def retry(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        self._act(request, queryset, failed.retry, "put back to be tried again")

    @admin.action(
        description="Discard: the message is not wanted any more", permissions=["operate"]
    )
    def discard(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        self._act(request, queryset, failed.discard, "discarded")


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
