"""A shop as a world: its parts, what anybody may do to it, and what must hold."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from carrito.handover import Handover
from checker.explorer.scheduling import PROGRESS, Option, Player
from checker.explorer.shop.courier import Courier
from checker.explorer.shop.limits import Limits
from checker.explorer.shop.shops import Shop
from checker.explorer.shop.steadiness import Standing, Steadiness
from checker.explorer.striking import Crashed, Strike
from contracts.commands import Checkout
from contracts.statuses import FINAL, Pattern
from httpapi.client import Answer, Unreachable
from inventario.operations import expire

MOST_ASKED = 2
"""How often somebody asks that the same saga be undone: an abort, a return, or too late."""
MOST_WAITS = 30


class Coordinator(Protocol):
    """What is special to a pattern."""

    pattern: Pattern

    def clear(self) -> None: ...

    def start(self, checkouts: Sequence[Checkout]) -> None:
        """Its door for carrito's hand-over."""

    def progress(self) -> Iterator[Option]: ...

    def faults(self) -> Iterator[Option]: ...

    def ask(self, saga_id: str) -> None:
        """Somebody asks that the saga be undone."""

    def wait(self, *, waits: int) -> list[str]:
        """Nothing moves, and not all has ended: time goes by. What is broken in that."""


class ShopWorld:
    """A `scheduling.World`."""

    def __init__(
        self,
        *,
        shop: Shop,
        strike: Strike,
        limits: Limits,
        coordinator: Coordinator,
        courier: Courier | None,
    ) -> None:
        self.name = f"{coordinator.pattern}/{shop.scenario.name}"
        self.shop = shop
        self._strike = strike
        self._limits = limits
        self._coordinator = coordinator
        self._courier = courier
        self._handover = Handover(pattern=coordinator.pattern, url="http://coordinator", path="/")
        self._handover.client = self  # type: ignore[assignment]  # it only posts

    def begin(self, player: Player) -> None:
        self._strike.clear()
        self._strike.player = player
        self._limits.clear()
        self.shop.begin()
        if self._courier:
            self._courier.clear()
        self._coordinator.clear()
        self._asks = dict.fromkeys(self.shop.saga_ids, MOST_ASKED)
        self._loses_reply = False
        self._waits = 0
        self._is_over = False
        self._broken: list[str] = []
        self._steadiness = Steadiness()
        self._standings: Mapping[str, Standing] = self.shop.standings()

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
        yield from self._interferences()

    def breaches(self) -> list[str]:
        found = self._broken + self.shop.set_aside()
        self._standings = self.shop.standings()
        found += self._steadiness.breaches(now=self._standings, may_return=self._limits.may_return)
        return found

    def breaches_at_the_end(self) -> list[str]:
        found = list(self.shop.breaches())
        if self._courier:
            found += self._courier.breaches_at_the_end()
        found += self._promises_broken()
        sales = sum(one.checkout == "completed" for one in self._standings.values())
        if not self._limits.is_interfered and sales not in self.shop.scenario.sales:
            found.append(f"{sales} sold, and nobody had interfered")
        return found

    def _promises_broken(self) -> Iterator[str]:
        """Whoever was answered that a saga will be undone finds it undone in the end."""
        for saga_id in sorted(self._limits.promised):
            if self._standings[saga_id].checkout == "completed":
                yield f"3: {saga_id}: it was promised to be undone, and is completed"

    def describe(self) -> str:
        return self.shop.describe()

    def post(self, *, path: str, body: Sequence[Checkout]) -> Answer:
        """The coordinator's door, as carrito's hand-over calls it."""
        self._coordinator.start(body)
        if self._loses_reply:
            self._loses_reply = False
            raise Unreachable("the answer was lost")
        return Answer(207, msgspec.json.encode([{"outcome": "done"} for _ in body]))

    def _at_rest(self) -> Option:
        if all(one.run in FINAL for one in self._standings.values()):
            return Option(PROGRESS, "nothing more happens", self._end)
        return Option(PROGRESS, "nothing moves, and time goes by", self._wait)

    def _progress(self) -> Iterator[Option]:
        if self._courier:
            self._courier.look()
        if self.shop.is_to_be_handed_over():
            yield Option(PROGRESS, "carrito hands over", self._hand_over)
        if self._courier:
            yield from self._courier.progress()
        yield from self._coordinator.progress()

    def _interferences(self) -> Iterator[Option]:
        if self._limits.left["crash"] and self.shop.is_to_be_handed_over():
            text = "carrito hands over, and the answer is lost"
            yield Option("reply lost", text, self._hand_over_in_doubt)
            text = "carrito hands over, and crashes at handover.before_mark"
            yield Option("crash handover.before_mark", text, self._hand_over_and_crash)
        standings = self._standings
        if asked := [one for one in standings if standings[one].run and self._asks[one]]:
            yield Option("ask", "somebody asks that {0} be undone", self._ask, asked)
        if expiring := self.shop.expiring():
            yield Option("expire", "the reservation of {0} expires", self._expire, expiring)

    def _hand_over(self, _: object) -> None:
        self._handover.hand_over_once()

    def _hand_over_in_doubt(self, _: object) -> None:
        self._limits.spend("crash")
        self._loses_reply = True
        with suppress(Unreachable):  # it is still among those to be handed over
            self._handover.hand_over_once()

    def _hand_over_and_crash(self, _: object) -> None:
        self._limits.spend("crash")
        self._strike.crash(at="handover.before_mark")
        with suppress(Crashed):  # as above
            self._handover.hand_over_once()
        self._strike.clear()

    def _wait(self, _: object) -> None:
        self._waits += 1
        self._broken += self._coordinator.wait(waits=self._waits)
        if self._waits > MOST_WAITS:
            self._broken.append("3: not all has ended, however long one waits")

    def _end(self, _: object) -> None:
        self._is_over = True

    def _ask(self, saga_id: str) -> None:
        self._asks[saga_id] -= 1
        self._limits.is_interfered = True
        self._coordinator.ask(saga_id)

    def _expire(self, saga_id: str) -> None:
        self._limits.is_interfered = True
        self.shop.let_expire(saga_id)
        expire()
