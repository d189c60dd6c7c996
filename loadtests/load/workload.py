"""The requests of a window (goods and cards, in a repeatable order), and their supplies: products,
filled carts and a courier, made over the API outside the timed parts.
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
"""The merchant who adds the products."""
SHOPPERS = tuple(f"{SELLER}-{number}" for number in range(200))
CARTS_EACH = 25
"""Checkouts of a window for one shopper, whose carts are made in one call."""
PRODUCTS = 100
LINES = 2
GOOD, DECLINED, SCARCE, HOT = "good", "declined", "scarce", "hot"


class NotSupplied(Exception):
    """The shop did not make the supplies of a load test."""


class Start(NamedTuple):
    """The request that starts a saga, and the shopper's token (empty without authentication)."""

    body: bytes
    token: str


class Supplier:
    """Makes the supplies. One for each run, so that runs never share stock."""

    def __init__(self, *, shop: Shop, run: str) -> None:
        self._shop = shop
        self._run = run
        self._made = 0
        self._pool = urllib3.PoolManager(retries=False, timeout=30.0)

    def products(self, *, count: int, quantity: int) -> list[str]:
        """The ids of new products, with `quantity` of each in stock. Raises NotSupplied."""
        first = self._made + 1
        self._made += count
        skus = [f"LOAD-{self._run}-{number}" for number in range(first, self._made + 1)]
        body = [
            shopper.product(name=f"Load test {sku}", quantity=quantity, sku=sku) for sku in skus
        ]
        return self._ids(f"{self._shop.urls['inventario']}/api/products", body)

    def token(self, *, user: str) -> str:
        """A shopper's token; empty without authentication."""
        return self._shop.passes.person(user).get("Authorization", "").removeprefix("Bearer ")

    def carts(self, *, contents: Sequence[Sequence[str]], users: Sequence[str]) -> list[str]:
        """The ids of new carts, in order; each has one of every product in its `contents`, and
        belongs to its user. Raises NotSupplied.
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
        """Adds a courier for `capacity` orders at a time. Raises NotSupplied."""
        body = shopper.courier(name=f"Load test {self._run}", capacity=capacity)
        self._post(f"{self._shop.urls['envios']}/couriers", body, 201)

    def slot(self) -> str:
        """The id of a new slot to book. Raises NotSupplied."""
        body = {"name": f"Load test {self._run}", "price_per_hour": shopper.PRICE}
        return str(self._post(f"{self._shop.urls['reservas']}/slots", body, 201)["id"])

    def credits(self) -> None:
        """Grants each shopper more credits than they can spend. Raises NotSupplied."""
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
        """As this shopper, or as the SELLER."""
        passes = self._shop.passes
        headers = passes.person(user) if user else passes.person(SELLER, CATALOGUE_WRITE, OPS_ACT)
        try:
            answer = self._pool.request("POST", url, json=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise NotSupplied(f"POST {url}: {error}") from error
        if answer.status != expected:
            raise NotSupplied(f"POST {url}: {answer.status} {answer.data[:300]!r}")
        return json.loads(answer.data)


class Workload:
    """Makes the requests of each window, with products of this run only."""

    def __init__(
        self, *, supplier: Supplier, saga: Saga = SAGAS[CHECKOUT], asks_people: bool = False
    ) -> None:
        """`saga`: the one to start. `asks_people`: whether it waits for the people that its
        definition names, even where that is optional. Raises NotSupplied.
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
        """The starts of a window, with their carts made and filled. Raises NotSupplied."""
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
        """The user of each start, in turn: few in a small window, and others in the next one."""
        most = min(-(-count // CARTS_EACH), len(SHOPPERS))
        first = self._windows
        self._windows += most
        return [SHOPPERS[(first + place % most) % len(SHOPPERS)] for place in range(count)]

    def _bodies(
        self, kinds: Sequence[str], window: Window, users: Sequence[str]
    ) -> list[dict[str, Any]]:
        """For the saga's door: a checkout of a cart, an order, a purchase, or a booking."""
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
        """The products of each cart, chosen from many, so that few checkouts contend for a row
        unless some products are popular."""
        chance = random.Random(window.seed)  # noqa: S311 -- carts to repeat, no secret
        weights = popularity(count=PRODUCTS, exponent=window.mix.zipf)
        last_unit = self._supplier.products(count=1, quantity=1) if SCARCE in kinds else []
        wanted = {SCARCE: last_unit, HOT: self._plenty[:1]}
        return [
            wanted.get(kind) or chosen(of=self._plenty, weights=weights, chance=chance)
            for kind in kinds
        ]


def popularity(*, count: int, exponent: float) -> list[float]:
    """The weights of the products, the most popular first: 1 / n to the power of `exponent`."""
    return [float(place**-exponent) for place in range(1, count + 1)]


def chosen(*, of: Sequence[str], weights: Sequence[float], chance: random.Random) -> list[str]:
    """LINES different products, each drawn by its weight."""
    found: dict[str, None] = {}
    while len(found) < LINES:
        found[chance.choices(of, weights)[0]] = None
    return list(found)


def kinds_of(*, mix: Mix, count: int, seed: int) -> list[str]:
    """The kind of each checkout: exactly the shares of the mix (rounded), in an order that follows
    from the seed."""
    shares = {DECLINED: mix.declined, SCARCE: mix.scarce, HOT: mix.hot}
    kinds = [kind for kind, share in shares.items() for _ in range(round(share * count))]
    kinds += [GOOD] * (count - len(kinds))
    random.Random(seed).shuffle(kinds)  # noqa: S311 -- an order to repeat, no secret
    return kinds


def _card(kind: str, arm: str) -> str:
    return shopper.DECLINED_CARD if kind == DECLINED else shopper.card_of(arm=arm)
