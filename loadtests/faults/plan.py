"""Faults: what each kind does and on whom; and which ones a soak makes, and when. All of a soak's
follow from its seed, up front.

Every soak begins with each kind once (restarts: of each server), in random order. After that, what
is left of a deck with every kind on every target is dealt out, shuffled, and then the next deck: so
a long soak meets all of them, about equally often.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from catalogue.services import BY_NAME
from stack.services import processes_of

POSTGRES, RABBITMQ = "postgres", "rabbitmq"
SERVERS = (POSTGRES, RABBITMQ)
FIRST_AT = 1.0


class FaultKind(StrEnum):
    """What is done to the shop."""

    KILL = "kill"
    """SIGKILL."""
    PAUSE = "pause"
    """SIGSTOP, and SIGCONT seconds later."""
    AWAY = "away"
    """A service's processes are asked to end, one after the other, and started seconds later."""
    CUT = "cut"
    """All connections of services to a server end, and for a while there are no new ones."""
    RESTART = "restart"
    """A server is asked to end, and started again."""
    PURGE = "purge"
    """A service's worker is killed, and all messages in its queue are lost for good."""
    LOCK = "lock"
    """A session forgets its transaction, which holds a row of a service."""
    READ_ONLY = "read-only"
    """A service's database answers, but takes no writes, as after a failover."""
    MIGRATE = "migrate"
    """A column of a service changes its type, and prepared plans are stale."""
    FOREIGN = "foreign"
    """Another program's messages come to a service's queue: unreadable, odd, and far too big."""
    USURP = "usurp"
    """A service's queue is gone, and another program's of the same name is there."""
    DUPLICATE = "duplicate"
    """All the time: a share of messages and requests comes twice."""


SECONDS = {
    FaultKind.PAUSE: (1.0, 10.0),
    FaultKind.AWAY: (1.0, 8.0),
    FaultKind.CUT: (0.0, 3.0),
    FaultKind.LOCK: (1.0, 8.0),
    FaultKind.READ_ONLY: (1.0, 8.0),
    FaultKind.USURP: (1.0, 5.0),
}
"""How long each lasts; the others are moments. A cut: how long no client can connect again."""


def targets(*, services: Sequence[str]) -> dict[FaultKind, Sequence[str]]:
    """Of each kind that is made at moments: the processes of these services, the servers, or the
    services, each of which has a database, and most a queue.
    """
    with_queue = [service for service in services if BY_NAME[service].has_worker]
    processes = processes_among(services=services)
    return {
        FaultKind.KILL: (*processes, *SERVERS),
        FaultKind.PAUSE: (*processes, *SERVERS),
        FaultKind.AWAY: services,
        FaultKind.CUT: SERVERS,
        FaultKind.RESTART: SERVERS,
        **dict.fromkeys((FaultKind.LOCK, FaultKind.READ_ONLY, FaultKind.MIGRATE), services),
        **dict.fromkeys((FaultKind.PURGE, FaultKind.FOREIGN, FaultKind.USURP), with_queue),
    }


def processes_among(*, services: Sequence[str]) -> tuple[str, ...]:
    """The processes of these services."""
    return tuple(name for service in services for name in processes_of(BY_NAME[service]))


@dataclass(frozen=True, kw_only=True)
class PlannedFault:
    """`at`: seconds after the load's start; `seconds`: how long it lasts, 0 for a moment."""

    number: int
    at: float
    kind: FaultKind
    target: str
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.kind.value} {self.target}{lasting}"


def faults(
    *, kinds: Sequence[FaultKind], services: Sequence[str], seconds: float, every: float, seed: str
) -> list[PlannedFault]:
    """Those of one load, in order; none lasts longer than the load.

    `services`: on whom. `every`: seconds from one to the next, on average (half to one and a half
    of it).
    """
    on = targets(services=services)
    chance = random.Random(seed)  # noqa: S311 -- a plan to repeat, no secret
    dealt = _dealt({kind: on[kind] for kind in kinds if kind in on}, chance)
    found: list[PlannedFault] = []
    at = FIRST_AT
    for number, (kind, target) in enumerate(dealt, start=1):
        lasts = min(_seconds(kind, chance), seconds / 4)
        if at + lasts >= seconds:
            break
        found.append(PlannedFault(number=number, at=at, kind=kind, target=target, seconds=lasts))
        at += every * chance.uniform(0.5, 1.5)
    return found


def _dealt(
    on: Mapping[FaultKind, Sequence[str]], chance: random.Random
) -> Iterator[tuple[FaultKind, str]]:
    deck = [(kind, target) for kind, targets in on.items() for target in targets]
    first = [
        (kind, target)
        for kind, targets in on.items()
        for target in (SERVERS if kind is FaultKind.RESTART else [chance.choice(targets)])
    ]
    yield from chance.sample(first, len(first))
    rest = [dealt for dealt in deck if dealt not in first]
    while deck:
        yield from chance.sample(rest, len(rest))
        rest = deck


def _seconds(kind: FaultKind, chance: random.Random) -> float:
    return chance.uniform(*SECONDS[kind]) if kind in SECONDS else 0.0
