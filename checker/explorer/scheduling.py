"""A schedule is a list of choices between possible events; this module plays and shrinks them.

At each step the environment offers its options; the first is the undisturbed one. A schedule is
written as its deviations from that: `3:5 8:1` takes option 5 at step 3 and option 1 at step 8. So
the undisturbed run is the empty schedule, a short line is a simple case, and "all schedules with at
most two deviations" is a bound that can be enumerated (compare delay-bounded scheduling: Emmi,
Qadeer and Rakamaric, POPL 2011).
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Deviations = Mapping[int, int]
"""Step to option; other steps take option 0."""

RATES = (0.15, 0.25, 0.35, 0.5)
"""The rate of random deviations; each schedule draws one, so that some have long smooth parts."""
MOST_STEPS = 500
"""A longer schedule is an endless loop, as the number of faults is limited."""
PROGRESS = ""
"""The kind of an option that is no fault."""
MOST_TRIES = 2_000
"""For shrinking a schedule."""


class Chooser(Protocol):
    """Picks an option at each step."""

    def deviates(self, *, step: int) -> bool:
        """Whether to choose another option than 0 at this step. Called once a step."""

    def choose(self, *, step: int, count: int) -> int:
        """The index of one of `count` options (at least 1), if it deviates."""


class GivenChoices:
    """Follows written deviations; a deviation to an option that does not exist is ignored."""

    def __init__(self, deviations: Deviations) -> None:
        self._deviations = deviations

    def deviates(self, *, step: int) -> bool:
        return step in self._deviations

    def choose(self, *, step: int, count: int) -> int:
        wanted = self._deviations[step]
        return wanted if wanted < count else 0


class Chance:
    """Deviates at random; the same seed deviates the same way."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- repeatable, not secret
        self._rate = self._random.choice(RATES)

    def deviates(self, *, step: int) -> bool:
        return self._random.random() < self._rate

    def choose(self, *, step: int, count: int) -> int:
        return 1 + int(self._random.random() * (count - 1)) if count > 1 else 0


def written(deviations: Deviations) -> str:
    """As text: `3:5 8:1`."""
    return " ".join(f"{step}:{option}" for step, option in sorted(deviations.items()))


def read(text: str) -> dict[int, int]:
    """The inverse of `written`. Raises ValueError."""
    deviations = {}
    for part in text.split():
        step, colon, option = part.partition(":")
        if not (colon and step.isdecimal() and option.isdecimal()):
            raise ValueError(f"{part!r} is not STEP:OPTION, as in 3:5")
        deviations[int(step)] = int(option)
    return deviations


class Option(NamedTuple):
    """An event that can happen now, to each of `variants`, which count as separate options.

    `text`: a format with the variant, for readers. `happen`: called with the variant.
    """

    kind: str
    text: str
    happen: Callable[[Any], None]
    variants: Sequence[Any] = (None,)


class Environment(Protocol):
    """A system to explore. The same choices must always lead to the same options."""

    @property
    def name(self) -> str:
        """One word, for a written schedule."""

    def begin(self, player: "Player") -> None:
        """Resets the system."""

    def options(self) -> Iterator[Option]:
        """The possible next events: the undisturbed one first, then other progress, then faults.

        Consumed one by one, as far as needed. No option: the run is over.
        """

    def breaches(self) -> Sequence[str]:
        """The breaches of what must hold at any moment."""

    def breaches_at_the_end(self) -> Sequence[str]:
        """The breaches of what must hold when the run is over."""

    def describe(self) -> str:
        """The state, in a line."""


class Played(NamedTuple):
    """A schedule that was played. `counts`: the number of options at each step, if counted."""

    steps: int
    deviations: dict[int, int]
    counts: list[int]
    kinds: list[str]
    breaches: list[str]


class Player:
    """Plays one schedule. `tell`: called with a text for every step."""

    def __init__(
        self,
        *,
        environment: Environment,
        chooser: Chooser,
        counts: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._environment = environment
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
        environment = self._environment
        environment.begin(self)
        broken: list[str] = []
        while not broken:
            if not self._take(environment.options()):
                broken = list(environment.breaches_at_the_end())
                break
            broken = self._broken()
        return Played(self._step, self._deviations, self._counts, self._kinds, broken)

    def meanwhile(self, *, who: str) -> None:
        """While `who` is suspended in the middle of a step, plays other options, until the choice
        is to resume `who`, or nothing else can happen.
        """
        resume = Option(PROGRESS, "{0} goes on", self._resume, [who])
        is_resumed, self._has_resumed = self._has_resumed, False
        while not (self._has_resumed or self._broken()):
            self._take(_with(resume, self._environment.options()))
        self._has_resumed = is_resumed

    def _take(self, options: Iterator[Option]) -> bool:
        """Plays one option; False if there is none. Makes no more options than needed."""
        option = next(options, None)
        if option is None:
            return False
        variant = option.variants[0]
        deviates = self._chooser.deviates(step=self._step)
        if deviates or self._is_counting:
            found = [option, *options]
            count = sum(len(option.variants) for option in found)
            self._counts.append(count)
            if deviates and (index := self._chooser.choose(step=self._step, count=count)):
                self._deviations[self._step] = index
                option, variant = _picked(found, index)
        self._happen(option, variant)
        return True

    def _happen(self, option: Option, variant: Any) -> None:
        step = self._step
        self._step += 1  # before it happens: other steps may be taken in the middle of it
        if option.kind:
            self._kinds.append(option.kind)
        if self._tell:
            kind = f"   [{option.kind}]" if option.kind else ""
            self._tell(f"{step:>4}  {option.text.format(variant)}{kind}")
        option.happen(variant)
        if self._tell:
            self._tell(f"        {self._environment.describe()}")

    def _broken(self) -> list[str]:
        if self._step >= MOST_STEPS:
            return [f"not over after {MOST_STEPS} steps"]
        return list(self._environment.breaches())

    def _resume(self, who: str) -> None:
        self._has_resumed = True


def _with(resume: Option, options: Iterator[Option]) -> Iterator[Option]:
    """The options, with `resume` after all other progress."""
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
    raise AssertionError("the chooser chose an option that does not exist")


def shrink(*, environment: Environment, deviations: Deviations) -> Played:
    """Shrinks a failing schedule as long as it still fails: first deviations are removed, then each
    is made smaller. It may end with another breach than at first.
    """
    search = _Search(environment)
    best = search.play(deviations)
    before = None
    while best.deviations != before and search.tries_left > 0:
        before = best.deviations
        best = search.lowered(search.left_out(best))
    return best


class _Search:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.tries_left = MOST_TRIES

    def play(self, deviations: Deviations) -> Played:
        self.tries_left -= 1
        return Player(environment=self._environment, chooser=GivenChoices(deviations)).play()

    def left_out(self, best: Played) -> Played:
        """Removes large parts first, then single deviations."""
        size = max(1, len(best.deviations) // 2)
        while size and self.tries_left > 0:
            kept = sorted(best.deviations.items())
            parts = [dict(kept[:at] + kept[at + size :]) for at in range(0, len(kept), size)]
            found = self._first(best, parts)
            best, size = (found, min(size, len(found.deviations))) if found else (best, size // 2)
        return best

    def lowered(self, best: Played) -> Played:
        """Tries smaller options: they are simpler."""
        for step, option in sorted(best.deviations.items()):
            if step in best.deviations:
                lower = [{**best.deviations, step: smaller} for smaller in range(1, option)]
                best = self._first(best, lower) or best
        return best

    def _first(self, best: Played, candidates: list[dict[int, int]]) -> Played | None:
        for candidate in candidates:
            if self.tries_left <= 0:
                return None
            played = self.play(candidate)
            if played.breaches and _size(played) < _size(best):
                return played
        return None


def _size(played: Played) -> tuple[int, int]:
    return len(played.deviations), sum(played.deviations.values())
