"""Orchestrated sagas, each with its steps and what people did to it on one page."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from contracts.outcomes import Refused
from messaging.admin import OutboxEntryAdmin, ParkedMessageAdmin, WorkerHeartbeatAdmin
from saga_orchestrator import operations
from saga_orchestrator.models import (
    Definition,
    Intervention,
    OutboxEntry,
    ParkedMessage,
    Runner,
    Saga,
    SagaStep,
    WorkerHeartbeat,
)
from sagas.admin import RecordAdmin, as_json

admin.site.register(OutboxEntry, OutboxEntryAdmin)
admin.site.register(ParkedMessage, ParkedMessageAdmin)
admin.site.register(WorkerHeartbeat, WorkerHeartbeatAdmin)


class _Inline(admin.TabularInline):
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class StepInline(_Inline):
    model = SagaStep
    fields = [
        "position",
        "name",
        "status",
        "do_attempts",
        "undo_attempts",
        "started_at",
        "finished_at",
        "undone_at",
        "error",
        "response_data",
    ]


class InterventionInline(_Inline):
    model = Intervention
    fields = ["requested_at", "action", "step", "requested_by", "reason"]


@admin.register(Saga)
class SagaAdmin(RecordAdmin):
    list_display = [
        "saga_id",
        "cart_id",
        "pattern",
        "status",
        "current_step",
        "failure_code",
        "parked_reason",
        "started_at",
        "finished_at",
    ]
    list_filter = ["status", "current_step", "failure_code", "pattern"]
    search_fields = ["saga_id__startswith", "cart_id__exact"]
    search_help_text = "The beginning of a saga's id, or a cart's id"
    ordering = ["-started_at"]
    fieldsets = [
        (None, {"fields": ["saga_id", "name", "pattern", "cart_id", "status", "current_step"]}),
        ("Why it went back", {"fields": ["failure_step", "failure_code", "failure_detail"]}),
        ("Waits for a person", {"fields": ["parked_at", "parked_reason", "stop_requested_at"]}),
        ("Times", {"fields": ["started_at", "updated_at", "finished_at", "deadline_at"]}),
        (
            "How it is run",
            {
                "fields": [
                    "direction",
                    "faults",
                    "version",
                    "runner_id",
                    "asked_at",
                    "next_attempt_at",
                ]
            },
        ),
        ("What it is about", {"fields": ["checkout", "definition"]}),
    ]
    readonly_fields = ["checkout"]
    inlines = [StepInline, InterventionInline]
    actions = ["retry", "skip", "undo"]
    arrives = "started_at"

    @admin.display(description="checkout")
    def checkout(self, saga: Any) -> SafeString:
        return as_json(saga.context)

    @admin.action(description="Retry: make the parked call again", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Saga]) -> HttpResponse | None:
        return self._ask(request, queryset, operations.retry)

    @admin.action(description="Skip: go on without the parked call", permissions=["operate"])
    def skip(self, request: HttpRequest, queryset: QuerySet[Saga]) -> HttpResponse | None:
        return self._ask(request, queryset, operations.skip)

    @admin.action(
        description="Undo: stop a running saga, return a completed one", permissions=["operate"]
    )
    def undo(self, request: HttpRequest, queryset: QuerySet[Saga]) -> HttpResponse | None:
        return self._ask(request, queryset, operations.compensate)

    def _ask(
        self, request: HttpRequest, queryset: QuerySet[Saga], operation: Any
    ) -> HttpResponse | None:
        def act(saga_id: str) -> Refused | None:
            by = request.user.get_username()
            refused: Refused | None = operation(
                saga_id=saga_id, requested_by=by, reason="from the admin"
            )
            return refused

        return self.in_bulk(request, queryset, act=act, done="on their way")


@admin.register(Runner)
class RunnerAdmin(RecordAdmin):
    """The processes that run sagas, the last seen first."""

    list_display = ["id", "host", "pid", "started_at", "seen_at"]
    ordering = ["-seen_at"]


@admin.register(Definition)
class DefinitionAdmin(RecordAdmin):
    """The lists of steps that sagas were started with."""

    list_display = ["name", "digest", "created_at"]
    ordering = ["-created_at"]
