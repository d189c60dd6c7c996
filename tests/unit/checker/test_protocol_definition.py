"""A definition that names something missing is found before anything runs: each rule is broken by
a definition that breaks no other rule.
"""

from dataclasses import replace as with_fields
from decimal import Decimal

import pytest
from msgspec.structs import replace

from catalogue import SAGAS
from catalogue.commands import COMMANDS
from catalogue.services import BY_NAME
from checker.protocol import checking, definition, wired
from contracts.patterns import PATTERNS
from contracts.saga import COMPENSABLE, PIVOT, RETRIABLE, Command, Direction

CHECKOUT = SAGAS["checkout"]
REAL = wired.definition(saga=CHECKOUT)


class Lend(Command, frozen=True, kw_only=True):
    items: Decimal


def described(*, steps=None, **fields):
    """The checkout with these steps' fields changed; `fields`: of the DescribedSaga."""
    changed = [replace(step, **(steps or {}).get(step.name, {})) for step in CHECKOUT.steps]
    saga = replace(CHECKOUT, steps=tuple(changed), **fields.pop("saga", {}))
    return with_fields(REAL, saga=saga, **fields)


def needing(step, **needs):
    return described(steps={step: {"needs": needs}})


def but(step, **fields):
    return described(steps={step: fields})


def without(mapping, *keys):
    return {key: value for key, value in mapping.items() if key not in keys}


DECIDED = {"decided_by": "customer", "decide_seconds": 900.0}
BROKEN = {
    "an operation that takes no decisions": (
        described(steps={"process_payment": DECIDED}, deciding=set()),
        {"decided"},
        "process_payment is decided by the customer, and pagos.charge takes no decisions",
    ),
    "a service without an inbox": (
        described(steps={"process_payment": DECIDED}, inboxes=set()),
        {"decided"},
        "pagos has no path /decisions",
    ),
    "a decision without time": (
        but("process_payment", decided_by="customer"),
        {"decided"},
        "it would be overdue at once",
    ),
    "a decision on what must succeed": (
        described(
            steps={"confirm_order": DECIDED},
            deciding={"carrito.confirm_order"},
            inboxes={"carrito"},
        ),
        {"decided"},
        "confirm_order is decided by the customer, and must not be refused",
    ),
    "a misspelt operation": (
        but("commit_inventory", operation="inventario.comit", needs={}),
        {"declared"},
        "inventario/operations.py does not declare do inventario.comit",
    ),
    "an operation without its undo": (
        described(operations=without(REAL.operations, ("pagos.charge", Direction.UNDO))),
        {"declared"},
        "pagos/operations.py does not declare undo pagos.charge",
    ),
    "another command": (
        described(operations={**REAL.operations, ("pagos.charge", Direction.DO): Command}),
        {"command"},
        "do pagos.charge takes Command, and is sent Charge",
    ),
    "a field that the command has not": (
        needing("process_payment", amount="total_amount", payer="user"),
        {"fields"},
        "process_payment needs payer, and the command of pagos.charge has subject, user_id, amount",
    ),
    "an unknown step's result": (
        needing("process_payment", amount="create_bill.amount"),
        {"fields"},
        "there is no step create_bill",
    ),
    "a later step's result": (
        needing("process_payment", amount="create_order.amount"),
        {"fields"},
        "needs create_order.amount, which is not known by then",
    ),
    "the acceptance's result": (
        needing("process_payment", amount="accept_checkout.amount"),
        {"fields"},
        "which is not known by then",
    ),
    "a field of two types": (
        described(
            commands={**COMMANDS, "carrito.create_order": Lend},
            operations={**REAL.operations, ("carrito.create_order", Direction.DO): Lend},
        ),
        {"fields"},
        "reserve_inventory and create_order need items of different types",
    ),
    "a service that is not registered": (
        described(services=without(BY_NAME, "pagos")),
        {"services"},
        "pagos is not in catalogue/services.py",
    ),
    "a service without an address": (
        described(services={**BY_NAME, "pagos": replace(BY_NAME["pagos"], url_variable="")}),
        {"services"},
        "pagos has no port, or no variable for its address",
    ),
    "a service without a database": (
        described(databases=set(REAL.databases) - {"pagos"}),
        {"services"},
        "pagos has no database",
    ),
    "a service without a worker": (
        described(workers=set(REAL.workers) - {"pagos"}),
        {"services"},
        "pagos has no worker that consumes messages",
    ),
    "an owner that does not accept": (
        described(steps={"accept_checkout": {"operation": "carrito.create_order"}}),
        {"ownership"},
        "its first step is carrito.create_order, which accepts nothing",
    ),
    "a door that leads nowhere": (
        described(saga={"door": "/chekout"}, has_door=False),
        {"ownership"},
        "carrito has no path /chekout",
    ),
    "a last step of another's": (
        but("confirm_order", operation="inventario.pad", needs={}),
        {"ownership"},
        "confirm_order is inventario's: carrito, its owner, would not know that it ended",
    ),
    "one name for two events": (
        but("create_order", refused="payment.failed"),
        {"names"},
        "2 of its events have the name payment.failed",
    ),
    "one request for two calls": (
        but("commit_inventory", undo="unreserve"),
        {"names"},
        "2 of its requests have the name inventory.unreserve",
    ),
    "no pivot": (
        but("commit_inventory", step_class=COMPENSABLE),
        {"pivot"},
        "its pivot: none",
    ),
    "two pivots": (
        but("create_order", step_class=PIVOT),
        {"pivot"},
        "its pivot: create_order and commit_inventory",
    ),
    "an unknown pattern": (
        described(saga={"pattern": "temporal"}),
        {"coordinator"},
        "there is no pattern temporal",
    ),
    "a coordinator that is none": (
        described(
            patterns={
                **PATTERNS,
                "choreographed": replace(PATTERNS["choreographed"], coordinator="pagos"),
            }
        ),
        {"coordinator"},
        "choreographed is coordinated by pagos, which is no coordinator",
    ),
    "a coordinator without a worker": (
        described(workers=set(REAL.workers) - {"saga_choreography"}),
        {"coordinator"},
        "saga_choreography has no worker",
    ),
}
"""By what is wrong: the definition, the rules that must find it (and no other), their message."""


@pytest.mark.parametrize("wrong", BROKEN)
def test_wrong_definition_breaks_its_rule_and_no_other(wrong):
    protocol, rules, message = BROKEN[wrong]
    report = checking.check(protocols=[protocol])
    assert {breach.rule for breach in report.breaches} == rules, report.as_text()
    assert message in report.as_text()


def test_definition_with_a_step_that_a_person_decides_breaks_nothing():
    decided = but("process_payment", **DECIDED)
    assert checking.check(protocols=[decided]).is_clean


def test_every_rule_is_broken_by_some_definition():
    assert {rule.name for rule in definition.RULES} == set().union(
        *(rules for _, rules, _ in BROKEN.values())
    )


def test_saga_is_unchecked_until_its_definition_holds():
    wrong = BROKEN["a misspelt operation"][0]
    report = checking.check(protocols=[wrong, *wired.protocols(saga=CHECKOUT)[1:]])
    assert not any(checked.proven for checked in report.checked[1:])
    assert "unchecked until the above holds: shape, called" in report.as_text()


def test_retriable_step_needs_no_undo():
    assert RETRIABLE not in {step.step_class for step in CHECKOUT.steps if step.undone}
    assert checking.check(protocols=[REAL]).is_clean
