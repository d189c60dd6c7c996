"""BENCHMARK ONLY. The floor: the same checkout in local transactions of one database.

It has no saga, barrier, outbox or broker, and calls no other service, so that `manage.py compare`
can show the cost of distribution. HTTP server, database server, durability, operations and their
SQL are those of the shop, in the order of the saga's definition. The card network is outside of any
shop, and is called outside of any transaction: so there are two, one until the intent to charge,
and one after the network's answer. The floor is not a pattern of the shop, is enabled by
DUETO_MONOLITH=1 only, and accepts nothing but checkouts.

All services' tables are in one database here. The services' aliases share one connection, so that
their own operations, unchanged, run in its transactions. Concurrent checkouts are batched, as in
the shop: one by one they would cost more under load than a saga that batches. So a refused checkout
is not rolled back with the others: its own steps are undone within the transaction, by the
operations that undo them in a saga.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module

import msgspec
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from carrito import operations, store, views
from carrito.operations import Accept
from carrito.store import LockedCart, Snapshot
from carrito.views import CheckoutRequest
from catalogue import SAGAS
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.patterns import ORCHESTRATED
from contracts.projection import command, services_of, with_result
from contracts.saga import Context, Direction, Step
from contracts.states import SagaStatus
from coordination import owner_views
from httpapi.json import answer, values
from inventario import store as stock
from pagos import desk
from pagos import store as pagos
from pagos.desk import Charged
from pagos.operations import NETWORK
from participant.batching import Batcher
from participant.executing import Executed
from participant.operations import NO, YES, Verdict, all_in

PATTERN = "monolith"
"""The `saga_pattern` of a checkout for it."""
SAGA = SAGAS["checkout"]
ALIAS = SAGA.owner
STEPS = [step for step in SAGA.steps if not step.operation.endswith(".pad")]
"""Without padding."""
CHARGE = [step.operation for step in STEPS].index("pagos.charge")
_OPERATIONS = {
    service: all_in(import_module(f"{service}.operations")) for service in services_of(SAGA)
}


def check_out(*, command: Accept) -> Outcome:
    """Accepts the checkout and takes all its steps, or undoes them if one is refused: Done with
    `total_amount` and the `status` that carrito gives it in a saga. Refused: not accepted.
    """
    return _batcher.execute(command=command).outcome


def check_out_together(*, commands: Sequence[Accept]) -> list[Executed]:
    """The outcome of each."""
    _share_one_connection()
    with transaction.atomic(using=ALIAS):
        carts = store.lock_carts(ids=[command.cart_id for command in commands])
        frozen = operations.record(commands=_priced(commands, carts.values()), carts=carts)
        contexts = [snapshot.context for snapshot in frozen if isinstance(snapshot, Snapshot)]
        charged, statuses = _take_steps(STEPS[1 : CHARGE + 1], contexts)
    verdicts = _asked_of_network(charged)
    with transaction.atomic(using=ALIAS):
        paid, unpaid = _decide(charged, verdicts)
        completed, failed = _take_steps(STEPS[CHARGE + 1 :], paid)
    statuses |= (
        unpaid | failed | {context.saga_id: SagaStatus.COMPLETED.value for context in completed}
    )
    return [
        Executed(command=command, outcome=_outcome(snapshot, statuses), fresh=True)
        for command, snapshot in zip(commands, frozen, strict=True)
    ]


def _priced(commands: Sequence[Accept], carts: Iterable[LockedCart]) -> list[Accept]:
    """With the current prices of the carts' products, from inventario's own table."""
    ids = {int(line.product_id) for cart in carts for line in cart.items}
    found = stock.prices(ids=list(ids))
    prices = {str(product_id): price for product_id, price in found.items()}
    return [msgspec.structs.replace(command, prices=prices) for command in commands]


Taken = tuple[list[Context], dict[str, str]]
"""The checkouts that continue, and by saga id the status of those that have ended."""


def _take_steps(steps: Sequence[Step], contexts: Sequence[Context]) -> Taken:
    running = list(contexts)
    ended: dict[str, str] = {}
    for step in steps:
        running, failed = _after(step, running, _run(step, Direction.DO, running))
        ended |= failed
    return running, ended


def _after(step: Step, contexts: Sequence[Context], outcomes: Sequence[Outcome]) -> Taken:
    """Adds the results to the contexts, and undoes the refused checkouts."""
    place = STEPS.index(step)
    failures = {
        context.saga_id: Failure(step.name, outcome.code, outcome.detail, undone=place > 1)
        for context, outcome in zip(contexts, outcomes, strict=True)
        if isinstance(outcome, Refused)
    }
    failed = [context for context in contexts if context.saga_id in failures]
    ended = _undo(STEPS[:place], failed, failures) if failed else {}
    done = [
        with_result(context=context, steps=STEPS, step=step.name, outcome=outcome)
        for context, outcome in zip(contexts, outcomes, strict=True)
        if context.saga_id not in failures
    ]
    return done, ended


def _asked_of_network(contexts: Sequence[Context]) -> dict[str, Charged]:
    """The network's answer for each charge that is due, by saga id."""
    step = STEPS[CHARGE].name
    payments = pagos.to_ask(keys=[(context.saga_id, step) for context in contexts])
    answers: dict[str, Charged] = {}
    while payments:
        found = desk.network().charge(payments=payments)
        answers |= {
            payment.saga_id: answer for payment, answer in zip(payments, found, strict=True)
        }
        payments = [
            payment for payment in payments if answers[payment.saga_id].status == "processing"
        ]
        # A slow card: no database lock is held meanwhile; the network's answer has the delay.
        time.sleep(
            min(
                (answers[payment.saga_id].retry_after_seconds or 0 for payment in payments),
                default=0,
            )
        )
    return answers


def _decide(contexts: Sequence[Context], answers: Mapping[str, Charged]) -> Taken:
    step = STEPS[CHARGE]
    operation = _OPERATIONS[step.service][step.operation.partition(".")[2], Direction.DO]
    asked = [context for context in contexts if context.saga_id in answers]
    verdicts = [
        Verdict(
            step=step.name,
            command=command(step=step, direction=Direction.DO, context=context),
            decided_by=NETWORK,
            word=NO if answers[context.saga_id].status == "refused" else YES,
            data={"code": answers[context.saga_id].code, "detail": answers[context.saga_id].detail},
        )
        for context in asked
    ]
    outcomes = operation.decide(verdicts) if operation.decide and verdicts else []
    paid, unpaid = _after(step, asked, outcomes)
    return [*paid, *(context for context in contexts if context.saga_id not in answers)], unpaid


def _undo(
    steps: Sequence[Step], contexts: Sequence[Context], failures: Mapping[str, Failure]
) -> dict[str, str]:
    """By saga id the status, from the last undo, that of the acceptance."""
    outcomes: Sequence[Outcome] = ()
    for step in reversed(steps):
        outcomes = _run(step, Direction.UNDO, contexts, failures)
    return {
        context.saga_id: str(outcome.data["status"])
        for context, outcome in zip(contexts, outcomes, strict=True)
        if isinstance(outcome, Done)
    }


def _run(
    step: Step,
    direction: Direction,
    contexts: Sequence[Context],
    failures: Mapping[str, Failure] | None = None,
) -> Sequence[Outcome]:
    action = step.operation.partition(".")[2]
    operation = _OPERATIONS[step.service][action, direction]
    commands = [
        command(
            step=step,
            direction=direction,
            context=context,
            failure=failures[context.saga_id] if failures else None,
        )
        for context in contexts
    ]
    return operation.run(commands) if commands else []


def _outcome(snapshot: Snapshot | Refused, statuses: Mapping[str, str]) -> Outcome:
    if isinstance(snapshot, Refused):
        return snapshot
    status = statuses[snapshot.context.saga_id]
    return Done({**operations.told(accepted=snapshot), "status": status})


def _share_one_connection() -> None:
    """Makes every service's alias, in this thread, carrito's connection."""
    for service in _OPERATIONS:
        connections[service] = connections[ALIAS]


_batcher = Batcher(service=ALIAS, execute_batch=check_out_together)


class FloorView(views.CheckoutView):
    """The shop's own door, with one more pattern: a `monolith` checkout has ended when it answers.

    It answers 202 like the others, so that all are measured alike. It ignores an Idempotency-Key:
    without a barrier the first answer is not known.
    """

    @views.door_of_checkout
    def post(self, request: HttpRequest) -> HttpResponse:
        wanted = msgspec.convert(values(request.body), CheckoutRequest)
        if wanted.saga_pattern != PATTERN:
            return super().post(request)
        known = msgspec.structs.replace(wanted, saga_pattern=ORCHESTRATED)
        command = views.command_of(request=request, wanted=known)
        command = msgspec.structs.replace(command, saga_pattern=PATTERN)
        ended = check_out(command=command)
        if isinstance(ended, Refused):
            raise owner_views.not_accepted(ended, owner=operations.OWNER)
        assert isinstance(ended, Done)  # noqa: S101 -- nothing in it waits
        url = request.build_absolute_uri(f"/orders/saga/{command.saga_id}/status")
        told = {
            "saga_id": command.saga_id,
            "saga": command.saga,
            "cart_id": command.cart_id,
            "saga_pattern": PATTERN,
            **ended.data,
            "status_url": url,
        }
        return answer(told, status=202, headers={"Location": url})


urlpatterns = [path("checkout/saga", FloorView.as_view())]
