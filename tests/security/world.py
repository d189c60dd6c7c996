"""A shop with authentication on, all kinds of callers, and the objects of each."""

import itertools
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import psycopg
import urllib3

from accounts.holders import Holders
from httpapi.keys import ALL, PEOPLE, SERVICE, USER
from stack.local import LocalStack
from tests.waiting import eventually

MERCHANT, ANOTHER = "m1", "m2"
_OPS, _TRADE = "ops:read ops:act", "catalogue:write payments:read payments:write"
CLAIMS: Mapping[str, Mapping[str, str]] = {
    "owner": {"sub": "ana", "scope": "shop"},
    "other": {"sub": "ben", "scope": "shop"},
    "merchant": {"sub": "mia", "scope": _TRADE, "merchant": MERCHANT},
    "another merchant": {"sub": "max", "scope": _TRADE, "merchant": ANOTHER},
    "operator": {"sub": "olga", "scope": _OPS},
    "admin": {"sub": "ada", "scope": f"{_OPS} {_TRADE}"},
}
CARD = {"payment_method": "credit_card"}
MOVING = (
    *("watch_at", "updated_at", "next_attempt_at", "runner_id", "redriven_at", "redrives"),
    *("ask_at", "times_asked", "version", "sent_at", "attempts", "handed_over_at"),
)
"""Columns that change without a request."""
PARKED = 4
"""A pattern for operator and admin, to retry and to skip."""
CLOSE_THE_LEDGER = """
    CREATE FUNCTION refuse_refund() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'the ledger is closed'; END $$;
    CREATE TRIGGER refuse_refund BEFORE INSERT ON pagos_refund
        FOR EACH ROW EXECUTE FUNCTION refuse_refund();
"""
OPEN_IT_AGAIN = "DROP TRIGGER refuse_refund ON pagos_refund; DROP FUNCTION refuse_refund"
_BEATING = ("workerheartbeat", "runner", "django_migrations")


class Given(NamedTuple):
    status: int
    body: Any
    headers: Mapping[str, str]


class World:
    """Makes ana's objects. `token`: of a call, or none."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.holders = Holders(stack.folder.keys)
        self._http = urllib3.PoolManager(maxsize=4, retries=False, timeout=40)
        self._hours = itertools.count()
        self._tokens = {
            name: self.holders.signer(PEOPLE).sign(kind=USER, seconds=900, aud=ALL, **claims)
            for name, claims in CLAIMS.items()
        }

    def token(self, caller: str, *, to: str = "") -> str:
        """The token of a person, or of a service for its callee."""
        if caller in self._tokens:
            return self._tokens[caller]
        return self.holders.signer(caller).sign(kind=SERVICE, aud=to, seconds=60)

    def call(
        self, caller: str, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> Given:
        """`caller`: a person of CLAIMS, a service, or empty: no token."""
        token = self.token(caller, to=service) if caller else ""
        return self.send(token, method, service, path, body, **headers)

    def send(
        self, token: str, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> Given:
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        extra = {} if body is None else {"json": body}
        url = self.stack.urls[service] + path
        given = self._http.request(method, url, headers={**sent, **headers}, **extra)
        is_json = "json" in given.headers.get("Content-Type", "")
        return Given(given.status, json.loads(given.data) if is_json else None, given.headers)

    def must(
        self, caller: str, method: str, service: str, path: str, body: Any = None, **h: str
    ) -> Any:
        """The body of an accepted request."""
        given = self.call(caller, method, service, path, body, **h)
        assert given.status < 300, given
        return given.body

    @cached_property
    def product(self) -> str:
        body = {"name": "Chair", "price": "10.00", "quantity": 10_000, "sku": str(uuid.uuid4())}
        return str(self.must("merchant", "POST", "inventario", "/api/products", body)["id"])

    @cached_property
    def area(self) -> dict[str, str]:
        """An area with a free courier."""
        area = {"province": f"Province {uuid.uuid4()}", "city": "Plaza"}
        self.must(
            "operator", "POST", "envios", "/couriers", {**area, "name": "Eva", "capacity": 99}
        )
        return area

    def cart(self) -> str:
        body = {"items": [{"product_id": self.product, "quantity": 1}]}
        return str(self.must("owner", "POST", "carrito", "/carts", body)["id"])

    def checkout(self, pattern: str = "orchestrated") -> dict[str, str]:
        """A completed checkout: the ids of its cart, order and payment."""
        cart = self.cart()
        body = {"cart_id": cart, "saga_pattern": pattern, **CARD}
        begun = self.must("owner", "POST", "carrito", "/checkout/saga", body, Prefer="wait=30")
        assert begun["status"] == "completed", begun
        saga_id = begun["saga_id"]
        path = f"/api/v1/payments/saga/{saga_id}/status"
        paid = self.must("owner", "GET", "pagos", path)
        self._ends(saga_id, pattern)
        return {
            "saga_id": saga_id,
            "cart_id": cart,
            "subject": cart,
            "order_id": begun["order_id"],
            "payment_id": paid["payment_id"],
            "key": f"{saga_id}:process_payment",
        }

    def purchase(self, pattern: str = "orchestrated") -> dict[str, str]:
        """A purchase that waits for its customer."""
        body = {
            "order_items": [{"product_id": "chair", "quantity": 1, "unit_price": "4.50"}],
            "total_amount": "4.50",
            "saga_pattern": pattern,
            **self.area,
        }
        order_id = self.must("owner", "POST", "pedidos", "/orders/create_order", body)["order_id"]

        def payment() -> Any:
            shown = self.must("owner", "GET", "pedidos", f"/orders/{order_id}")["payment"]
            return shown if shown and shown["confirm_url"] else None

        payment_id = eventually(payment, what=f"{order_id} waits for its customer")["payment_id"]
        known = {"saga_id": order_id, "order_id": order_id, "payment_id": payment_id}
        return {**known, "step": "confirm_payment"}

    def delivered(self) -> dict[str, str]:
        """The delivery of a purchase that was paid."""
        order = self.purchase()
        self.must("owner", "POST", "pagos", f"/payments/{order['payment_id']}/confirm", {})
        path = f"/orders/{order['order_id']}"
        delivery = eventually(
            lambda: self.must("owner", "GET", "pedidos", path)["delivery"], what="a delivery"
        )
        return {"delivery_id": delivery["id"]}

    def wanted_slot(self) -> dict[str, str]:
        """The request of a person who books a slot of their own."""
        made = {"name": f"Room {next(self._hours)}", "price_per_hour": "40.00"}
        slot = self.must("merchant", "POST", "reservas", "/slots", made)["id"]
        begins = datetime.now(UTC) + timedelta(days=2)
        ends = begins + timedelta(hours=1)
        return {"slot_id": slot, "starts_at": begins.isoformat(), "ends_at": ends.isoformat()}

    def booking(self) -> dict[str, str]:
        """A booking that waits for its manager."""
        booked = self.must("owner", "POST", "reservas", "/bookings", self.wanted_slot())
        booking_id = booked["booking_id"]
        path = "/decisions?saga=booking&page_size=100"

        service, known = {
            "orchestrated": ("saga_orchestrator", "/saga/transactions"),
            "choreographed": ("saga_choreography", "/saga/choreography/status"),
        }[booked["saga_pattern"]]

        def is_asked() -> bool:
            decisions = self.must("operator", "GET", "reservas", path)["results"]
            sagas = self.must("operator", "GET", service, f"{known}?saga=booking")["results"]
            return all(
                booking_id in {row["saga_id"] for row in rows} for rows in (decisions, sagas)
            )

        eventually(is_asked, what=f"the manager is asked about {booking_id}, and it is followed")
        return {"booking_id": booking_id, "saga_id": booking_id, "step": "approve_booking"}

    def billed(self) -> dict[str, str]:
        """A booking that is to be paid."""
        booking = self.booking()
        path = f"/bookings/{booking['booking_id']}/approve"
        self.must("operator", "POST", "reservas", path, {})
        path = f"/bills/{booking['booking_id']}/options"
        eventually(
            lambda: self.call("owner", "GET", "pagos", path).status == 200, what="there is a bill"
        )
        return {**booking, "step": "pay_bill"}

    def reserved(self) -> dict[str, str]:
        """A completed booking, with its bill and its invoice."""
        booking = self.billed()
        booking_id = booking["booking_id"]
        self.must("owner", "POST", "pagos", f"/bills/{booking_id}/pay", CARD)

        def is_reserved() -> bool:
            shown = self.must("owner", "GET", "reservas", f"/bookings/{booking_id}")
            return bool(shown["saga_status"] == "completed")

        eventually(is_reserved, what=f"{booking_id} is reserved")
        (bill,) = self.must("owner", "GET", "facturas", f"/bills?booking_id={booking_id}")[
            "results"
        ]
        path = f"/invoices?booking_id={booking_id}"
        (invoice,) = self.must("owner", "GET", "facturas", path)["results"]
        self._ends(booking_id, "choreographed")
        return {**booking, "bill_id": bill["id"], "number": invoice["number"]}

    def credits(self) -> dict[str, str]:
        body = {"user_id": "ana", "amount": "5.00"}
        self.must("operator", "POST", "pagos", "/credits", body)
        return {"user_id": "ana"}

    def plain(self, caller: str = "merchant") -> dict[str, str]:
        """A payment of no saga."""
        body = {"order_id": str(uuid.uuid4()), "amount": "5.00", **CARD}
        return {"payment_id": self.must(caller, "POST", "pagos", "/api/v1/payments", body)["id"]}

    def parked(self, pattern: str) -> dict[str, str]:
        """A return whose refund kept failing, and would go well by now."""
        return self._parked[pattern].pop()

    @cached_property
    def _parked(self) -> dict[str, list[dict[str, str]]]:
        """All at once, as parking takes long: pagos' database refuses their refunds."""
        made = {
            pattern: [self.checkout(pattern) for _ in range(PARKED)]
            for pattern in ("orchestrated", "choreographed")
        }
        paths = [
            (service, f"{below}/{known['saga_id']}")
            for pattern, checkouts in made.items()
            for service, below in [COORDINATORS[pattern]]
            for known in checkouts
        ]
        with psycopg.connect(self.stack.superuser_urls["pagos"], autocommit=True) as connection:
            connection.execute(CLOSE_THE_LEDGER)
            try:
                for service, path in paths:
                    self.must("operator", "POST", service, f"{path}/compensate", {"reason": "so"})
                for service, path in paths:
                    eventually(
                        lambda: self.must("owner", "GET", service, path)["status"] == "parked",  # noqa: B023 -- called here
                        seconds=60,
                        what=f"{path} is parked",
                    )
            finally:
                connection.execute(OPEN_IT_AGAIN)
        return made

    def _ends(self, saga_id: str, pattern: str) -> None:
        """Returns once its coordinator knows that it is completed."""
        service, below = COORDINATORS[pattern]
        path = f"{below}/{saga_id}/status"
        eventually(
            lambda: self.call("owner", "GET", service, path).body.get("status") == "completed",
            what=f"{service} has {saga_id} completed",
        )

    def rows(self, alias: str, statement: str) -> list[tuple[Any, ...]]:
        """Read from a service's database."""
        with psycopg.connect(self.stack.database_urls[alias]) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    def stored(self) -> dict[str, str | None]:
        """A fingerprint of each table of the services, without the columns that change by
        themselves.
        """
        fingerprints = {}
        for alias in self.stack.database_urls:
            if alias == "default":
                continue
            names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            for (table,) in self.rows(alias, names):
                if table.startswith(f"{alias}_") and not table.endswith(_BEATING):
                    cut = "".join(f" - '{column}'" for column in MOVING)
                    text = f"(to_jsonb(t){cut})::text"
                    statement = (
                        f"SELECT md5(string_agg({text}, ',' ORDER BY {text})) FROM {table} t"
                    )
                    fingerprints[f"{alias}.{table}"] = self.rows(alias, statement)[0][0]
        return fingerprints

    def at_rest(self) -> dict[str, str | None]:
        """The same, once no table changes any more."""
        last = self.stored()

        def is_still() -> bool:
            nonlocal last
            before, last = last, self.stored()
            return before == last

        eventually(is_still, seconds=60, what="no table changes")
        return last


COORDINATORS = {
    "orchestrated": ("saga_orchestrator", "/saga"),
    "orchestrated_messaging": ("saga_orchestrator", "/saga"),
    "choreographed": ("saga_choreography", "/saga/choreography"),
}
