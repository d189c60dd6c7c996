"""Messages: heard in any order, doubled, lost; and services that die or are slow over them.

Undisturbed, they are heard in the order in which they were said, each service says what it has
committed at once, and whoever only watches hears last, all at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from checker.explorer.sagas.ears import BEFORE_CONFIRM, BEFORE_WRITE, Ears, Mouth, Waiting
from checker.explorer.sagas.limits import Limits
from checker.explorer.sagas.stage import Stage
from checker.explorer.scheduling import PROGRESS, Option
from checker.explorer.striking import Crashed, Strike
from messaging.brokers.memory import MemoryBroker
from messaging.consumer import Consumer
from messaging.reactions import Reaction
from messaging.relay import Relay

BEFORE_COMMIT, AFTER_COMMIT = "performing.before_commit", "performing.after_commit"
CRASHES = (
    BEFORE_COMMIT,
    AFTER_COMMIT,
    "consumer.taken",
    "consumer.acked",
    BEFORE_WRITE,
    BEFORE_CONFIRM,
)
CRASHES_OF_WATCHER = ("tracking.before_commit", "tracking.after_commit")
SLOW = ("after reading", BEFORE_COMMIT)
"""Where a transaction may be slow: locked and read but not written; all but committed."""


class Courier:
    """The services' queues and outboxes. `watcher`: the service that only watches, if one does."""

    def __init__(
        self,
        *,
        stage: Stage,
        broker: MemoryBroker,
        strike: Strike,
        limits: Limits,
        reactions: Mapping[str, Sequence[Reaction]],
        watcher: str = "",
    ) -> None:
        self._stage = stage
        self._broker = broker
        self._strike = strike
        self._limits = limits
        self._watcher = watcher
        consumers = {
            service: Consumer(service=service, broker=broker, reactions=heard)
            for service, heard in reactions.items()
        }
        mouth = Mouth(broker=broker, strike=strike)
        self._relays = {
            service: Relay(service=service, broker=mouth)  # type: ignore[arg-type]  # it only publishes
            for service in consumers
        }
        self._ears = Ears(broker=broker, strike=strike, consumers=consumers)
        self._crashes = {at: partial(self._crash, at) for at in CRASHES}
        self._overlaps = {at: partial(self._overlap, at) for at in SLOW}

    def clear(self) -> None:
        self._broker.purge()
        self._ears.clear()

    def say(self, service: str) -> None:
        """The service's relay sends what waits in its outbox."""
        with suppress(Crashed):  # what was published by then will be published again
            self._relays[service].relay_once()

    def look(self) -> None:
        """Sees what waits now: before the options are asked for."""
        queues = self._ears.waiting()
        self._watched = queues.pop(self._watcher, [])
        self._waiting = sorted(one for queue in queues.values() for one in queue)

    def progress(self) -> Iterator[Option]:
        if unsent := self._stage.unsent():
            yield Option(PROGRESS, "{0} says what it had not said", self.say, unsent)
        if self._waiting:
            yield Option(PROGRESS, "{0}", self._hear, self._waiting)
        if self._watched:
            yield Option(PROGRESS, "{0} hears all that waits", self._hear_all, [self._watcher])

    def faults(self) -> Iterator[Option]:
        left, waiting = self._limits.left, self._waiting
        # Of what waits for the watcher only the newest: the order of the others says nothing new.
        any_one = waiting + self._watched[-1:]
        if left["double"]:
            yield Option("double", "doubled: {0}", self._double, any_one)
        if left["lose"]:
            yield Option("lose", "lost: {0}", self._lose, any_one)
        if len(self._watched) > 1:
            yield Option("late", "{0}, before what is older", self._hear, self._watched[-1:])
        if left["crash"]:
            for at, crash in self._crashes.items():
                yield Option("crash " + at, "{0}, and crashes at " + at, crash, waiting)
            if self._watched:
                text = "the watcher hears all that waits, and crashes at {0}"
                yield Option("crash tracking", text, self._crash_watcher, CRASHES_OF_WATCHER)
        if left["overlap"] and self._stage.can_overlap and self._strike.depth < 2:
            for at, overlap in self._overlaps.items():
                yield Option("overlap", "{0}, and is slow " + at, overlap, waiting)

    def breaches_at_the_end(self) -> list[str]:
        found = [f"{one} has something left in its outbox" for one in self._stage.unsent()]
        left = {service for service, queue in self._ears.waiting().items() if queue}
        return found + [f"{one} has messages left in its queue" for one in sorted(left)]

    def _hear(self, one: Waiting) -> None:
        if self._ears.hear(one):
            self.say(one.service)

    def _hear_all(self, service: str) -> None:
        self._ears.hear_all(service)

    def _double(self, one: Waiting) -> None:
        self._limits.spend("double")
        self._ears.double(one)

    def _lose(self, one: Waiting) -> None:
        self._limits.spend("lose")
        self._ears.lose(one)

    def _crash(self, at: str, one: Waiting) -> None:
        self._limits.spend("crash")
        self._strike.crash(at=at)
        self._hear(one)
        self._strike.clear()

    def _crash_watcher(self, at: str) -> None:
        self._limits.spend("crash")
        self._strike.crash(at=at)
        self._hear_all(self._watcher)
        self._strike.clear()

    def _overlap(self, at: str, one: Waiting) -> None:
        self._limits.spend("overlap")
        self._strike.pause(at=at, who=one.service)
        self._hear(one)
        self._strike.clear()
