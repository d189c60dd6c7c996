"""The barrier under concurrent commands."""

import random
import threading

import pytest
from django.db import OperationalError, connections, transaction

from catalogue.commands import Commit, Item, Reserve
from contracts import refusals
from contracts.outcomes import Done, Refused
from contracts.saga import Direction, Undo
from inventario import operations
from inventario.models import BarrierEntry, Product, Reservation
from participant import barrier
from participant.executing import execute
from participant.operations import all_in
from tests.threads import InThread, at_once, wait_until_blocked

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])

SERVICE = "inventario"
RESERVE = {"saga": "checkout", "step": "reserve_inventory"}
COMMIT = {"saga": "checkout", "step": "commit_inventory"}
BLOCK = all_in(operations)["commit", Direction.BLOCK]


@pytest.fixture
def product():
    return Product.objects.create(name="p", price=1, sku="p", initial=10_000, available=10_000)


def reserve(product, saga_ids):
    items = [Item(str(product.pk), 1)]
    commands = [
        Reserve(saga_id=saga_id, subject="c", items=items, **RESERVE) for saga_id in saga_ids
    ]
    return [
        executed.outcome for executed in execute(operation=operations.reserve, commands=commands)
    ]


def commit_of(product, saga_id):
    return Commit(saga_id=saga_id, items=[Item(str(product.pk), 1)], **COMMIT)


def unreserve(saga_ids):
    commands = [Undo(saga_id=saga_id, **RESERVE) for saga_id in saga_ids]
    return [
        executed.outcome for executed in execute(operation=operations.unreserve, commands=commands)
    ]


def shuffled(saga_ids, seed):
    mixed = list(saga_ids)
    random.Random(seed).shuffle(mixed)
    return mixed


def test_overlapping_batches_at_once_take_effect_once_each(product):
    saga_ids = [f"s{i}" for i in range(60)]
    batches = [shuffled(saga_ids, seed)[:40] for seed in range(8)]
    results = at_once([lambda b=b: reserve(product, b) for b in batches], service=SERVICE)
    wanted = {saga_id for batch in batches for saga_id in batch}
    answers = {
        (saga_id, outcome.data["reservation_id"])
        for batch, outcomes in zip(batches, results, strict=True)
        for saga_id, outcome in zip(batch, outcomes, strict=True)
    }
    assert len(answers) == len(wanted) == Reservation.objects.count()
    product.refresh_from_db()
    assert product.reserved == len(wanted)


def test_actions_and_undos_at_once_leave_nothing_behind(product):
    saga_ids = [f"s{i}" for i in range(40)]
    calls = [lambda n=n: reserve(product, shuffled(saga_ids, n)) for n in range(3)]
    calls += [lambda n=n: unreserve(shuffled(saga_ids, n)) for n in range(3)]
    results = at_once(calls, service=SERVICE)
    assert not [result for result in results if isinstance(result, Exception)]
    product.refresh_from_db()
    assert (product.available, product.reserved) == (10_000, 0)


def test_block_and_commit_at_once_decide_once(product):
    saga_ids = [f"s{i}" for i in range(40)]
    reserve(product, saga_ids)

    def commit():
        return execute(
            operation=operations.commit,
            commands=[commit_of(product, saga_id) for saga_id in shuffled(saga_ids, 1)],
        )

    def block():
        commands = [Undo(saga_id=saga_id, **COMMIT) for saga_id in shuffled(saga_ids, 2)]
        return execute(operation=BLOCK, commands=commands)

    committed, blocked = at_once([commit, block], service=SERVICE)
    by_saga = {executed.command.saga_id: executed.outcome for executed in committed}
    for executed in blocked:
        assert executed.outcome == by_saga[executed.command.saga_id]
    sold = sum(isinstance(outcome, Done) for outcome in by_saga.values())
    product.refresh_from_db()
    assert (product.sold, product.reserved) == (sold, 40 - sold)


def test_block_after_the_pivot_answers_that_it_happened(product):
    reserve(product, ["s"])
    execute(operation=operations.commit, commands=[commit_of(product, "s")])
    (blocked,) = execute(operation=BLOCK, commands=[Undo(saga_id="s", **COMMIT)])
    assert isinstance(blocked.outcome, Done)


def test_block_before_the_pivot_refuses_it_for_good(product):
    reserve(product, ["s"])
    execute(operation=BLOCK, commands=[Undo(saga_id="s", **COMMIT)])
    (late,) = execute(operation=operations.commit, commands=[commit_of(product, "s")])
    assert late.outcome.code == refusals.ABORTED
    assert Reservation.objects.get().status == "reserved"


def test_action_waits_for_the_undo_that_holds_its_key_and_is_refused(product):
    with transaction.atomic(using=SERVICE):
        unreserve(["s"])
        late = InThread(lambda: reserve(product, ["s"]), service=SERVICE)
        wait_until_blocked(service=SERVICE, count=1)
    (outcome,) = late.result()
    assert isinstance(outcome, Refused)
    assert not Reservation.objects.exists()


def test_action_goes_on_where_the_earlier_call_was_rolled_back(product):
    with transaction.atomic(using=SERVICE):
        reserve(product, ["s"])
        second = InThread(lambda: reserve(product, ["s"]), service=SERVICE)
        wait_until_blocked(service=SERVICE, count=1)
        transaction.set_rollback(True, using=SERVICE)
    assert isinstance(second.result()[0], Done)
    product.refresh_from_db()
    assert product.reserved == 1


def test_call_by_hand_never_changes_what_a_saga_has_just_done(product, monkeypatch):
    """The saga commits after the call by hand has checked the saga id, and before its work."""
    enter = barrier.enter

    def late(*, operation, commands):
        monkeypatch.setattr(barrier, "enter", enter)
        InThread(lambda: reserve(product, ["s"]), service=SERVICE).result()
        return enter(operation=operation, commands=commands)

    monkeypatch.setattr(barrier, "enter", late)
    (by_hand,) = execute(operation=operations.commit, commands=[Commit(saga_id="s")])
    assert by_hand.outcome.code == refusals.PART_OF_A_SAGA
    assert Reservation.objects.get().status == "reserved"
    assert set(BarrierEntry.objects.values_list("step", flat=True)) == {RESERVE["step"]}
    (sold,) = execute(operation=operations.commit, commands=[commit_of(product, "s")])
    assert isinstance(sold.outcome, Done)


def meeting_in_the_middle(product):
    """Two batches of the same sagas in opposite order, both waiting for the middle one's key."""
    with transaction.atomic(using=SERVICE):
        BarrierEntry.objects.create(saga_id="m", step="reserve_inventory", direction="do")
        forwards = InThread(lambda: reserve(product, ["a", "m", "z"]), service=SERVICE)
        wait_until_blocked(service=SERVICE, count=1)
        backwards = InThread(lambda: reserve(product, ["z", "m", "a"]), service=SERVICE)
        wait_until_blocked(service=SERVICE, count=2)
        transaction.set_rollback(True, using=SERVICE)
    return forwards.result(), backwards.result()


def test_batches_in_opposite_order_do_not_wait_for_each_other(product):
    forwards, backwards = meeting_in_the_middle(product)
    assert forwards == list(reversed(backwards))


def test_without_the_fixed_order_batches_wait_for_each_other(product, monkeypatch):
    """The control: keys are inserted in the order of the commands."""
    step = RESERVE["step"]
    came = iter([[(id_, step) for id_ in ids] for ids in ("amz", "zma")])
    mine = threading.local()

    def as_they_came(keys):
        if {saga_id for saga_id, _ in keys} != {"a", "m", "z"}:
            return sorted(keys)
        mine.order = getattr(mine, "order", None) or next(came)
        return mine.order

    monkeypatch.setattr(barrier, "sorted", as_they_came, raising=False)
    with pytest.raises(OperationalError, match="deadlock detected"):
        meeting_in_the_middle(product)
    connections[SERVICE].close()
