"""Explores on several cores: a process each, with a share of the work, and a seed for all."""

import gc
import logging
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from multiprocessing.connection import Connection, wait

import django
import msgspec
from django.utils.module_loading import import_string

from checker.explorer.exploring import Explored, Explorer, Share, merged
from checker.explorer.scheduling import World


class WorkerDied(Exception):
    """A process ended without a result: a bug of the explorer, or out of memory."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What to explore. `worlds`: the dotted name of a function that gives, as a context manager,
    the worlds by name; `names`: which of those are wanted, `*` for any part of a name.
    """

    worlds: str
    names: str = "*"
    schedules: int
    seed: int
    deviations: int

    def wanted(self, worlds: Mapping[str, World]) -> dict[str, World]:
        """Those of the worlds."""
        return {name: one for name, one in worlds.items() if fnmatch(name, self.names)}


def explore(*, work: Work, workers: int, tell: Callable[[Sequence[Explored]], None]) -> Explored:
    """Explores in `workers` processes; ends at the first failure that any of them finds.

    `tell`: hears about once a second how far each is. Raises WorkerDied.
    """
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes = []
    for index in range(workers):
        ours, theirs = context.Pipe()
        arguments = (theirs, work, Share(index, workers))
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


def _work(pipe: Connection, work: Work, share: Share) -> None:
    django.setup()
    logging.disable(logging.CRITICAL)  # faults are what it is about: they are told by the story
    gc.freeze()
    gc.set_threshold(50_000)  # a schedule leaves little behind: 5 % faster

    def tell(explored: Explored) -> None:
        pipe.send((False, Explored(played=explored.played, kinds=explored.kinds)))

    with import_string(work.worlds)() as worlds:
        explorer = Explorer(
            worlds=work.wanted(worlds),
            schedules=work.schedules,
            seed=work.seed,
            deviations=work.deviations,
            share=share,
            tell=tell,
        )
        pipe.send((True, explorer.explore()))
