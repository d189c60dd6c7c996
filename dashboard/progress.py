"""The pictures of a saga's progress through its definition, from plain values."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace as Record
from typing import NamedTuple

from contracts.saga import Saga
from contracts.states import Awaited, SagaState, StepState, StepStatus

STEP_HEIGHT, FIRST_Y = 62, 8
_GLYPHS = {
    StepStatus.PENDING: "",
    StepStatus.RUNNING: "…",
    StepStatus.COMPLETED: "✓",
    StepStatus.FAILED: "✗",
    StepStatus.COMPENSATED: "↶",
    StepStatus.SKIPPED: "-",
    StepStatus.WAITING: "?",
}
_WORDS = {StepStatus.COMPLETED: "done", StepStatus.COMPENSATED: "undone"}


class FlowNode(NamedTuple):
    """A step in the picture. `note`: retries, waits or the refusal's code; `y`: its top; `middle`:
    its middle; `below`, `above`: the middles of the next and the previous step.
    """

    name: str
    about: str
    status: str
    glyph: str
    note: str
    is_here: bool
    is_pivot: bool
    is_undone: bool
    y: int
    middle: int
    below: int
    above: int


def flow(saga: Saga, state: SagaState | None, noted: Sequence[Record]) -> list[FlowNode]:
    """The saga's steps as its coordinator has them, or as the services have recorded them if the
    coordinator does not answer.
    """
    known = {step.step_name: step for step in state.steps} if state else {}
    nodes = []
    for position, step in enumerate(saga.steps):
        found = known.get(step.name) or _as_noted(step.name, noted)
        middle = FIRST_Y + position * STEP_HEIGHT + 22
        nodes.append(
            FlowNode(
                name=step.name,
                about=f"{step.service}, {step.step_class}",
                status=_WORDS.get(found.status, found.status),
                glyph=_GLYPHS[found.status],
                note=_note(found, state.waiting if state else None, noted),
                is_here=state is not None and step.name == state.current_step,
                is_pivot=position == saga.pivot,
                is_undone=found.status is StepStatus.COMPENSATED,
                y=middle - 22,
                middle=middle,
                below=middle + STEP_HEIGHT,
                above=middle - STEP_HEIGHT,
            )
        )
    return nodes


def height_of(nodes: Sequence[FlowNode]) -> int:
    return FIRST_Y + len(nodes) * STEP_HEIGHT


def _as_noted(step: str, noted: Sequence[Record]) -> StepState:
    rows = {row.direction: row for row in noted if row.step == step}
    do, undo = rows.get("do"), rows.get("undo")
    if do is None:
        return StepState(step_name=step)
    if undo and do.status == "done":
        status = StepStatus.COMPENSATED
    else:
        status = {
            "done": StepStatus.COMPLETED,
            "refused": StepStatus.FAILED,
            "waiting": StepStatus.WAITING,
        }.get(do.status or "", StepStatus.RUNNING)
    last = undo or do
    return StepState(
        step_name=step, status=status, started_at=do.entered_at, finished_at=last.decided_at
    )


def _note(step: StepState, waiting: Awaited | None, noted: Sequence[Record]) -> str:
    parts = []
    if step.retry_count:
        parts.append(f"{step.retry_count} {'retries' if step.retry_count > 1 else 'retry'}")
    if waiting and waiting.step == step.step_name:
        parts.append(f"waits for the {waiting.decided_by}")
    codes = [row.code for row in noted if row.step == step.step_name and row.code]
    if codes and step.status is StepStatus.FAILED:
        parts.append(codes[0])
    return ", ".join(parts)


SLOWER = 20
"""The factor by which a race is slowed down when it is shown again."""


class StepCell(NamedTuple):
    """A step of a saga in a race. `at`: when it was done or refused; `undone`: when it was undone;
    in milliseconds from the saga's acceptance.
    """

    status: str
    glyph: str
    code: str
    at: float | None
    undone: float | None


class Bar(NamedTuple):
    """A transaction of a service, in milliseconds from the saga's acceptance; `slowly`: its begin
    in the slowed-down race.
    """

    what: str
    kind: str
    begin: float
    took: float
    slowly: float


class Lane(NamedTuple):
    """A saga in a race. `took`: milliseconds to its end, or until now."""

    row: Record
    took: float
    cells: list[StepCell]
    bars: list[Bar]


def lane(saga: Saga, row: Record, noted: Sequence[Record]) -> Lane:
    """A saga's lane, from its owner's row and the services' records of its steps."""

    def after(at: datetime | None) -> float | None:
        return None if at is None else max(0.0, (at - row.accepted_at) / timedelta(milliseconds=1))

    cells = []
    for step in saga.steps:
        found = _as_noted(step.name, noted)
        is_never = row.ended_at and found.status is StepStatus.PENDING
        status = StepStatus.SKIPPED if is_never else found.status
        rows = {entry.direction: entry for entry in noted if entry.step == step.name}
        undo = rows.get("undo") if found.status is StepStatus.COMPENSATED else None
        cells.append(
            StepCell(
                status=_WORDS.get(status, status),
                glyph=_GLYPHS[status],
                code=next((entry.code for entry in rows.values() if entry.code), ""),
                at=after(rows["do"].decided_at) if "do" in rows else None,
                undone=after(undo.decided_at) if undo else None,
            )
        )
    bars = []
    for entry in noted:
        begin, end = after(entry.entered_at) or 0.0, after(entry.decided_at)
        kind = entry.status if entry.status == "refused" else entry.direction
        if end is not None:
            bars.append(Bar(entry.step, kind, begin, max(end - begin, 0.5), begin * SLOWER))
    took = after(row.ended_at or row.read_at) or 0.0
    return Lane(row=row, took=took, cells=cells, bars=bars)


def whole(lanes: Sequence[Lane]) -> float:
    """The milliseconds of the longest lane, so far."""
    ends = [bar.begin + bar.took for lane in lanes for bar in lane.bars]
    return max([1.0, *ends, *(lane.took for lane in lanes)])


def side_by_side(saga: Saga, lanes: Sequence[Lane]) -> Iterator[tuple[str, str, list[StepCell]]]:
    """A row for each step: its name, its service, and its cell in each lane."""
    for position, step in enumerate(saga.steps):
        yield step.name, step.service, [lane.cells[position] for lane in lanes]
