"""The tables in memory behave like PostgreSQL: the same schedules offer the same choices and end
alike. So exploring in memory holds for the real SQL as far as these schedules show.
"""

import logging
from collections.abc import Mapping

import pytest

from catalogue import SAGAS
from catalogue.services import WITH_DATABASE
from checker.explorer import scheduling
from checker.explorer.exploring import Explorer
from checker.explorer.sagas.environments import in_memory
from checker.explorer.sagas.memory import MemoryBackend
from checker.explorer.sagas.postgres import on_postgres
from checker.explorer.sagas.scenarios import MOST, Scenario, scenarios_of
from checker.explorer.scheduling import Chance, Environment, GivenChoices, Played, Player
from contracts import patterns
from contracts.patterns import PATTERNS
from participant import barrier

pytestmark = [
    pytest.mark.django_db(databases=WITH_DATABASE, transaction=True),
    pytest.mark.undocumented("messages"),  # its participants make their results up
]
SCHEDULES = 1
"""Random schedules in each environment; more with `manage.py sagas explore --postgres`."""


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def _what_both_can(monkeypatch):
    """PostgreSQL has one connection per service here, and so no parallel transactions; and there
    are too few faults for a breaker to open, which would use a real clock here.
    """
    monkeypatch.setattr(MemoryBackend, "can_overlap", False)
    for kind, most in (("outage", 0), ("call", 1), ("crash", 1)):
        monkeypatch.setitem(MOST, kind, most)


def end(environment: Environment) -> object:
    """How it ended, without times."""
    effects = environment.backend.effects()
    return environment.backend.snapshots(), {
        effect: len(times) for effect, times in effects.items()
    }


def play(
    environments: Mapping[str, Environment], name: str, chooser: object
) -> tuple[Played, object]:
    played = Player(environment=environments[name], chooser=chooser, counts=True).play()
    return played, end(environments[name])


@pytest.mark.parametrize("saga", SAGAS.values(), ids=SAGAS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.timeout(600)  # some seconds on a free machine
def test_schedules_end_alike_in_memory_and_on_postgres(pattern, saga):
    names = [
        f"{pattern}/{saga.name}/{scenario.name}"
        for scenario in scenarios_of(saga)
        if is_in_order(pattern, scenario)
    ]
    with in_memory() as environments:
        wanted = [
            (name, *play(environments, name, chooser))
            for name in names
            for chooser in choosers(name)
        ]
    with on_postgres() as environments:
        for name, played, how in wanted:
            assert played.breaches == []
            assert play(environments, name, GivenChoices(played.deviations)) == (played, how)


def is_in_order(pattern: str, scenario: Scenario) -> bool:
    """PostgreSQL returns the sagas of a claim in any order; over HTTP that is the order of the
    calls.
    """
    return pattern != patterns.ORCHESTRATED or len(scenario.saga_ids) == 1


def choosers(name: str) -> list[GivenChoices | Chance]:
    return [GivenChoices({}), *(Chance(f"alike {name} {number}") for number in range(SCHEDULES))]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_explorer_finds_on_postgres_what_it_finds_in_memory(pattern, monkeypatch):
    enter_undo = barrier._enter_undo

    def forgetful(operation, sagas):
        entry = enter_undo(operation, sagas)
        barrier._execute(operation, "DELETE FROM {table} WHERE direction = %s", ["undo"])
        return entry

    monkeypatch.setattr(barrier, "_enter_undo", forgetful)
    monkeypatch.setattr(scheduling, "MOST_TRIES", 1)  # found is enough
    name = f"{pattern}/checkout/refused"
    with on_postgres() as environments:
        explorer = Explorer(
            environments={name: environments[name]}, schedules=60, seed=1, deviations=0
        )
        failure = explorer.explore().failure
    assert failure is not None
