"""The shop of a world, on tables in memory: how it begins, what time does to it, how it stands."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal

from carrito.models import CartStatus
from carrito.operations import accept
from carrito.records import LockedCart
from checker.explorer.shop import evidence
from checker.explorer.shop.memory.installed import Memory
from checker.explorer.shop.memory.stock import Product
from checker.explorer.shop.scenarios import (
    PRICE,
    SERVICES,
    SLACK_SECONDS,
    Scenario,
    accepting,
    saga_ids_of,
)
from checker.explorer.shop.steadiness import Standing
from contracts.commands import Line
from contracts.statuses import Pattern
from inventario.models import ReservationStatus
from loadtests.audit import rules
from loadtests.audit.evidence import Evidence
from saga_orchestrator.sagalog import Call
from sagas.performing import perform

EXPIRED = -1.0


class MemoryShop:
    """The shop of a scenario. `can_overlap`: whether transactions may be open side by side."""

    can_overlap = True

    def __init__(self, *, memory: Memory, scenario: Scenario, pattern: Pattern) -> None:
        self.memory = memory
        self.scenario = scenario
        self.pattern = pattern
        self._outboxes = {one: memory.store.table("outbox." + one) for one in SERVICES}
        is_choreographed = pattern is Pattern.CHOREOGRAPHED
        self._runs = memory.trail.sagas if is_choreographed else memory.sagalog.sagas
        self.saga_ids = saga_ids_of(scenario)

    def begin(self) -> None:
        """As after the acceptance of all checkouts, at the beginning of time."""
        self.memory.clear()
        for product_id, units in self.scenario.stock.items():
            self.memory.stock.products[product_id] = Product(units)
        for saga_id, wanted in zip(self.saga_ids, self.scenario.wanted, strict=True):
            items = [
                Line(str(one), quantity, Decimal(PRICE)) for one, quantity in wanted.items.items()
            ]
            self.memory.records.carts[saga_id] = LockedCart(
                id=saga_id, user_id="ana", status=CartStatus.ACTIVE, version=1, items=items
            )
        perform(operation=accept, commands=accepting(self.scenario, self.pattern))

    def atomic(self, service: str) -> AbstractContextManager[None]:
        return self.memory.store.atomic(using=service)

    def now(self) -> datetime:
        return self.memory.clock.now()

    def is_to_be_handed_over(self) -> bool:
        return any(one.handed_over_at is None for one in self.memory.records.checkouts.values())

    def unsent(self) -> list[str]:
        """The services whose outboxes are not empty."""
        return [service for service, table in self._outboxes.items() if table]

    def expiring(self) -> list[str]:
        """The sagas whose reservations may expire."""
        rows = self.memory.stock.reservations.items()
        return [one for one, row in rows if row.held.status is ReservationStatus.RESERVED]

    def let_expire(self, saga_id: str) -> None:
        """The reservation's time is over."""
        table = self.memory.stock.reservations
        self.memory.store.write(table, saga_id, table[saga_id]._replace(expires_at=EXPIRED))

    def passes(self, seconds: float) -> None:
        self.memory.clock.passes(seconds)

    def is_claimable(self, *, runner: int, in_hand: Sequence[str], but: Sequence[Call]) -> bool:
        """Whether this runner could claim a saga now."""
        return bool(self.memory.sagalog.due(runner_id=runner, in_hand=in_hand, but=but))

    def seconds_until_due(self) -> float:
        """Until the next saga may be claimed."""
        rows = self.memory.sagalog.sagas.values()
        dues = [one.next_attempt_at for one in rows if one.next_attempt_at is not None]
        return SLACK_SECONDS + max(0.0, min(dues, default=0.0) - self.memory.clock.seconds)

    def is_alive(self, runner: int) -> bool:
        return runner not in self.memory.sagalog.silent

    def fall_silent(self, runner: int) -> None:
        """Its heart does not beat, and its sagas are anybody's."""
        self.memory.sagalog.silent.add(runner)

    def speak(self, runner: int) -> None:
        """Its heart beats (again)."""
        self.memory.sagalog.silent.discard(runner)

    def standings(self) -> Mapping[str, Standing]:
        checkouts, runs = self.memory.records.checkouts, self._runs
        found = {}
        for saga_id in self.saga_ids:
            run = runs.get(saga_id)
            found[saga_id] = Standing(checkouts[saga_id].status, run.status if run else "")
        return found

    def set_aside(self) -> list[str]:
        """Messages that no handler could handle."""
        return list(self.memory.parked.table.values())

    def evidence(self) -> list[Evidence]:
        return evidence.collect(self.memory)

    def stock(self) -> dict[int, tuple[int, int, int]]:
        """Of each product: available, reserved, sold."""
        return {one: tuple(row) for one, row in self.memory.stock.products.items()}

    def breaches(self) -> Iterator[str]:
        """What the audit's rules find, saga by saga and in the sums."""
        for one in self.evidence():
            for group, what in rules.breaches(one):
                yield f"{group}: {one.saga_id}: {what}"
        yield from self._sums()
        yield from self._carts()

    def describe(self) -> str:
        memory = self.memory
        parts = []
        for saga_id, standing in self.standings().items():
            reserved = memory.stock.reservations.get(saga_id)
            payment = memory.ledger.payments.get(saga_id)
            order = memory.records.orders.get(saga_id)
            rows = [
                reserved and f"stock {reserved.held.status.value}",
                payment and f"payment {payment.status.value}",
                order and f"order {order.status.value}",
            ]
            known = f"{standing.checkout}/{standing.run or '-'}"
            parts.append(" ".join([f"{saga_id} {known}", *(one for one in rows if one)]))
        return "; ".join(parts)

    def _sums(self) -> Iterator[str]:
        for product_id, row in self.memory.stock.products.items():
            held = [one.held for one in self.memory.stock.reservations.values()]
            sold = sum(
                one.lines.get(product_id, 0)
                for one in held
                if one.status is ReservationStatus.COMMITTED
            )
            units = self.scenario.stock[product_id]
            if row != (units - sold, 0, sold):
                yield f"1: product {product_id}: {units} units became {row}, sold: {sold}"

    def _carts(self) -> Iterator[str]:
        for saga_id, row in self.memory.records.checkouts.items():
            order = self.memory.records.orders.get(saga_id)
            was_sold = order is not None and order.confirmed_at is not None
            wanted = CartStatus.CHECKED_OUT if was_sold else CartStatus.ACTIVE
            found = self.memory.records.carts[row.checkout.cart_id].status
            if found is not wanted:
                yield f"4: {saga_id}: {row.status}, but its cart is {found.value}"
