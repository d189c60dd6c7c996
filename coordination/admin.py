"""A saga's page in the admin, alike for both coordinators: what a person may ask of sagas."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from contracts.outcomes import Refused
from coordination.views import Ask
from participant.admin import RecordAdmin, as_json


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]  # none at runtime
    """Rows of a saga, to look at."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SagaAdmin(RecordAdmin):
    """`asks`: what the coordinator does for each of the actions, by their names."""

    asks: dict[str, Ask] = {}
    search_fields = ["saga_id__startswith", "subject__exact"]
    search_help_text = "The beginning of a saga's id, or the id of its cart or order"
    ordering = ["-started_at"]
    actions = ["retry", "skip", "undo"]
    arrives = "started_at"

    @admin.display(description="what it is about")
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
