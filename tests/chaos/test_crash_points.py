"""A process is killed at every point that it reaches, in every pattern: all ends right.

Each point costs one process its life, in rounds of several, and the patterns share the points that
more than one of them reaches. With `--full` every process that reaches a point dies there, in every
pattern, and also the broker's connections are cut, and the database restarts, while the process is
held there.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from contracts.patterns import PATTERNS
from tests.chaos.cases import Case, all_cases, one_process_each, rounds
from tests.chaos.round import Round
from tests.chaos.situations import SITUATIONS, restart_database
from tests.chaos.triggers import Triggers
from tests.lanes import FULL

KILL, CUT, RESTART = "killed", "broker_cut", "database_restarted"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    if metafunc.config.getoption(FULL):
        every = [case for case in all_cases() if case.pattern in PATTERNS]
        faults, cases = (KILL, CUT, RESTART), every
    else:
        faults, cases = (KILL,), one_process_each()
    metafunc.parametrize(
        ("case", "together", "fault"),
        [
            pytest.param(case, together, fault, id=f"{fault}-{case.id}")
            for fault in faults
            for together in _together(cases, fault)
            for case in together
        ],
    )


def _together(cases: list[Case], fault: str) -> list[tuple[Case, ...]]:
    """The database restarts once in a round: a step that faults five times is given up."""
    return [(case,) for case in cases] if fault == RESTART else rounds(cases)


class Rounds:
    """Runs a round when its first case is requested, and remembers the result."""

    def __init__(self, run: Callable[[tuple[Case, ...], str], None]) -> None:
        self._run = run
        self._errors: dict[tuple[tuple[Case, ...], str], Exception | None] = {}

    def outcome(self, together: tuple[Case, ...], fault: str) -> None:
        """Raises the round's failure, if any."""
        if (together, fault) not in self._errors:
            try:
                self._run(together, fault)
            except Exception as error:  # noqa: BLE001 -- raised below, for each of its cases
                self._errors[together, fault] = error
            else:
                self._errors[together, fault] = None
        if error := self._errors[together, fault]:
            raise error


@pytest.fixture(scope="package")
def run_rounds(shop, stack, triggers, proxies):
    strikes = {
        KILL: lambda round_: None,
        CUT: lambda round_: proxies.cut(),
        RESTART: restart_database,
    }

    def run(together: tuple[Case, ...], fault: str) -> None:
        round_ = Round(shop, triggers, together[0].pattern, together[0].saga)
        situation = SITUATIONS[together[0].situation](round_)
        next(situation)
        give = triggers.kill if fault == KILL else triggers.hold
        for case in together:
            give(case.process, case.point)
        with ThreadPoolExecutor(len(together)) as threads:
            struck = [
                threads.submit(_strike, triggers, case, partial(strikes[fault], round_))
                for case in together
            ]
            try:
                next(situation, None)
            finally:
                for future in struck:
                    future.result()
        stack.wait_ready()
        round_.check()

    yield Rounds(run)
    shop.audit()


def _strike(triggers: Triggers, case: Case, strike: Callable[[], None]) -> None:
    """Strikes once the process is at the point; fails if it never reaches it."""
    try:
        triggers.wait(case.process, case.point)
        strike()
        triggers.release(case.process, case.point)
    finally:
        triggers.withdraw(case.process, case.point)


@pytest.mark.timeout(900)
def test_all_ends_right(run_rounds, case, together, fault):
    assert case in together
    run_rounds.outcome(together, fault)


def test_no_process_comes_to_a_point_where_it_is_never_killed(run_rounds, triggers):
    """A point is compared by kind of process, and for each operation."""
    known = {(_kind(case.process), case.point) for case in all_cases()}
    known |= {(kind, point.partition(" of ")[0]) for kind, point in known}
    seen = {
        (_kind(process), point)
        for process, point in triggers.seen()
        if " of " not in point or point.startswith("executing.")
    }
    assert seen <= known, "add it to tests/chaos/cases.py"


def _kind(process: str) -> str:
    return process.rpartition(".")[2]
