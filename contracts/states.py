"""The states of a saga and its steps, the same in every pattern, and how they are answered."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from contracts.bounds import Time
from contracts.outcomes import Failure
from contracts.saga import SAGAS


class SagaStatus(StrEnum):
    """`failed`: refused before any step took effect. `compensated`: effects were undone."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    FAILED = "failed"
    PARKED = "parked"

    @property
    def is_final(self) -> bool:
        """Whether the saga has ended (a parked saga waits for an operator, and has not)."""
        return self in FINAL


FINAL = frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED})
GOING_BACK = frozenset({SagaStatus.COMPENSATING, SagaStatus.COMPENSATED, SagaStatus.FAILED})
"""The statuses of a saga that was refused, or undone."""


class StepStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    COMPENSATED = "compensated"
    SKIPPED = "skipped"
    WAITING = "waiting"


class StepState(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `retry_count`: attempts beyond the first. `error`: the last refusal or fault."""

    step_name: str
    status: StepStatus = StepStatus.PENDING
    retry_count: int = 0
    started_at: Time | None = None
    finished_at: Time | None = None
    error: str | None = None
    response_data: Mapping[str, Any] = {}


class TrailEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a choreographed saga, as it was seen."""

    type: str
    event_id: str
    cause_id: str
    requested_at: Time | None
    occurred_at: Time
    seen_at: Time
    data: Mapping[str, Any] = {}


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """The step at which a saga can't go on without an operator, why, and since when."""

    step: str
    reason: str
    since: Time | None


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """A step that waits for a decision. `url`: where to POST the decision."""

    step: str
    decided_by: str
    since: Time
    until: Time
    url: str


class SagaState(msgspec.Struct, frozen=True, kw_only=True):
    """A saga. `subject`: the id of its cart, order or booking. `total_amount`: null if it has none.
    `failure`: why it went backward. `parked`: null unless it can't go on without an operator.
    `waiting`: null unless one of its steps waits for a decision. `events`: the trail (choreographed
    only).
    """

    saga: str
    saga_id: str
    saga_pattern: str
    status: SagaStatus
    current_step: str | None
    subject: str
    total_amount: str | None
    started_at: Time
    finished_at: Time | None
    failure: Failure | None
    steps: list[StepState]
    parked: Parked | None = None
    waiting: Awaited | None = None
    events: list[TrailEntry] | msgspec.UnsetType = msgspec.UNSET


class OpenSagas(NamedTuple):
    """How many sagas of a name and pattern are in a state that is not final: in_flight, waiting
    (for a decision) or parked; and the age of the oldest.
    """

    saga: str
    pattern: str
    state: str
    number: int
    oldest_seconds: float


class SagaSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The short form, for lists. `parked`, `waiting`: as in SagaState."""

    saga: str
    saga_id: str
    saga_pattern: str
    status: SagaStatus
    current_step: str | None
    subject: str
    started_at: Time
    finished_at: Time | None
    parked: Parked | None = None
    waiting: Awaited | None = None


State = Literal["ok", "error"]


class AnsweredState(SagaState, frozen=True, kw_only=True):
    """A saga as it is answered: also with its subject under its users' name (`cart_id`)."""

    state: State


class AnsweredSummary(SagaSummary, frozen=True, kw_only=True):
    """The short form as it is answered, in the same way."""

    state: State


def answered(found: SagaState | SagaSummary) -> dict[str, Any]:
    """The saga as it is answered: also with its subject under its users' name (`cart_id`), and with
    `state`: `ok`, or `error` from the first refusal on.
    """
    given: dict[str, Any] = msgspec.to_builtins(found)
    subject = SAGAS[found.saga].subject if found.saga in SAGAS else "subject"
    is_back = found.status in GOING_BACK or bool(given.get("failure"))
    return {**given, subject: found.subject, "state": "error" if is_back else "ok"}


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """A problem that lasts, since when, and what to do about it: /health, status and the admin show
    it. `stops_sagas`: whether it keeps sagas from moving, or only waits for an operator.
    """

    what: str
    since: Time
    do: str
    stops_sagas: bool = True


class Intervention(msgspec.Struct, frozen=True, kw_only=True):
    """Who intervenes in a saga or a message (by default the caller), and why."""

    requested_by: Annotated[str, msgspec.Meta(max_length=150)] = ""
    reason: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class InterventionWithReason(Intervention, frozen=True, kw_only=True):
    """An intervention that must have a reason, for later readers."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
