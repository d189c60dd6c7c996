"""Where a saga is on its page: the picture of its flow, from plain values."""

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


class Node(NamedTuple):
    """A step in the picture. `note`: how it went; `y`: of its top, `middle`, and those of the next
    and the one before."""

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


def flow(page: Saga, state: SagaState | None, noted: Sequence[Record]) -> list[Node]:
    """The steps of the page, each as its coordinator has it, or, where that can't be asked, as its
    service has noted it."""
    known = {step.step_name: step for step in state.steps} if state else {}
    nodes = []
    for position, step in enumerate(page.steps):
        told = known.get(step.name) or _as_noted(step.name, noted)
        middle = FIRST_Y + position * STEP_HEIGHT + 22
        nodes.append(
            Node(
                name=step.name,
                about=f"{step.service}, {step.step_class}",
                status=_WORDS.get(told.status, told.status),
                glyph=_GLYPHS[told.status],
                note=_note(told, state.waiting if state else None, noted),
                is_here=state is not None and step.name == state.current_step,
                is_pivot=position == page.pivot,
                is_undone=told.status is StepStatus.COMPENSATED,
                y=middle - 22,
                middle=middle,
                below=middle + STEP_HEIGHT,
                above=middle - STEP_HEIGHT,
            )
        )
    return nodes


def height_of(nodes: Sequence[Node]) -> int:
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


def _note(told: StepState, waiting: Awaited | None, noted: Sequence[Record]) -> str:
    parts = []
    if told.retry_count:
        parts.append(f"{told.retry_count} {'retries' if told.retry_count > 1 else 'retry'}")
    if waiting and waiting.step == told.step_name:
        parts.append(f"waits for the {waiting.decided_by}")
    codes = [row.code for row in noted if row.step == told.step_name and row.code]
    if codes and told.status is StepStatus.FAILED:
        parts.append(codes[0])
    return ", ".join(parts)


SLOWER = 20
"""So many times slower than it went, a race is shown again."""


class StepCell(NamedTuple):
    """A step of a saga in a race. `at`: when it was done, or refused; `undone`: when that was taken
    back; in milliseconds from the acceptance of its saga."""

    status: str
    glyph: str
    code: str
    at: float | None
    undone: float | None


class Bar(NamedTuple):
    """A transaction of a service, in milliseconds from the acceptance; `slowly`: when it begins in
    the slow show."""

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


def lane(page: Saga, row: Record, noted: Sequence[Record]) -> Lane:
    """The lane of a saga, by the owner's row and what the services have noted of it."""

    def after(at: datetime | None) -> float | None:
        return None if at is None else max(0.0, (at - row.accepted_at) / timedelta(milliseconds=1))

    cells = []
    for step in page.steps:
        told = _as_noted(step.name, noted)
        is_never = row.ended_at and told.status is StepStatus.PENDING
        status = StepStatus.SKIPPED if is_never else told.status
        rows = {one.direction: one for one in noted if one.step == step.name}
        undo = rows.get("undo") if told.status is StepStatus.COMPENSATED else None
        cells.append(
            StepCell(
                status=_WORDS.get(status, status),
                glyph=_GLYPHS[status],
                code=next((one.code for one in rows.values() if one.code), ""),
                at=after(rows["do"].decided_at) if "do" in rows else None,
                undone=after(undo.decided_at) if undo else None,
            )
        )
    bars = []
    for one in noted:
        begin, end = after(one.entered_at) or 0.0, after(one.decided_at)
        kind = one.status if one.status == "refused" else one.direction
        if end is not None:
            bars.append(Bar(one.step, kind, begin, max(end - begin, 0.5), begin * SLOWER))
    took = after(row.ended_at or row.read_at) or 0.0
    return Lane(row=row, took=took, cells=cells, bars=bars)


def whole(lanes: Sequence[Lane]) -> float:
    """How many milliseconds the longest of them has, so far."""
    ends = [bar.begin + bar.took for one in lanes for bar in one.bars]
    return max([1.0, *ends, *(one.took for one in lanes)])


def side_by_side(page: Saga, lanes: Sequence[Lane]) -> Iterator[tuple[str, str, list[StepCell]]]:
    """A row a step: its name, its service, and how it stands in each lane."""
    for position, step in enumerate(page.steps):
        yield step.name, step.service, [one.cells[position] for one in lanes]
