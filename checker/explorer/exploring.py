"""Explores worlds: first all schedules with few deviations, then random ones beyond, from a seed.

Systematically: the undisturbed schedule, then all with one deviation, with two, ... as long as the
whole next level fits into what is asked for. The rest are random, and only those that were not
played before are counted.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from checker.explorer.choosing import Chance, Chooser, Deviations, Given
from checker.explorer.scheduling import Played, Player, World
from checker.explorer.shrinking import shrink

MOST_DEVIATIONS = 2
"""Levels beyond are far too many to be played systematically."""
TELL_SECONDS = 1.0
SAMPLED = 0.8
"""The share of what is left for the level that does not fit."""
MOST_ATTEMPTS = 3
"""Random schedules a wanted one; a small world has no more that are different."""


class Share(NamedTuple):
    """Which part of the work is done here: the `index`-th of `of`."""

    index: int = 0
    of: int = 1


ALL = Share()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that breaks something, made short."""

    world: str
    deviations: dict[int, int]
    breaches: list[str]


class Explored(msgspec.Struct, kw_only=True):
    """What was played here. `keys`: of each different schedule. `levels`: world to the number of
    deviations up to which every schedule was played. `kinds`: schedules with that kind of fault.
    """

    keys: set[int] = msgspec.field(default_factory=set)
    played: int = 0
    steps: int = 0
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    levels: dict[str, int] = msgspec.field(default_factory=dict)
    failure: Failure | None = None


class Explorer:
    """Explores the worlds one after the other, and ends at the first failure.

    `schedules`: how many different ones in all worlds and shares. `tell`: hears once a second.
    """

    def __init__(
        self,
        *,
        worlds: Mapping[str, World],
        schedules: int,
        seed: int,
        deviations: int = MOST_DEVIATIONS,
        share: Share = ALL,
        tell: Callable[[Explored], None] | None = None,
    ) -> None:
        self._worlds = worlds
        self._schedules = schedules
        self._seed = seed
        self._deviations = deviations
        self._share = share
        self._tell = tell
        self._tell_at = 0.0
        self.explored = Explored()

    def explore(self) -> Explored:
        """Plays them; the result is the same for the same seed and shares."""
        for number, world in enumerate(self._worlds.values()):
            wanted = self._schedules * (number + 1) // len(self._worlds) // self._share.of
            for chooser in self._choosers(world, wanted):
                self._play(number, world, chooser)
                if self.explored.failure:
                    return self.explored
        return self.explored

    def _choosers(self, world: World, wanted: int) -> Iterator["_Remembered"]:
        yield from self._systematic(world, wanted)
        attempts = MOST_ATTEMPTS * (wanted - len(self.explored.keys))
        for number in range(self._share.index, attempts * self._share.of, self._share.of):
            if len(self.explored.keys) >= wanted:
                return
            yield _Remembered(Chance(f"{self._seed} {world.name} {number}"))

    def _systematic(self, world: World, wanted: int) -> Iterator["_Remembered"]:
        """Level by level. Whoever plays a schedule plays all that deviate further."""
        first = _Remembered(Given({}), counts=self._deviations > 0)
        yield first
        level = [first.played]
        self.explored.levels[world.name] = 0
        for depth in range(1, self._deviations + 1):
            children = [one for played in level for one in _further(played)]
            if depth == 1:
                children = children[self._share.index :: self._share.of]
            room = wanted - len(self.explored.keys)
            if len(children) > room:
                yield from self._sample(children, room, f"{world.name} {self._share.index}")
                return
            level = []
            for one in children:
                chooser = _Remembered(Given(one), counts=depth < self._deviations)
                yield chooser
                level.append(chooser.played)
            self.explored.levels[world.name] = depth

    def _sample(
        self, children: list[dict[int, int]], room: int, of: str
    ) -> Iterator["_Remembered"]:
        """Some of a level that does not fit: no two alike, and room is left for wilder ones."""
        chance = random.Random(f"{self._seed} {of}")  # noqa: S311 -- repeatable, not secret
        for one in chance.sample(children, int(room * SAMPLED)):
            yield _Remembered(Given(one))

    def _play(self, number: int, world: World, chooser: "_Remembered") -> None:
        played = chooser.play(world)
        explored = self.explored
        explored.played += 1
        explored.steps += played.steps
        key = hash((number, tuple(played.deviations.items())))
        if key not in explored.keys:
            explored.keys.add(key)
            explored.kinds.update(set(played.kinds))
        if played.breaches:
            explored.failure = shortest(world=world, deviations=played.deviations)
        if self._tell and (now := time.monotonic()) >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            self._tell(explored)


def shortest(*, world: World, deviations: Deviations) -> Failure:
    """The failure of a schedule that fails, made short."""
    played = shrink(world=world, deviations=deviations)
    return Failure(world=world.name, deviations=played.deviations, breaches=played.breaches)


class _Remembered:
    """A chooser, and what was played with it."""

    def __init__(self, chooser: Chooser, *, counts: bool = False) -> None:
        self._chooser = chooser
        self._is_counting = counts
        self.played: Played

    def play(self, world: World) -> Played:
        player = Player(world=world, chooser=self._chooser, counts=self._is_counting)
        self.played = player.play()
        return self.played


def _further(played: Played) -> Iterator[dict[int, int]]:
    """The schedules that deviate once more, after the last deviation of this one."""
    start = max(played.deviations, default=-1) + 1
    for step, count in enumerate(played.counts[start:], start=start):
        for option in range(1, count):
            yield {**played.deviations, step: option}


def merged(parts: Sequence[Explored]) -> Explored:
    """All shares together; what two have played alike counts once, as a schedule."""
    levels: dict[str, int] = {}
    for part in parts:
        for world, level in part.levels.items():
            levels[world] = min(level, levels.get(world, level))
    return Explored(
        keys=set().union(*(part.keys for part in parts)),
        played=sum(part.played for part in parts),
        steps=sum(part.steps for part in parts),
        kinds=sum((part.kinds for part in parts), Counter()),
        levels=levels,
        failure=next((part.failure for part in parts if part.failure), None),
    )
