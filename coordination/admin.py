"""The admin of the tables that all services have: messages, barriers, decisions, keys
(`register_alike`); of accepted sagas; and of the coordinators' sagas, with the operators' actions.
"""

from collections.abc import Callable, Iterator, Set
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.contrib import admin
from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from contracts import bounds
from contracts.outcomes import Refused
from contracts.states import SagaState, SagaStatus
from coordination import decisions, handover, saga_page
from coordination.acceptance import Owner
from coordination.coordinator import Ask
from coordination.models import IdempotencyKey, Pause
from coordination.pause_admin import PauseAdmin
from httpapi.problems import Problem
from messaging import models as messages
from messaging.admin import FailedMessageAdmin, OutboxEntryAdmin, WorkerHeartbeatAdmin
from participant.admin import BarrierEntryAdmin, InterventionAdmin, RecordAdmin, as_json
from participant.decisions import GivenVerdict
from participant.in_bulk import reason_of
from participant.models import BarrierEntry, Decision, Intervention
from participant.operations import NO, YES

MOST_SUMMED = 1_000
"""Sagas whose money is added up before a person skips or undoes them."""
LONGEST_REASON = 150
"""Characters in a list; the saga's page has all of it."""
MOST_MINUTES = 60 * 24 * 365


class DecisionAdmin(RecordAdmin):
    """The inbox: decisions that steps wait for, and those given. Stores who decides here."""

    list_display = ["step", "verdict", "decided_by", "saga_id", "until", "by", "reason", "saga"]
    list_filter = [
        ("closed_at", admin.EmptyFieldListFilter),
        *["verdict", "decided_by", "saga", "step"],
    ]
    search_fields = ["saga_id__startswith"]
    search_help_text = "The beginning of a saga's id"
    ordering = ["-id"]
    actions = ["approve", "reject"]
    # Whatever ends a wait locks the barrier's row first.
    locks = False

    @admin.action(description="Approve: yes to the steps that wait", permissions=["operate"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._give(request, queryset, YES, "Approve", "approved")

    @admin.action(description="Reject: no to the steps that wait", permissions=["operate"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._give(request, queryset, NO, "Reject", "rejected")

    def _give(
        self, request: HttpRequest, queryset: QuerySet[Any], word: str, verb: str, done: str
    ) -> HttpResponse | None:
        def act(key: int) -> Refused | None:
            row = queryset.model._default_manager.get(pk=key)
            given = GivenVerdict(
                saga_id=row.saga_id,
                step=row.step,
                word=word,
                by=request.user.get_username(),
                reason=reason_of(request),
            )
            return _refusal_of_verdict(queryset.model._meta.app_label, given)

        asks = self.asked_again(request, queryset, verb=verb)
        return asks or self.in_bulk(request, queryset, act=act, done=done)


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
    Intervention: InterventionAdmin,
    Pause: PauseAdmin,
    messages.OutboxEntry: OutboxEntryAdmin,
    messages.FailedMessage: FailedMessageAdmin,
    messages.WorkerHeartbeat: WorkerHeartbeatAdmin,
}


def register_alike(service: str) -> None:
    """Registers those tables of the service that all services have."""
    for model in apps.get_app_config(service).get_models():
        for kind, shown in _ALIKE.items():
            if issubclass(model, kind):
                admin.site.register(model, shown)


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]  # none at runtime
    """Rows that belong to a record, read-only."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AcceptedSagaAdmin(RecordAdmin):
    """The sagas that a service has accepted."""

    owner: Owner
    ordering = ["-accepted_at", "-saga_id"]
    actions = ["retry", "discard"]
    arrives = "accepted_at"

    @admin.action(description="Retry: hand dead-lettered sagas over again", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def act(saga_id: str) -> Refused | None:
            return _refusal(saga_id, handover.retry(owner=self.owner, saga_ids=[saga_id]))

        return self.in_bulk(request, queryset, act=act, done="handed over again")

    @admin.action(
        description="Discard: end dead-lettered sagas without success", permissions=["operate"]
    )
    def discard(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def act(saga_id: str) -> Refused | None:
            reason = f"{reason_of(request)} ({request.user.get_username()})"
            done = handover.discard(owner=self.owner, saga_ids=[saga_id], reason=reason)
            return _refusal(saga_id, done)

        asks = self.asked_again(request, queryset, verb="Discard")
        return asks or self.in_bulk(request, queryset, act=act, done="discarded")

    def facts_of(self, queryset: QuerySet[Any]) -> list[str]:
        """The number of sagas by name, and their total amount."""
        names = queryset.order_by().values_list("saga").annotate(Count("pk"))
        total = queryset.aggregate(Sum("total_amount"))["total_amount__sum"]
        facts = [f"{number} {name}" for name, number in names[:20]]
        return facts if total is None else [*facts, f"{total} in all"]


def _refusal(saga_id: str, done: Set[str]) -> Refused | None:
    return None if saga_id in done else handover.NOT_DEAD_LETTERED


class ParkedForFilter(admin.SimpleListFilter):
    """Sagas that have been parked for at least some time."""

    title = "parked for longer than"
    parameter_name = "parked_for"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("10", "10 minutes"), ("60", "an hour"), ("1440", "a day"), ("10080", "a week")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.value() or ""
        if not wanted.isdecimal():
            return queryset
        since = Now() - timedelta(minutes=min(int(wanted), MOST_MINUTES))
        return queryset.filter(parked_at__lt=since)


class SagaAdmin(RecordAdmin):
    """A coordinator's sagas. `asks`: the coordinator's functions for the actions, by name;
    `state_of`: a saga's state, given its row; `at_step`: the field with its current step.
    """

    asks: dict[str, Ask] = {}
    state_of: Callable[..., SagaState]
    at_step = ""
    change_form_template = "coordination/saga.html"
    search_fields = ["saga_id__startswith", "subject__exact"]
    search_help_text = "The beginning of a saga's id, or the id of its cart or order"
    ordering = ["-started_at"]
    actions = ["retry", "skip", "undo"]
    arrives = "started_at"

    @admin.display(description="parked reason")
    def why_parked(self, saga: Any) -> str:
        return Truncator(saga.parked_reason).chars(LONGEST_REASON)

    @admin.display(description="payload")
    def about(self, saga: Any) -> SafeString:
        return as_json(saga.context)

    @admin.display(description="timeline")
    def timeline(self, saga: Any) -> SafeString:
        return saga_page.timeline(type(self).state_of(found=saga))

    @admin.display(description="see also")
    def links(self, saga: Any) -> SafeString:
        context = saga.context if isinstance(saga.context, dict) else {}
        return saga_page.links(
            type(self).state_of(found=saga),
            coordinator=self.opts.app_label,
            traceparent=str(context.get("traceparent", "")),
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Adds a button for each action that makes sense now; they lead to the list."""
        saga = self.get_object(request, object_id)
        may = saga is not None and self.has_operate_permission(request)
        names = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        more = {
            "asks": list(_buttons(saga.status)) if may and saga else [],
            "back": f"{reverse(names)}?{urlencode({'q': object_id})}",
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    @admin.action(description="Retry: continue from the current step", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        asks = self.asked_again(request, queryset, verb="Retry")
        return asks or self._ask(request, queryset, "retry")

    @admin.action(
        description="Skip: continue without the step that is parked", permissions=["operate"]
    )
    def skip(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        asks = self.asked_again(request, queryset, verb="Skip the step of")
        return asks or self._ask(request, queryset, "skip")

    @admin.action(
        description="Undo: stop a running saga, return a completed one", permissions=["operate"]
    )
    def undo(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        asks = self.asked_again(request, queryset, verb="Undo")
        return asks or self._ask(request, queryset, "undo")

    def facts_of(self, queryset: QuerySet[Any]) -> list[str]:
        """The number of sagas by status and step, and the total amount of the first thousand."""
        found = queryset.order_by().values_list("status", self.at_step).annotate(Count("pk"))
        facts = [
            f"{number} {status}{f' at {step}' if step else ''}"
            for status, step, number in found.order_by("-pk__count")[:20]
        ]
        contexts = queryset.values_list("context", flat=True)[:MOST_SUMMED]
        amounts = [amount for context in contexts if (amount := _amount_of(context)) is not None]
        return [*facts, f"{sum(amounts)} in all"] if amounts else facts

    def _ask(self, request: HttpRequest, queryset: QuerySet[Any], name: str) -> HttpResponse | None:
        def act(saga_id: str) -> Refused | None:
            return self.asks[name](
                saga_id=saga_id,
                requested_by=request.user.get_username(),
                reason=reason_of(request),
            )

        return self.in_bulk(request, queryset, act=act, done="on their way")


def _buttons(status: str) -> Iterator[tuple[str, str]]:
    if status == SagaStatus.PARKED:
        yield "retry", "Retry ..."
        yield "skip", "Skip the step ..."
    if status not in (SagaStatus.COMPENSATED, SagaStatus.FAILED, SagaStatus.COMPENSATING):
        yield "undo", "Undo ..."


def _amount_of(context: Any) -> Decimal | None:
    """The saga's total amount; None if it has none, or its row was edited by hand."""
    data = context.get("data") if isinstance(context, dict) else None
    total = data.get("total_amount") if isinstance(data, dict) else None
    try:
        return None if total is None else bounds.amount(Decimal(str(total)))
    except ArithmeticError:
        return None
