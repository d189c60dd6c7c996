"""The kinds of faults, their targets, and the plan of a soak, which follows from its seed.

Every soak begins with each kind once (restarts: of each server), in random order. Then come all
other combinations of kind and target, shuffled, then all combinations again: so a long soak makes
all of them, about equally often.
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
    """A service's processes are stopped, one after the other, and started again seconds later."""
    CUT = "cut"
    """All connections of services to a server end, and new ones are refused for a while."""
    RESTART = "restart"
    """A server is stopped, and started again."""
    PURGE = "purge"
    """A service's worker is killed, and all messages in its queue are lost."""
    LOCK = "lock"
    """A forgotten transaction keeps a row of a service locked."""
    READ_ONLY = "read-only"
    """A service's database is read-only, as after a failover."""
    MIGRATE = "migrate"
    """A column of a service changes its type, which invalidates prepared plans."""
    FOREIGN = "foreign"
    """Messages of another program reach a service's queue: unreadable, odd, and far too big."""
    USURP = "usurp"
    """Another program's queue of the same name replaces a service's queue."""
    DUPLICATE = "duplicate"
    """All the time: a share of messages and requests arrives twice."""


SECONDS = {
    FaultKind.PAUSE: (1.0, 10.0),
    FaultKind.AWAY: (1.0, 8.0),
    FaultKind.CUT: (0.0, 3.0),
    FaultKind.LOCK: (1.0, 8.0),
    FaultKind.READ_ONLY: (1.0, 8.0),
    FaultKind.USURP: (1.0, 5.0),
}
"""The range of each duration; other kinds have none. Of a cut: how long no client can reconnect."""


def targets(*, services: Sequence[str]) -> dict[FaultKind, Sequence[str]]:
    """By kind (but for DUPLICATE): processes, servers, services, or services with a queue."""
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
    return tuple(name for service in services for name in processes_of(BY_NAME[service]))


@dataclass(frozen=True, kw_only=True)
class PlannedFault:
    """`at`: seconds after the load's start; `seconds`: its duration, 0 if it has none."""

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
    """The faults of one load, in order; all end before the load does.

    `services`: their targets. `every`: mean seconds from one fault to the next (0.5 to 1.5 times
    this).
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
