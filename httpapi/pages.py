"""Pages of a list that grows while it is read: a client that follows `next` meets each row once.

`next` and `previous` are cursors: they name the row after (or before) which to continue, and not a
number of rows to skip. So new rows shift nothing, and the millionth page costs no more than the
first. `?page=` jumps to a page by its number, and then skips rows.
"""

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypedDict, TypeVar
from urllib.parse import urlencode

import msgspec
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from rest_framework.request import Request

from httpapi import problems
from participant import sql

Row = TypeVar("Row", bound=Model)
Shown = TypeVar("Shown")


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The number of the page that it leads to, and the row next to that page."""

    number: int
    row: list[str]


class PageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which page: by its number, or after (or before) the row that a cursor names."""

    page: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    after: str = ""
    before: str = ""


class PageFields(TypedDict):
    """The fields of every page, beside its rows. `next`, `previous`: URLs."""

    count: int
    page: int
    page_size: int
    next: str | None
    previous: str | None


class Page(PageFields, Generic[Shown]):
    """A page of a list."""

    results: list[Shown]


class ResultPage(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """The rows of a page, and the URLs of its neighbours, None if there is none. `count`: of all
    rows, up to participant.sql.MOST_COUNTED.
    """

    rows: Sequence[Row]
    count: int
    number: int
    size: int
    next: str | None
    previous: str | None

    def answer(self, *, results: Sequence[Any]) -> dict[str, Any]:
        """The body of the answer, as for all lists."""
        return {
            "count": self.count,
            "page": self.number,
            "page_size": self.size,
            "next": self.next,
            "previous": self.previous,
            "results": results,
        }


def page(*, request: Request, found: QuerySet[Row], wanted: PageRequest) -> ResultPage[Row]:
    """The page of `found`, which must be ordered by indexed fields that together are unique, all in
    the same direction. Raises Problem (400) for a cursor that is not from this list.
    """
    if wanted.after and wanted.before:
        raise problems.wrong_field("before", "not together with after")
    if wanted.after or wanted.before:
        number, rows, has_more = _by_cursor(found, wanted)
    else:
        number, rows, has_more = _by_number(found, wanted)
    is_back = bool(wanted.before)
    has_next, has_previous = (True, has_more) if is_back else (has_more, number > 1)
    fields = _fields(found)
    return ResultPage(
        rows=rows,
        count=sql.counted(rows=found),
        number=number,
        size=wanted.page_size,
        next=_url(request, after=_cursor(number + 1, rows[-1], fields))
        if rows and has_next
        else None,
        previous=_previous(request, number, rows, fields) if has_previous else None,
    )


def _by_number(found: QuerySet[Row], wanted: PageRequest) -> tuple[int, list[Row], bool]:
    first = (wanted.page - 1) * wanted.page_size
    rows = list(found[first : first + wanted.page_size + 1])
    return wanted.page, rows[: wanted.page_size], len(rows) > wanted.page_size


def _by_cursor(found: QuerySet[Row], wanted: PageRequest) -> tuple[int, list[Row], bool]:
    is_back = bool(wanted.before)
    name = "before" if is_back else "after"
    cursor = _decoded(wanted.before or wanted.after, name)
    beyond = _beyond(found, cursor, name)
    ordered = found.reverse() if is_back else found
    rows = list(ordered.filter(beyond)[: wanted.page_size + 1])
    kept = rows[: wanted.page_size]
    return (
        cursor.number,
        kept[::-1] if is_back else kept,
        len(rows) > wanted.page_size,
    )


def _beyond(found: QuerySet[Row], cursor: Cursor, name: str) -> Q:
    """The rows on the far side of the cursor's: (a, b) < (x, y), as a range of the index on a."""
    fields = _fields(found)
    if len(fields) != len(cursor.row):
        raise _wrong(name)
    try:
        values = [
            found.model._meta.get_field(field).to_python(value)
            for field, value in zip(fields, cursor.row, strict=True)
        ]
    except ValidationError as error:
        raise _wrong(name) from error
    is_falling = str(found.query.order_by[0]).startswith("-")
    way = "lt" if is_falling == (name == "after") else "gt"
    far = Q()
    for place, field in enumerate(fields):
        same = dict(zip(fields[:place], values, strict=False))
        far |= Q(**same, **{f"{field}__{way}": values[place]})
    return Q(**{f"{fields[0]}__{way}e": values[0]}) & far


def _fields(found: QuerySet[Row]) -> list[str]:
    order = [str(column) for column in found.query.order_by or found.model._meta.ordering]
    return [
        found.model._meta.pk.name if column == "pk" else column
        for column in (o.lstrip("-") for o in order)
    ]


def _previous(request: Request, number: int, rows: Sequence[Row], fields: Sequence[str]) -> str:
    before = max(number - 1, 1)
    if not rows:
        return _url(request, page=str(before))
    return _url(request, before=_cursor(before, rows[0], fields))


def _cursor(number: int, row: Row, fields: Sequence[str]) -> str:
    values = [getattr(row, field) for field in fields]
    texts = [value.isoformat() if hasattr(value, "isoformat") else str(value) for value in values]
    encoded = msgspec.json.encode(Cursor(number, texts))
    return base64.urlsafe_b64encode(encoded).decode().rstrip("=")


def _decoded(text: str, name: str) -> Cursor:
    try:
        encoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(encoded, type=Cursor)
    except (ValueError, msgspec.MsgspecError) as error:
        raise _wrong(name) from error


def _wrong(name: str) -> problems.Problem:
    return problems.wrong_field(name, "a cursor as this list's next or previous has given it")


def _url(request: Request, **where: str) -> str:
    kept = {
        name: values
        for name, values in request.query_params.lists()
        if name not in ("page", "after", "before")
    }
    query = urlencode({**kept, **where}, doseq=True)
    return str(request.build_absolute_uri(f"{request.path}?{query}"))
