"""The trail and a saga's row as plain values: what `state` folds and what `trail` stores."""

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

from contracts.outcomes import Failure


class Stage(IntEnum):
    """How far a saga has come. It only ever grows, so late and doubled events change nothing."""

    RUNNING = 0
    COMPENSATING = 1
    COMPLETED = 2
    RETURNING = 3
    ENDED = 4


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event carried beyond the saga's context."""

    result: Mapping[str, Any] = {}
    failure: Failure | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a saga, as it was first seen."""

    saga_id: str
    event_type: str
    event_id: str
    cause_id: str
    requested_at: datetime | None
    occurred_at: datetime
    seen_at: datetime
    data: Said


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """A saga's row at a new stage. `watch_at`: None once nobody need look after it."""

    saga_id: str
    stage: Stage
    status: str
    failure_step: str
    failure_code: str
    failure_detail: str
    finished_at: datetime | None
    watch_at: datetime | None


class Locked(NamedTuple):
    """A saga's row while it is locked. `stage`: None where the row holds none that there is.
    `is_stopped`: a person has asked that it be undone, and was answered that it will be.
    """

    stage: Stage | None
    is_stopped: bool = False


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A saga that the watchdog looks at; its row is locked. `is_stopped`: as in `Locked`."""

    saga_id: str
    context: msgspec.Raw
    stage: Stage
    started_at: datetime
    nudges: int
    nudged_at: datetime | None
    is_stopped: bool = False
    parked_step: str = ""
    parked_reason: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the watchdog decided for a saga that it had claimed."""

    saga_id: str
    watch_at: datetime | None
    nudges: int
    nudged_at: datetime | None
    parked_at: datetime | None = None
    parked_step: str = ""
    parked_reason: str = ""


class Stop(NamedTuple):
    """Who asked that a saga be undone while it ran, and why."""

    requested_by: str
    reason: str
