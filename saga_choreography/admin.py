"""A saga with its steps and its trail on one page, and what a person may ask of it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from contracts.outcomes import Refused
from messaging.admin import OutboxEntryAdmin, ParkedMessageAdmin, WorkerHeartbeatAdmin
from saga_choreography import operations, queries, trail
from saga_choreography.models import (
    Action,
    Intervention,
    OutboxEntry,
    ParkedMessage,
    Saga,
    WorkerHeartbeat,
)
from sagas.admin import RecordAdmin, as_json

admin.site.register(OutboxEntry, OutboxEntryAdmin)
admin.site.register(ParkedMessage, ParkedMessageAdmin)
admin.site.register(WorkerHeartbeat, WorkerHeartbeatAdmin)


class InterventionInline(admin.TabularInline):  # type: ignore[type-arg]  # none at runtime
    model = Intervention
    fields = ("action", "requested_by", "reason", "requested_at")
    readonly_fields = ("action", "requested_by", "reason", "requested_at")
    ordering = ["id"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Saga)
class SagaAdmin(RecordAdmin):
    list_display = [
        "saga_id",
        "status",
        "failure_code",
        "parked_step",
        "cart_id",
        "total_amount",
        "started_at",
        "finished_at",
    ]
    list_filter = ["status", "failure_step", "failure_code", "parked_step"]
    search_fields = ["saga_id__startswith", "cart_id__startswith"]
    search_help_text = "The beginning of a saga's or a cart's id"
    ordering = ["-started_at"]
    fields = [
        "saga_id",
        "status",
        ("cart_id", "total_amount"),
        ("started_at", "finished_at"),
        ("failure_step", "failure_code", "failure_detail"),
        ("nudges", "nudged_at", "watch_at", "stop_requested_at"),
        ("parked_at", "parked_step", "parked_reason"),
        "steps",
        "trail",
        "checkout",
    ]
    readonly_fields = ["steps", "trail", "checkout"]
    inlines = [InterventionInline]
    actions = ["nudge", "skip", "undo"]
    arrives = "started_at"

    @admin.display(description="steps")
    def steps(self, saga: Saga) -> SafeString:
        rows = [
            (
                one.step_name,
                one.status,
                one.started_at or "",
                one.finished_at or "",
                one.error or "",
            )
            for one in queries.state(found=saga).steps
        ]
        return _table(["step", "status", "started", "finished", "error"], rows)

    @admin.display(description="trail")
    def trail(self, saga: Saga) -> SafeString:
        rows = [
            (one.occurred_at, one.type, one.seen_at, as_json(one.data))
            for one in queries.state(found=saga).events or []
        ]
        return _table(["occurred", "event", "seen", "data"], rows)

    @admin.display(description="the checkout, as it was frozen")
    def checkout(self, saga: Saga) -> SafeString:
        return as_json(saga.context)

    @admin.action(description="Nudge: say the last fact again, now", permissions=["operate"])
    def nudge(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        return self._ask(request, queryset, operations.retry, "nudged")

    @admin.action(
        description="Skip: go on without what the parked saga waits for", permissions=["operate"]
    )
    def skip(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        return self._ask(request, queryset, operations.skip, "on without it")

    @admin.action(
        description="Undo: abort a running saga, return a completed one", permissions=["operate"]
    )
    def undo(self, request: HttpRequest, queryset: QuerySet[Model]) -> HttpResponse | None:
        return self._ask(request, queryset, operations.compensate, "asked to be undone")

    def _ask(
        self,
        request: HttpRequest,
        queryset: QuerySet[Model],
        operation: Callable[..., Action | Refused | None],
        done: str,
    ) -> HttpResponse | None:
        now = trail.now()

        def act(saga_id: str) -> Refused | None:
            outcome = operation(
                saga_id=saga_id,
                requested_by=request.user.get_username(),
                reason="from the admin",
                now=now,
            )
            return outcome if isinstance(outcome, Refused) else None

        return self.in_bulk(request, queryset, act=act, done=done)


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> SafeString:
    head = format_html_join("", "<th>{}</th>", ((name,) for name in names))
    body = format_html_join(
        "",
        "<tr>{}</tr>",
        ((format_html_join("", "<td>{}</td>", ((v,) for v in row)),) for row in rows),
    )
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", head, body)
