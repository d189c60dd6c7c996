"""The admin of the barrier, and of records in general: to be looked at, never typed over."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

import msgspec
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import SuspiciousOperation
from django.core.paginator import Paginator
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import CharField, Count, Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from contracts.outcomes import Refused
from participant import sql

MOST_LOOKED_AT = 2_000
"""Of the newest rows, for the values of a filter."""
LONGEST_SHOWN = 65_536
Act = Callable[[Any], Refused | None]
"""Does something for the row with this key; why not, if not."""
ActOnMany = Callable[[Sequence[Any]], Mapping[Any, Refused | None]]
"""The same for rows with these keys, by key."""

LONGEST_REASON = 1_000
BULK_SECONDS = 3.0
"""Of one request; the page that answers it goes on by itself with the rest."""
_BUSY = Refused("busy", "Somebody else has it in hand: do it again.")
_PROGRESS = "bulk"
_NOT_PASSED_ON = ("csrfmiddlewaretoken", _PROGRESS)
_REASON = "reason"


class SoFarPaginator(Paginator):  # type: ignore[type-arg]  # no type arguments at runtime
    """Counts no further than lists of the API do."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return sql.counted(rows=rows)


class NewestValuesFilter(admin.AllValuesFieldListFilter):
    """Django's reads the whole table for its list of values."""

    def __init__(
        self, field: Any, request: HttpRequest, params: Any, model: Any, page: Any, field_path: str
    ) -> None:
        super().__init__(field, request, params, model, page, field_path)
        newest = page.get_queryset(request).order_by(*page.get_ordering(request))
        found = newest.values_list(field_path, flat=True)[:MOST_LOOKED_AT]
        choices: Any = sorted({value for value in found if value is not None})
        self.lookup_choices = choices


class RecordAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no type arguments at runtime
    """Rows that only the code writes. Actions that ask for `operate` need the change permission.

    `arrives`: the field by which new rows come last. An action for all rows of a list takes those
    that were there when it began. `locks`: whether an action's rows are locked before it; not where
    what it does takes its own locks first, in an order and a transaction of its own.
    `rows_at_once`: in one transaction, whose locks are held for some tenths of a second.
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
        """Of a column of any text, only what the newest rows have is offered."""
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
        """What a person who is asked again should know of these rows, beside their number."""
        return []

    def asked_again(
        self, request: HttpRequest, queryset: QuerySet[Any], *, verb: str
    ) -> HttpResponse | None:
        """The page that asks again, for a reason, with how many rows and `facts_of` them; None once
        it is given. For what can't be taken back.
        """
        if reason_of(request):
            return None
        number = queryset.count()
        names = self.opts.verbose_name if number == 1 else self.opts.verbose_name_plural
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb} {number} {names}?",
            "verb": verb,
            "facts": self.facts_of(queryset),
            "fields": [one for one in _passed_on(request) if one[0] != _REASON],
            "longest": LONGEST_REASON,
            "is_blank": _REASON in request.POST,
        }
        return HttpResponse(engines["django"].from_string(_ASKS_AGAIN).render(context, request))

    def in_bulk(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        *,
        act: Act | None = None,
        act_on_many: ActOnMany | None = None,
        done: str,
    ) -> HttpResponse | None:
        """An action's answer: does `act` for each row, given its key, or `act_on_many` for each
        lot; None: all of it is done.

        In transactions of `rows_at_once`, each row locked before; what is locked by somebody else
        is counted and left out. `act` returns why not, or None. Goes on in further
        requests where one takes longer than BULK_SECONDS, and says in the end in one sentence
        what came of it: `done` follows a number ("12 on their way").
        """
        does = act_on_many or (lambda keys: {key: act(key) if act else None for key in keys})
        progress = _progress(request) or _beginning(queryset, self.arrives)
        until = monotonic() + BULK_SECONDS
        try:
            keys = _next_keys(queryset, progress, self.arrives, self.rows_at_once)
            while keys:
                self._do(request, queryset, keys, does, progress, done)
                progress.last = keys[-1]
                keys = _next_keys(queryset, progress, self.arrives, self.rows_at_once)
                if keys and monotonic() >= until:
                    return self._goes_on(request, progress, done)
        except (DatabaseError, InterfaceError) as error:
            if not sql.is_outage(error):
                raise
            connections[queryset.db].close()
            told = f"{progress.told(done)} Then the database was away: do it again for the rest."
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
        progress: "_Progress",
        done: str,
    ) -> None:
        """Where these fault together, each is done by itself, and the one at fault counted."""
        try:
            with self._held(queryset, keys) as rows:
                refused = does([row.pk for row in rows])
        except DatabaseError as error:
            if sql.is_outage(error):
                raise
            if len(keys) == 1:
                progress.count([_BUSY if sql.is_busy(error) else Refused("fault", str(error))])
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
        """The rows with these keys, locked in one transaction with what is done, or as they are."""
        rows = queryset.model._default_manager.using(queryset.db).filter(pk__in=keys).order_by("pk")
        if not self.locks:
            yield list(rows)
            return
        with transaction.atomic(using=queryset.db):
            yield list(rows.select_for_update(skip_locked=True, no_key=True))

    def _goes_on(self, request: HttpRequest, progress: "_Progress", done: str) -> HttpResponse:
        """A page that sends the same request again by itself, with how far it has come."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"{progress.reached} of {progress.total}",
            "told": progress.told(done),
            "progress": progress,
            "fields": [*_passed_on(request), (_PROGRESS, msgspec.json.encode(progress).decode())],
        }
        return HttpResponse(engines["django"].from_string(_GOES_ON).render(context, request))


class BarrierEntryAdmin(RecordAdmin):
    """What this service has answered for each step of each saga."""

    list_display = ["saga_id", "step", "direction", "status", "code", "entered_at", "decided_at"]
    list_filter = ["step", "direction", "status", "code"]
    search_fields = ["saga_id__startswith"]
    search_help_text = "The beginning of a saga's id"
    ordering = ["-id"]


def as_json(value: Any) -> SafeString:
    """The value (or its JSON, as bytes) as a block that a person can read.

    Bytes may be anything: what is no JSON, too deep or too long is shown as it begins.
    """
    encoded = bytes(value) if isinstance(value, bytes | memoryview) else msgspec.json.encode(value)
    try:
        if len(encoded) > LONGEST_SHOWN:
            raise msgspec.DecodeError
        text = msgspec.json.format(encoded, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = f"{encoded[:LONGEST_SHOWN]!r}, {len(encoded)} bytes"
    return format_html("<pre>{}</pre>", text)


class _Progress(msgspec.Struct, kw_only=True):
    """How far an action has come. `newest`: of the rows that were there when it began."""

    total: int
    newest: str
    last: Any = None
    done: int = 0
    refused: dict[str, int] = {}
    detail: str = ""

    @property
    def reached(self) -> int:
        return self.done + sum(self.refused.values())

    def count(self, outcomes: Sequence[Refused | None]) -> None:
        """What came of some rows: None, or why not."""
        for refused in outcomes:
            if refused is None:
                self.done += 1
            else:
                self.refused[refused.code] = self.refused.get(refused.code, 0) + 1
                self.detail = refused.detail

    def told(self, done: str) -> str:
        """`812 on their way, 13 refused: 9 already_undone, 4 past_pivot.` The only one that is
        refused is told in full.
        """
        if not self.refused:
            return f"{self.done} {done}."
        by_number = sorted(self.refused.items(), key=lambda one: (-one[1], one[0]))
        why = ", ".join(f"{number} {code}" for code, number in by_number)
        number = sum(self.refused.values())
        told = f"{self.done} {done}, {number} refused: {why}."
        return f"{told} {self.detail}".rstrip() if number == 1 else told


_GOES_ON = """
{% extends "admin/base_site.html" %}
{% block content %}
<p>{{ progress.reached }} of {{ progress.total }}: {{ told }}</p>
<p><progress max="{{ progress.total }}" value="{{ progress.reached }}"></progress></p>
<form method="post" id="rest">{% csrf_token %}
{% for name, value in fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}<button>Go on with the rest</button> <a href="{{ request.get_full_path }}">Stop</a>
</form>
<script>document.getElementById("rest").submit()</script>
{% endblock %}
"""


_ASKS_AGAIN = """
{% extends "admin/base_site.html" %}
{% block content %}
<ul>{% for fact in facts %}<li>{{ fact }}</li>{% empty %}<li>None of them.</li>{% endfor %}</ul>
<form method="post">{% csrf_token %}
{% for name, value in fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}
{% if is_blank %}<p class="errornote">Say why.</p>{% endif %}
<p><label for="reason">Why: it is kept with your name, and shown.</label></p>
<p><textarea id="reason" name="reason" rows="3" maxlength="{{ longest }}" required autofocus
 style="width: min(100%, 40rem); box-sizing: border-box"></textarea></p>
<p><input type="submit" value="{{ verb }}">
<a href="{{ request.get_full_path }}" style="margin-left: 1rem">No, go back</a></p>
</form>
{% endblock %}
"""


def reason_of(request: HttpRequest) -> str:
    """Why a person wants an action done; empty where it was not said."""
    return str(request.POST.get(_REASON, "")).strip()[:LONGEST_REASON]


def _beginning(queryset: QuerySet[Any], arrives: str) -> _Progress:
    found = queryset.order_by().aggregate(total=Count("pk"), newest=Max(arrives))
    newest = found["newest"]
    text = newest.isoformat() if hasattr(newest, "isoformat") else str(newest)
    return _Progress(total=found["total"], newest=text)


def _progress(request: HttpRequest) -> _Progress | None:
    """Where the request before this one had come to. Raises SuspiciousOperation."""
    text = request.POST.get(_PROGRESS)
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=_Progress)
    except msgspec.MsgspecError as error:
        raise SuspiciousOperation(str(error)) from error


def _next_keys(queryset: QuerySet[Any], progress: _Progress, arrives: str, limit: int) -> list[Any]:
    if not progress.total:
        return []
    found = queryset.order_by("pk").filter(**{f"{arrives}__lte": progress.newest})
    if progress.last is not None:
        found = found.filter(pk__gt=progress.last)
    return list(found.values_list("pk", flat=True)[:limit])


def _passed_on(request: HttpRequest) -> Iterator[tuple[str, str]]:
    for name, values in request.POST.lists():
        if name not in _NOT_PASSED_ON:
            yield from ((name, str(value)) for value in values)
