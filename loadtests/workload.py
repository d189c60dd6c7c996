"""What the shoppers of a window want: which carts, which cards, in an order that is repeatable."""

import random
from collections.abc import Sequence

import msgspec

from loadtests import shopper
from loadtests.plan import Mix, Window
from loadtests.schedule import offsets
from loadtests.supplies import PLENTY, USER, Supplier

PRODUCTS = 100
LINES = 2

GOOD, DECLINED, SCARCE = "good", "declined", "scarce"


class Workload:
    """Makes the carts of each window, with products of this run's own."""

    def __init__(self, *, supplier: Supplier) -> None:
        """Raises NotSupplied."""
        self._supplier = supplier
        self._plenty = supplier.products(count=PRODUCTS, quantity=PLENTY)

    def requests(self, *, window: Window) -> list[bytes]:
        """The body of each checkout of a window, its cart made and filled. Raises NotSupplied."""
        starts = offsets(
            arrivals=window.arrivals, rate=window.rate, seconds=window.seconds, seed=window.seed
        )
        kinds = kinds_of(mix=window.mix, count=len(starts), seed=window.seed)
        carts = self._supplier.carts(contents=self._contents(kinds, window.seed))
        return [
            msgspec.json.encode(
                shopper.checkout(
                    cart_id=cart,
                    user_id=USER,
                    pattern=window.pattern,
                    payment_method=_card(kind),
                )
            )
            for cart, kind in zip(carts, kinds, strict=True)
        ]

    def _contents(self, kinds: Sequence[str], seed: int) -> list[list[str]]:
        """Some of many products a cart, so that few checkouts meet at the same row."""
        chance = random.Random(seed)  # noqa: S311 -- carts to repeat, no secret
        last_unit = self._supplier.products(count=1, quantity=1) if SCARCE in kinds else []
        return [
            last_unit if kind == SCARCE else chance.sample(self._plenty, LINES) for kind in kinds
        ]


def kinds_of(*, mix: Mix, count: int, seed: int) -> list[str]:
    """Which checkout is paid with a declined card and which wants the scarce product: exactly the
    shares of the mix (rounded), in an order that follows from the seed."""
    declined, scarce = round(mix.declined * count), round(mix.scarce * count)
    kinds = [DECLINED] * declined + [SCARCE] * scarce
    kinds += [GOOD] * (count - len(kinds))
    random.Random(seed).shuffle(kinds)  # noqa: S311 -- an order to repeat, no secret
    return kinds


def _card(kind: str) -> str:
    return shopper.DECLINED_CARD if kind == DECLINED else shopper.GOOD_CARD
