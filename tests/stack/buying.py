"""Shoppers who keep buying while servers are stopped, and the longest time without an end."""

import itertools
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tests.checkout.shop import Shop
from tests.waiting import eventually

PAUSE_SECONDS = 0.4
"""Between checkouts: servers, services and elections need the two cores too."""
SHOPPERS = 4
CARTS = 2000


class Buying:
    """Each shopper makes one checkout after the other, in one pattern after the other, until
    stopped; a checkout that is not accepted is requested again under the same key.
    """

    def __init__(self, shop: Shop, *, patterns: Sequence[str]) -> None:
        self._shop, self._patterns = shop, patterns
        self._product = shop.product(quantity=CARTS)
        self._carts = iter(shop.carts(CARTS, product=self._product))
        self._taking = threading.Lock()
        self._is_over = threading.Event()
        self.sagas: list[str] = []
        self._faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._buy) for _ in range(SHOPPERS)]
        for thread in self._threads:
            thread.start()

    @property
    def ended(self) -> int:
        """The ended sagas of the pattern with the fewest."""
        ended = self._ends()
        return min(len([at for name, at in ended if name == pattern]) for pattern in self._patterns)

    def more_end(self, count: int, *, seconds: float = 60) -> None:
        """Returns when that many more of each pattern have ended."""
        deadline = time.monotonic() + seconds

        def come(least: int) -> int:
            with suppress(psycopg.OperationalError):  # this database may be the stopped one
                ended = self.ended
                return ended + 1 if ended >= least else 0
            return 0

        before = eventually(lambda: come(0), seconds=seconds, what="the ends can be read") - 1
        left = deadline - time.monotonic()
        eventually(lambda: come(before + count), seconds=left, what=f"{count} more end")

    def stop(self) -> None:
        """Stops the shoppers, and checks that every checkout was completed, once."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        assert not self._faults, self._faults
        assert self._shop.all_ended(self.sagas) == {"completed": len(self.sagas)}
        count = len(self.sagas)
        assert self._shop.stock(self._product) == (CARTS - count, 0, count)

    def standstill(self) -> float:
        """The longest time, in seconds, in which no saga of some pattern ended."""
        gaps = [
            later - earlier
            for pattern in self._patterns
            for earlier, later in itertools.pairwise(
                sorted(at for name, at in self._ends() if name == pattern)
            )
        ]
        return max(gaps, default=timedelta.max).total_seconds()

    def _ends(self) -> list[tuple[str, datetime]]:
        rows: list[Any] = self._shop.rows(
            "carrito",
            "SELECT saga_pattern, ended_at FROM carrito_checkout"
            " WHERE saga_id = ANY(%s) AND status = 'completed'",
            [list(self.sagas)],
        )
        return rows

    def _buy(self) -> None:
        try:
            for pattern in itertools.cycle(self._patterns):
                if self._is_over.wait(PAUSE_SECONDS):
                    return
                with self._taking:
                    cart = next(self._carts)
                self.sagas += self._shop.check_out_all([cart], [pattern], at_once=1)
        except BaseException as error:  # noqa: BLE001 -- `stop` shows it, in the test's own thread
            self._faults.append(error)


@contextmanager
def buying(shop: Shop, *, patterns: Sequence[str], at_most: float, what: str) -> Iterator[Buying]:
    """Within the block shoppers buy; after it nothing is lost or doubled, and no pattern stood
    still for longer than `at_most` seconds.
    """
    shoppers = Buying(shop, patterns=patterns)
    try:
        shoppers.more_end(5)
        yield shoppers
        shoppers.more_end(5)
    finally:
        shoppers.stop()
    stood = shoppers.standstill()
    sys.stdout.write(
        f"\n{what}: {len(shoppers.sagas)} checkouts, at most {stood:.1f} s without an end\n"
    )
    assert stood <= at_most
