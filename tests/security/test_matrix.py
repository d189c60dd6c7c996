"""The permissions at every door: matrix.csv, tried cell by cell at a shop with authentication on.

A row is a door and a case; a cell the status for a kind of caller: nobody (without a token), the
owner of the case's object, another shopper, a merchant, an operator, a service (the one that `as`
names, otherwise one that may not call the door), an admin. First all refused requests are tried,
twice, and nothing stored may have changed; then the allowed ones, each on an object of its own.
`why`: a reason, where it is not obvious.
"""

import csv
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import jwt
import pytest

from catalogue.services import ALL
from contracts import declared_doors
from contracts.declared_doors import Door
from httpapi import keys
from httpapi.keys import PEOPLE, SERVICE, USER
from stack.local import LocalStack
from tests import documented
from tests.security.world import CARD, COORDINATORS, World

CELLS = ("anonymous", "owner", "other", "merchant", "operator", "service_token", "admin")
STRANGERS = ("tarjetas", "envios")
"""The service that may not call a door; at the doors of the first, the second."""
ASKED = tuple(service.name for service in ALL if service.name != "dashboard")
"""People sit before the dashboard, with sessions: its rows are tried apart."""


class Row(NamedTuple):
    service: str
    method: str
    path: str
    case: str
    caller: str
    statuses: Mapping[str, int]
    why: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.service, self.method, self.path, self.case

    def is_of(self, door: Door, service: str) -> bool:
        is_here = self.service in (service, "every") and self.method == door.method
        pattern = re.escape(self.path).replace(r"\*", ".+")
        return is_here and bool(re.fullmatch(pattern, door.path))


def _rows() -> list[Row]:
    with (Path(__file__).parent / "matrix.csv").open(newline="") as file:
        return [
            Row(
                *(line[name] for name in ("service", "method", "path", "case", "as")),
                {cell: int(line[cell]) for cell in CELLS},
                line["why"],
            )
            for line in csv.DictReader(file)
        ]


PAGES = ("dashboard", "admin")
"""Rows whose callers have a session (tests/security/test_people.py tries them)."""
ROWS = [row for row in _rows() if row.service not in PAGES]
ROWS_OF_PAGES = [row for row in _rows() if row.service in PAGES]
DOORS = [(name, door) for name in ASKED for door in declared_doors.all_in(documented.urls_of(name))]


def test_every_door_has_a_row() -> None:
    without = [
        f"{service} {door.method} {door.path}"
        for service, door in DOORS
        if not any(row.is_of(door, service) for row in ROWS)
    ]
    assert without == []


def test_every_row_is_of_a_door() -> None:
    assert [row.key for row in ROWS if row.statuses["anonymous"] != 405 and not _places(row)] == []


def _places(row: Row) -> list[tuple[str, str]]:
    """Service and path of each door that the row is of."""
    if row.method == "POST" and row.path == "/health":
        return [(name, row.path) for name in ASKED]
    return [(service, door.path) for service, door in DOORS if row.is_of(door, service)]


class Trial(NamedTuple):
    """The request of a case: the parameters of its path, and the body."""

    of: Mapping[str, str] = {}
    body: Any = None
    query: str = ""


Making = Callable[[World], Trial]


def _of(thing: str, body: Any = None, *arguments: str) -> Making:
    return lambda world: Trial(getattr(world, thing)(*arguments), body)


def _just(body: Any = None, query: str = "", **of: str) -> Making:
    return lambda world: Trial(of, body, query)


def _wanting(world: World, **more: Any) -> Trial:
    return Trial({}, {"cart_id": world.cart(), **CARD, **more})


def _product(body: Any) -> Making:
    return lambda world: Trial({"product_id": world.product}, body)


def _new_product(world: World) -> Trial:
    sku = str(uuid.uuid4())
    return Trial({}, {"name": "Table", "price": "1.00", "quantity": 1, "sku": sku})


def _line(body: Any) -> Making:
    return lambda world: Trial({"cart_id": world.cart(), "product_id": world.product}, body)


def _item(world: World) -> Trial:
    return Trial({"cart_id": world.cart()}, {"product_id": world.product, "quantity": 1})


def _payment(**more: str) -> Making:
    return lambda world: Trial({}, {"order_id": "1", "amount": "5.00", **CARD, **more})


def _named(word: str) -> Making:
    return lambda world: Trial({}, {"payment_id": world.purchase()["payment_id"]})


def _saga(world: World, pattern: str, thing: str, body: Any = None) -> Trial:
    return Trial(getattr(world, thing)(pattern), body)


def _order(world: World) -> Trial:
    wanted = {"product_id": world.product, "quantity": 1, "amount": "10.00"}
    return Trial({}, {"user_id": "ana", **wanted})


def _purchase(world: World) -> Trial:
    items = [{"product_id": "chair", "quantity": 1, "unit_price": "4.50"}]
    wanted = {"order_items": items, "total_amount": "4.50", **world.area}
    return Trial({}, {"customer_id": "ana", **wanted})


def _booking(world: World, **more: Any) -> Trial:
    return Trial({}, {**world.wanted_slot(), **more})


_TRIALS: dict[tuple[str, ...], Making] = {
    ("POST", "/carts", "user_id is the owner's"): _just({"user_id": "ana"}),
    ("POST", "/carts", "no user_id: one's own"): _just({}),
    ("POST", "/carts/{cart_id}/items"): _item,
    ("PATCH", "/carts/{cart_id}/items/{product_id}"): _line({"quantity": 2}),
    ("DELETE", "/carts/{cart_id}/items/{product_id}"): _line(None),
    ("GET", "/carts/{cart_id}"): lambda world: Trial({"cart_id": world.cart()}),
    ("POST", "/checkout/saga", "user_id is the owner's"): lambda world: _wanting(
        world, user_id="ana"
    ),
    **{
        ("POST", "/checkout/saga", pattern): lambda world, pattern=pattern: _wanting(
            world, saga_pattern=pattern
        )
        for pattern in COORDINATORS
    },
    ("POST", "/api/products"): _new_product,
    ("GET", "/api/products/{product_id}"): _product(None),
    ("GET", "/api/products/availability/{product_id}"): _product(None),
    ("GET", "/api/products/prices"): _just(query="?ids=1"),
    ("PATCH", "/api/products/{product_id}"): _product({"description": "New"}),
    ("POST", "/api/products/{product_id}/restock"): _product({"quantity": 1}),
    ("POST", "/api/v1/payments", "no merchant_id: the token's"): _payment(),
    ("POST", "/api/v1/payments", "another merchant_id"): _payment(merchant_id="m3"),
    ("GET", "/api/v1/payments/{payment_id}", "plain, the merchant's own"): _of("plain"),
    ("GET", "/api/v1/payments/{payment_id}", "plain, another merchant's"): _of(
        "plain", None, "another merchant"
    ),
    ("POST", "/api/v1/payments/{payment_id}/refund", "plain, the merchant's own"): _of("plain", {}),
    ("POST", "/api/v1/payments/{payment_id}/refund", "plain, another merchant's"): _of(
        "plain", {}, "another merchant"
    ),
    ("PATCH", "/api/v1/payments/{payment_id}"): _of("checkout", {"refund_to": "paypal"}),
    ("GET", "/payments/{payment_id}"): _of("purchase"),
    ("POST", "/payments/{payment_id}/confirm"): _of("purchase", {}),
    ("POST", "/payments/{payment_id}/cancel"): _of("purchase", {}),
    ("POST", "/payments/confirm"): _named("confirm"),
    ("POST", "/payments/cancel"): _named("cancel"),
    ("GET", "/bills/{saga_id}/options"): _of("billed"),
    ("POST", "/bills/{saga_id}/pay"): _of("billed", CARD),
    ("POST", "/credits"): _just({"user_id": "ana", "amount": "1.00"}),
    ("GET", "/credits/{user_id}"): _of("credits"),
    ("POST", "/decisions/{saga_id}/{step}", "yes to a customer's"): _of(
        "purchase", {"verdict": "yes"}
    ),
    ("POST", "/decisions/{saga_id}/{step}", "no to a customer's"): _of(
        "purchase", {"verdict": "no"}
    ),
    ("POST", "/decisions/{saga_id}/{step}", "yes to a manager's"): _of(
        "booking", {"verdict": "yes"}
    ),
    ("POST", "/orders", "user_id is the owner's"): _order,
    ("POST", "/orders/create_order"): _purchase,
    ("pedidos", "GET", "/orders/{order_id}"): _of("purchase"),
    ("POST", "/couriers"): _just({"name": "Max", "province": "Nowhere"}),
    ("GET", "/deliveries/{delivery_id}"): _of("delivered"),
    ("POST", "/deliveries/{delivery_id}/in_transit"): _of("delivered"),
    ("POST", "/deliveries/{delivery_id}/delivered"): _of("delivered"),
    ("POST", "/slots"): _just({"name": "Room", "price_per_hour": "1.00"}),
    ("POST", "/bookings", "user_id is the owner's"): lambda world: _booking(world, user_id="ana"),
    ("POST", "/bookings", "auto_approve"): lambda world: _booking(world, auto_approve=True),
    ("GET", "/bookings/{booking_id}"): _of("booking"),
    ("POST", "/bookings/{booking_id}/approve"): _of("booking", {}),
    ("POST", "/bookings/{booking_id}/reject"): _of("booking", {}),
    ("POST", "/bookings/{booking_id}/cancel", "waiting"): _of("booking", {}),
    ("POST", "/bookings/{booking_id}/cancel", "reserved"): _of("reserved", {}),
    ("GET", "/bills/{bill_id}"): _of("reserved"),
    ("GET", "/invoices/{number}"): _of("reserved"),
}
for _service, _below in (COORDINATORS["orchestrated"], COORDINATORS["choreographed"]):
    _pattern = "orchestrated" if _service == "saga_orchestrator" else "choreographed"
    _TRIALS |= {
        (_service, "POST", f"{_below}/{{saga_id}}"): lambda world, pattern=_pattern: Trial(
            {"saga_id": "checkout"}, _wanting(world, saga_pattern=pattern).body
        ),
        (_service, "POST", f"{_below}/{{saga_id}}/compensate", "completed: a return"): (
            lambda world, pattern=_pattern: _saga(world, pattern, "checkout", {"reason": "so"})
        ),
        (_service, "POST", f"{_below}/{{saga_id}}/compensate"): (
            lambda world, pattern=_pattern: _saga(world, pattern, "purchase", {"reason": "so"})
        ),
        (_service, "POST", f"{_below}/{{saga_id}}/retry"): (
            lambda world, pattern=_pattern: _saga(world, pattern, "checkout", {"reason": "so"})
        ),
        (_service, "POST", f"{_below}/{{saga_id}}/skip"): (
            lambda world, pattern=_pattern: _saga(world, pattern, "checkout", {"reason": "so"})
        ),
        **{
            (_service, "POST", f"{_below}/{{saga_id}}/{act}", "parked"): (
                lambda world, pattern=_pattern: _saga(world, pattern, "parked", {"reason": "so"})
            )
            for act in ("retry", "skip")
        },
        (_service, "ANY", _below): lambda world, pattern=_pattern: _saga(
            world, pattern, "checkout", {}
        ),
    }


def trial_of(row: Row, service: str, path: str, made: dict[str, Trial], world: World) -> Trial:
    """The request of the row at this door. `made`: objects that may be shared, as they are only
    read.
    """
    for key in (row.key, row.key[:3], row.key[1:], row.key[1:3]):
        if key in _TRIALS:
            return _TRIALS[key](world)
    if path.endswith("/pauses"):
        return _pause(row, service, path, world)
    body = None if row.method in ("GET", "DELETE") else {}
    if row.statuses["service_token"] in (200, 207) and row.method == "POST":
        body = []
    if "{" not in path:
        return Trial({}, body)
    if "{row_id}" in path:
        return Trial({"row_id": "999999999"}, body)
    if row.path.startswith(_OF_ITS_OWNER):
        return Trial(getattr(world, _OWNED[service][0])(), body)
    pattern = "choreographed" if service == "saga_choreography" else "orchestrated"
    shared = made.setdefault(pattern, Trial(world.checkout(pattern)))
    return Trial(shared.of, body)


_OWNED = {
    "carrito": ("checkout", "checkout"),
    "pedidos": ("purchase", "shipment"),
    "reservas": ("booking", "booking"),
}
"""By owner: its objects in the world, and a saga of it that is paused."""
_OF_ITS_OWNER = ("/checkouts/", "/orders/{saga_id}", "/bookings/{saga_id}", "/*/accepted/")


def _pause(row: Row, service: str, path: str, world: World) -> Trial:
    """Paused for the test of resuming, and for the test of pausing; in a pattern that no other test
    uses here.
    """
    if row.method == "GET":
        return Trial()
    asked = {"saga": _OWNED[service][1], "saga_pattern": "orchestrated_messaging", "reason": "so"}
    query = f"?{urlencode(asked)}"
    is_paused = bool(world.must("operator", "GET", service, path)["pauses"])
    if is_paused and row.method == "POST":
        world.must("operator", "DELETE", service, path + query)
    elif row.method == "DELETE" and not is_paused:
        world.must("operator", "POST", service, path, asked)
    return Trial({}, asked) if row.method == "POST" else Trial({}, None, query)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with LocalStack(
        folder=tmp_path_factory.mktemp("asking"),
        fresh=True,
        free_ports=True,
        use_given=False,
        auth="required",
        broker="postgresql",
        environment={"DUETO_PERSON_RATE": "0", "DUETO_MOST_UNDER_WAY": "0"},
    ) as running:
        yield World(running)


def _is_refused(status: int) -> bool:
    return status in (401, 403, 404, 405)


class Cell(NamedTuple):
    row: Row
    role: str
    service: str
    path: str
    trial: Trial

    def asked(self, world: World) -> str:
        """The wrong answers; empty if all are right."""
        caller = {"anonymous": "", "service_token": self._service()}.get(self.role, self.role)
        where = self.path.format(**self.trial.of) + self.trial.query
        given = world.call(caller, self.row.method, self.service, where, self.trial.body)
        expected = self.row.statuses[self.role]
        # A 503 of /health is an answer, too: other tests' sagas stand still here.
        status = 200 if (given.status, self.row.path[-7:]) == (503, "/health") else given.status
        if status == expected:
            return ""
        what = f"{self.service} {self.row.method} {where} ({self.row.case}) as {self.role}"
        return f"{what}: {given.status}, not {expected}: {given.body}"

    def _service(self) -> str:
        stranger = STRANGERS[0] if self.service != STRANGERS[0] else STRANGERS[1]
        return self.row.caller or stranger


def test_matrix(world: World) -> None:
    made: dict[str, Trial] = {}
    first = [
        (row, service, path, trial_of(row, service, path, made, world))
        for row in ROWS
        for service, path in _places(row)
    ]
    refused = [
        Cell(row, role, service, path, trial)
        for row, service, path, trial in first
        for role in CELLS
        if _is_refused(row.statuses[role])
    ]
    before = world.at_rest()
    for _ in range(2):
        wrong = [answer for cell in refused if (answer := cell.asked(world))]
        assert "\n".join(wrong) == ""
    changed = {name for name, stored in world.stored().items() if stored != before[name]}
    assert changed == set()
    wrong = []
    for row, service, path, trial in first:
        allowed = [role for role in CELLS if not _is_refused(row.statuses[role])]
        for role in allowed:
            is_first = role == allowed[0] and not path.endswith("/pauses")
            is_first = is_first or row.method == "GET"
            own = trial if is_first else trial_of(row, service, path, made, world)
            wrong.append(Cell(row, role, service, path, own).asked(world))
    assert "\n".join(filter(None, wrong)) == ""
    world.at_rest()
    world.stack.run("python", "manage.py", "audit", "--wait", "60")


def _bad_tokens(world: World) -> dict[str, str]:
    """tests/security/test_identity.py has more of these tokens: none may be accepted anywhere."""
    people = {"iss": PEOPLE, "aud": keys.ALL, "sub": "ana", "scope": "shop ops:read ops:act"}
    now = int(time.time())
    good = {**people, "iat": now, "exp": now + 60}
    holders = world.holders
    own = jwt.PyJWK.from_dict(keys.new(holder=PEOPLE), "EdDSA").key
    kid = holders.keys_of(PEOPLE)[-1]["kid"]

    def signed(holder: str, kind: str, **claims: Any) -> str:
        return holders.signer(holder).sign(kind=kind, **{"seconds": 60, **people, **claims})

    def forged(key: Any, algorithm: str, **headers: str) -> str:
        return jwt.encode(good, key, algorithm, headers={"typ": USER, "kid": kid, **headers})

    return {
        "of an hour ago": signed(PEOPLE, USER, seconds=-3_600),
        "of tomorrow": signed(PEOPLE, USER, nbf=now + 86_400),
        "for another audience": signed(PEOPLE, USER, aud="another"),
        "a service's as a person's": signed("carrito", USER),
        "a person's as a service's": signed(PEOPLE, SERVICE),
        "by another's key": forged(own, "EdDSA"),
        "by a key that nobody has published": forged(own, "EdDSA", kid="another"),
        "by nobody (none)": forged(None, "none"),
        "rubbish": "a.b.c",
    }


def test_no_door_lets_a_bad_token_in(world: World) -> None:
    tokens = _bad_tokens(world)
    let_in = [
        f"{service} {door.method} {door.path}: {what}: {status}"
        for service, door in DOORS
        for what, token in tokens.items()
        if (status := _status(world, service, door, token)) != 401
    ]
    assert let_in == []


def test_no_door_lets_a_stranger_among_the_services_in(world: World) -> None:
    """Nor a service with a token for another callee."""
    let_in = []
    for service, door in DOORS:
        if door.declared.is_public:
            continue
        stranger = STRANGERS[0] if service != STRANGERS[0] else STRANGERS[1]
        if stranger not in door.declared.callers:
            status = _status(world, service, door, world.token(stranger, to=service))
            let_in += [] if status == 403 else [f"{service} {door.method} {door.path}: {status}"]
        for caller in sorted(door.declared.callers)[:1]:
            status = _status(world, service, door, world.token(caller, to="another"))
            let_in += [] if status == 401 else [f"{service} {door.method} {door.path}: {status}"]
    assert let_in == []


def _status(world: World, service: str, door: Door, token: str) -> int:
    path = re.sub(r"{\w+}", "1", door.path)
    body = {} if door.method in ("POST", "PATCH", "PUT") else None
    return world.send(token, door.method, service, path, body).status


def test_object_of_another_person_is_as_unknown_as_a_missing_one(world: World) -> None:
    """The answers differ only in the id."""
    made: dict[str, Trial] = {}
    for row in ROWS:
        is_hidden = row.method == "GET" and row.statuses["other"] == 404 and "{" in row.path
        if not is_hidden or row.service == "every":
            continue
        trial = trial_of(row, row.service, row.path, made, world)
        (name,) = re.findall(r"{(\w+)}", row.path)
        existing, unknown = trial.of[name], f"no-{uuid.uuid4()}"
        for_other = world.call("other", "GET", row.service, row.path.format(**{name: existing}))
        for_unknown = world.call("other", "GET", row.service, row.path.format(**{name: unknown}))
        expected = str(for_unknown.body).replace(unknown, existing)
        assert (for_other.status, str(for_other.body)) == (for_unknown.status, expected)


def test_list_of_another_persons_objects_is_empty(world: World) -> None:
    checkout, booking = world.checkout(), world.reserved()
    lists = (
        ("inventario", f"/api/products/reservations/{checkout['cart_id']}", "reservations"),
        ("pagos", f"/api/v1/payments/saga/{checkout['cart_id']}", "payments"),
        ("reservas", "/bookings?user_id=ana", "results"),
        ("facturas", f"/bills?booking_id={booking['booking_id']}", "results"),
        ("facturas", f"/invoices?booking_id={booking['booking_id']}", "results"),
    )
    for service, path, name in lists:
        assert world.must("owner", "GET", service, path)[name]
        assert world.must("other", "GET", service, path)[name] == []


@pytest.mark.parametrize(
    ("caller", "count"), [("", 0), ("owner", 0), ("pagos", 0), ("operator", 2), ("merchant", 2)]
)
def test_sales_of_a_product_are_shown_only_to_operators(
    world: World, caller: str, count: int
) -> None:
    shown = world.must(caller, "GET", "inventario", f"/api/products/availability/{world.product}")
    assert len({"sold", "initial"} & shown.keys()) == count


@pytest.mark.parametrize("pattern", ["orchestrated", "choreographed"])
def test_owner_sees_no_data_of_the_steps(world: World, pattern: str) -> None:
    service, below = COORDINATORS[pattern]
    path = f"{below}/{world.checkout(pattern)['saga_id']}"
    shown = world.must("owner", "GET", service, path)
    assert {str(step["response_data"]) for step in shown["steps"]} == {"{}"}
    assert {str(event["data"]) for event in shown.get("events", [])} <= {"{}"}
    in_full = world.must("operator", "GET", service, path)
    assert any(step["response_data"] for step in in_full["steps"])


def test_same_key_of_another_user_is_another_checkout(world: World) -> None:
    def begun(caller: str) -> dict[str, Any]:
        items = [{"product_id": world.product, "quantity": 1}]
        cart = world.must(caller, "POST", "carrito", "/carts", {"items": items})["id"]
        body, key = {"cart_id": cart, **CARD}, {"Idempotency-Key": "order-1001"}
        first = world.must(caller, "POST", "carrito", "/checkout/saga", body, **key)
        again = world.must(caller, "POST", "carrito", "/checkout/saga", body, **key)
        assert first["saga_id"] == again["saga_id"]
        return dict(first)

    assert begun("owner")["saga_id"] != begun("other")["saga_id"]


@pytest.mark.parametrize("pattern", ["orchestrated", "choreographed"])
def test_actor_is_the_person_that_the_token_names(world: World, pattern: str) -> None:
    service, below = COORDINATORS[pattern]
    saga_id = world.purchase(pattern)["saga_id"]
    path = f"{below}/{saga_id}/compensate"
    named = world.call("operator", "POST", service, path, {"requested_by": "somebody"})
    assert named.status == 403
    asked = f"SELECT requested_by FROM {service}_intervention WHERE saga_id = '{saga_id}'"
    assert world.rows(service, asked) == []
    world.must("operator", "POST", service, path, {"reason": "a test"})
    assert world.rows(service, asked) == [("olga",)]


def test_booking_is_cancelled_in_the_name_of_its_customer(world: World) -> None:
    booking_id = world.booking()["booking_id"]
    world.must("owner", "POST", "reservas", f"/bookings/{booking_id}/cancel", {})
    asked = (
        f"SELECT requested_by FROM saga_choreography_intervention WHERE saga_id = '{booking_id}'"
    )
    assert world.rows("saga_choreography", asked) == [("ana",)]
