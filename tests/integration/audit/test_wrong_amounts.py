"""What was taken is compared with what it costs, and what is reserved with what was ordered: in
every saga, in every pattern.

A caller of a service's own steps can take a step of a saga before the saga comes to it; the
saga is answered with what was done then.
"""

from decimal import Decimal
from importlib import import_module

import msgspec
import pytest

from catalogue import SAGAS, refusals
from catalogue.commands import IssueInvoice, Item
from catalogue.services import WITH_DATABASE
from contracts import projection
from contracts.outcomes import Refused
from contracts.saga import Context, Direction
from participant.executing import execute
from participant.operations import all_in
from participant.sql import Damaged
from tests.integration.audit.conftest import Shop, found, steps_of

pytestmark = pytest.mark.django_db(transaction=True, databases=[*WITH_DATABASE])

LITTLE = Decimal("0.01")
TAKEN_BEFORE = [
    # of which saga which step, and which one refuses to go on
    ("checkout", "process_payment", "create_order"),
    ("fulfilment", "process_payment", "commit_inventory"),
    ("shipment", "process_payment", "commit_inventory"),
    ("purchase", "create_payment", "confirm_order"),
    ("booking", "create_bill", "pay_bill"),
    ("booking", "pay_bill", "issue_invoice"),
]
RESERVING = [name for name in SAGAS if "commit_inventory" in steps_of(name)]


@pytest.fixture
def shop():
    """A shop without any saga."""
    return Shop()


def take(shop: Shop, saga_id: str, step_name: str, **changed: object) -> None:
    """Takes a step of a saga before the saga comes to it, for instance with another amount."""
    context = shop.context(saga_id)
    step = SAGAS[context.saga].step(step_name)
    results = {} if step_name != "pay_bill" else {"create_bill": {"amount": "1.00"}}
    context = msgspec.structs.replace(context, results=results)
    command = projection.command(step=step, direction=Direction.DO, context=context)
    operation = all_in(import_module(f"{step.service}.operations"))[
        step.operation.partition(".")[2], Direction.DO
    ]
    execute(operation=operation, commands=[msgspec.structs.replace(command, **changed)])


def walk(shop: Shop, saga_id: str, saga: str) -> tuple[str, Refused | Damaged | None]:
    """The step that ended it, and why; None if it reached the last step."""
    for step in steps_of(saga)[1:]:
        try:
            shop.do(saga_id, step)
        except Damaged as error:
            return step, error
        outcome = shop.outcomes[saga_id, step]
        if isinstance(outcome, Refused):
            return step, outcome
    return step, None


def paying_little(shop: Shop, saga: str, step: str) -> None:
    shop.accept("s", saga=saga)
    due = {"due": LITTLE} if step == "pay_bill" else {}
    take(shop, "s", step, amount=LITTLE, **due)


def test_every_saga_is_among_them():
    assert {saga for saga, *_ in TAKEN_BEFORE} == set(SAGAS)


@pytest.mark.parametrize(("saga", "step", "refusing"), TAKEN_BEFORE)
def test_a_charge_of_another_amount_makes_no_order(shop, saga, step, refusing):
    paying_little(shop, saga, step)
    at, why = walk(shop, "s", saga)
    assert at == refusing
    assert "0.01" in str(why)
    if SAGAS[saga].position(at) <= SAGAS[saga].pivot:
        assert why.code == refusals.WRONG_AMOUNT
    else:  # what is past its pivot is left to a person
        assert isinstance(why, Damaged)


@pytest.mark.parametrize(("saga", "step", "refusing"), TAKEN_BEFORE)
def test_repeated_request_is_answered_as_before(shop, saga, step, refusing):
    """The guard does not disturb the barrier: each step runs twice, and nothing is refused."""
    shop.accept("s", saga=saga)
    for name in steps_of(saga)[1:]:
        shop.do("s", name)
        first = shop.outcomes["s", name]
        shop.do("s", name)
        assert shop.outcomes["s", name] == first
        assert not isinstance(first, Refused)


@pytest.mark.parametrize(("saga", "step", "refusing"), TAKEN_BEFORE)
def test_control_believing_the_request_keeps_too_little(
    shop, broker, monkeypatch, saga, step, refusing
):
    """The step does not get the amount that was taken."""
    command = projection.command

    def trusting(*, context: Context, **needed):
        made = command(context=context, **needed)
        total = Decimal(context.data["total_amount"])
        believed = {
            field: getattr(made, "amount", total)
            for field in ("paid", "due")
            if hasattr(made, field)
        }
        if isinstance(made, IssueInvoice):
            believed["paid"] = Decimal(context.results["create_bill"]["amount"])
        return msgspec.structs.replace(made, **believed)

    paying_little(shop, saga, step)
    monkeypatch.setattr(projection, "command", trusting)
    assert walk(shop, "s", saga) == (steps_of(saga)[-1], None)
    shop.coordinated("s", "completed")
    shop.tell_network()
    assert any("0.01" in what for _, _, what in found(broker))


@pytest.mark.parametrize("saga", RESERVING)
def test_what_was_not_ordered_is_not_sold(shop, saga):
    shop.accept("s", saga=saga)
    take(shop, "s", "reserve_inventory", items=[Item(str(shop.product.pk), 1)])
    at, why = walk(shop, "s", saga)
    assert (at, why.code) == ("commit_inventory", refusals.WRONG_ITEMS)


@pytest.mark.parametrize("saga", RESERVING)
def test_control_selling_what_is_reserved_sells_too_little(shop, broker, monkeypatch, saga):
    """The commit does not get the ordered lines."""
    command = projection.command

    def trusting(**needed):
        made = command(**needed)
        reserved = {"items": [Item(str(shop.product.pk), 1)]} if hasattr(made, "due") else {}
        return msgspec.structs.replace(made, **reserved)

    shop.accept("s", saga=saga)
    take(shop, "s", "reserve_inventory", items=[Item(str(shop.product.pk), 1)])
    monkeypatch.setattr(projection, "command", trusting)
    assert walk(shop, "s", saga) == (steps_of(saga)[-1], None)
    shop.coordinated("s", "completed")
    assert found(broker)


@pytest.mark.parametrize(
    ("saga", "step"),
    [(name, step) for name in SAGAS for step in steps_of(name)[SAGAS[name].pivot + 1 :]],
)
def test_last_steps_are_asked_for_with_what_the_pivot_has_answered(shop, saga, step):
    """Then there is no command, and no barrier entry."""
    shop.accept("s", saga=saga)
    definition = SAGAS[saga]
    with pytest.raises(msgspec.ValidationError):
        projection.command(
            step=definition.step(step), direction=Direction.DO, context=shop.context("s")
        )
