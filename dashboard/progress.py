"""Where a saga is on its page: the picture of its flow, from plain values."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from contracts.saga import Saga
from contracts.states import Awaited, SagaState, StepState, StepStatus
from dashboard.store import Noted

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


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A step in the picture. `note`: what it is, and how it went. `y`: of its top."""

    name: str
    service: str
    step_class: str
    status: str
    glyph: str
    note: str
    y: int
    is_here: bool
    is_pivot: bool
    is_undone: bool

    @property
    def middle(self) -> int:
        return self.y + 22

    @property
    def bottom(self) -> int:
        return self.y + STEP_HEIGHT + 22

    @property
    def above(self) -> int:
        """The middle of the step before it."""
        return self.middle - STEP_HEIGHT


def flow(page: Saga, state: SagaState | None, noted: Sequence[Noted]) -> list[Node]:
    """The steps of the page, each as its coordinator has it, or, where that can't be asked, as its
    service has noted it."""
    known = {step.step_name: step for step in state.steps} if state else {}
    current = state.current_step if state else None
    waiting = state.waiting if state else None
    nodes = []
    for position, step in enumerate(page.steps):
        told = known.get(step.name) or _as_noted(step.name, noted)
        nodes.append(
            Node(
                name=step.name,
                service=step.service,
                step_class=step.step_class,
                status=_WORDS.get(told.status, told.status),
                glyph=_GLYPHS[told.status],
                note=_note(told, waiting, noted),
                y=FIRST_Y + position * STEP_HEIGHT,
                is_here=step.name == current,
                is_pivot=position == page.pivot,
                is_undone=told.status is StepStatus.COMPENSATED,
            )
        )
    return nodes


def height_of(nodes: Sequence[Node]) -> int:
    return FIRST_Y + len(nodes) * STEP_HEIGHT


def _as_noted(step: str, noted: Sequence[Noted]) -> StepState:
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


def _note(told: StepState, waiting: Awaited | None, noted: Sequence[Noted]) -> str:
    parts = []
    if told.retry_count:
        parts.append(f"{told.retry_count} {'retries' if told.retry_count > 1 else 'retry'}")
    if waiting and waiting.step == told.step_name:
        parts.append(f"waits for the {waiting.decided_by}")
    codes = [row.code for row in noted if row.step == told.step_name and row.code]
    if codes and told.status is StepStatus.FAILED:
        parts.append(codes[0])
    return ", ".join(parts)


class Race(msgspec.Struct, frozen=True, kw_only=True):
    """A lane of a race: a saga in its pattern. `steps`: by name, the state and the milliseconds
    from the acceptance at which the step was done, and undone."""

    saga_id: str
    pattern: str
    status: str
    milliseconds: int | None
    code: str
    steps: list[tuple[str, str, str, str]]


def lane(
    page: Saga,
    *,
    saga_id: str,
    pattern: str,
    status: str,
    code: str,
    accepted_at: datetime,
    ended_at: datetime | None,
    noted: Sequence[Noted],
) -> Race:
    """The lane of a saga, from what the services have noted of it."""

    def after(at: datetime | None) -> str:
        return (
            "" if at is None else f"{max(0, round((at - accepted_at).total_seconds() * 1000))} ms"
        )

    steps = []
    for step in page.steps:
        rows: Mapping[str, Noted] = {row.direction: row for row in noted if row.step == step.name}
        told = _as_noted(step.name, noted)
        do, undo = rows.get("do"), rows.get("undo")
        is_undone = told.status is StepStatus.COMPENSATED
        steps.append(
            (
                _WORDS.get(told.status, str(told.status)),
                _GLYPHS[told.status],
                after(do.decided_at) if do else "",
                after(undo.decided_at) if undo and is_undone else (do.code if do else ""),
            )
        )
    took = round((ended_at - accepted_at).total_seconds() * 1000) if ended_at else None
    return Race(
        saga_id=saga_id, pattern=pattern, status=status, milliseconds=took, code=code, steps=steps
    )


def side_by_side(page: Saga, lanes: Sequence[Race]) -> Iterator[tuple[str, str, list[tuple]]]:
    """A row a step: its name, its service, and how it stands in each lane."""
    for position, step in enumerate(page.steps):
        yield step.name, step.service, [lane.steps[position] for lane in lanes]
