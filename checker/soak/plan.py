"""Which faults a soak makes, on whom and when: all of it follows from the seed, up front.

Every soak begins with each kind once (restarts: of each server), in random order. After that, what
is left of a deck with every kind on every target is dealt out, shuffled, and then the next deck: so
a long soak meets all of them, about equally often.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stack.services import SERVICES

POSTGRES, RABBITMQ = "postgres", "rabbitmq"
SERVERS = (POSTGRES, RABBITMQ)
PROCESSES = tuple(name for one in SERVICES if one.has_worker for name in one.processes)
QUEUES = tuple(one.name for one in SERVICES if one.has_worker)
"""The services, each of which has one."""

SECONDS = {
    "pause": (1.0, 10.0),
    "cut": (0.0, 3.0),
    "lock": (1.0, 8.0),
    "read-only": (1.0, 8.0),
    "usurp": (1.0, 5.0),
}
"""How long each lasts; the others are moments. A cut: how long nobody can connect again."""
FIRST_AT = 1.0


class Kind(StrEnum):
    """What a soak does to the shop."""

    KILL = "kill"
    """SIGKILL."""
    PAUSE = "pause"
    """SIGSTOP, and SIGCONT seconds later."""
    CUT = "cut"
    """All connections of services to a server end, and for a while there are no new ones."""
    RESTART = "restart"
    """A server is asked to end, and started again."""
    PURGE = "purge"
    """A service's worker is killed, and all messages in its queue are lost for good."""
    LOCK = "lock"
    """Somebody forgets a transaction that holds a row of a service."""
    READ_ONLY = "read-only"
    """A service's database answers, but takes no writes, as after a failover."""
    MIGRATE = "migrate"
    """A column of a service changes its type, and prepared plans are stale."""
    FOREIGN = "foreign"
    """Another program's messages come to a service's queue: unreadable, odd, and far too big."""
    USURP = "usurp"
    """A service's queue is gone, and somebody else's of the same name is there."""
    DUPLICATE = "duplicate"
    """All the time: a share of messages and requests comes twice."""


TARGETS = {
    Kind.KILL: (*PROCESSES, *SERVERS),
    Kind.PAUSE: (*PROCESSES, *SERVERS),
    Kind.CUT: SERVERS,
    Kind.RESTART: SERVERS,
    **dict.fromkeys(
        (Kind.PURGE, Kind.LOCK, Kind.READ_ONLY, Kind.MIGRATE, Kind.FOREIGN, Kind.USURP), QUEUES
    ),
}
"""Of each kind that is made at moments."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`at`: seconds after the load's start; `seconds`: how long it lasts, 0 for a moment."""

    number: int
    at: float
    kind: Kind
    target: str
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind.value} {self.target}{lasting}"


def faults(*, kinds: Sequence[Kind], seconds: float, every: float, seed: str) -> list[Fault]:
    """Those of one load, in order; none lasts longer than the load.

    `every`: seconds from one to the next, on average (half to one and a half of it).
    """
    chance = random.Random(seed)  # noqa: S311 -- a plan to repeat, no secret
    dealt = _dealt([one for one in kinds if one in TARGETS], chance)
    found: list[Fault] = []
    at = FIRST_AT
    for number, (kind, target) in enumerate(dealt, start=1):
        lasts = min(_seconds(kind, chance), seconds / 4)
        if at + lasts >= seconds:
            break
        found.append(Fault(number=number, at=at, kind=kind, target=target, seconds=lasts))
        at += every * chance.uniform(0.5, 1.5)
    return found


def _dealt(kinds: Sequence[Kind], chance: random.Random) -> Iterator[tuple[Kind, str]]:
    deck = [(kind, target) for kind in kinds for target in TARGETS[kind]]
    first = [
        (kind, target)
        for kind in kinds
        for target in (SERVERS if kind is Kind.RESTART else [chance.choice(TARGETS[kind])])
    ]
    yield from chance.sample(first, len(first))
    rest = [one for one in deck if one not in first]
    while deck:
        yield from chance.sample(rest, len(rest))
        rest = deck


def _seconds(kind: Kind, chance: random.Random) -> float:
    return chance.uniform(*SECONDS[kind]) if kind in SECONDS else 0.0
