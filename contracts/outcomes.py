"""What an operation answers for one command: done, refused, or that somebody else decides."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


class Described(Exception):
    """An error whose own words are for who runs the shop: what is wrong with a message, a row, a
    call or a broker.
    """

    @property
    def told(self) -> str:
        """What is shown of it."""
        return str(self)


class Done(msgspec.Struct, frozen=True, tag_field="outcome", tag="done"):
    """The effect is there. `data`: what the caller may want to know of it."""

    data: Mapping[str, Any] = {}


class Refused(msgspec.Struct, frozen=True, tag_field="outcome", tag="refused"):
    """A business "no": nothing was changed, and asking again gives the same answer."""

    code: str
    detail: str = ""


class Waiting(msgspec.Struct, frozen=True, tag_field="outcome", tag="waiting"):
    """The step has asked, and somebody else decides: a person, or a system that answers later.

    `decided_by`: who that is (`manager`, `customer`, `card_network`). `until`: when the decision is
    overdue, by the clock of the service's database; `seconds`: how long it may take from now on,
    as an operation says it, before `until` is reckoned from that.
    """

    decided_by: str
    until: datetime | None = None
    seconds: float = 0.0


Outcome = Done | Refused | Waiting


class Busy(msgspec.Struct, frozen=True, tag_field="outcome", tag="busy"):
    """Nothing was decided: somebody else holds a row that this command needs. Ask again later.

    Only where a list of commands is answered, so that one of them holds up no other; never stored.
    """

    detail: str = ""


class Failure(msgspec.Struct, frozen=True):
    """Why a saga goes backward: the step, and the refusal (or the fault that was given up).

    `undone`: whether any undo has had an effect so far. It tells, in the end and in every pattern,
    a saga that is compensated from one that failed before anything had happened.
    """

    step: str
    code: str
    detail: str = ""
    undone: bool = False


NOTHING_TO_UNDO = Done({"nothing_to_undo": True})
"""What an undo answers where the step never happened; from now on it can't happen any more."""


SKIPPED = "skipped"
"""In the data of a step that a person has seen to otherwise: the reason. Nothing happened here."""


def is_skipped(outcome: Outcome) -> bool:
    """Whether a person has seen to the step otherwise."""
    return isinstance(outcome, Done) and SKIPPED in outcome.data


def word_of(outcome: Outcome) -> str:
    """done, refused or waiting: as it travels."""
    return str(outcome.__struct_config__.tag)


def had_effect(outcome: Outcome) -> bool:
    """Whether this outcome of an undo tells that something was undone."""
    return isinstance(outcome, Done) and "nothing_to_undo" not in outcome.data
