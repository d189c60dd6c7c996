"""Bugs in steps that must take effect once, or not at all: barrier, stock, money, carts."""

import re
from dataclasses import asdict
from decimal import Decimal

from django.db import connections, transaction

import inventario.operations
import pagos.operations
from carrito import operations
from carrito import store as carts
from carrito.models import IdempotencyKey
from contracts.outcomes import NOTHING_TO_UNDO, Done, Refused
from contracts.saga import Direction
from coordination.store import AcceptedSagas
from inventario import store as stock
from messaging import handlers
from participant import barrier, executing, sql
from participant.barrier import Entered, key_of


def no_barrier(patch) -> None:
    _drop("pagos", "pagos_payment", "payment_once_a_step")
    patch.setattr(
        executing.barrier,
        "enter",
        lambda *, operation, commands: Entered(
            fresh=dict.fromkeys([key_of(operation, command) for command in commands], 0),
            settled={},
            known={},
        ),
    )


def barrier_after_the_effect(patch) -> None:
    """In a separate transaction: a process that dies between the two repeats the effect."""
    _drop("pagos", "pagos_payment", "payment_once_a_step")

    def late(*, operation, commands, in_same_transaction=None, cause=None):
        with transaction.atomic(using=operation.service):
            entry = barrier.enter(operation=operation, commands=commands)
            fresh = [command for command in commands if key_of(operation, command) in entry.fresh]
            transaction.set_rollback(True, using=operation.service)
        with transaction.atomic(using=operation.service):
            outcomes = operation.run(fresh) if fresh else []
        ran = dict(zip([command.saga_id for command in fresh], outcomes, strict=True))
        known = _doing(operation, lambda commands: [ran[command.saga_id] for command in commands])
        return execute(
            operation=known, commands=commands, in_same_transaction=in_same_transaction, cause=cause
        )

    execute = handlers.execute
    patch.setattr(handlers, "execute", late)


def outcome_not_stored(patch) -> None:
    patch.setattr(executing.barrier, "record", lambda *, operation, outcomes: None)


def undo_does_not_block(patch) -> None:
    """A late action takes effect after its own undo."""

    def enter(operation, sagas):
        first = barrier._take(operation, sagas, Direction.UNDO)
        known = barrier._stored(operation, sagas.keys() - first, Direction.UNDO)
        actions = barrier._stored(operation, first.keys(), Direction.DO)
        fresh = {
            saga_id: first[saga_id]
            for saga_id, action in actions.items()
            if isinstance(action, Done)
        }
        nothing = {saga_id: NOTHING_TO_UNDO for saga_id in first if saga_id not in fresh}
        barrier.record(
            operation=operation,
            outcomes={first[saga_id]: outcome for saga_id, outcome in nothing.items()},
        )
        return Entered(fresh=fresh, settled=nothing, known=known)

    patch.setattr(barrier, "_enter_undo", enter)


def undo_of_nothing_refused(patch) -> None:
    patch.setattr(barrier, "NOTHING_TO_UNDO", Refused("nothing_to_undo"))


def oversell_unchecked(patch) -> None:
    _drop("inventario", "inventario_product", "product_stock_not_negative")
    patch.setattr(
        inventario.operations, "decide_reserve", lambda *, wanted, **_: [None for _ in wanted]
    )


def stock_not_locked(patch) -> None:
    """The available stock is read, and another saga may take it before it is written."""
    _drop("inventario", "inventario_product", "product_stock_not_negative")
    _without_locks(patch)


def expiry_not_locked(patch) -> None:
    _drop("inventario", "inventario_product", "product_stock_not_negative")
    _without_locks(patch)


def _without_locks(patch) -> None:
    def execute(statement, values):
        unlocked = re.sub(r"FOR NO KEY UPDATE( OF held)?( SKIP LOCKED)?", "", statement)
        return sql.execute(service="inventario", sql=unlocked, values=values)

    patch.setattr(stock, "_execute", execute)


def expired_reservation_sold(patch) -> None:
    patch.setattr(
        inventario.operations,
        "decide_commit",
        lambda *, command, held: (
            Done({"reservation_id": str(held[0].id)}) if held else Refused("no")
        ),
    )


def float_money(patch) -> None:
    def total(items):
        cents = int(sum(float(item.unit_price) * item.quantity for item in items) * 100)
        return Decimal(cents) / 100

    patch.setattr(carts, "total_of", total)


def refund_given_twice(patch) -> None:
    _drop("pagos", "pagos_refund", "refund_once_a_payment")
    add_refunds = pagos.operations.store.add_refunds

    def twice(**given):
        add_refunds(**given)
        add_refunds(**given)

    patch.setattr(pagos.operations.store, "add_refunds", twice)


def cart_left_locked(patch) -> None:
    def execute(statement, values):
        kept = statement.replace("cart SET status = 'active'", "cart SET status = cart.status")
        return sql.execute(service="carrito", sql=kept, values=values)

    patch.setattr(carts, "_execute", execute)


def cart_bought_twice(patch) -> None:
    _drop_index("carrito", "checkout_once_a_cart")
    decide = operations.decide_accept

    def careless(*, command, cart, is_taken):
        refused = decide(command=command, cart=cart, is_taken=is_taken)
        return None if refused and refused.code == "cart_in_checkout" else refused

    patch.setattr(operations, "decide_accept", careless)


def idempotency_key_ignored(patch) -> None:
    _drop("carrito", "carrito_idempotencykey", "key_once_a_user")

    def take(self, *, keys):
        IdempotencyKey.objects.bulk_create(IdempotencyKey(**asdict(key)) for key in keys)
        return {}

    patch.setattr(AcceptedSagas, "take_keys", take)


def _doing(operation, run):
    """A copy of the operation that runs this function."""
    return type(operation)(**{**operation.__dict__, "run": run})


def _drop(service: str, table: str, constraint: str) -> None:
    """The second guard is removed as well; the end of the test's transaction restores it."""
    with connections[service].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")


def _drop_index(service: str, index: str) -> None:
    with connections[service].cursor() as cursor:
        cursor.execute(f"DROP INDEX {index}")
