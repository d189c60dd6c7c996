"""The shop of a world on PostgreSQL, with the real SQL: the same calls as `memory_shop.MemoryShop`.

Its databases have the clock of the explorer (postgres_clock.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from django.apps import apps
from django.db import connections, transaction

from carrito.models import Cart, CartItem, Checkout
from carrito.operations import accept
from checker.explorer.clock import Clock
from checker.explorer.shop import postgres_clock
from checker.explorer.shop.scenarios import (
    PRICE,
    SERVICES,
    SLACK_SECONDS,
    Scenario,
    accepting,
    saga_ids_of,
)
from checker.explorer.shop.steadiness import Standing
from contracts.statuses import Pattern
from inventario.models import Product, Reservation, ReservationStatus
from loadtests.audit import evidence, rules, sums
from loadtests.audit.evidence import Evidence
from messaging.models import ParkedStatus
from saga_choreography import models as choreography
from saga_orchestrator import models as orchestrator
from saga_orchestrator import sagalog, statements
from saga_orchestrator.sagalog import ALIAS
from sagas.performing import perform

_CLAIMABLE = f"SELECT count(*) FROM saga_orchestrator_saga WHERE {statements.CLAIMABLE}"
_UNTIL_DUE = "SELECT extract(epoch FROM min(next_attempt_at) - now()) FROM saga_orchestrator_saga"
_HEARD = """
    INSERT INTO saga_orchestrator_runner (id, host, pid, seen_at) VALUES (%s, '', 0, 'infinity')
    ON CONFLICT (id) DO UPDATE SET seen_at = 'infinity'
"""
_UNHEARD = "UPDATE saga_orchestrator_runner SET seen_at = '-infinity' WHERE id = %s"


class PostgresShop:
    """Empties all tables of all services at each beginning: for databases of its own."""

    can_overlap = False
    """One connection a service here, and so one transaction at a time."""

    def __init__(self, *, clock: Clock, scenario: Scenario, pattern: Pattern) -> None:
        self._clock = clock
        self.scenario = scenario
        self.pattern = pattern
        self.saga_ids = saga_ids_of(scenario)
        is_choreographed = pattern is Pattern.CHOREOGRAPHED
        self._runs = (choreography if is_choreographed else orchestrator).Saga
        self._silent: set[int] = set()

    def begin(self) -> None:
        self._clock.reset()
        self._silent.clear()
        postgres_clock.show(now=self._clock.now())
        _empty()
        for product_id, units in self.scenario.stock.items():
            Product.objects.create(
                pk=product_id,
                name=f"product {product_id}",
                sku=str(product_id),
                price=PRICE,
                initial=units,
                available=units,
            )
        for saga_id, wanted in zip(self.saga_ids, self.scenario.wanted, strict=True):
            Cart.objects.create(id=saga_id, user_id="ana")
            for product_id, quantity in wanted.items.items():
                CartItem.objects.create(
                    cart_id=saga_id, product_id=product_id, quantity=quantity, unit_price=PRICE
                )
        perform(operation=accept, commands=accepting(self.scenario, self.pattern))

    def atomic(self, service: str) -> AbstractContextManager[None]:
        return transaction.atomic(using=service)

    def now(self) -> datetime:
        return self._clock.now()

    def is_to_be_handed_over(self) -> bool:
        return Checkout.objects.filter(handed_over_at=None).exists()

    def unsent(self) -> list[str]:
        return [
            service
            for service in SERVICES
            if apps.get_model(service, "OutboxEntry").objects.filter(sent_at=None).exists()
        ]

    def expiring(self) -> list[str]:
        reserved = Reservation.objects.filter(status=ReservationStatus.RESERVED)
        return list(reserved.order_by("id").values_list("saga_id", flat=True))

    def let_expire(self, saga_id: str) -> None:
        Reservation.objects.filter(saga_id=saga_id).update(expires_at="2000-01-01T00:00:00Z")

    def passes(self, seconds: float) -> None:
        self._clock.passes(seconds)
        postgres_clock.show(now=self._clock.now())

    def is_claimable(
        self, *, runner: int, in_hand: Sequence[str], but: Sequence[sagalog.Call]
    ) -> bool:
        values = sagalog.claimable(runner_id=runner, in_hand=in_hand, but=but)
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(_CLAIMABLE, values)
            return bool(cursor.fetchone()[0])

    def seconds_until_due(self) -> float:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(_UNTIL_DUE)
            return SLACK_SECONDS + max(0.0, float(cursor.fetchone()[0] or 0))

    def is_alive(self, runner: int) -> bool:
        return runner not in self._silent

    def fall_silent(self, runner: int) -> None:
        self._silent.add(runner)
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(_UNHEARD, [runner])

    def speak(self, runner: int) -> None:
        self._silent.discard(runner)
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(_HEARD, [runner])

    def standings(self) -> Mapping[str, Standing]:
        checkouts = dict(Checkout.objects.values_list("saga_id", "status"))
        runs = dict(self._runs.objects.values_list("saga_id", "status"))
        return {one: Standing(checkouts[one], runs.get(one, "")) for one in self.saga_ids}

    def set_aside(self) -> list[str]:
        return [
            f"{service} set {one.event_type} of {one.saga_id} aside: {one.reason}"
            for service in SERVICES
            for one in apps.get_model(service, "ParkedMessage").objects.exclude(
                status=ParkedStatus.HANDLED
            )
        ]

    def evidence(self) -> list[Evidence]:
        return list(evidence.collect())

    def breaches(self) -> Iterator[str]:
        for one in self.evidence():
            for group, what in rules.breaches(one):
                yield f"{group}: {one.saga_id}: {what}"
        yield from sums.stock()
        for saga_id, what in sums.carts():
            yield f"4: {saga_id}: {what}"

    def stock(self) -> dict[int, tuple[int, int, int]]:
        rows = Product.objects.values_list("id", "available", "reserved", "sold")
        return {one: (available, reserved, sold) for one, available, reserved, sold in rows}

    def describe(self) -> str:
        return "; ".join(
            f"{saga_id} {one.checkout}/{one.run or '-'}"
            for saga_id, one in self.standings().items()
        )


def _empty() -> None:
    """All rows of all services, those that refer to others first."""
    for service in SERVICES:
        models = reversed(list(apps.get_app_config(service).get_models()))
        statements = "; ".join(f'DELETE FROM "{one._meta.db_table}"' for one in models)
        with connections[service].cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN {statements}; END $$")
