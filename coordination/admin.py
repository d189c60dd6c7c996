"""The admin of what services have alike: their messages, barriers and keys (`register_alike`), the
sagas that owners have accepted, and those of both coordinators: what a person may ask of them.
"""

from collections.abc import Set
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from contracts.outcomes import Refused
from coordination import decisions, handover
from coordination.acceptance import Owner
from coordination.models import IdempotencyKey
from coordination.views import Ask
from httpapi.problems import Problem
from messaging import models as messages
from messaging.admin import FailedMessageAdmin, OutboxEntryAdmin, WorkerHeartbeatAdmin
from participant.admin import BarrierEntryAdmin, RecordAdmin, as_json
from participant.decisions import GivenVerdict
from participant.models import BarrierEntry, Decision
from participant.operations import NO, YES


class DecisionAdmin(RecordAdmin):
    """The inbox: what steps wait for, and what was decided. Who decides here is on record."""

    list_display = ["step", "verdict", "decided_by", "saga_id", "until", "by", "reason", "saga"]
    list_filter = [
        ("closed_at", admin.EmptyFieldListFilter),
        *["verdict", "decided_by", "saga", "step"],
    ]
    search_fields = ["saga_id__startswith"]
    search_help_text = "The beginning of a saga's id"
    ordering = ["-id"]
    actions = ["approve", "reject"]
    # The barrier's row is locked first, by whoever ends a wait.
    locks = False

    @admin.action(description="Approve: say yes to what waits", permissions=["operate"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._give(request, queryset, YES, "approved")

    @admin.action(description="Reject: say no to what waits", permissions=["operate"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._give(request, queryset, NO, "rejected")

    def _give(
        self, request: HttpRequest, queryset: QuerySet[Any], word: str, done: str
    ) -> HttpResponse | None:
        def act(key: int) -> Refused | None:
            row = queryset.model._default_manager.get(pk=key)
            given = GivenVerdict(
                saga_id=row.saga_id,
                step=row.step,
                word=word,
                by=request.user.get_username(),
                reason="from the admin",
            )
            return _refusal_of_verdict(queryset.model._meta.app_label, given)

        return self.in_bulk(request, queryset, act=act, done=done)


def _refusal_of_verdict(service: str, given: GivenVerdict) -> Refused | None:
    try:
        decisions.give(service=service, given=given)
    except Problem as problem:
        return Refused(problem.code, problem.detail)
    return None


class IdempotencyKeyAdmin(RecordAdmin):
    list_display = ["key", "user_id", "saga_id", "created_at"]
    search_fields = ["key__exact", "user_id__exact", "saga_id__startswith"]
    search_help_text = "A key, a user's id, or the beginning of a saga's"
    ordering = ["-id"]


_ALIKE: dict[type, type[RecordAdmin]] = {
    BarrierEntry: BarrierEntryAdmin,
    Decision: DecisionAdmin,
    IdempotencyKey: IdempotencyKeyAdmin,
    messages.OutboxEntry: OutboxEntryAdmin,
    messages.FailedMessage: FailedMessageAdmin,
    messages.WorkerHeartbeat: WorkerHeartbeatAdmin,
}


def register_alike(service: str) -> None:
    """Registers those of the service's tables that are made from one that services have alike."""
    for model in apps.get_app_config(service).get_models():
        for kind, shown in _ALIKE.items():
            if issubclass(model, kind):
                admin.site.register(model, shown)


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]  # none at runtime
    """Rows that belong to a record, to look at."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AcceptedSagaAdmin(RecordAdmin):
    """The sagas that a service has accepted. `owner`: what it accepts them by."""

    owner: Owner
    ordering = ["-accepted_at", "-saga_id"]
    actions = ["retry", "discard"]
    arrives = "accepted_at"

    @admin.action(
        description="Retry: hand over again what was dead-lettered", permissions=["operate"]
    )
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def act(saga_id: str) -> Refused | None:
            return _refusal(saga_id, handover.retry(owner=self.owner, saga_ids=[saga_id]))

        return self.in_bulk(request, queryset, act=act, done="handed over again")

    @admin.action(
        description="Discard: end what was dead-lettered, without success", permissions=["operate"]
    )
    def discard(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def act(saga_id: str) -> Refused | None:
            done = handover.discard(owner=self.owner, saga_ids=[saga_id], reason="from the admin")
            return _refusal(saga_id, done)

        return self.in_bulk(request, queryset, act=act, done="discarded")


def _refusal(saga_id: str, done: Set[str]) -> Refused | None:
    return None if saga_id in done else handover.NOT_DEAD_LETTERED


class SagaAdmin(RecordAdmin):
    """`asks`: what the coordinator does for each of the actions, by their names."""

    asks: dict[str, Ask] = {}
    search_fields = ["saga_id__startswith", "subject__exact"]
    search_help_text = "The beginning of a saga's id, or the id of its cart or order"
    ordering = ["-started_at"]
    actions = ["retry", "skip", "undo"]
    arrives = "started_at"

    @admin.display(description="payload")
    def about(self, saga: Any) -> SafeString:
        return as_json(saga.context)

    @admin.action(description="Retry: go on from where it stands, now", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._ask(request, queryset, "retry")

    @admin.action(
        description="Skip: go on without what the parked saga waits for", permissions=["operate"]
    )
    def skip(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._ask(request, queryset, "skip")

    @admin.action(
        description="Undo: stop a running saga, return a completed one", permissions=["operate"]
    )
    def undo(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._ask(request, queryset, "undo")

    def _ask(self, request: HttpRequest, queryset: QuerySet[Any], name: str) -> HttpResponse | None:
        def act(saga_id: str) -> Refused | None:
            return self.asks[name](
                saga_id=saga_id,
                requested_by=request.user.get_username(),
                reason="from the admin",
            )

        return self.in_bulk(request, queryset, act=act, done="on their way")
