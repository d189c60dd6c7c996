"""A checkout of eight steps ends like one of five: its three extra steps change nothing."""

import pytest

from catalogue.checkout import PADDED, SAGA, padding_steps
from contracts import patterns
from contracts.patterns import PATTERNS
from contracts.saga import Direction
from stack.console import StackError

PADS = padding_steps(str(len(PADDED)))
NAMES = [step.name for step in PADS]
*FIRST, LAST = SAGA.steps
STEPS = [step.name for step in (*FIRST, *PADS, LAST)]
KILLED = (
    ("pagos.web", "executing.before_commit of do pagos.pad"),
    ("pagos.worker", "executing.before_commit of do pagos.pad"),
    ("inventario.web", "steps.before_reply of do inventario.pad"),
    ("inventario.worker", "executing.after_commit of do inventario.pad"),
)


@pytest.fixture(scope="module")
def shop(unusual_shop):
    return unusual_shop


def checked_out(shop, pattern: str, *, method: str = "credit_card") -> str:
    cart = shop.cart(product=shop.product(quantity=1))
    return str(shop.check_out(cart, pattern, method=method)[1]["saga_id"])


def statuses(shop, saga_id: str, pattern: str, ends: str) -> dict[str, str]:
    """The steps' statuses, in their order, once the saga has ended like this."""
    state = shop.state_when(saga_id, pattern, ends)
    return {step["step_name"]: step["status"] for step in state["steps"]}


def test_completed_checkout_took_all_eight_steps(shop, pattern):
    saga_id = checked_out(shop, pattern)
    by_step = statuses(shop, saga_id, pattern, "completed")
    assert list(by_step) == STEPS
    assert set(by_step.values()) == {"completed"}


def test_declined_checkout_never_comes_to_the_extra_steps(shop, pattern):
    saga_id = checked_out(shop, pattern, method="card_declined")
    by_step = statuses(shop, saga_id, pattern, "compensated")
    assert [by_step[name] for name in NAMES] == ["skipped"] * len(NAMES)
    assert by_step["reserve_inventory"] == "compensated"


def test_return_undoes_what_the_checkout_did_and_passes_the_extra_steps_over(shop, pattern):
    saga_id = checked_out(shop, pattern)
    shop.state_when(saga_id, pattern, "completed")
    status, body = shop.compensate(saga_id, pattern)
    assert status == 202, body
    by_step = statuses(shop, saga_id, pattern, "compensated")
    undone = {step.name for step in SAGA.steps if step.can(Direction.UNDO)}
    assert {name for name, state in by_step.items() if state == "compensated"} == undone
    assert shop.money(saga_id)[0] == "refunded"


def test_checkout_whose_extra_steps_are_interrupted_by_kills_completes(shop, triggers):
    carts = shop.carts(2 * len(PATTERNS), product=shop.product(quantity=100))
    for process, point in KILLED:
        triggers.kill(process, point)
    begun = shop.check_out_all(carts, list(PATTERNS))
    assert shop.all_ended(begun) == {"completed": len(carts)}
    assert all(triggers.is_taken(process, point) for process, point in KILLED)


def test_extra_step_that_was_passed_over_is_found_by_the_audit(shop):
    saga_id = checked_out(shop, patterns.CHOREOGRAPHED)
    shop.state_when(saga_id, patterns.CHOREOGRAPHED, "completed")
    gone = f"not {saga_id}"
    moved = (
        "UPDATE inventario_barrierentry SET saga_id = %s WHERE saga_id = %s AND step = %s"
        " RETURNING id"
    )
    shop.rows("inventario", moved, [gone, saga_id, NAMES[1]])
    with pytest.raises(StackError, match=f"{NAMES[2]} was done, but {NAMES[1]} was not"):
        shop.stack.run("python", "manage.py", "audit", "--saga", saga_id)
    shop.rows("inventario", moved, [saga_id, gone, NAMES[1]])
