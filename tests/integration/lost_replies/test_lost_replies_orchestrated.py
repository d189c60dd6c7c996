"""The charge happened and its answer was lost, a thousand times: real pagos, over real HTTP."""

from decimal import Decimal

import pytest

from coordination.engine import TRIES
from saga_orchestrator.models import Saga
from tests.integration.lost_replies.door import CHARGE, Door
from tests.integration.lost_replies.money import nets, no_guards
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(
    transaction=True, databases=["pagos", "tarjetas", "saga_orchestrator"]
)

TOTAL = Decimal("19.90")


@pytest.fixture
def services(live_server):
    door = Door(pagos_url=live_server.url)
    yield door
    door.close()


@pytest.fixture(autouse=True)
def _quick(quick, monkeypatch):
    """An answer that is lost looks like an outage: the breaker closes again at once here."""
    monkeypatch.setattr("coordination.participants.FIRST_OPEN_SECONDS", 0.02)


def all_are(status: str, saga_ids: list[str]) -> None:
    def ended() -> bool:
        return set(ends_of(saga_ids).values()) == {status}

    eventually(ended, seconds=60, what=f"all are {status}")


def ends_of(saga_ids: list[str]) -> dict[str, str]:
    return dict(Saga.objects.filter(pk__in=saga_ids).values_list("pk", "status"))


def once_each(door: Door):
    """Loses the answer to every call with a saga whose answer has not been lost yet."""
    return lambda key, saga_ids: any(not door.lost[saga_id] for saga_id in saga_ids)


def test_charge_whose_answer_is_lost_is_taken_once(run, start, services):
    """A saga that shared five calls with new sagas has lost five answers, and is undone."""
    services.loses = once_each(services)
    run()
    saga_ids = start(500)
    ended = {"completed": TOTAL, "compensated": Decimal(0)}
    eventually(
        lambda: set(ends_of(saga_ids).values()) <= set(ended), seconds=60, what="all have ended"
    )
    assert set(services.lost) == set(saga_ids)
    assert nets() == {saga_id: ended[end] for saga_id, end in ends_of(saga_ids).items()}
    assert list(ends_of(saga_ids).values()).count("completed") > len(saga_ids) / 2


def test_charge_that_is_given_up_is_given_back(run, start, services):
    """Its answer is always lost, and so is its refund's if all sagas of the call are new."""
    refunds_lost: set[str] = set()

    def loses(key, saga_ids):
        if key == CHARGE:
            return True
        are_new = refunds_lost.isdisjoint(saga_ids)
        refunds_lost.update(saga_ids)
        return are_new

    services.loses = loses
    run()
    saga_ids = start(250)
    all_are("compensated", saga_ids)
    assert min(services.lost.values()) >= TRIES
    assert max(services.lost.values()) > TRIES
    assert nets() == dict.fromkeys(saga_ids, Decimal(0))


def test_charge_that_comes_after_its_undo_is_blocked(run, start, services):
    services.delays = lambda key, saga_ids: key == CHARGE
    run()
    saga_ids = start(250)
    all_are("compensated", saga_ids)
    late = services.send_delayed()
    assert {result["code"] for result in late} == {"aborted"}
    assert len(late) >= len(saga_ids)
    assert all(net == 0 for net in nets().values())


def test_control_without_the_guards_it_is_taken_twice(run, start, services, monkeypatch):
    services.loses = once_each(services)
    with no_guards(monkeypatch):
        run()
        saga_ids = start(20)
        all_are("completed", saga_ids)
        assert nets() == dict.fromkeys(saga_ids, 2 * TOTAL)
