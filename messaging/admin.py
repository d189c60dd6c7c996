"""The admin of every service's outbox, failed messages and worker processes.

`coordination.admin.register_alike` registers each service's tables with these classes.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

import msgspec
from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from contracts import refusals
from contracts.outcomes import Refused
from messaging import failed, outbox
from participant.admin import RecordAdmin, as_json
from participant.in_bulk import reason_of

SHOWN_IN_LISTS = 100
MOST_SUMMED = 1_000
"""The newest messages, whose sagas' amounts are added up before messages are discarded."""
_NEEDS_NOTHING = Refused("needs_nothing", "It needs no action any more.")
_NOT_ITS_TO_SAY = Refused(
    refusals.NOT_ITS_TO_SAY, "Its publisher may not publish it: it can only be discarded."
)


class _Act(Protocol):
    """Acts on those of these rows that allow it, and returns their ids."""

    def __call__(self, *, service: str, ids: Sequence[int]) -> Sequence[int]: ...


class _FailedAdmin(RecordAdmin):
    """Rows that may have failed, with a reason, to be retried or discarded."""

    ordering = ["-id"]
    readonly_fields = ["message"]
    actions = ["retry", "discard"]
    # One statement for each transaction, which takes its own locks.
    locks = False
    rows_at_once = 500

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """Without the bodies, which only the page of a single row shows."""
        return super().get_queryset(request).defer("body")

    @admin.display(description="reason")
    def why(self, row: Any) -> str:
        return Truncator(row.reason).chars(SHOWN_IN_LISTS)

    def facts_of(self, queryset: QuerySet[Any]) -> list[str]:
        """The number of messages by type, and the total amount of their sagas."""
        types = queryset.order_by().values_list("event_type").annotate(Count("pk"))
        facts = [f"{number} {event_type or 'unreadable'}" for event_type, number in types[:20]]
        bodies = queryset.order_by("-pk").values_list("saga_id", "body")[:MOST_SUMMED]
        amounts = {saga_id: total for saga_id, body in bodies if (total := _amount_of(body))}
        if amounts:
            sagas = "saga" if len(amounts) == 1 else "sagas"
            facts.append(f"of {len(amounts)} {sagas}, {sum(amounts.values())} in all")
        return facts

    def _act(
        self, request: HttpRequest, queryset: QuerySet[Any], act: _Act, done: str
    ) -> HttpResponse | None:
        def act_on_many(ids: Sequence[int]) -> dict[int, Refused | None]:
            acted = set(act(service=self.opts.app_label, ids=ids))
            others = [row_id for row_id in ids if row_id not in acted]
            return dict.fromkeys(acted) | (self.refused(others) if others else {})

        return self.in_bulk(request, queryset, act_on_many=act_on_many, done=done)

    def refused(self, ids: Sequence[int]) -> dict[int, Refused]:
        """The refusals of these rows."""
        return dict.fromkeys(ids, _NEEDS_NOTHING)


class _Data(msgspec.Struct):
    total_amount: Decimal | None = None


class _Context(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)


class _Facts(msgspec.Struct):
    context: _Context = msgspec.field(default_factory=_Context)


class _Message(msgspec.Struct):
    """The part of a message with its saga's amount."""

    data: _Facts = msgspec.field(default_factory=_Facts)


def _amount_of(body: Any) -> Decimal | None:
    """The amount of a message's saga; None if there is none, or the body can't be read."""
    try:
        encoded = body.encode() if isinstance(body, str) else bytes(body)
        return msgspec.json.decode(
            encoded, type=_Message, strict=False
        ).data.context.data.total_amount
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


class OutboxEntryAdmin(_FailedAdmin):
    """The events that this service publishes; `sent at` is empty until the broker has confirmed it.

    An event that the broker does not take is postponed, with the reason, and retried.
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
        description="Retry: send postponed events within a second", permissions=["operate"]
    )
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._act(request, queryset, outbox.retry, "put back to be sent")

    @admin.action(
        description="Discard: delete postponed events, and never send them", permissions=["operate"]
    )
    def discard(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        asks = self.asked_again(request, queryset, verb="Discard")
        return asks or self._act(request, queryset, outbox.discard, "discarded")


class FailedMessageAdmin(_FailedAdmin):
    """Messages that could not be handled, with the reason: to be tried again, or discarded."""

    list_display = [
        *["id", "event_type", "saga_id", "status", "attempts", "why"],
        *["next_attempt_at", "failed_at"],
    ]
    list_filter = ["status", "event_type", "failed_at"]
    search_fields = ["saga_id__startswith", "event_id__exact", "reason__icontains"]
    search_help_text = "The beginning of a saga's id, an event's id, or words of the reason"

    @admin.display(description="message")
    def message(self, parked: Any) -> SafeString:
        return as_json(parked.body)

    @admin.action(
        description="Retry: handle the message again, from the start", permissions=["operate"]
    )
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._act(
            request, queryset, self._noted(request, failed.retry), "put back to be tried again"
        )

    @admin.action(
        description="Discard: the message is not wanted any more", permissions=["operate"]
    )
    def discard(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        asks = self.asked_again(request, queryset, verb="Discard")
        return asks or self._act(
            request, queryset, self._noted(request, failed.discard), "discarded"
        )

    def refused(self, ids: Sequence[int]) -> dict[int, Refused]:
        unbelieved = failed.unbelieved(service=self.opts.app_label, ids=ids)
        return super().refused(ids) | dict.fromkeys(unbelieved, _NOT_ITS_TO_SAY)

    def _noted(self, request: HttpRequest, act: Callable[..., Sequence[int]]) -> _Act:
        """The action with its note: who asks, and why, if there is a reason."""
        verb = "discarded" if act is failed.discard else "retried"
        why = reason_of(request)
        return partial(act, note=why and f"{verb} by {request.user.get_username()}: {why}")


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
