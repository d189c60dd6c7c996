"""Orchestrated sagas: steps and interventions of a saga on one page."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from coordination.admin import ParkedForFilter, ReadOnlyInline, SagaAdmin, register_alike
from participant.admin import RecordAdmin
from saga_orchestrator import operations, queries
from saga_orchestrator.models import Definition, Intervention, Runner, Saga

register_alike("saga_orchestrator")


class InterventionInline(ReadOnlyInline):
    model = Intervention
    fields = ["requested_at", "action", "step", "requested_by", "reason", "via"]


@admin.register(Saga)
class OrchestratedSagaAdmin(SagaAdmin):
    list_display = [
        *["saga_id", "status", "current_step", "why_parked", "failure_code"],
        *["name", "pattern", "started_at", "finished_at", "subject"],
    ]
    list_filter = ["status", "name", "current_step", "failure_code", "pattern", ParkedForFilter]
    fieldsets = [
        (None, {"fields": ["saga_id", "name", "pattern", "subject", "status", "current_step"]}),
        ("What it did", {"fields": ["timeline", "links"]}),
        ("Failure", {"fields": ["failure_step", "failure_code", "failure_detail"]}),
        ("Needs attention", {"fields": ["parked_at", "parked_reason", "stop_requested_at"]}),
        ("Times", {"fields": ["started_at", "updated_at", "finished_at", "deadline_at"]}),
        (
            "How it is run",
            {
                "fields": [
                    *["direction", "faults", "version"],
                    *["runner_id", "asked_at", "next_attempt_at"],
                ]
            },
        ),
        ("Payload", {"fields": ["about", "definition"]}),
    ]
    readonly_fields = ["about", "timeline", "links"]
    inlines = [InterventionInline]
    state_of = queries.state
    at_step = "current_step"
    asks = {"retry": operations.retry, "skip": operations.skip, "undo": operations.compensate}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Saga]:
        return queries.of_status(super().get_queryset(request), request.GET.get("status__exact"))


@admin.register(Runner)
class RunnerAdmin(RecordAdmin):
    """The processes that run sagas, last seen first."""

    list_display = ["id", "host", "pid", "started_at", "seen_at"]
    ordering = ["-seen_at"]


@admin.register(Definition)
class DefinitionAdmin(RecordAdmin):
    """The lists of steps that sagas were started with."""

    list_display = ["name", "digest", "created_at"]
    ordering = ["-created_at"]
