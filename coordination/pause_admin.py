"""Pausing and resuming in the admin of each owner."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from contracts import refusals
from contracts.outcomes import Refused
from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from coordination import pausing
from participant.admin import RecordAdmin
from participant.in_bulk import LONGEST_REASON, reason_of


class PauseForm(forms.ModelForm):  # type: ignore[type-arg]  # no type arguments at runtime
    """What to pause, and why."""

    saga = forms.ChoiceField()
    saga_pattern = forms.ChoiceField(
        required=False, choices=[("", "every pattern"), *((name, name) for name in PATTERNS)]
    )
    reason = forms.CharField(widget=forms.Textarea, max_length=LONGEST_REASON)

    class Meta:
        fields = ["saga", "saga_pattern", "reason"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        service = self._meta.model._meta.app_label
        own = [saga.name for saga in SAGAS.values() if saga.owner == service]
        cast(forms.ChoiceField, self.fields["saga"]).choices = [(name, name) for name in own]


class PauseAdmin(RecordAdmin):
    """Pauses, in force and ended: add a row to pause a saga."""

    form = PauseForm
    list_display = [
        *["saga", "saga_pattern", "resumed_at", "paused_by", "reason", "paused_at"],
        *["resumed_by", "resume_reason"],
    ]
    list_filter = [("resumed_at", admin.EmptyFieldListFilter), "saga"]
    ordering = ["-id"]
    actions = ["resume"]
    # One statement, which takes its own lock.
    locks = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_operate_permission(request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        done = pausing.pause(
            service=self.opts.app_label,
            saga=obj.saga,
            pattern=obj.saga_pattern,
            by=request.user.get_username(),
            reason=obj.reason,
        )
        if isinstance(done, Refused):
            self.message_user(request, done.detail, messages.ERROR)
        obj.pk = self.model._default_manager.filter(
            saga=obj.saga, saga_pattern=obj.saga_pattern, resumed_at=None
        ).values_list("pk", flat=True)[0]

    @admin.action(description="Resume: accept it again", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        def act(key: int) -> Refused | None:
            row = queryset.model._default_manager.get(pk=key)
            if row.resumed_at:
                return Refused(refusals.NOT_PAUSED, f"{row} is not paused any more.")
            done = pausing.resume(
                service=self.opts.app_label,
                saga=row.saga,
                pattern=row.saga_pattern,
                by=request.user.get_username(),
                reason=reason_of(request),
            )
            return done if isinstance(done, Refused) else None

        asks = self.asked_again(request, queryset, verb="Resume")
        return asks or self.in_bulk(request, queryset, act=act, done="accepted again")

    def facts_of(self, queryset: QuerySet[Any]) -> list[str]:
        """Each pause."""
        return [f"{row}: paused by {row.paused_by}, {row.reason}" for row in queryset[:20]]
