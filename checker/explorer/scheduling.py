"""Plays one schedule in a world, step by step, until the world is over or something is broken."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from checker.explorer.choosing import Chooser

MOST_STEPS = 500
"""A schedule that is longer goes round in circles: every fault there is is bounded."""
PROGRESS = ""
"""The kind of an option that is no fault."""


class Option(NamedTuple):
    """Something that can happen now, to each of `variants`: as many options as there are of them.

    `text`: a format for the variant, made only to be read. `happen`: called with the variant.
    """

    kind: str
    text: str
    happen: Callable[[Any], None]
    variants: Sequence[Any] = (None,)


class World(Protocol):
    """What is explored. The same choices must lead to the same options, always."""

    @property
    def name(self) -> str:
        """How a schedule names it, in one word."""

    def begin(self, player: "Player") -> None:
        """Back to the beginning."""

    def options(self) -> Iterator[Option]:
        """What can happen now: what happens undisturbed first, then other progress, then faults.

        Asked for one by one, as far as somebody wants to know. Nothing: it is over.
        """

    def breaches(self) -> Sequence[str]:
        """What is broken that must hold at any moment."""

    def breaches_at_the_end(self) -> Sequence[str]:
        """What is broken once it is over."""

    def describe(self) -> str:
        """Where things stand, in a line for the reader of a story."""


class Played(NamedTuple):
    """A schedule that was played. `counts`: of the options, one a step, if they were counted."""

    steps: int
    deviations: dict[int, int]
    counts: list[int]
    kinds: list[str]
    breaches: list[str]


class Player:
    """Plays one schedule. `tell`: hears of every step, for a story."""

    def __init__(
        self,
        *,
        world: World,
        chooser: Chooser,
        counts: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._world = world
        self._chooser = chooser
        self._is_counting = counts
        self._tell = tell
        self._step = 0
        self._deviations: dict[int, int] = {}
        self._counts: list[int] = []
        self._kinds: list[str] = []
        self._has_resumed = False

    def play(self) -> Played:
        """From the beginning to the end."""
        world = self._world
        world.begin(self)
        broken: list[str] = []
        while not broken:
            if not self._take(world.options()):
                broken = list(world.breaches_at_the_end())
                break
            broken = self._broken()
        return Played(self._step, self._deviations, self._counts, self._kinds, broken)

    def meanwhile(self, *, who: str) -> None:
        """For whoever is suspended in the middle of a step: others go on, until they let `who`.

        Where nothing else can go on, it is `who`'s turn.
        """
        resume = Option(PROGRESS, "{0} goes on", self._resume, [who])
        is_resumed, self._has_resumed = self._has_resumed, False
        while not (self._has_resumed or self._broken()):
            self._take(_with(resume, self._world.options()))
        self._has_resumed = is_resumed

    def _take(self, options: Iterator[Option]) -> bool:
        """Has one of them happen; whether there was one. The others are only made if need be."""
        option = next(options, None)
        if option is None:
            return False
        variant = option.variants[0]
        deviates = self._chooser.deviates(step=self._step)
        if deviates or self._is_counting:
            found = [option, *options]
            count = sum(len(one.variants) for one in found)
            self._counts.append(count)
            if deviates and (index := self._chooser.choose(step=self._step, count=count)):
                self._deviations[self._step] = index
                option, variant = _picked(found, index)
        self._happen(option, variant)
        return True

    def _happen(self, option: Option, variant: Any) -> None:
        step = self._step
        self._step += 1  # before it happens: in the middle of it others may take steps
        if option.kind:
            self._kinds.append(option.kind)
        if self._tell:
            kind = f"   [{option.kind}]" if option.kind else ""
            self._tell(f"{step:>4}  {option.text.format(variant)}{kind}")
        option.happen(variant)
        if self._tell:
            self._tell(f"        {self._world.describe()}")

    def _broken(self) -> list[str]:
        if self._step >= MOST_STEPS:
            return [f"not over after {MOST_STEPS} steps"]
        return list(self._world.breaches())

    def _resume(self, who: str) -> None:
        self._has_resumed = True


def _with(resume: Option, options: Iterator[Option]) -> Iterator[Option]:
    """After all other progress."""
    is_placed = False
    for option in options:
        if option.kind and not is_placed:
            is_placed = True
            yield resume
        yield option
    if not is_placed:
        yield resume


def _picked(options: Sequence[Option], index: int) -> tuple[Option, Any]:
    for option in options:
        if index < len(option.variants):
            return option, option.variants[index]
        index -= len(option.variants)
    raise AssertionError("the chooser chose an option that there is not")
