"""A small environment: a counter that must not reach its limit."""

from collections.abc import Iterator

from checker.explorer.scheduling import PROGRESS, Option, Player


class Toy:
    """Ends after `steps` steps; each may add one, or (a fault) two or three instead.

    `limit`: the sum that breaks it. `pauses`: the second step may be suspended while others go on.
    """

    name = "toy"

    def __init__(self, *, steps: int = 4, limit: int = 100, pauses: bool = False) -> None:
        self.steps = steps
        self.limit = limit
        self.pauses = pauses
        self.begun = 0

    def begin(self, player: Player) -> None:
        self._player = player
        self.begun += 1
        self.sum = 0
        self.left = self.steps
        self.story: list[str] = []

    def options(self) -> Iterator[Option]:
        if self.left:
            yield Option(PROGRESS, "one", self._add, [1])
            yield Option("more", "{0}", self._add, [2, 3])
        if self.left and self.pauses:
            yield Option("pause", "slow", self._pause)

    def breaches(self) -> list[str]:
        return [f"{self.sum} is too much"] if self.sum >= self.limit else []

    def breaches_at_the_end(self) -> list[str]:
        return []

    def describe(self) -> str:
        return f"sum {self.sum}"

    def _add(self, number: int) -> None:
        self.left -= 1
        self.sum += number
        self.story.append(str(number))

    def _pause(self, _: None) -> None:
        self.left -= 1
        self.pauses = False
        self.story.append("slow")
        self._player.meanwhile(who="it")
        self.story.append("goes on")
        self.pauses = True
