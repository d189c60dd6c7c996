"""Explores environments: first all schedules with few deviations, then random ones from a seed.

Systematically: the undisturbed schedule, then all with one deviation, with two, ... as long as the
whole next level fits into the requested number. The rest are random; a repeated schedule is not
counted.

On several cores there is one process each, with a share of the work, and one seed for all.
"""

import gc
import logging
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

import django
import msgspec
from django.utils.module_loading import import_string

from checker.explorer.scheduling import (
    Chance,
    Chooser,
    Environment,
    GivenChoices,
    Played,
    Player,
    shrink,
)

MOST_DEVIATIONS = 2
"""Deeper levels have too many schedules to play them all."""
TELL_SECONDS = 1.0
SAMPLED = 0.8
"""The share of the remaining schedules for the level that does not fit."""
MOST_ATTEMPTS = 3
"""Random attempts for each wanted schedule: a small environment may have no more."""


class Portion(NamedTuple):
    """The part of the work that is done here: the `index`-th of `of`."""

    index: int = 0
    of: int = 1


ALL = Portion()


class FailingSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that breaks an invariant, shrunk."""

    environment: str
    deviations: dict[int, int]
    breaches: list[str]


class Explored(msgspec.Struct, kw_only=True):
    """What was played here. `keys`: of each different schedule. `levels`: by environment, the
    number of deviations up to which every schedule was played. `kinds`: the number of schedules
    with that kind of fault.
    """

    keys: set[int] = msgspec.field(default_factory=set)
    played: int = 0
    steps: int = 0
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    levels: dict[str, int] = msgspec.field(default_factory=dict)
    failure: FailingSchedule | None = None


class _Broken(Exception):
    """A schedule has failed: ends the exploration."""


class Explorer:
    """Explores the environments one after the other, up to the first failure.

    `schedules`: the number of different schedules in all environments and shares. `tell`: called
    once a second.
    """

    def __init__(
        self,
        *,
        environments: Mapping[str, Environment],
        schedules: int,
        seed: int,
        deviations: int = MOST_DEVIATIONS,
        share: Portion = ALL,
        tell: Callable[[Explored], None] | None = None,
    ) -> None:
        self._environments = list(environments.values())
        self._schedules = schedules
        self._seed = seed
        self._deviations = deviations
        self._share = share
        self._tell = tell
        self._tell_at = 0.0
        self.explored = Explored()

    def explore(self) -> Explored:
        """The result is the same for the same seed and shares."""
        with suppress(_Broken):
            for number in range(len(self._environments)):
                wanted = self._schedules * (number + 1) // len(self._environments) // self._share.of
                self._systematically(number, wanted)
                self._by_chance(number, wanted)
        return self.explored

    def _by_chance(self, number: int, wanted: int) -> None:
        name = self._environments[number].name
        attempts = MOST_ATTEMPTS * (wanted - len(self.explored.keys))
        for attempt in range(self._share.index, attempts * self._share.of, self._share.of):
            if len(self.explored.keys) >= wanted:
                return
            self._play(number, Chance(f"{self._seed} {name} {attempt}"))

    def _systematically(self, number: int, wanted: int) -> None:
        """Level by level: the share that plays a schedule also plays those that extend it."""
        name = self._environments[number].name
        level = [self._play(number, GivenChoices({}), counts=self._deviations > 0)]
        self.explored.levels[name] = 0
        for depth in range(1, self._deviations + 1):
            children = [further for played in level for further in _further(played)]
            if depth == 1:
                children = children[self._share.index :: self._share.of]
            room = wanted - len(self.explored.keys)
            if len(children) > room:
                # No two alike, and some room is left for random ones.
                chance = random.Random(f"{self._seed} {name} {self._share.index}")  # noqa: S311 -- repeatable, not secret
                for deviations in chance.sample(children, int(room * SAMPLED)):
                    self._play(number, GivenChoices(deviations))
                return
            is_last = depth == self._deviations
            level = [
                self._play(number, GivenChoices(deviations), counts=not is_last)
                for deviations in children
            ]
            self.explored.levels[name] = depth

    def _play(self, number: int, chooser: Chooser, *, counts: bool = False) -> Played:
        """Raises _Broken."""
        environment = self._environments[number]
        played = Player(environment=environment, chooser=chooser, counts=counts).play()
        explored = self.explored
        explored.played += 1
        explored.steps += played.steps
        key = hash((number, tuple(played.deviations.items())))
        if key not in explored.keys:
            explored.keys.add(key)
            explored.kinds.update(set(played.kinds))
        if self._tell and (now := time.monotonic()) >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            self._tell(explored)
        if played.breaches:
            short = shrink(environment=environment, deviations=played.deviations)
            explored.failure = FailingSchedule(
                environment=environment.name, deviations=short.deviations, breaches=short.breaches
            )
            raise _Broken
        return played


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
        for environment, level in part.levels.items():
            levels[environment] = min(level, levels.get(environment, level))
    return Explored(
        keys=set().union(*(part.keys for part in parts)),
        played=sum(part.played for part in parts),
        steps=sum(part.steps for part in parts),
        kinds=sum((part.kinds for part in parts), Counter()),
        levels=levels,
        failure=next((part.failure for part in parts if part.failure), None),
    )


class WorkerDied(Exception):
    """A process ended without a result: a bug of the explorer, or out of memory."""


class Exploration(msgspec.Struct, frozen=True, kw_only=True):
    """What to explore. `environments`: the dotted name of a context manager that makes the
    environments by name; `names`: a pattern of the wanted names, with `*` for any part.
    """

    environments: str
    names: str = "*"
    schedules: int
    seed: int
    deviations: int

    def explorer(
        self,
        environments: Mapping[str, Environment],
        tell: Callable[[Explored], None],
        share: Portion = ALL,
    ) -> Explorer:
        """The explorer of a share of the work, in the wanted environments."""
        return Explorer(
            environments={
                name: environment
                for name, environment in environments.items()
                if fnmatch(name, self.names)
            },
            schedules=self.schedules,
            seed=self.seed,
            deviations=self.deviations,
            share=share,
            tell=tell,
        )


def explore_in_processes(
    *, work: Exploration, workers: int, tell: Callable[[Sequence[Explored]], None]
) -> Explored:
    """Explores in `workers` processes; ends at the first failure that any of them finds.

    `tell`: called about once a second with the progress of each. Raises WorkerDied.
    """
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    for index in range(workers):
        ours, theirs = context.Pipe()
        arguments = (theirs, work, Portion(index, workers))
        processes.append(context.Process(target=_work, args=arguments, daemon=True))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        return _gathered(pipes, tell)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _gathered(pipes: list[Connection], tell: Callable[[Sequence[Explored]], None]) -> Explored:
    parts = [Explored() for _ in pipes]
    open_now = list(pipes)
    while open_now and not any(part.failure for part in parts):
        for pipe in wait(open_now):
            try:
                is_last, part = pipe.recv()  # type: ignore[union-attr]  # of our own pipes
            except EOFError as error:
                raise WorkerDied("a process of the explorer has died; see its error") from error
            parts[pipes.index(pipe)] = part  # type: ignore[arg-type]  # of our own pipes
            if is_last:
                open_now.remove(pipe)  # type: ignore[arg-type]  # of our own pipes
        tell(parts)
    return merged(parts)


def _work(pipe: Connection, work: Exploration, share: Portion) -> None:
    django.setup()
    logging.disable(logging.CRITICAL)  # faults are injected on purpose
    gc.freeze()
    gc.set_threshold(50_000)  # a schedule leaves little behind: 5 % faster

    def tell(explored: Explored) -> None:
        pipe.send((False, Explored(played=explored.played, kinds=explored.kinds)))

    with import_string(work.environments)() as environments:
        pipe.send((True, work.explorer(environments, tell, share).explore()))
