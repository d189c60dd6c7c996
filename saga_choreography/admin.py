"""Choreographed sagas: steps, trail and interventions of a saga on one page."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from coordination.admin import ParkedForFilter, ReadOnlyInline, SagaAdmin, register_alike
from participant.admin import as_json
from saga_choreography import operations, queries
from saga_choreography.models import Intervention, Saga

register_alike("saga_choreography")


class InterventionInline(ReadOnlyInline):
    model = Intervention
    fields = ["requested_at", "action", "step", "requested_by", "reason", "via"]
    ordering = ["id"]


@admin.register(Saga)
class ChoreographedSagaAdmin(SagaAdmin):
    list_display = [
        *["saga_id", "status", "parked_step", "why_parked", "failure_code"],
        *["saga", "started_at", "finished_at", "subject"],
    ]
    list_filter = ["saga", "status", "failure_step", "failure_code", "parked_step", ParkedForFilter]
    fieldsets = [
        (None, {"fields": ["saga_id", "saga", "subject", "status"]}),
        ("What it did", {"fields": ["timeline", "links"]}),
        ("Failure", {"fields": ["failure_step", "failure_code", "failure_detail"]}),
        (
            "Needs attention",
            {"fields": ["parked_at", "parked_step", "parked_reason", "stop_requested_at"]},
        ),
        ("Times", {"fields": ["started_at", "finished_at"]}),
        ("How it is watched", {"fields": ["redrives", "redriven_at", "watch_at"]}),
        ("Events", {"fields": ["trail"]}),
        ("Payload", {"fields": ["about"]}),
    ]
    readonly_fields = ["timeline", "links", "trail", "about"]
    inlines = [InterventionInline]
    state_of = queries.state
    at_step = "parked_step"
    asks = {
        "retry": partial(operations.act, operations.retry),
        "skip": partial(operations.act, operations.skip),
        "undo": partial(operations.act, operations.compensate),
    }

    @admin.display(description="trail")
    def trail(self, saga: Saga) -> SafeString:
        rows = [
            (event.occurred_at, event.type, event.seen_at, as_json(event.data))
            for event in queries.state(found=saga).events or []
        ]
        return _table(["occurred", "event", "seen", "data"], rows)


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> SafeString:
    head = format_html_join("", "<th>{}</th>", ((name,) for name in names))
    body = format_html_join(
        "",
        "<tr>{}</tr>",
        ((format_html_join("", "<td>{}</td>", ((v,) for v in row)),) for row in rows),
    )
    return format_html(
        '<div class="saga-trail"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head,
        body,
    )
