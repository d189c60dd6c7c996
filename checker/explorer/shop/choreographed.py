"""What is special to the choreographed shop: nobody conducts, and the watchdog looks."""

from collections.abc import Iterator, Sequence

import carrito.reactions
import inventario.reactions
import pagos.reactions
import saga_choreography.reactions
from checker.explorer.scheduling import Option
from checker.explorer.shop.courier import Courier
from checker.explorer.shop.limits import Limits
from checker.explorer.shop.shops import Shop
from contracts.commands import Checkout
from contracts.outcomes import Refused
from contracts.statuses import Pattern
from messaging.reactions import Reaction
from saga_choreography import checkout, operations, watchdog
from saga_choreography.checkout import SERVICE

NUDGE_SECONDS = 11.0
PATIENCE_SECONDS = 31.0
DEADLINE_SECONDS = 121.0
"""A bit more than the settings' own: a nudge is due, surely due, a saga's time is over."""


def reactions() -> dict[str, Sequence[Reaction]]:
    """What each service has registered, asked for when a world is made."""
    return {
        "inventario": inventario.reactions.REACTIONS,
        "pagos": pagos.reactions.REACTIONS,
        "carrito": carrito.reactions.REACTIONS,
        SERVICE: saga_choreography.reactions.REACTIONS,
    }


class Choreographed:
    """A `world.Coordinator`."""

    pattern = Pattern.CHOREOGRAPHED

    def __init__(self, *, shop: Shop, limits: Limits, courier: Courier) -> None:
        self._shop = shop
        self._limits = limits
        self._courier = courier

    def clear(self) -> None:
        """It remembers nothing itself."""

    def start(self, checkouts: Sequence[Checkout]) -> None:
        with self._shop.atomic(SERVICE):
            checkout.start(checkouts=checkouts, now=self._shop.now())
        self._courier.say(SERVICE)

    def progress(self) -> Iterator[Option]:
        return iter(())

    def faults(self) -> Iterator[Option]:
        if self._limits.left["early nudge"]:
            yield Option("early nudge", "the watchdog looks already", self._look_early)
        if self._limits.left["deadline"]:
            yield Option("deadline", "all that runs is too late now", self._pass_deadline)

    def ask(self, saga_id: str) -> None:
        with self._shop.atomic(SERVICE):
            asked = operations.compensate(
                saga_id=saga_id, requested_by="eva", reason="", now=self._shop.now()
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
        return [f"3: it stands still, after {lost} lost messages and {waits - 1} nudges"]

    def _look_early(self, _: object) -> None:
        self._limits.spend("early nudge")
        self._look(NUDGE_SECONDS)

    def _pass_deadline(self, _: object) -> None:
        self._limits.spend("deadline")
        self._limits.is_interfered = True
        self._look(DEADLINE_SECONDS)

    def _look(self, seconds: float) -> None:
        self._shop.passes(seconds)
        watchdog.look(now=self._shop.now())
        self._courier.say(SERVICE)
