"""What is special to a choreographed saga: nobody conducts, and the watchdog looks."""

from collections.abc import Iterator, Sequence

from checker.explorer.sagas.courier import Courier
from checker.explorer.sagas.stage import Stage
from checker.explorer.sagas.world import Coordinator
from checker.explorer.scheduling import Option
from contracts.context import Context
from saga_choreography import operations, watchdog
from saga_choreography.store import SERVICE

NUDGE_SECONDS = 11.0
PATIENCE_SECONDS = 31.0
"""A bit more than the settings' own: a nudge is due, and surely due."""


class Choreographed(Coordinator):
    def __init__(self, *, stage: Stage, courier: Courier) -> None:
        super().__init__(stage)
        self._courier = courier

    def clear(self) -> None:
        """It remembers nothing itself."""

    def start(self, contexts: Sequence[Context]) -> None:
        """The net for those whose first event nobody has heard."""
        operations.get_to_know(contexts=contexts)

    def faults(self) -> Iterator[Option]:
        if self._limits.left["early nudge"]:
            yield Option("early nudge", "the watchdog looks already", self._look_early)
        yield from super().faults()

    def ask(self, saga_id: str) -> None:
        super().ask(saga_id)
        self._courier.say(SERVICE)

    def wait(self, *, waits: int) -> list[str]:
        """Each lost message costs one look of the watchdog, and nothing else may cost one."""
        self._look_after(PATIENCE_SECONDS)
        lost = self._limits.spent("lose")
        if waits <= lost:
            return []
        return [f"it stands still, after {lost} lost messages and {waits - 1} nudges"]

    def _asked(self, saga_id: str) -> object:
        with self._stage.atomic(SERVICE):
            return operations.compensate(
                saga_id=saga_id, requested_by="eva", reason="", now=self._stage.now()
            )

    def _look_early(self, _: object) -> None:
        self._limits.spend("early nudge")
        self._look_after(NUDGE_SECONDS)

    def _look_after(self, seconds: float) -> None:
        super()._look_after(seconds)
        watchdog.look(now=self._stage.now())
        self._courier.say(SERVICE)
