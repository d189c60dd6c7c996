"""Lists of sagas, read from all coordinators' tables.

A page costs the same among a hundred sagas and a million: every statement follows an index that the
services need anyway, and reads at most LOOKED_THROUGH rows of it. Rarer sagas are found page by
page, and the page says so.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from contracts import patterns
from contracts.saga import SAGAS
from contracts.states import FINAL, SagaStatus
from dashboard import records
from participant import sql

PAGE = 50
LOOKED_THROUGH = 20_000
AGES = {
    "1 minutes": "in the last minute",
    "1 hours": "in the last hour",
    "24 hours": "in the last day",
    "-1 minutes": "more than a minute ago",
    "-1 hours": "more than an hour ago",
    "-24 hours": "more than a day ago",
}
"""When a saga was started, by PostgreSQL's intervals; with a minus: longer ago."""
OPEN, WAITING = "open", "waiting"
"""Filters beside the statuses: sagas that have not ended; sagas that wait for a person."""
_NOT_FINAL = frozenset({OPEN, WAITING, *(set(SagaStatus) - FINAL)})
_BY_PATTERN = {name: row.coordinator for name, row in patterns.PATTERNS.items()}

Position = tuple[datetime, str]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which sagas to list. `before`: the `next` of the page before."""

    saga: str = ""
    pattern: str = ""
    status: str = ""
    step: str = ""
    age: Literal["", *AGES] = ""  # type: ignore[valid-type]  # the keys are strings
    q: str = ""
    before: str = ""


class SagaRow(NamedTuple):
    """A saga in a list. `step`: where it is, or was refused. `code`: the refusal's."""

    saga_id: str
    saga: str
    pattern: str
    subject: str
    status: str
    step: str
    code: str
    waits_for: str
    started_at: datetime
    finished_at: datetime | None

    @property
    def position(self) -> Position:
        return self.started_at, self.saga_id


class SagaPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list. `next`: where to go on; empty at the end. `is_cut`: LOOKED_THROUGH rows
    were read before the page was full, and more may follow.
    """

    rows: list[SagaRow]
    next: str = ""
    is_cut: bool = False


class _Table(NamedTuple):
    """A coordinator's table of sagas, with SQL expressions over `columns`. `step`: where a saga is,
    if its row has that.
    """

    service: str
    columns: str
    saga: str
    pattern: str
    step: str
    is_open: str
    waits: str

    @property
    def name(self) -> str:
        return f"{self.service}_saga"

    @property
    def fields(self) -> str:
        """The columns of a SagaRow."""
        return (
            f"saga_id, {self.saga}, {self.pattern}, subject, status,"
            f" coalesce(nullif({self.step}, ''), failure_step), failure_code,"
            f" CASE WHEN {self.waits} THEN waiting_for ELSE '' END, started_at, finished_at"
        )


_COLUMNS = """
    saga_id, subject, status, failure_step, failure_code, waiting_for, waiting_since, started_at,
    finished_at
"""
_CONDUCTED = tuple(
    _Table(
        service=service,
        columns=f"name, pattern, current_step, {_COLUMNS}",
        saga="name",
        pattern="pattern",
        step="current_step",
        is_open="finished_at IS NULL",
        waits="finished_at IS NULL AND waiting_since IS NOT NULL",
    )
    for service in sorted(patterns.CONDUCTORS)
)
_CHOREOGRAPHED = _Table(
    service="saga_choreography",
    columns=f"saga, parked_step, waiting_step, {_COLUMNS}",
    saga="saga",
    pattern="'choreographed'",
    step="parked_step",
    is_open="(watch_at IS NOT NULL OR status = 'parked')",
    # The row is not written with every event: a saga with a later event waits no more.
    waits="""
        status = 'running' AND waiting_step <> '' AND NOT EXISTS (
            SELECT FROM saga_choreography_sagaevent AS event
            WHERE event.saga_id = saga.saga_id AND event.occurred_at > saga.waiting_since
              AND event.event_type NOT LIKE 'step.%%')
    """,
)
TABLES = (*_CONDUCTED, _CHOREOGRAPHED)


def sagas(wanted: Filter) -> SagaPage:
    """The newest sagas that match the filter, and where to go on. Raises ValueError for an invalid
    `before`.
    """
    ids = records.named_by(wanted.q.strip(), look=LOOKED_THROUGH) if wanted.q.strip() else None
    begin = _position(wanted.before) if wanted.before else None
    rows: list[SagaRow] = []
    horizon: Position | None = None
    for table in TABLES:
        if wanted.pattern and _BY_PATTERN.get(wanted.pattern) != table.service:
            continue
        found, looked_to = _look(table, wanted, ids, begin)
        rows += found
        if looked_to and (horizon is None or looked_to > horizon):
            horizon = looked_to
    rows.sort(key=lambda row: row.position, reverse=True)
    if horizon:
        rows = [row for row in rows if row.position >= horizon]
    shown = _with_steps(rows[:PAGE])
    if len(rows) > PAGE:
        return SagaPage(rows=shown, next=_cursor(shown[-1].position))
    return SagaPage(rows=shown, next=_cursor(horizon) if horizon else "", is_cut=bool(horizon))


def saga(saga_id: str) -> SagaRow | None:
    """The saga by its coordinator's row, or by its owner's if no coordinator knows it yet."""
    for table in TABLES:
        rows = sql.execute(
            service=table.service,
            sql=f"SELECT {table.fields} FROM (SELECT {table.columns} FROM {table.name}"
            " WHERE saga_id = %s) AS saga",
            values=[saga_id],
        )
        if rows:
            return _with_steps([SagaRow(*rows[0])])[0]
    known = records.accepted([saga_id]).get(saga_id)
    if known is None:
        return None
    about = (known.saga_id, known.saga, known.saga_pattern, known.subject or "", known.status)
    why = (known.failure_step, known.failure_code)
    return SagaRow(*about, *why, "", known.accepted_at, known.ended_at)


def _look(
    table: _Table, wanted: Filter, ids: Sequence[str] | None, begin: Position | None
) -> tuple[list[SagaRow], Position | None]:
    """At most PAGE + 1 matches; and the last row read, if the reading ended before that."""
    among, values = _among(table, wanted, ids, begin)
    inner = f"""
        SELECT {table.columns} FROM {table.name} WHERE {" AND ".join(among) or "true"}
        ORDER BY started_at DESC, saga_id DESC
    """
    tests, wishes = _tests(table, wanted)
    rows = sql.execute(
        service=table.service,
        sql=f"""
            SELECT {table.fields} FROM ({inner} LIMIT {LOOKED_THROUGH}) AS saga
            WHERE {" AND ".join(tests) or "true"}
            ORDER BY started_at DESC, saga_id DESC LIMIT {PAGE + 1}
            """,
        values=[*values, *wishes],
    )
    found = [SagaRow(*row) for row in rows]
    if len(found) > PAGE or not tests:
        return found, None
    last = sql.execute(
        service=table.service,
        sql=f"SELECT started_at, saga_id FROM ({inner} LIMIT 1 OFFSET {LOOKED_THROUGH - 1}) AS s",
        values=values,
    )
    return found, last[0] if last else None


def _among(
    table: _Table, wanted: Filter, ids: Sequence[str] | None, begin: Position | None
) -> tuple[list[str], list[Any]]:
    """The conditions that an index serves."""
    among: list[str] = []
    values: list[Any] = []
    if wanted.status in _NOT_FINAL:
        among.append(table.is_open)
    if ids is not None:
        among.append("saga_id = ANY(%s)")
        values.append(list(ids))
    if begin:
        among.append("(started_at, saga_id) < (%s, %s)")
        values += begin
    if wanted.age:
        way = "<" if wanted.age.startswith("-") else ">"
        among.append(f"started_at {way} statement_timestamp() - %s::interval")
        values.append(wanted.age.lstrip("-"))
    return among, values


def _tests(table: _Table, wanted: Filter) -> tuple[list[str], list[Any]]:
    """The conditions that are tested row by row."""
    tests: list[str] = []
    values: list[Any] = []
    for field, value in ((table.saga, wanted.saga), (table.pattern, wanted.pattern)):
        if value:
            tests.append(f"{field} = %s")
            values.append(value)
    if wanted.status == WAITING:
        tests.append(f"({table.waits})")
    elif wanted.status and wanted.status != OPEN:
        tests.append("status = %s")
        values.append(wanted.status)
    if wanted.step and table in _CONDUCTED:
        tests.append("%s IN (current_step, failure_step)")
        values.append(wanted.step)
    elif wanted.step:
        running, names = _choreographed_at(wanted.step)
        tests.append(f"(%s IN (parked_step, failure_step) OR {running})")
        values += [wanted.step, *names]
    return tests, values


def _choreographed_at(step: str) -> tuple[str, list[str]]:
    """SQL for running sagas of which the previous step is done and this step is not."""
    seen = (
        "EXISTS (SELECT FROM saga_choreography_sagaevent AS event"
        " WHERE event.saga_id = saga.saga_id AND event.event_type = %s)"
    )
    cases, names = ["false"], []
    for definition in SAGAS.values():
        for before, after in zip(definition.steps, definition.steps[1:], strict=False):
            if after.name == step:
                cases.append(f"(status = 'running' AND saga = %s AND {seen} AND NOT {seen})")
                names += [definition.name, before.done, after.done]
    return f"({' OR '.join(cases)})", names


def _with_steps(rows: Sequence[SagaRow]) -> list[SagaRow]:
    """The rows, with the steps of choreographed sagas, which follow from their events."""
    choreographed = patterns.CHOREOGRAPHED
    ids = [row.saga_id for row in rows if row.pattern == choreographed and not row.finished_at]
    types = dict(
        sql.execute(
            service=_CHOREOGRAPHED.service,
            sql="SELECT saga_id, array_agg(event_type) FROM saga_choreography_sagaevent"
            " WHERE saga_id = ANY(%s) GROUP BY saga_id",
            values=[ids],
        )
        if ids
        else ()
    )
    return [
        row._replace(step=step_of(row.saga, types[row.saga_id]))
        if row.saga_id in types and row.status != SagaStatus.PARKED
        else row
        for row in rows
    ]


def step_of(saga: str, types: Collection[str]) -> str:
    """The step that a choreographed saga does or undoes now. `types`: of its events so far."""
    definition = SAGAS.get(saga)
    if definition is None:
        return ""
    steps = definition.steps
    done = [step for step in steps if step.done in types and step.undone not in types]
    if any(event in types for step in steps for event in (step.refused, step.undone) if event):
        return done[-1].name if done else ""
    return steps[min(len(done), len(steps) - 1)].name


def _cursor(position: Position) -> str:
    return f"{position[0].isoformat()},{position[1]}"


def _position(text: str) -> Position:
    at, saga_id = text.split(",", 1)
    return datetime.fromisoformat(at), saga_id
