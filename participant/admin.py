"""The admin of the barrier, and of records in general: read-only, except for actions."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

import msgspec
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.paginator import Paginator
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import CharField, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from contracts.outcomes import Refused
from participant import sql, trail
from participant.in_bulk import (
    ASKS_AGAIN,
    GOES_ON,
    LONGEST_REASON,
    PROGRESS,
    REASON,
    BulkProgress,
    beginning,
    next_keys,
    passed_on,
    progress_of,
    reason_of,
)

log = logging.getLogger(__name__)

MOST_LOOKED_AT = 2_000
"""The newest rows, from which a filter takes its values."""
LONGEST_SHOWN = 65_536
Act = Callable[[Any], Refused | None]
"""An action on the row with this key; returns None, or the refusal."""
ActOnMany = Callable[[Sequence[Any]], Mapping[Any, Refused | None]]
"""The same on the rows with these keys, by key."""

BULK_SECONDS = 3.0
"""Of one request; the page that answers it continues by itself with the rest."""
_BUSY = Refused("busy", "Another transaction has locked the row: try again.")


class SoFarPaginator(Paginator):  # type: ignore[type-arg]  # no type arguments at runtime
    """Counts no further than the API's lists do."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return sql.counted(rows=rows)


class NewestValuesFilter(admin.AllValuesFieldListFilter):
    """Offers the values of the newest rows; Django's own filter reads the whole table."""

    def __init__(
        self, field: Any, request: HttpRequest, params: Any, model: Any, page: Any, field_path: str
    ) -> None:
        super().__init__(field, request, params, model, page, field_path)
        newest = page.get_queryset(request).order_by(*page.get_ordering(request))
        found = newest.values_list(field_path, flat=True)[:MOST_LOOKED_AT]
        choices: Any = sorted({value for value in found if value is not None})
        self.lookup_choices = choices


class DescribedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # none at runtime
    """Rows that people edit: each change is in the trail of their service, in one transaction."""

    def note(self, action: str, *rows: Any, detail: str = "") -> None:
        name = self.opts.model_name
        subjects = [(f"{name} {row.pk}", detail) for row in rows]
        trail.note(service=self.opts.app_label, action=f"{name}.{action}", subjects=subjects)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        changed = [
            f"{name}: {form.initial.get(name)} -> {form.cleaned_data[name]}"
            for name in form.changed_data
        ]
        self.note("change" if change else "add", obj, detail="; ".join(changed) if change else "")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.note("delete", obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic(using=queryset.db):
            self.note("delete", *queryset)
            super().delete_queryset(request, queryset)


class RecordAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no type arguments at runtime
    """Rows that only the code writes. Actions with the permission `operate` need the change
    permission.

    `arrives`: the field by which new rows come last. An action for all rows of a list takes those
    that were there when it began. `locks`: whether an action's rows are locked before it; false if
    the action takes its own locks, in its own order and transaction. `rows_at_once`: in one
    transaction, which holds its locks for some tenths of a second.
    """

    show_full_result_count = False
    paginator = SoFarPaginator
    arrives = "pk"
    locks = True
    rows_at_once = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether this person may run the actions here."""
        return super().has_change_permission(request)

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Columns of free text offer only the values of the newest rows."""
        return [
            (name, NewestValuesFilter) if self._is_any_text(name) else name
            for name in super().get_list_filter(request)
        ]

    def _is_any_text(self, name: Any) -> bool:
        if not isinstance(name, str):
            return False
        field = self.model._meta.get_field(name)
        return isinstance(field, CharField) and not field.choices

    def facts_of(self, queryset: QuerySet[Any]) -> list[str]:
        """Facts about these rows, beside their number, for the page that asks to confirm."""
        return []

    def asked_again(
        self, request: HttpRequest, queryset: QuerySet[Any], *, verb: str
    ) -> HttpResponse | None:
        """The page that asks to confirm an action and for its reason, with the number of rows and
        `facts_of` them; None once the reason is given. For actions that can't be undone.
        """
        if reason_of(request):
            return None
        number = queryset.count()
        names = self.opts.verbose_name if number == 1 else self.opts.verbose_name_plural
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb} {number} {names}?",
            "does": f"{verb} {number} {names}",
            "facts": self.facts_of(queryset),
            "fields": [field for field in passed_on(request) if field[0] != REASON],
            "longest": LONGEST_REASON,
            "is_blank": REASON in request.POST,
        }
        return HttpResponse(engines["django"].from_string(ASKS_AGAIN).render(context, request))

    def in_bulk(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        *,
        act: Act | None = None,
        act_on_many: ActOnMany | None = None,
        done: str,
    ) -> HttpResponse | None:
        """Calls `act` for each row's key, or `act_on_many` for the keys of each transaction.
        Returns the page that continues, or None once all rows are done.

        In transactions of `rows_at_once`, which lock their rows first; a row that another
        transaction has locked is counted as refused. Continues in further requests after
        BULK_SECONDS. The message at the end has the numbers: `done` follows one ("12 on their
        way").
        """
        does = act_on_many or (lambda keys: {key: act(key) if act else None for key in keys})
        progress = progress_of(request) or beginning(queryset, self.arrives)
        until = monotonic() + BULK_SECONDS
        try:
            keys = next_keys(queryset, progress, self.arrives, self.rows_at_once)
            while keys:
                self._do(request, queryset, keys, does, progress, done)
                progress.last = keys[-1]
                keys = next_keys(queryset, progress, self.arrives, self.rows_at_once)
                if keys and monotonic() >= until:
                    return self._goes_on(request, progress, done)
        except (DatabaseError, InterfaceError) as error:
            if not sql.is_outage(error):
                raise
            connections[queryset.db].close()
            told = f"{progress.told(done)} Then the database was down: try again for the rest."
            self.message_user(request, told, messages.ERROR)
            return None
        level = messages.WARNING if progress.refused else messages.SUCCESS
        self.message_user(request, progress.told(done), level)
        return None

    def _do(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        keys: Sequence[Any],
        does: ActOnMany,
        progress: BulkProgress,
        done: str,
    ) -> None:
        """Acts on these rows together; after a fault on each alone, to count the row at fault."""
        try:
            with self._held(queryset, keys) as rows:
                refused = does([row.pk for row in rows])
        except DatabaseError as error:
            if sql.is_outage(error):
                raise
            if len(keys) == 1:
                log.error("%s: %r", keys[0], error)
                progress.count([Refused("fault", sql.category(error))])
                return
            for key in keys:
                self._do(request, queryset, [key], does, progress, done)
            return
        progress.count([*refused.values(), *[_BUSY] * (len(keys) - len(rows))])
        why = reason_of(request)
        LogEntry.objects.log_actions(
            user_id=int(request.user.pk or 0),
            queryset=[row for row in rows if refused[row.pk] is None],
            action_flag=CHANGE,
            change_message=f"{done}: {why}" if why else done,
        )

    @contextmanager
    def _held(self, queryset: QuerySet[Any], keys: Sequence[Any]) -> Iterator[list[Any]]:
        """The rows with these keys; if `locks`, locked in the transaction of the action."""
        rows = queryset.model._default_manager.using(queryset.db).filter(pk__in=keys).order_by("pk")
        if not self.locks:
            yield list(rows)
            return
        with transaction.atomic(using=queryset.db):
            yield list(rows.select_for_update(skip_locked=True, no_key=True))

    def _goes_on(self, request: HttpRequest, progress: BulkProgress, done: str) -> HttpResponse:
        """The page that sends the same request again by itself, with the progress so far."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"{progress.reached} of {progress.total}",
            "told": progress.told(done),
            "progress": progress,
            "fields": [*passed_on(request), (PROGRESS, msgspec.json.encode(progress).decode())],
        }
        return HttpResponse(engines["django"].from_string(GOES_ON).render(context, request))


class BarrierEntryAdmin(RecordAdmin):
    """This service's outcome of each step of each saga."""

    list_display = ["saga_id", "step", "direction", "status", "code", "entered_at", "decided_at"]
    list_filter = ["step", "direction", "status", "code"]
    search_fields = ["saga_id__startswith"]
    search_help_text = "The beginning of a saga's id"
    ordering = ["-id"]


class InterventionAdmin(RecordAdmin):
    """The trail: who changed what here, when, why and through which door."""

    list_display = [
        *["requested_at", "requested_by", "action", "subject", "detail", "reason"],
        *["via", "jti", "trace_id"],
    ]
    list_filter = ["action", "requested_by", "via"]
    search_fields = ["subject__exact", "requested_by__exact", "jti__exact"]
    search_help_text = "The subject (product 4), the person, or the id of their token"
    ordering = ["-id"]


def as_json(value: Any) -> SafeString:
    """The value (or its JSON, as bytes) as a readable block.

    Bytes that are no JSON, too deep or too long are shown raw, up to LONGEST_SHOWN.
    """
    encoded = bytes(value) if isinstance(value, bytes | memoryview) else msgspec.json.encode(value)
    try:
        if len(encoded) > LONGEST_SHOWN:
            raise msgspec.DecodeError
        text = msgspec.json.format(encoded, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = f"{encoded[:LONGEST_SHOWN]!r}, {len(encoded)} bytes"
    return format_html("<pre>{}</pre>", text)
