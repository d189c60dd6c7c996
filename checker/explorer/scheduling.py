"""A schedule: the list of choices among what could happen; and how it is played.

At each step the environment offers its options; the first is what happens where nothing goes wrong.
A schedule is written as its deviations from that: `3:5 8:1`, at step 3 the option 5, at step 8 the
option 1. So the undisturbed run is the empty schedule, a short line is a simple story, and "all
schedules with at most two deviations" is a bound that can be enumerated (compare delay-bounded
scheduling: Emmi, Qadeer and Rakamaric, POPL 2011).
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Deviations = Mapping[int, int]
"""Step to option; other steps take option 0."""

RATES = (0.15, 0.25, 0.35, 0.5)
"""How often chance deviates; each schedule draws one of these, so that some are smooth for long."""
MOST_STEPS = 500
"""A schedule that is longer goes round in circles: every fault there is is bounded."""
PROGRESS = ""
"""The kind of an option that is no fault."""
MOST_TRIES = 2_000
"""To make a schedule short."""


class Chooser(Protocol):
    """Decides what happens."""

    def deviates(self, *, step: int) -> bool:
        """Whether something else than option 0 may happen at this step. Asked once a step."""

    def choose(self, *, step: int, count: int) -> int:
        """One of `count` options (at least 1), where it deviates."""


class GivenChoices:
    """Follows written deviations; one that names an option that is not there is left out."""

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
    """The deviations in a text. Raises ValueError where it is not of that form."""
    deviations = {}
    for part in text.split():
        step, colon, option = part.partition(":")
        if not (colon and step.isdecimal() and option.isdecimal()):
            raise ValueError(f"{part!r} is not STEP:OPTION, as in 3:5")
        deviations[int(step)] = int(option)
    return deviations


class Option(NamedTuple):
    """Something that can happen now, to each of `variants`: as many options as there are of them.

    `text`: a format for the variant, made only to be read. `happen`: called with the variant.
    """

    kind: str
    text: str
    happen: Callable[[Any], None]
    variants: Sequence[Any] = (None,)


class Environment(Protocol):
    """What is explored. The same choices must lead to the same options, always."""

    @property
    def name(self) -> str:
        """How a schedule names it, in one word."""

    def begin(self, player: "Player") -> None:
        """Back to the beginning."""

    def options(self) -> Iterator[Option]:
        """What can happen now: what happens undisturbed first, then other progress, then faults.

        Asked for one by one, as far as needed. Nothing: it is over.
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
    """Plays one schedule. `tell`: called with every step, for a story."""

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
        """While `who` is suspended in the middle of a step: others go on, until they let it.

        Where nothing else can go on, it is `who`'s turn.
        """
        resume = Option(PROGRESS, "{0} goes on", self._resume, [who])
        is_resumed, self._has_resumed = self._has_resumed, False
        while not (self._has_resumed or self._broken()):
            self._take(_with(resume, self._environment.options()))
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
            count = sum(len(option.variants) for option in found)
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
            self._tell(f"        {self._environment.describe()}")

    def _broken(self) -> list[str]:
        if self._step >= MOST_STEPS:
            return [f"not over after {MOST_STEPS} steps"]
        return list(self._environment.breaches())

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


def shrink(*, environment: Environment, deviations: Deviations) -> Played:
    """A schedule that breaks something, made shorter as long as it still does: first deviations
    are left out, then each is made smaller.

    Which breach it ends in may change on the way: any is one too many.
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
        """Without large parts first, then without single deviations."""
        size = max(1, len(best.deviations) // 2)
        while size and self.tries_left > 0:
            kept = sorted(best.deviations.items())
            parts = [dict(kept[:at] + kept[at + size :]) for at in range(0, len(kept), size)]
            found = self._first(best, parts)
            best, size = (found, min(size, len(found.deviations))) if found else (best, size // 2)
        return best

    def lowered(self, best: Played) -> Played:
        """An option further up is the simpler one; a step earlier the shorter story."""
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
