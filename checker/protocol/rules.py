"""What a rule is, and what its breach tells."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Found(NamedTuple):
    """Where a rule does not hold, and how."""

    where: str
    what: str


class Rule(NamedTuple):
    """`promise`: what holds when `find` finds nothing. `mend`: what to do when it does.

    `find` takes what the rules of its group look at: a protocol, or its journeys.
    """

    name: str
    promise: str
    mend: str
    find: Callable[[Any], Iterable[Found]]
