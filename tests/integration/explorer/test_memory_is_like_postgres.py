"""The tables in memory do what PostgreSQL does: the same schedules, the same choices, the same end.

So what is explored by the hundred thousand in memory holds for the real SQL as far as these do.
"""

import logging
from collections.abc import Mapping

import pytest

from checker.explorer.choosing import Chance, Given
from checker.explorer.exploring import Explorer
from checker.explorer.scheduling import Played, Player, World
from checker.explorer.shop.limits import MOST
from checker.explorer.shop.memory_shop import MemoryShop
from checker.explorer.shop.scenarios import SCENARIOS, SERVICES, Scenario
from checker.explorer.shop.worlds import in_memory, on_postgres
from contracts.statuses import Pattern
from loadtests.audit.evidence import Evidence
from sagas import barrier

pytestmark = pytest.mark.django_db(databases=SERVICES, transaction=True)
SCHEDULES = 3
"""Random ones in each world; more with `manage.py sagas explore --postgres`."""


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def _what_both_can(monkeypatch):
    """One connection a service on PostgreSQL, and so no transactions side by side; and too few
    faults for a breaker to open, which looks at a clock that really runs there.
    """
    monkeypatch.setattr(MemoryShop, "can_overlap", False)
    for kind, most in (("outage", 0), ("call", 1), ("crash", 1)):
        monkeypatch.setitem(MOST, kind, most)


def ended(saga: Evidence) -> dict[str, object]:
    """How a saga ended, without ids and times."""
    return {
        "checkouts": [(one.status, one.failure_step, one.order_status) for one in saga.checkouts],
        "payments": [(one.status, one.amount, one.refunded) for one in saga.payments],
        "reservations": [(one.status, one.lines) for one in saga.reservations],
        "runs": [(one.service, one.status, one.asked, one.parked) for one in saga.runs],
        "entries": sorted(
            (one.step, one.direction, one.status, one.code, one.is_nothing) for one in saga.entries
        ),
    }


def end(world: World) -> object:
    return (
        world.shop.stock(),
        world.shop.standings(),
        [ended(one) for one in world.shop.evidence()],
    )


def play(worlds: Mapping[str, World], name: str, chooser: object) -> tuple[Played, object]:
    played = Player(world=worlds[name], chooser=chooser, counts=True).play()
    return played, end(worlds[name])


@pytest.mark.parametrize("pattern", Pattern)
@pytest.mark.timeout(600)  # some seconds on a free machine
def test_schedules_end_alike_in_memory_and_on_postgres(pattern):
    names = [f"{pattern}/{one.name}" for one in SCENARIOS if is_in_order(pattern, one)]
    with in_memory() as worlds:
        wanted = [(name, *play(worlds, name, one)) for name in names for one in choosers(name)]
    with on_postgres() as worlds:
        for name, played, how in wanted:
            assert played.breaches == []
            assert play(worlds, name, Given(played.deviations)) == (played, how)


def is_in_order(pattern: Pattern, scenario: Scenario) -> bool:
    """PostgreSQL gives the sagas of one claim in any order; over HTTP that is the calls' order."""
    return pattern is not Pattern.ORCHESTRATED or len(scenario.wanted) == 1


def choosers(name: str) -> list[Given | Chance]:
    return [Given({}), *(Chance(f"alike {name} {number}") for number in range(SCHEDULES))]


@pytest.mark.parametrize("pattern", Pattern)
def test_explorer_finds_on_postgres_what_it_finds_in_memory(pattern, monkeypatch):
    enter_undo = barrier._enter_undo

    def forgetful(*, operation, ids):
        entry = enter_undo(operation=operation, ids=ids)
        barrier.forget(operation=operation, saga_ids=ids)
        return entry

    monkeypatch.setattr(barrier, "_enter_undo", forgetful)
    name = f"{pattern}/declined"
    with on_postgres() as worlds:
        explorer = Explorer(worlds={name: worlds[name]}, schedules=60, seed=1, deviations=0)
        failure = explorer.explore().failure
    assert failure is not None
