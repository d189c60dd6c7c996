"""What the shoppers of a window want (which goods, which cards, in an order that is repeatable),
and what they need for it: products, filled carts and a courier, made over the API outside the timed
parts.
"""

import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import urllib3

from catalogue import SAGAS
from contracts.doors import CATALOGUE_WRITE, OPS_ACT
from contracts.projection import services_of
from contracts.saga import Saga
from loadtests.load import shopper
from loadtests.load.windows import Mix, Window, offsets
from loadtests.shop import CHECKOUT, Shop

CARTS_A_CALL = 500
PLENTY = 1_000_000
SELLER = "load-test"
"""Who fills the shelves."""
SHOPPERS = tuple(f"{SELLER}-{number}" for number in range(200))
CARTS_EACH = 25
"""Of a window, before another shopper has some too: their carts are made with one call each."""
PRODUCTS = 100
LINES = 2
GOOD, DECLINED, SCARCE, HOT = "good", "declined", "scarce", "hot"


class NotSupplied(Exception):
    """The shop did not make what a load test needs."""


class Start(NamedTuple):
    """Of a saga: what is sent, and the token of who sends it; empty where nobody is asked."""

    body: bytes
    token: str


class Supplier:
    """Makes them. One a run, so that runs never share stock."""

    def __init__(self, *, shop: Shop, run: str) -> None:
        self._shop = shop
        self._run = run
        self._made = 0
        self._pool = urllib3.PoolManager(retries=False, timeout=30.0)

    def products(self, *, count: int, quantity: int) -> list[str]:
        """The ids of new products, with so many of each in stock. Raises NotSupplied."""
        first = self._made + 1
        self._made += count
        skus = [f"LOAD-{self._run}-{number}" for number in range(first, self._made + 1)]
        body = [
            shopper.product(name=f"Load test {sku}", quantity=quantity, sku=sku) for sku in skus
        ]
        return self._ids(f"{self._shop.urls['inventario']}/api/products", body)

    def token(self, *, user: str) -> str:
        """With which a shopper asks; empty where nobody is asked."""
        return self._shop.passes.person(user).get("Authorization", "").removeprefix("Bearer ")

    def carts(self, *, contents: Sequence[Sequence[str]], users: Sequence[str]) -> list[str]:
        """The ids of new carts, in order, each with one of every product named for it, and of the
        user named there. Raises NotSupplied.
        """
        of_user: dict[str, list[int]] = {}
        for place, user in enumerate(users):
            of_user.setdefault(user, []).append(place)
        made: dict[int, str] = {}
        for user, places in of_user.items():
            for start in range(0, len(places), CARTS_A_CALL):
                some = places[start : start + CARTS_A_CALL]
                ids = self._carts(user, [contents[place] for place in some])
                made |= dict(zip(some, ids, strict=True))
        return [made[place] for place in range(len(contents))]

    def _carts(self, user: str, contents: Sequence[Sequence[str]]) -> list[str]:
        body = [
            {
                "user_id": user,
                "items": [{"product_id": product, "quantity": 1} for product in products],
            }
            for products in contents
        ]
        return self._ids(f"{self._shop.urls['carrito']}/carts", body, user=user)

    def courier(self, *, capacity: int) -> None:
        """One who serves where the orders go to, so many at once. Raises NotSupplied."""
        body = shopper.courier(name=f"Load test {self._run}", capacity=capacity)
        self._post(f"{self._shop.urls['envios']}/couriers", body, 201)

    def slot(self) -> str:
        """The id of a new one, to be booked. Raises NotSupplied."""
        body = {"name": f"Load test {self._run}", "price_per_hour": shopper.PRICE}
        return str(self._post(f"{self._shop.urls['reservas']}/slots", body, 201)["id"])

    def credits(self) -> None:
        """Enough for all that the shoppers pay by them. Raises NotSupplied."""
        for user in SHOPPERS:
            body = {"user_id": user, "amount": f"{PLENTY}.00"}
            self._post(f"{self._shop.urls['pagos']}/credits", body, 201)

    def _ids(self, url: str, body: Any, *, user: str = "") -> list[str]:
        made = self._post(url, body, 207, user=user)
        refused = [answer for answer in made if answer["outcome"] != "done"]
        if refused:
            raise NotSupplied(f"POST {url}: {refused[0]}")
        return [str(answer["data"]["id"]) for answer in made]

    def _post(self, url: str, body: Any, expected: int, *, user: str = "") -> Any:
        """As this shopper, or as who may fill all shelves."""
        passes = self._shop.passes
        who = passes.person(user) if user else passes.person(SELLER, CATALOGUE_WRITE, OPS_ACT)
        try:
            answer = self._pool.request("POST", url, json=body, headers=who)
        except urllib3.exceptions.HTTPError as error:
            raise NotSupplied(f"POST {url}: {error}") from error
        if answer.status != expected:
            raise NotSupplied(f"POST {url}: {answer.status} {answer.data[:300]!r}")
        return json.loads(answer.data)


class Workload:
    """Makes what each window needs, with products of this run's own."""

    def __init__(
        self, *, supplier: Supplier, saga: Saga = SAGAS[CHECKOUT], asks_people: bool = False
    ) -> None:
        """`saga`: what the shoppers start. `asks_people`: it waits for those whom its page
        names, also where it can do without. Raises NotSupplied.
        """
        self._windows = 0
        self._asks_people = asks_people
        self._tokens = {user: supplier.token(user=user) for user in SHOPPERS}
        self._supplier = supplier
        self._saga = saga
        if "envios" in services_of(saga):
            supplier.courier(capacity=PLENTY)
        if saga.owner == "reservas":
            supplier.credits()
        else:
            self._plenty = supplier.products(count=PRODUCTS, quantity=PLENTY)

    def requests(self, *, window: Window) -> list[Start]:
        """Each start of a window; a checkout's cart is made and filled. Raises NotSupplied."""
        starts = offsets(
            arrivals=window.arrivals, rate=window.rate, seconds=window.seconds, seed=window.seed
        )
        kinds = kinds_of(mix=window.mix, count=len(starts), seed=window.seed)
        pattern = shopper.pattern_of(arm=window.pattern)
        users = self._users(len(kinds))
        named = {"saga": self._saga.name, "saga_pattern": pattern}
        return [
            Start(
                body=msgspec.json.encode({**body, **named, "user_id": user}),
                token=self._tokens[user],
            )
            for user, body in zip(users, self._bodies(kinds, window, users), strict=True)
        ]

    def _users(self, count: int) -> list[str]:
        """Whose each start is, in turn: few in a small window, and others in the next one."""
        most = min(-(-count // CARTS_EACH), len(SHOPPERS))
        first = self._windows
        self._windows += most
        return [SHOPPERS[(first + place % most) % len(SHOPPERS)] for place in range(count)]

    def _bodies(
        self, kinds: Sequence[str], window: Window, users: Sequence[str]
    ) -> list[dict[str, Any]]:
        """By the saga's door: a cart that is checked out, an order, a purchase, or a booking."""
        if self._saga.owner == "reservas":
            return shopper.bookings(slot=self._supplier.slot(), count=len(kinds))
        contents = self._contents(kinds, window)
        cards = [_card(kind, window.pattern) for kind in kinds]
        if self._saga.owner == "carrito":
            carts = self._supplier.carts(contents=contents, users=users)
            return [
                shopper.checkout(cart_id=cart, payment_method=card)
                for cart, card in zip(carts, cards, strict=True)
            ]
        if self._saga.door == SAGAS["purchase"].door:
            return [
                shopper.purchase(
                    user=user, products=products, payment_method=card, is_asked=self._asks_people
                )
                for user, products, card in zip(users, contents, cards, strict=True)
            ]
        return [
            shopper.order(products=products, payment_method=card)
            for products, card in zip(contents, cards, strict=True)
        ]

    def _contents(self, kinds: Sequence[str], window: Window) -> list[list[str]]:
        """Some of many products a cart, so that few checkouts meet at the same row; more do where
        some are popular."""
        chance = random.Random(window.seed)  # noqa: S311 -- carts to repeat, no secret
        weights = popularity(count=PRODUCTS, exponent=window.mix.zipf)
        last_unit = self._supplier.products(count=1, quantity=1) if SCARCE in kinds else []
        wanted = {SCARCE: last_unit, HOT: self._plenty[:1]}
        return [
            wanted.get(kind) or chosen(of=self._plenty, weights=weights, chance=chance)
            for kind in kinds
        ]


def popularity(*, count: int, exponent: float) -> list[float]:
    """The weights of so many products, the most popular first: 1 / n to the power of `exponent`."""
    return [float(place**-exponent) for place in range(1, count + 1)]


def chosen(*, of: Sequence[str], weights: Sequence[float], chance: random.Random) -> list[str]:
    """LINES different products, each drawn by its weight."""
    found: dict[str, None] = {}
    while len(found) < LINES:
        found[chance.choices(of, weights)[0]] = None
    return list(found)


def kinds_of(*, mix: Mix, count: int, seed: int) -> list[str]:
    """Which checkout is paid with a declined card, and which wants the scarce or the hot product:
    exactly the shares of the mix (rounded), in an order that follows from the seed."""
    shares = {DECLINED: mix.declined, SCARCE: mix.scarce, HOT: mix.hot}
    kinds = [kind for kind, share in shares.items() for _ in range(round(share * count))]
    kinds += [GOOD] * (count - len(kinds))
    random.Random(seed).shuffle(kinds)  # noqa: S311 -- an order to repeat, no secret
    return kinds


def _card(kind: str, arm: str) -> str:
    return shopper.DECLINED_CARD if kind == DECLINED else shopper.card_of(arm=arm)
