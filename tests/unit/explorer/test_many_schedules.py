"""The whole of it: a hundred thousand different schedules, over all patterns, without a breach."""

import sys
import time

import pytest

from checker.explorer import working
from checker.explorer.commands import WORLDS, summary
from checker.explorer.working import Work

SCHEDULES = 100_000
WORKERS = 2
"""Whatever the machine: the same seed and shares play the same schedules."""
MARGIN = 1_500
"""Two processes may play a random schedule alike: it counts once."""


@pytest.mark.slow
@pytest.mark.timeout(1_200)  # a minute on two free cores; a busy machine must not fail it
def test_hundred_thousand_schedules_break_nothing(capsys):
    started = time.monotonic()
    work = Work(worlds=WORLDS, schedules=SCHEDULES + MARGIN, seed=1, deviations=2)
    explored = working.explore(work=work, workers=WORKERS, tell=lambda parts: None)
    with capsys.disabled():
        for line in summary(explored=explored, seconds=time.monotonic() - started):
            sys.stdout.write(f"{line}\n")
    assert explored.failure is None
    assert len(explored.keys) >= SCHEDULES
    assert all(level >= 1 for level in explored.levels.values())
