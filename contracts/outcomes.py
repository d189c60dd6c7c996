"""What an operation answers for one command: done, or refused."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Done(msgspec.Struct, frozen=True, tag_field="outcome", tag="done"):
    """The effect is there. `data`: what the caller may want to know of it."""

    data: Mapping[str, Any] = {}


class Refused(msgspec.Struct, frozen=True, tag_field="outcome", tag="refused"):
    """A business "no": nothing was changed, and asking again gives the same answer."""

    code: str
    detail: str = ""


Outcome = Done | Refused


class Failure(msgspec.Struct, frozen=True):
    """Why a saga goes backward: the step, and the refusal (or the fault that was given up)."""

    step: str
    code: str
    detail: str = ""
