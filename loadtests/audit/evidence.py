"""The rows of all services on each saga, side by side, one saga at a time.

The rows are in several databases, so they are joined here: every table is read in the order of the
sagas' ids, in step with the others. 200,000 sagas need no more memory than one.

Money comes in cents and times in epoch seconds, so that Python compares plain numbers. A
saga's id is collated "C" everywhere, which is Python's own order of strings.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache, cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import msgspec
from django.conf import settings

from catalogue import SAGAS
from catalogue.services import COORDINATORS, PARTICIPANTS
from contracts import projection
from contracts.patterns import CONDUCTORS
from contracts.saga import Direction, Saga, Step
from contracts.states import FINAL
from loadtests.audit import reading
from loadtests.shop import accepted_table, owners

MONOLITH = "monolith"

T = TypeVar("T")

Finding = tuple[int, str]
"""The number of a group, and the breach."""


class AcceptedRow(NamedTuple):
    """A saga in its owner's table. `data`: the input of its steps, as JSON; `digest`: of `data`.
    `dead_letter`: why it can't be handed over, or empty. `is_old`: it ended so long ago that other
    services may have deleted their rows.
    """

    saga_id: str
    service: str
    saga: str
    pattern: str
    subject: str
    status: str
    total: int | None
    data: str
    digest: str
    accepted_at: float
    handed_over_at: float | None
    ended_at: float | None
    dead_letter: str = ""
    closed_at: float | None = None
    is_old: bool = False


class CoordinatorRow(NamedTuple):
    """A saga in a coordinator's table. `parked`: the reason; `asked`: interventions, as `a,b`."""

    saga_id: str
    service: str
    saga: str
    status: str
    step: str
    parked: str
    subject: str
    digest: str
    finished_at: float | None
    asked: str


class EntryRow(NamedTuple):
    """A barrier entry: a service's outcome for a step in one direction. `saga`: the saga's name,
    empty if the step was called by hand.
    """

    saga_id: str
    service: str
    saga: str
    step: str
    direction: str
    status: str | None
    code: str
    is_nothing: bool
    decided_at: float | None


class RequestsRow(NamedTuple):
    """The requests that the orchestrator has sent for a saga over messages: their routes, as
    `a,b`.
    """

    saga_id: str
    requests: str


class RowSource(NamedTuple):
    """A table of a service, read by saga. `statement`: selects the rows of all sagas; its first
    column is `saga_id`. `row`: the type of each row.
    """

    service: str
    row: type[Any]
    statement: str


_ACCEPTED = """
    SELECT saga_id, '{service}', saga, saga_pattern, coalesce(context ->> 'subject', ''), status,
           (total_amount * 100)::bigint,
           coalesce(context ->> 'data', ''), md5(coalesce(context ->> 'data', '')),
           extract(epoch FROM accepted_at)::float8, extract(epoch FROM handed_over_at)::float8,
           extract(epoch FROM ended_at)::float8,
           CASE WHEN dead_lettered_at IS NULL THEN '' ELSE dead_letter_reason END,
           extract(epoch FROM closed_at)::float8,
           coalesce(ended_at < now() - make_interval(secs => {keep}), false)
    FROM {table}
"""

_BARRIER = """
    SELECT saga_id, '{service}', saga, step, direction, status, code, data ? 'nothing_to_undo',
           extract(epoch FROM decided_at)::float8
    FROM {service}_barrierentry
"""

_RUNS = """
    SELECT saga_id, '{service}', {name}, status, {step}, parked_reason, subject,
           md5(coalesce(context ->> 'data', '')), extract(epoch FROM finished_at)::float8,
           (SELECT coalesce(string_agg(action, ','), '')
            FROM {service}_intervention AS asked WHERE asked.saga_id = saga.saga_id)
    FROM {service}_saga AS saga
"""
_COLUMNS = {
    **{service: {"name": "name", "step": "current_step"} for service in CONDUCTORS},
    "saga_choreography": {"name": "saga", "step": "parked_step"},
}
"""Each coordinator's columns for the saga's name and its current step."""

# Only young sagas, as sent messages are deleted after six hours.
ASKED = """
    SELECT saga.saga_id, coalesce(string_agg(DISTINCT event_type, ','), '')
    FROM saga_orchestrator_saga AS saga
    LEFT JOIN saga_orchestrator_outboxentry AS said ON said.saga_id = saga.saga_id
    WHERE pattern = 'orchestrated_messaging' AND started_at > now() - interval '5 hours'
    GROUP BY saga.saga_id
"""


class SagaSteps(NamedTuple):
    """A saga's definition as the rules need it. `forward`, `backward`: the steps that can be
    undone, up to the pivot and all, both in reverse order. `requests`: (route, step, direction).
    """

    saga: Saga
    steps: tuple[Step, ...]
    pivot: str
    forward: tuple[str, ...]
    backward: tuple[str, ...]
    requests: tuple[tuple[str, str, Direction], ...]


@cache
def steps_of(name: str) -> SagaSteps:
    """Raises KeyError if the catalogue has no such saga."""
    saga = SAGAS[name]
    undoable = [step.name for step in saga.steps if step.undone]
    before = [step.name for step in saga.steps[: saga.pivot] if step.undone]
    return SagaSteps(
        saga=saga,
        steps=saga.steps,
        pivot=saga.steps[saga.pivot].name if saga.pivot < len(saga.steps) else "",
        forward=tuple(reversed(before)),
        backward=tuple(reversed(undoable)),
        requests=tuple(
            (f"{name}.{call.request}", call.step.name, call.direction)
            for call in projection.calls(name)
            if call.direction is not Direction.BLOCK
        ),
    )


@dataclass(kw_only=True)
class Evidence:
    """The rows of one saga in all tables, by type. Surplus rows are kept, to be reported."""

    saga_id: str
    rows: Mapping[type[Any], Sequence[Any]]

    accepted: AcceptedRow | None = field(init=False)
    run: CoordinatorRow | None = field(init=False)
    runs: Sequence[CoordinatorRow] = field(init=False)
    entries: Sequence[EntryRow] = field(init=False)
    name: str = field(init=False)
    """The saga's name, from its owner, else from another service; empty if steps were only called
    by hand."""
    is_completed: bool = field(init=False)
    is_over: bool = field(init=False)
    """Whether it has ended for its owner, and for its coordinator if that still has it."""
    is_closed: bool = field(init=False)
    """Whether it ended so long ago that its coordinator, which deletes first, has deleted it, and
    services may have."""

    def __post_init__(self) -> None:
        # Computed once per saga: this saves a fifth of an audit's time.
        self.runs = self.of(CoordinatorRow)
        self.accepted = next(iter(self.of(AcceptedRow)), None)
        self.run = self.runs[0] if self.runs else None
        self.entries = self._own_entries()
        self._done = {
            entry.step: entry
            for entry in self.entries
            if entry.direction == "do" and entry.status == "done"
        }
        self._undone = {
            entry.step: entry
            for entry in self.entries
            if entry.direction == "undo" and entry.status == "done" and not entry.is_nothing
        }
        known = self.accepted or self.run or next(iter(self.entries), None)
        self.name = known.saga if known else ""
        self.is_completed = self.accepted is not None and self.accepted.status == "completed"
        ended = self.accepted is not None and self.accepted.ended_at is not None
        self.is_over = ended and all(run.status in FINAL for run in self.runs)
        closed = self.accepted is not None and (
            self.accepted.closed_at is not None or self.accepted.is_old
        )
        self.is_closed = closed and self.is_over and not self.runs

    def of(self, kind: type[T]) -> Sequence[T]:
        """Its rows of this kind."""
        return self.rows.get(kind, ())

    @property
    def definition(self) -> SagaSteps:
        return steps_of(self.name)

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """The input of its steps; empty if it can't be read."""
        try:
            return msgspec.json.decode(self.accepted.data if self.accepted else "{}", type=dict)
        except (msgspec.MsgspecError, RecursionError):
            return {}

    @property
    def is_by_hand(self) -> bool:
        """Whether only barriers have it, as its steps were called by hand under an id of their own.
        Rows that even no barrier has are effects without a cause.
        """
        return not self.name and bool(self.of(EntryRow))

    @property
    def is_local(self) -> bool:
        """Whether it was one transaction instead of a saga: the floor of a comparison."""
        return self.accepted is not None and self.accepted.pattern == MONOLITH

    @property
    def status(self) -> str:
        """Its owner's status; empty if no owner has it."""
        return self.accepted.status if self.accepted else ""

    @property
    def is_returned(self) -> bool:
        """Whether a person asked to undo it: a stop after the pivot becomes a return."""
        return any(asked in _BACK for asked in self._asked())

    @property
    def is_skipped(self) -> bool:
        """Whether an operator skipped a step, and so took responsibility for the result."""
        return "skip" in self._asked()

    def done(self, step: str) -> EntryRow | None:
        """The entry of the step, if it was done."""
        return self._done.get(step)

    def undone(self, step: str) -> EntryRow | None:
        """The entry of the step's undo, if it undid anything."""
        return self._undone.get(step)

    def _own_entries(self) -> Sequence[EntryRow]:
        """Without steps that were called by hand under its id: these name no saga, and no step of
        its definition. (Entries from before the barrier had the saga's name do name such a step.)
        """
        every = self.of(EntryRow)
        if all(entry.saga for entry in every):
            return every
        saga = self.accepted.saga if self.accepted else ""
        names = {step.name for step in SAGAS[saga].steps} if saga in SAGAS else set()
        return [entry for entry in every if entry.saga or entry.step in names]

    def _asked(self) -> list[str]:
        return [asked for run in self.runs if run.asked for asked in run.asked.split(",")]


_SAGA_ID = itemgetter(0)
"""Of any row."""
_BACK = frozenset({"return", "undo", "stop"})


def sources() -> list[RowSource]:
    """The tables in which every saga has rows."""
    return [
        *(
            RowSource(
                owner,
                AcceptedRow,
                _ACCEPTED.format(
                    service=owner,
                    table=accepted_table(service=owner),
                    keep=settings.KEEP_SECONDS,
                ),
            )
            for owner in owners()
        ),
        *(
            RowSource(
                coordinator,
                CoordinatorRow,
                _RUNS.format(service=coordinator, **_COLUMNS[coordinator]),
            )
            for coordinator in COORDINATORS
        ),
        *(
            RowSource(participant, EntryRow, _BARRIER.format(service=participant))
            for participant in PARTICIPANTS
        ),
        RowSource("saga_orchestrator", RequestsRow, ASKED),
    ]


def collect(*, more: Sequence[RowSource] = (), saga_id: str | None = None) -> Iterator[Evidence]:
    """Every saga that any service has, by id; or only `saga_id`. `more`: services' own tables."""
    with ExitStack() as open_now:
        tables = [_rows(source, open_now, saga_id) for source in (*sources(), *more)]
        for each, found in groupby(heapq.merge(*tables, key=_SAGA_ID), key=_SAGA_ID):
            rows: dict[type[Any], list[Any]] = {}
            for row in found:
                rows.setdefault(type(row), []).append(row)
            yield Evidence(saga_id=each, rows=rows)


def _rows(source: RowSource, open_now: ExitStack, saga_id: str | None) -> Iterator[Any]:
    """A table's rows in the order of the sagas' ids."""
    found = reading.streamed(
        open_now=open_now, service=source.service, statement=source.statement, saga_id=saga_id
    )
    return map(source.row._make, found)


def money(cents: int | None) -> str:
    """For people."""
    return "nothing" if cents is None else f"{cents / 100:.2f}"


def lines_of(items: Sequence[Mapping[str, Any]]) -> str:
    """As `1x2,3x1`, in the order of the products; empty if they can't be read."""
    try:
        found = sorted((str(item["product_id"]), item["quantity"]) for item in items)
    except (KeyError, TypeError):
        return ""
    return ",".join(f"{product}x{quantity}" for product, quantity in found)


def cents_of(amount: object) -> int | None:
    """An amount of money from a saga's data; None if it is not one."""
    try:
        return None if amount is None else round(Decimal(str(amount)) * 100)
    except (InvalidOperation, ValueError, OverflowError):
        return None
