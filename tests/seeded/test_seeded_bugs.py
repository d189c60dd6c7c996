"""Dueto's checkers find each classic bug that is put into the code."""

import logging

import pytest

from catalogue.services import WITH_DATABASE
from checker.explorer.exploring import Explorer
from checker.explorer.sagas.environments import in_memory
from checker.protocol import checking
from checker.protocol.wired import catalogue
from messaging.brokers.memory import forget
from tests.architecture.tree import ROOT
from tests.seeded.bugs import BUGS, EXPLORED, RACES
from tests.seeded.shop import Shop

pytestmark = [pytest.mark.django_db(databases=WITH_DATABASE), pytest.mark.undocumented]

SCENARIOS = sorted(
    {bug.scenario for bug in BUGS.values() if bug.scenario}, key=lambda scenario: scenario.__name__
)


@pytest.fixture(autouse=True)
def _in_a_hurry(settings):
    """Reservations expire at once, for the sweep; the watchdog redrives at its first look."""
    settings.RESERVATION_SECONDS = 0
    settings.REDRIVE_SECONDS = 0
    yield
    forget("seeded")


def findings(scenario, monkeypatch) -> list[str]:
    """The findings of the protocol check, or of the audit after the scenario."""
    if scenario is None:
        report = checking.check(protocols=catalogue())
        return [f"{breach.rule}: {breach.what}" for breach in report.breaches]
    shop = Shop(monkeypatch)
    scenario(shop)
    return shop.audit()


@pytest.mark.parametrize(
    "scenario", [None, *SCENARIOS], ids=lambda scenario: getattr(scenario, "__name__", "protocol")
)
def test_nothing_is_found_without_a_bug(scenario, monkeypatch):
    assert findings(scenario, monkeypatch) == []


@pytest.mark.parametrize("name", BUGS)
def test_bug_is_found(name, monkeypatch):
    bug = BUGS[name]
    bug.put_in(monkeypatch)
    found = findings(bug.scenario, monkeypatch)
    assert any(finding.startswith(bug.found_as) for finding in found), found


def explored(pattern: str) -> list[str]:
    """The explorer's breaches."""
    logging.disable(logging.CRITICAL)
    try:
        with in_memory() as made:
            name = f"{pattern}/booking/one"
            environments = {name: made[name]}
            failure = Explorer(environments=environments, schedules=2_000, seed=7).explore().failure
    finally:
        logging.disable(logging.NOTSET)
    return failure.breaches if failure else []


@pytest.mark.parametrize("name", EXPLORED)
@pytest.mark.timeout(300)  # up to 2,000 schedules: half a minute on a free machine
def test_bug_is_found_by_the_explorer(name, monkeypatch):
    bug = EXPLORED[name]
    bug.put_in(monkeypatch)
    breaches = explored(bug.explored)
    assert any(bug.found_as in breach for breach in breaches), breaches


def test_every_bug_is_in_the_documents():
    text = (ROOT / "docs" / "explanation" / "checking.md").read_text()
    missing = [bug.row for bug in (BUGS | RACES | EXPLORED).values() if bug.row not in text]
    assert not missing
