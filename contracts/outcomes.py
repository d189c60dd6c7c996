"""The outcome of an operation for one command: done, refused, or waiting for a decision."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


class Described(Exception):
    """An error whose text is written for operators: what is wrong with a message, a row, a call or
    a broker.
    """

    @property
    def told(self) -> str:
        """The text that operators see."""
        return str(self)


class Done(msgspec.Struct, frozen=True, tag_field="outcome", tag="done"):
    """The effect is there. `data`: its result, for the caller."""

    data: Mapping[str, Any] = {}


class Refused(msgspec.Struct, frozen=True, tag_field="outcome", tag="refused"):
    """A business "no": nothing was changed, and asking again gives the same answer."""

    code: str
    detail: str = ""


class Waiting(msgspec.Struct, frozen=True, tag_field="outcome", tag="waiting"):
    """The step waits for a decision of a person, or of a system that answers later.

    `decided_by`: who decides (`manager`, `customer`, `card_network`). `until`: when the decision is
    overdue, by the clock of the service's database. `seconds`: how long the decision may take, as
    the operation returns it; `until` is calculated from it.
    """

    decided_by: str
    until: datetime | None = None
    seconds: float = 0.0


Outcome = Done | Refused | Waiting


class Busy(msgspec.Struct, frozen=True, tag_field="outcome", tag="busy"):
    """Nothing was decided: another transaction holds a row that this command needs. Retry later.

    Only in the answer to a list of commands, so that one command delays no other; never stored.
    """

    detail: str = ""


class Failure(msgspec.Struct, frozen=True):
    """Why a saga goes backward: the step, and its refusal (or a fault that outlasted its retries).

    `undone`: whether any undo has had an effect so far. In the end it tells, in every pattern, a
    compensated saga from one that failed before any effect.
    """

    step: str
    code: str
    detail: str = ""
    undone: bool = False


NOTHING_TO_UNDO = Done({"nothing_to_undo": True})
"""The outcome of an undo of a step that never happened; from now on it can't happen any more."""


SKIPPED = "skipped"
"""In the data of a step that an operator has skipped: the reason. Nothing happened here."""


def is_skipped(outcome: Outcome) -> bool:
    """Whether an operator has skipped the step, and seen to it otherwise."""
    return isinstance(outcome, Done) and SKIPPED in outcome.data


def word_of(outcome: Outcome) -> str:
    """done, refused or waiting, as in JSON."""
    return str(outcome.__struct_config__.tag)


def had_effect(outcome: Outcome) -> bool:
    """Whether this outcome of an undo means that something was undone."""
    return isinstance(outcome, Done) and "nothing_to_undo" not in outcome.data
