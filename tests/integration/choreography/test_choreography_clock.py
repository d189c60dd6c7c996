"""Only the database's clock decides: a host's clock that is two minutes wrong does no harm."""

import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from saga_choreography import store
from saga_choreography.models import Intervention, Saga, SagaEvent
from saga_choreography.reactions import ProjectionHandler
from saga_choreography.watchdog import Watchdog
from tests.unit.choreography.made import event, story

DATABASE = "saga_choreography"
pytestmark = [pytest.mark.django_db(databases=[DATABASE]), pytest.mark.undocumented("messages")]
SHOP = ("saga_choreography", "messaging", "participant", "coordination", "httpapi", "contracts")
NEAR = timedelta(seconds=60)
"""Tolerates a busy machine, but not a clock that is two minutes off."""


class _Wrong(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)


def clock_off_by(seconds: float) -> type:
    class WrongClock(datetime, metaclass=_Wrong):
        @classmethod
        def now(cls, tz=None) -> datetime:
            return datetime.now(tz) + timedelta(seconds=seconds)

    return WrongClock


@pytest.fixture(params=[-120, 130], ids=["behind", "ahead"])
def wrong(request, monkeypatch) -> float:
    """Sets the clock of this process so many seconds off, for all of the shop's code."""
    for module in list(sys.modules.values()):
        is_shop = module.__name__.partition(".")[0] in SHOP if module else False
        if (is_shop or module is timezone) and getattr(module, "datetime", None) is datetime:
            monkeypatch.setattr(module, "datetime", clock_off_by(request.param))
    really = time.time
    monkeypatch.setattr(time, "time", lambda: really() + request.param)
    return float(request.param)


class Once(threading.Event):
    """A stop that comes after one round."""

    def wait(self, timeout: float | None = None) -> bool:
        was_set = self.is_set()
        self.set()
        return was_set


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(backlog=lambda: 0)


@pytest.fixture
def start():
    """Tracks a saga's first event, as from the broker."""

    def start(saga_id: str) -> None:
        ProjectionHandler(saga="checkout", on="checkout.initiated").handle(
            story("completed", saga_id=saga_id)[:1]
        )

    return start


def is_now(moment: datetime, *, later: float = 0) -> bool:
    return abs(moment - datetime.now(UTC) - timedelta(seconds=later)) < NEAR


@pytest.mark.django_db(databases=[DATABASE], transaction=True)
def test_healthy_saga_is_left_alone_by_a_watchdog_whose_clock_is_wrong(
    wrong, start, watchdog, settings
):
    settings.REDRIVE_SECONDS, settings.SAGA_SECONDS = 60, 120
    start("s")
    Saga.objects.update(watch_at=store.now())
    watchdog.run(Once())
    assert not Intervention.objects.exists()
    assert Saga.objects.get().redrives == 0


@pytest.mark.django_db(databases=[DATABASE], transaction=True)
def test_control_by_the_hosts_own_clock_a_healthy_saga_is_aborted(
    start, watchdog, settings, monkeypatch
):
    settings.REDRIVE_SECONDS, settings.SAGA_SECONDS = 60, 120
    start("s")
    monkeypatch.setattr(store, "now", lambda: datetime.now(UTC) + timedelta(seconds=130))
    watchdog.run(Once())
    assert Intervention.objects.get().requested_by == "watchdog"


def test_every_time_that_is_compared_is_the_databases(wrong, start, watchdog, client, settings):
    settings.REDRIVE_SECONDS, settings.SAGA_SECONDS = 60, 120
    start("s")
    row = Saga.objects.get()
    assert is_now(row.started_at)
    assert is_now(row.watch_at, later=60)
    far = datetime.now(UTC) + timedelta(seconds=wrong)
    ProjectionHandler(saga="checkout", on="inventory.reserved").handle(
        [story("completed", begin=far)[1]]
    )
    assert all(
        is_now(saga_event) for saga_event in SagaEvent.objects.values_list("seen_at", flat=True)
    )
    client.post("/saga/choreography/s/compensate", "{}", content_type="application/json")
    row = Saga.objects.get()
    assert is_now(row.stop_requested_at)
    assert is_now(Intervention.objects.get().requested_at)
    client.post("/saga/choreography/s/retry", "{}", content_type="application/json")
    assert is_now(Saga.objects.get().redriven_at)
    report = event("step.parked", service="pagos", event="inventory.reserved")
    ProjectionHandler(saga="checkout", on="step.parked").handle([report])
    assert is_now(Saga.objects.get().parked_at)


def test_saga_known_only_by_its_event_begins_when_that_is_received(wrong):
    far = datetime.now(UTC) + timedelta(seconds=wrong)
    ProjectionHandler(saga="checkout", on="payment.failed").handle(
        [story("declined", begin=far)[2]]
    )
    assert is_now(Saga.objects.get().started_at)
