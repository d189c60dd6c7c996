"""Failed messages over HTTP: messages that a service can't handle, and events it can't send.

GET  /messages/parked?status=dead_lettered GET  /messages/unsent
POST /messages/parked/{id}/retry           POST /messages/unsent/{id}/retry
POST /messages/parked/{id}/discard         POST /messages/unsent/{id}/discard
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypedDict, cast
from urllib.parse import urlencode

import msgspec
from django.apps import apps
from django.db.models import BinaryField, F, Func, IntegerField, Model, QuerySet
from django.urls import URLPattern, path
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from contracts import bounds, refusals
from contracts.bounds import Time, words
from contracts.doors import OPS_ACT, OPS_READ, declared, door_by
from contracts.states import Intervention
from messaging import failed, outbox
from messaging.models import FailedStatus
from participant import trail

SHOWN_BYTES = 2_000
"""Of each body in a list; `size` is its full length."""
_FIELDS = ("id", "event_id", "event_type", "saga_id", "attempts", "reason", "next_attempt_at")

Act = Callable[..., Sequence[int]]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The query of a page of a list, newest first. `cursor`: the id after which it begins."""

    status: Literal["retrying", "dead_lettered", "handled", "discarded"] | None = None
    cursor: Annotated[int, msgspec.Meta(ge=1, le=bounds.MOST_INTEGER)] | None = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class NotFailed(APIException):
    """409: the message needs no action any more."""

    status_code = 409
    default_code = "not_dead_lettered"


class NotItsToSay(NotFailed):
    """409: its publisher may not publish the message, and a retry would accept it."""

    default_code = refusals.NOT_ITS_TO_SAY


class _Row(TypedDict):
    """A message. `body`: its beginning; `size`: of the whole body."""

    id: int
    event_id: str
    event_type: str
    saga_id: str
    attempts: int
    reason: str
    next_attempt_at: Time | None
    size: int
    body: str


class ParkedRow(_Row):
    status: Annotated[str, words(FailedStatus)]
    failed_at: Time


class UnsentRow(_Row):
    created_at: Time
    sent_at: Time | None


class _RowsPage(TypedDict):
    page_size: int
    next: str | None


class ParkedPage(_RowsPage):
    results: list[ParkedRow]


class UnsentPage(_RowsPage):
    results: list[UnsentRow]


class _FailedView(APIView):
    """Rows of one service's table, newest first."""

    row: Any
    page: Any

    service = ""
    model_name = ""
    fields: Sequence[str] = ()

    @property
    def rows(self) -> QuerySet[Model]:
        model = apps.get_model(self.service, self.model_name)
        found: QuerySet[Model] = model._default_manager.order_by("-pk")
        return found

    def shown(self, rows: QuerySet[Model], *, limit: int = 1) -> list[dict[str, Any]]:
        found = rows.annotate(
            size=Func(F("body"), function="octet_length", output_field=IntegerField()),
            start=Func(F("body"), 1, SHOWN_BYTES, function="substr", output_field=BinaryField()),
        )
        return [
            _as_text(row) for row in found.values(*_FIELDS, *self.fields, "size", "start")[:limit]
        ]


class _ListView(_FailedView):
    """GET: a page; `next` is the URL of the next page, or null."""

    @door_by(lambda view, path: declared(OPS_READ, takes=Listing, gives={200: view.page}))
    def get(self, request: Request) -> Response:
        wanted = bounds.of_query(request.query_params, Listing, but_empty=True)
        rows = self.rows if wanted.cursor is None else self.rows.filter(pk__lt=wanted.cursor)
        found = self.shown(self.of(rows, wanted), limit=wanted.page_size + 1)
        page, is_last = found[: wanted.page_size], len(found) <= wanted.page_size
        return Response(
            {
                "page_size": wanted.page_size,
                "next": None if is_last else _url(request, page[-1]["id"]),
                "results": page,
            }
        )

    def of(self, rows: QuerySet[Model], wanted: Listing) -> QuerySet[Model]:
        """The rows of this list."""
        raise NotImplementedError


class _ActView(_FailedView):
    """POST: 200 with the row after the action (or before its deletion), 404, or 409.

    `verb`: of the action, for its note; empty if no note is stored.
    """

    act: Act
    verb = ""
    codes: Sequence[str] = (NotFailed.default_code,)

    @door_by(
        lambda view, path: declared(
            OPS_ACT,
            takes=Intervention,
            gives={200: view.row},
            refuses={409: view.codes},
        )
    )
    def post(self, request: Request, row_id: str) -> Response:
        number = bounds.number_in(row_id) or 0
        this = self.rows.filter(pk=number)
        before = self.shown(this)
        if not before:
            raise NotFound(f"There is no such message {row_id[:64]}.")
        asked = msgspec.convert(request.data or {}, Intervention)
        caller = cast(Any, request).principal  # httpapi.authentication has set it
        by = caller.named(asked.requested_by, field="requested_by", otherwise="api")
        trail.because(asked.reason, by=by)
        is_noted = self.verb and asked.reason
        note = {"note": f"{self.verb} by {by}: {asked.reason}"} if is_noted else {}
        if not self.act(service=self.service, ids=[number], **note):
            raise self.refused(number)
        return Response((self.shown(this) or before)[0])

    def refused(self, row_id: int) -> APIException:
        """The refusal of the action."""
        return NotFailed(f"Message {row_id} needs no action any more.")


class _Parked(_FailedView):
    model_name = "FailedMessage"
    row, page = ParkedRow, ParkedPage
    fields = ("status", "failed_at")


class _Unsent(_FailedView):
    model_name = "OutboxEntry"
    row, page = UnsentRow, UnsentPage
    fields = ("created_at", "sent_at")


class ParkedView(_Parked, _ListView):
    """Messages that could not be handled, by default in any status."""

    def of(self, rows: QuerySet[Model], wanted: Listing) -> QuerySet[Model]:
        return rows.filter(status=wanted.status) if wanted.status else rows


class RetryParkedView(_Parked, _ActView):
    """Retried within a second, from the first attempt; stores `reason` and `requested_by`."""

    verb = "retried"
    act = staticmethod(failed.retry)
    codes = (NotFailed.default_code, refusals.NOT_ITS_TO_SAY)

    def refused(self, row_id: int) -> APIException:
        if failed.unbelieved(service=self.service, ids=[row_id]):
            return NotItsToSay(f"The publisher of message {row_id} may not publish it: discard it.")
        return super().refused(row_id)


class DiscardParkedView(_Parked, _ActView):
    """Discarded; the row is kept, with `requested_by` and `reason`."""

    verb = "discarded"
    act = staticmethod(failed.discard)


class UnsentView(_Unsent, _ListView):
    """Events that the broker does not take, or has no queue for."""

    def of(self, rows: QuerySet[Model], wanted: Listing) -> QuerySet[Model]:
        return rows.filter(sent_at=None).exclude(next_attempt_at=None)


class RetryUnsentView(_Unsent, _ActView):
    """Sent at the relay's next sweep, within a second."""

    act = staticmethod(outbox.retry)


class DiscardUnsentView(_Unsent, _ActView):
    """Deleted, and never sent; the log has its type and id."""

    act = staticmethod(outbox.discard)


def urls(*, service: str) -> list[URLPattern]:
    """The paths of one service."""
    views: dict[str, type[_FailedView]] = {
        "messages/parked": ParkedView,
        "messages/parked/<str:row_id>/retry": RetryParkedView,
        "messages/parked/<str:row_id>/discard": DiscardParkedView,
        "messages/unsent": UnsentView,
        "messages/unsent/<str:row_id>/retry": RetryUnsentView,
        "messages/unsent/<str:row_id>/discard": DiscardUnsentView,
    }
    return [path(where, view.as_view(service=service)) for where, view in views.items()]


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the beginning of its body as text."""
    start = row.pop("start")
    text = start if isinstance(start, str) else bytes(start).decode(errors="replace")
    return {**row, "body": text}


def _url(request: Request, cursor: int) -> str:
    query = urlencode({**request.query_params.dict(), "cursor": cursor})
    return str(request.build_absolute_uri(f"{request.path}?{query}"))
