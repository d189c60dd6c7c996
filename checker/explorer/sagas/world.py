"""Some sagas as a world: its parts, what anybody may do to them, and what must hold."""

from collections.abc import Iterator, Mapping

from checker.explorer.sagas.coordinators import Coordinator
from checker.explorer.sagas.courier import Courier
from checker.explorer.sagas.deciding import Deciders
from checker.explorer.sagas.rules import ACCEPTED, COMPLETED, Standing, Steadiness
from checker.explorer.sagas.stage import Stage
from checker.explorer.scheduling import PROGRESS, Option, Player
from contracts.states import FINAL
from coordination.acceptance import is_own_start

MOST_ASKED = 2
"""How often somebody asks that the same saga be undone: an abort, a return, or too late."""
MOST_WAITS = 30


class SagaWorld:
    """A `scheduling.World`."""

    def __init__(
        self,
        *,
        stage: Stage,
        coordinator: Coordinator,
        courier: Courier | None,
        deciders: Deciders,
    ) -> None:
        self.name = f"{stage.pattern}/{stage.scenario.saga.name}/{stage.scenario.name}"
        self.stage = stage
        self._strike = stage.strike
        self._limits = stage.limits
        self._coordinator = coordinator
        self._courier = courier
        self._deciders = deciders
        self._starts_itself = is_own_start(stage.pattern)

    def begin(self, player: Player) -> None:
        self._strike.clear()
        self._strike.player = player
        self._limits.clear()
        contexts = self.stage.begin()
        if self._courier:
            self._courier.clear()
        self._coordinator.clear()
        self._deciders.clear()
        self._accepted = contexts
        self._asks = dict.fromkeys(self.stage.scenario.saga_ids, MOST_ASKED)
        self._waits = 0
        self._is_over = False
        self._broken: list[str] = []
        self._steadiness = Steadiness()
        self._standings: Mapping[str, Standing] = self.stage.standings()

    def options(self) -> Iterator[Option]:
        if self._is_over:
            return
        is_at_rest = True
        for option in self._progress():
            is_at_rest = False
            yield option
        if is_at_rest and not self._strike.depth:
            yield self._at_rest()
        if self._courier:
            yield from self._courier.faults()
        yield from self._coordinator.faults()
        yield from self._deciders.faults()
        yield from self._interferences()

    def breaches(self) -> list[str]:
        found = self._broken + self.stage.set_aside()
        self._standings = self.stage.standings()
        found += self._steadiness.breaches(now=self._standings, may_return=self._limits.may_return)
        return found

    def breaches_at_the_end(self) -> list[str]:
        found = list(self.stage.breaches(may_return=self._limits.may_return))
        if self._courier:
            found += self._courier.breaches_at_the_end()
        found += self._promises_broken()
        found += self._deciders.breaches_at_the_end()
        completed = sum(one.owner == COMPLETED for one in self._standings.values())
        if not self._limits.is_interfered and completed not in self.stage.scenario.completing:
            found.append(f"{completed} completed, and nobody had interfered")
        return found

    def _promises_broken(self) -> Iterator[str]:
        """Whoever was answered that a saga will be undone finds it undone in the end."""
        for saga_id in sorted(self._limits.promised):
            if self._standings[saga_id].owner == COMPLETED:
                yield f"{saga_id}: it was promised to be undone, and is completed"

    def describe(self) -> str:
        return self.stage.describe()

    def _at_rest(self) -> Option:
        if all(one.run in FINAL for one in self._standings.values()):
            return Option(PROGRESS, "nothing more happens", self._end)
        return Option(PROGRESS, "nothing moves, and time goes by", self._wait)

    def _progress(self) -> Iterator[Option]:
        if self._courier:
            self._courier.look()
        if self._accepted and not self._starts_itself:
            yield Option(PROGRESS, "their owner hands over", self._hand_over)
        if self._courier:
            yield from self._courier.progress()
        yield from self._coordinator.progress()
        yield from self._deciders.progress()

    def _interferences(self) -> Iterator[Option]:
        if self._limits.left["crash"] and self._accepted:
            text = "their owner hands over, and the answer is lost"
            yield Option("reply lost", text, self._hand_over_in_doubt)
        if self._accepted and self._starts_itself:
            text = "their owner hands over already what has not ended"
            yield Option("net", text, self._hand_over_the_rest)
        standings = self._standings
        if asked := [one for one in standings if standings[one].run and self._asks[one]]:
            yield Option("ask", "somebody asks that {0} be undone", self._ask, asked)

    def _hand_over(self, _: object) -> None:
        accepted, self._accepted = self._accepted, []
        self._coordinator.start(accepted)

    def _hand_over_the_rest(self, _: object = None) -> None:
        """The net, where they start by themselves: of those that have not ended."""
        is_open = {one for one, known in self._standings.items() if known.owner == ACCEPTED}
        self._accepted = [one for one in self._accepted if one.saga_id in is_open]
        if self._accepted:
            self._hand_over(None)

    def _hand_over_in_doubt(self, _: object) -> None:
        """They are still among those to be handed over."""
        self._limits.spend("crash")
        self._coordinator.start(self._accepted)

    def _wait(self, _: object) -> None:
        self._waits += 1
        self._broken += self.stage.forgotten()
        if self._starts_itself:
            self._hand_over_the_rest()
        self._broken += self._coordinator.wait(waits=self._waits)
        if self._waits > MOST_WAITS:
            self._broken.append("not all has ended, however long one waits")

    def _end(self, _: object) -> None:
        self._is_over = True

    def _ask(self, saga_id: str) -> None:
        self._asks[saga_id] -= 1
        self._limits.is_interfered = True
        self._coordinator.ask(saga_id)
