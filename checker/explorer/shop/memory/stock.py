"""`inventario.stock` in memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.db import IntegrityError

from checker.explorer.clock import Clock
from checker.explorer.store import Store
from inventario.models import ReservationStatus
from inventario.stock import Held, Movement


class Product(NamedTuple):
    available: int
    reserved: int = 0
    sold: int = 0


class Reservation(NamedTuple):
    held: Held
    expires_at: float


class Stock:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.products = store.table("inventario.product")
        self.reservations = store.table("inventario.reservation")

    def lock_products(self, *, ids: Iterable[int]) -> dict[int, int]:
        wanted = [one for one in sorted(set(ids)) if one in self.products]
        for one in wanted:
            self._store.lock(self.products, one)
        found = {one: self.products[one].available for one in wanted}
        self._store.tell("after reading")
        return found

    def lock_reservations(self, *, saga_ids: Sequence[str]) -> dict[str, Held]:
        found = dict(self._locked(sorted(saga_ids)))
        self._store.tell("after reading")
        return found

    def lock_due(
        self, *, limit: int, but_not: Sequence[str] = (), only: str | None = None
    ) -> dict[str, Held]:
        now = self._clock.seconds
        due = [
            saga_id
            for saga_id, one in self.reservations.items()
            if one.held.status is ReservationStatus.RESERVED
            and one.expires_at <= now
            and not self._store.is_held(self.reservations, saga_id)
        ]
        return dict(self._locked(due[:limit]))

    def add_reservations(
        self,
        *,
        carts: Mapping[str, str],
        lines: Mapping[str, Mapping[int, int]],
        movement: Movement,
        seconds: int,
    ) -> dict[str, int]:
        self._move(movement)
        ids = {}
        for saga_id in carts:
            ids[saga_id] = self._store.next_id()
            held = Held(
                id=ids[saga_id],
                saga_id=saga_id,
                status=ReservationStatus.RESERVED,
                lines=lines[saga_id],
            )
            row = Reservation(held, self._clock.seconds + seconds)
            self._store.insert(
                self.reservations, saga_id, row, constraint="reservation_once_a_saga"
            )
        return ids

    def settle(
        self, *, reservations: Sequence[Held], status: ReservationStatus, movement: Movement
    ) -> None:
        if not reservations:
            return
        for one in reservations:
            known = self.reservations[one.saga_id]
            held = Held(id=one.id, saga_id=one.saga_id, status=status, lines=known.held.lines)
            self._store.write(self.reservations, one.saga_id, Reservation(held, known.expires_at))
        self._move(movement)

    def _locked(self, saga_ids: Iterable[str]) -> Iterator[tuple[str, Held]]:
        for saga_id in saga_ids:
            if saga_id in self.reservations:
                self._store.lock(self.reservations, saga_id)
                yield saga_id, self.reservations[saga_id].held

    def _move(self, movement: Movement) -> None:
        for product_id in movement.products():
            was = self.products[product_id]
            row = Product(
                was.available + movement.available[product_id],
                was.reserved + movement.reserved[product_id],
                was.sold + movement.sold[product_id],
            )
            if min(row) < 0:
                raise IntegrityError("product_stock_not_negative")
            if sum(row) != sum(was):
                raise IntegrityError("product_stock_adds_up")
            self._store.write(self.products, product_id, row)
