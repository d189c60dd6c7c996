"""Whatever classic bug is put into the code, Dueto's own checkers find it."""

import pytest

from checker.protocol import checking
from checker.protocol.wired import catalogue
from contracts.services import WITH_DATABASE
from messaging.brokers.memory import forget
from tests.architecture.tree import ROOT
from tests.seeded.bugs import BUGS, RACES
from tests.seeded.shop import Shop

pytestmark = pytest.mark.django_db(databases=WITH_DATABASE)

SCENARIOS = sorted(
    {bug.scenario for bug in BUGS.values() if bug.scenario}, key=lambda one: one.__name__
)


@pytest.fixture(autouse=True)
def _in_a_hurry(settings):
    """Reservations expire at once, for who looks; the watchdog nudges at its first look."""
    settings.RESERVATION_SECONDS = 0
    settings.NUDGE_SECONDS = 0
    yield
    forget("seeded")


def findings(scenario, monkeypatch) -> list[str]:
    """What the protocol check finds, or the audit after the scenario."""
    if scenario is None:
        report = checking.check(protocols=catalogue())
        return [f"{one.rule}: {one.what}" for one in report.breaches]
    shop = Shop(monkeypatch)
    scenario(shop)
    return shop.audit()


@pytest.mark.parametrize(
    "scenario", [None, *SCENARIOS], ids=lambda one: getattr(one, "__name__", "protocol")
)
def test_nothing_is_found_without_a_bug(scenario, monkeypatch):
    assert findings(scenario, monkeypatch) == []


@pytest.mark.parametrize("name", BUGS)
def test_bug_is_found(name, monkeypatch):
    bug = BUGS[name]
    bug.put_in(monkeypatch)
    found = findings(bug.scenario, monkeypatch)
    assert any(one.startswith(bug.found_as) for one in found), found


def test_every_bug_is_told_in_the_documents():
    text = (ROOT / "docs" / "checking.md").read_text()
    missing = [bug.row for bug in (BUGS | RACES).values() if bug.row not in text]
    assert not missing
