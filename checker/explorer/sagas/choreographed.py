"""What is special to a choreographed saga: nobody conducts, and the watchdog looks."""

from collections.abc import Iterator, Sequence

from checker.explorer.sagas.courier import Courier
from checker.explorer.sagas.scenarios import Limits
from checker.explorer.sagas.stage import Stage, deadline_seconds
from checker.explorer.scheduling import Option
from contracts import patterns
from contracts.context import Context
from contracts.outcomes import Refused
from saga_choreography import operations, watchdog
from saga_choreography.store import SERVICE

NUDGE_SECONDS = 11.0
PATIENCE_SECONDS = 31.0
"""A bit more than the settings' own: a nudge is due, and surely due."""


class Choreographed:
    """A `world.Coordinator`."""

    pattern = patterns.CHOREOGRAPHED

    def __init__(self, *, stage: Stage, limits: Limits, courier: Courier) -> None:
        self._stage = stage
        self._limits = limits
        self._courier = courier

    def clear(self) -> None:
        """It remembers nothing itself."""

    def start(self, contexts: Sequence[Context]) -> None:
        """The net for those whose first event nobody has heard."""
        operations.get_to_know(contexts=contexts)

    def progress(self) -> Iterator[Option]:
        return iter(())

    def faults(self) -> Iterator[Option]:
        if self._limits.left["early nudge"]:
            yield Option("early nudge", "the watchdog looks already", self._look_early)
        if self._limits.left["deadline"]:
            yield Option("deadline", "all that runs is too late now", self._pass_deadline)

    def ask(self, saga_id: str) -> None:
        with self._stage.atomic(SERVICE):
            asked = operations.compensate(
                saga_id=saga_id, requested_by="eva", reason="", now=self._stage.now()
            )
        if not isinstance(asked, Refused):
            self._limits.promise(saga_id)
        self._courier.say(SERVICE)

    def wait(self, *, waits: int) -> list[str]:
        """Each lost message costs one look of the watchdog, and nothing else may cost one."""
        self._look(PATIENCE_SECONDS)
        lost = self._limits.spent("lose")
        if waits <= lost:
            return []
        return [f"it stands still, after {lost} lost messages and {waits - 1} nudges"]

    def _look_early(self, _: object) -> None:
        self._limits.spend("early nudge")
        self._look(NUDGE_SECONDS)

    def _pass_deadline(self, _: object) -> None:
        self._limits.spend("deadline")
        self._limits.is_interfered = True
        self._look(deadline_seconds(self._stage.scenario.saga))

    def _look(self, seconds: float) -> None:
        self._stage.passes(seconds)
        watchdog.look(now=self._stage.now())
        self._courier.say(SERVICE)
