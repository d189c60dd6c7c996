"""The whole checkout as one transaction.

Every service's tables are in one database here. Its aliases are made one connection, so that the
services' own operations, unchanged, take part in one transaction. Checkouts that come at once are
done together, as everything in the shop is: a floor that did them one by one would cost more under
load than a saga that does not. So one that is refused is not rolled back with the others: within
the transaction its own steps are undone, by the operations that undo them in a saga.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from django.db import connections, transaction

import inventario.operations
import pagos.operations
from carrito import operations, records
from carrito.checkout import AcceptedCheckout, NotAccepted
from carrito.operations import Accept
from carrito.records import Accepted
from contracts import sagas
from contracts.commands import Charge, Checkout, Command, Reserve, Undo, Unlock
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.statuses import SagaStatus
from sagas.gathering import Gathering
from sagas.operations import Operation
from sagas.performing import Performed

ALIAS = operations.SERVICE


class Step(NamedTuple):
    """What is done, from which command, and what undoes it."""

    do: Operation
    command: type[Command]
    undo: Operation | None = None


STEPS = (
    Step(inventario.operations.reserve, Reserve, inventario.operations.unreserve),
    Step(pagos.operations.charge, Charge, pagos.operations.refund),
    Step(operations.create_order, Command, operations.cancel_order),
    Step(inventario.operations.commit, Command),
    Step(operations.confirm_order, Command),
)


def check_out(*, command: Accept) -> AcceptedCheckout:
    """Accepts the checkout and takes all its steps, or, where one is refused, none.

    It has ended then, with the status that carrito gives it in a saga. Raises NotAccepted, and
    keeps nothing.
    """
    ended = _gathering.perform(command=command).outcome
    if isinstance(ended, Refused):
        raise NotAccepted(ended)
    return AcceptedCheckout(
        saga_id=command.saga_id,
        cart_id=command.cart_id,
        total_amount=Decimal(ended.data["total_amount"]),
        saga_pattern=command.saga_pattern,
        status=ended.data["status"],
        is_new=True,
    )


def check_out_together(*, commands: Sequence[Accept]) -> list[Performed]:
    """What became of each: Done with `total_amount` and `status`, or Refused."""
    _share_one_connection()
    with transaction.atomic(using=ALIAS):
        carts = records.lock_carts(ids=[one.cart_id for one in commands])
        frozen = operations.freeze(commands=commands, carts=carts)
        accepted = [one for one in frozen if isinstance(one, Accepted)]
        records.add_checkouts(accepted=accepted)
        statuses = _take_steps([one.checkout for one in accepted])
    return [
        Performed(command=command, outcome=_outcome(one, statuses), fresh=True)
        for command, one in zip(commands, frozen, strict=True)
    ]


def _take_steps(checkouts: Sequence[Checkout]) -> dict[str, str]:
    """How each checkout has ended, by saga id."""
    running = list(checkouts)
    ended: dict[str, str] = {}
    for place, step in enumerate(STEPS):
        commands = [step.command.of(checkout=one) for one in running]
        outcomes = step.do.run(commands) if commands else []
        failures = {
            one.saga_id: Failure(
                step.do.step,
                outcome.code,
                outcome.detail,
                undone=any(s.undo for s in STEPS[:place]),
            )
            for one, outcome in zip(running, outcomes, strict=True)
            if isinstance(outcome, Refused)
        }
        if failures:
            ended |= _undo(STEPS[:place], failures)
            running = [one for one in running if one.saga_id not in failures]
    return ended | {one.saga_id: SagaStatus.COMPLETED.value for one in running}


def _undo(steps: Sequence[Step], failures: Mapping[str, Failure]) -> dict[str, str]:
    undos = [Undo(saga_id=one, reason=failure.code) for one, failure in failures.items()]
    for step in reversed(steps):
        if step.undo:
            step.undo.run(undos)
    unlocks = [Unlock(saga_id=one, failure=failure) for one, failure in failures.items()]
    outcomes = operations.unlock.run(unlocks)
    return {
        unlock.saga_id: str(outcome.data["status"])
        for unlock, outcome in zip(unlocks, outcomes, strict=True)
        if isinstance(outcome, Done)
    }


def _outcome(one: Accepted | Refused, statuses: Mapping[str, str]) -> Outcome:
    if isinstance(one, Refused):
        return one
    status = statuses[one.checkout.saga_id]
    return Done({"total_amount": str(one.checkout.total_amount), "status": status})


def _share_one_connection() -> None:
    """Makes every service's alias, in this thread, carrito's connection."""
    for step in sagas.CHECKOUT.steps:
        connections[step.service] = connections[ALIAS]


_gathering = Gathering(service="carrito", together=check_out_together)
