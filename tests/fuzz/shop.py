"""A shop to fuzz: its valid requests, the requests to send, and what must never happen."""

import json
import time
import uuid
from collections import Counter
from random import Random
from typing import Any

import msgspec
from django.apps import apps
from django.conf import settings
from django.db.models.functions import Now
from django.test import Client as TestClient
from django.urls import Resolver404, resolve

from carrito.models import Cart, Checkout, Order
from catalogue.services import PARTICIPANTS
from contracts import events
from contracts.saga import EXAMPLES, SAGAS
from coordination import pausing
from inventario.models import Product
from loadtests.audit import checking
from messaging.brokers import Delivery, Message
from pagos.models import Payment
from participant import sql
from tests import documented
from tests.fuzz import values
from tests.fuzz.doors import METHODS, Door, all_doors
from tests.seeded.scenarios import every_end
from tests.seeded.shop import ADDRESS, SERVICES, Shop

MOST_SECONDS = 10.0
"""Of a request, on a busy machine: beyond it there is an endless loop."""
BY_HAND = "hand-"
"""Sagas whose steps are called from outside have such ids; the others are the shop's own."""
JSON = "application/json"
TYPES = [*[JSON] * 40, "application/json; charset=utf-8", "text/plain", "", "multipart/form-data"]
TYPES += ["application/json; charset=utf-16", "application/x-www-form-urlencoded", "application/"]
QUERIES = ["page", "page_size", "ids", "status", "limit", "after", "search", "category", "cursor"]


class FuzzedShop:
    """`random` decides everything. `failures`: the wrong answers, with the requests that led to
    them.
    """

    def __init__(self, monkeypatch: Any, random: Random) -> None:
        self.random = random
        self.shop = Shop(monkeypatch)
        self.client = TestClient(raise_request_exception=False)
        self.doors = all_doors()
        self.valid: dict[str, list[Any]] = {door.path: _documented(door) for door in self.doors}
        self.messages: dict[str, list[Message]] = {service: [] for service in SERVICES}
        self.answers: dict[str, Counter[int]] = {door.path: Counter() for door in self.doors}
        self.failures: list[str] = []
        self.known: list[Any] = []
        self.names: list[str] = ["a"]
        self.is_learning = True
        self._watch(monkeypatch)
        every_end(self.shop)
        self.is_learning = False
        self.look_again()

    # Existing ids and valid requests.

    def look_again(self) -> None:
        """Learns the existing ids, and which sagas are the shop's own."""
        self.own = _latest(Checkout.objects.order_by("-accepted_at"))
        hands = [f"{BY_HAND}{number}" for number in range(5)]
        self.ids: dict[str, list[Any]] = {
            "cart_id": _latest(Cart.objects.order_by("-created_at")),
            "product_id": _latest(Product.objects.order_by("-pk")),
            "order_id": _latest(Order.objects.order_by("-created_at")),
            "payment_id": _latest(Payment.objects.order_by("-created_at")),
            "saga_id": hands,
            "row_id": [*range(1, 30)],
        }
        unknown = ["nothing", str(uuid.UUID(int=self.random.getrandbits(128)))]
        self.known = [*unknown, *(value for known_ids in self.ids.values() for value in known_ids)]

    def _watch(self, monkeypatch: Any) -> None:
        """Records the requests and messages of the shop itself, which are valid."""
        network, publish = self.shop.network, self.shop.broker.publish
        call = network.call

        def called(method: str, path: str, body: bytes | None, *more: Any) -> Any:
            self._learn(path, body)
            return call(method, path, body, *more)

        def published(messages: Any) -> None:
            for kept in self.messages.values():
                kept.extend(messages if self.is_learning else ())
            publish(messages)

        monkeypatch.setattr(network, "call", called)
        monkeypatch.setattr(self.shop.broker, "publish", published)

    def _learn(self, path: str, body: bytes | None) -> None:
        try:
            route = resolve(path.partition("?")[0]).route
        except Resolver404:
            return
        if body and self.is_learning:
            sent = json.loads(body)
            self.valid.setdefault(route, []).append(sent)
            self.names = sorted({*self.names, *_names(sent)})

    # Requests.

    def request(self) -> None:
        """Sends a request to some door, and records a failure if there is one."""
        door = self.random.choice(self.doors)
        method = self.random.choice(door.methods if self.random.random() < 0.95 else METHODS)
        ids = {**self.ids, "": [*self.known, *[text for text in values.TEXTS if text]]}
        if not self._is_by_hand(door):
            ids["saga_id"] = [*self.own, *self.ids["saga_id"]]
        has_body = method in ("POST", "PATCH", "PUT") or self.random.random() < 0.05
        body = self._body(door, self.known if self._is_by_hand(door) else [*self.known, *self.own])
        path = door.filled(self.random, ids)
        self._send(door, method, path + self._query(), body if has_body else b"")

    def _is_by_hand(self, door: Door) -> bool:
        return door.is_step or door.path.endswith("/checkout") or door.path.endswith("refund")

    def _body(self, door: Door, ids: list[Any]) -> bytes:
        valid = self.valid.get(door.path) or self._made_up(door)
        if valid and self.random.random() < 0.85:
            thing = values.spoilt(
                self.random, self._real(self.random.choice(valid)), ids, self.names
            )
        else:
            thing = values.value(self.random, ids, self.names)
        body = values.encoded(self.random, thing)
        if self._is_by_hand(door):
            for saga_id in self.own:
                body = body.replace(
                    str(saga_id).encode(), f"{BY_HAND}{self.random.randrange(5)}".encode()
                )
        return body

    def _real(self, valid: Any) -> Any:
        """With an existing product and cart in the place of the documents' examples."""
        text = json.dumps(valid)
        for name in ("product_id", "cart_id"):
            real = self.random.choice(self.ids[name])
            text = text.replace(f'"{name}": "{EXAMPLES[name]}"', f'"{name}": "{real}"')
        return json.loads(text)

    def _made_up(self, door: Door) -> list[Any]:
        if door.is_step:
            operation = door.view.operation
            whose = {"saga": "checkout", "step": operation.action}
            fields = msgspec.structs.fields(operation.command)
            return [
                {field.encode_name: f"{BY_HAND}0" for field in fields if field.required} | whose
            ]
        if door.path == "checkout/saga" or door.path.endswith("/checkout"):
            return [
                {
                    "cart_id": cart,
                    "payment_method": "credit_card",
                    "user_id": "ana",
                    "billing_address": ADDRESS,
                }
                for cart in self._carts()
            ]
        return [{}, {"reason": "because"}]  # it takes nothing

    def _carts(self) -> list[str]:
        return list(
            Cart.objects.filter(status="active")
            .order_by("-created_at")
            .values_list("pk", flat=True)[:5]
        )

    def _query(self) -> str:
        if self.random.random() < 0.6:
            return ""
        pairs = [
            f"{self.random.choice(QUERIES)}={self.random.choice([*values.TEXTS, '1', '1,2'])}"
            for _ in range(self.random.choice([1, 1, 2]))
        ]
        return "?" + "&".join(pairs).encode("ascii", "replace").decode().replace(" ", "%20")

    def _headers(self) -> dict[str, str]:
        return {
            name: self.random.choice(options)
            for name, options in {
                "Idempotency-Key": ["k", "k1", "", "x" * 300, "é", "a b"],
                "Prefer": ["wait=0", "wait=x", "wait", "wait=-1", "respond-async", "wait=1e9x"],
                "traceparent": ["00-" + "a" * 32 + "-" + "b" * 16 + "-01", "x" * 100, ""],
                "Accept": ["text/html", "*/*", "", "application/xml"],
                "X-Forwarded-Proto": ["https"],
                "If-Match": ["*"],
            }.items()
            if self.random.random() < 0.15
        }

    def _send(self, door: Door, method: str, path: str, body: bytes) -> None:
        kind = self.random.choice(TYPES)
        headers = self._headers()
        begun = time.monotonic()
        answered = self.client.generic(method, path, body, kind, headers=headers)
        took = time.monotonic() - begun
        self.answers[door.path][answered.status_code] += 1
        request = f"{method} {path[:300]} {kind} {headers} {body[:600]!r}"
        if answered.status_code == 503 and answered.json()["code"] == "paused":
            self._resume()  # a request before this one has paused it
            return
        if answered.status_code >= 500:
            self.failures.append(f"{answered.status_code}: {request}: {answered.content[:300]!r}")
            return
        if took > MOST_SECONDS:
            self.failures.append(f"{took:.1f} s: {request}")
        is_problem = answered.get("Content-Type", "").startswith("application/problem+json")
        if answered.status_code >= 400 and not is_problem and method != "HEAD":
            self.failures.append(f"no problem+json: {answered.status_code}: {request}")
        if answered.status_code in (200, 201, 202) and "Location" in answered:
            response = self.client.get(answered["Location"])
            if response.status_code != 200:
                self.failures.append(f"can't be read back ({response.status_code}): {request}")

    def _resume(self) -> None:
        for owner in {saga.owner for saga in SAGAS.values()}:
            paused = apps.get_model(owner, "Pause")._default_manager.filter(resumed_at=None)
            paused.update(resumed_at=Now())
        pausing._seen.clear()

    # Messages.

    def message(self) -> None:
        """Sends a message, or a few at once, to some consumer, which must not crash."""
        service = self.random.choice(sorted(SERVICES))
        consumer = self.shop.workers[service]._consumer
        sent = [self._message(service) for _ in range(self.random.choice([1, 1, 2, 5]))]
        try:
            consumer.handle([Delivery(message, False, None) for message in sent])
        except Exception as error:  # noqa: BLE001 -- any error is a failure
            self.failures.append(
                f"{service}: {error!r}: {[(m.id[:80], m.type[:80], m.body[:600]) for m in sent]}"
            )

    def _message(self, service: str) -> Message:
        routes = self._routes(service)
        own = [message for message in self.messages[service] if message.type in routes]
        message = self.random.choice(own or self.messages[service])
        event = values.spoilt(self.random, self._by_hand(message), self.known, self.names)
        body = values.encoded(self.random, event)
        pick = self.random.random()
        names = [*routes, *[str(text) for text in values.TEXTS]]
        return Message(
            message.id if pick < 0.8 else str(self.random.choice(values.TEXTS)),
            message.type if pick < 0.9 else self.random.choice(names),
            body,
        )

    def _routes(self, service: str) -> list[str]:
        """The events that the service consumes."""
        return [events.route(*key) for key in self.shop.workers[service]._consumer.reactions]

    def _by_hand(self, message: Message) -> Any:
        """The message with new ids, and an unknown saga."""
        hand = f"{BY_HAND}{self.random.randrange(10**6)}"
        event = json.loads(message.body)
        text = message.body.decode().replace(event["saga_id"], hand)
        return {**json.loads(text), "id": str(uuid.UUID(int=self.random.getrandbits(128)))}

    # After.

    def settle(self) -> None:
        """Lets the shop finish its work; a crash is a failure."""
        try:
            self.shop.settle_to_the_last_try()
        except Exception as error:  # noqa: BLE001 -- as above
            self.failures.append(f"it crashed: {error!r}")
        self.look_again()

    def read_back(self) -> None:
        """Everything that is stored can be read."""
        paths = [f"/carts/{pk}" for pk in Cart.objects.values_list("pk", flat=True)]
        paths += [f"/orders/{pk}" for pk in Order.objects.values_list("pk", flat=True)]
        paths += [
            f"/orders/saga/{pk}/status" for pk in Checkout.objects.values_list("pk", flat=True)
        ]
        paths += [f"/api/products/{pk}" for pk in Product.objects.values_list("pk", flat=True)]
        paths += [f"/api/v1/payments/{pk}" for pk in Payment.objects.values_list("pk", flat=True)]
        paths += ["/saga/transactions", "/saga/choreography/status", "/checkouts/dead-letters"]
        for path in paths:
            status = self.client.get(path).status_code
            if status != 200:
                self.failures.append(f"can't be read back ({status}): {path}")

    def breaches(self) -> list[str]:
        """The audit's findings for the shop's own sagas, and its sums."""
        own = {"", *Checkout.objects.values_list("pk", flat=True)}
        known = [step.name for saga in SAGAS.values() for step in saga.steps]
        for service in PARTICIPANTS:  # the audit stops at steps that no saga has
            statement = (
                f"DELETE FROM {service}_barrierentry"
                " WHERE saga <> '' AND (saga_id <> ALL(%s) OR step <> ALL(%s))"
            )
            sql.execute(service=service, sql=statement, values=[[*own], known])
        groups = checking.check(broker=self.shop.broker).groups.values()
        found = [breach for group in groups for breach in group.breaches]
        return [f"{breach.saga_id}: {breach.what}" for breach in found if breach.saga_id in own]


def _documented(door: Door) -> list[Any]:
    """An example request for each of the door's methods, from its document."""
    paths = documented.http(settings.ROOT_URLCONF).content["paths"]
    operations = paths.get(documented.shape_of(f"/{door.path}"), {}).values()
    bodies = [operation["requestBody"] for operation in operations if "requestBody" in operation]
    return [body["content"][JSON]["example"] for body in bodies]


def _latest(rows: Any, most: int = 20) -> list[str]:
    return [str(pk) for pk in rows.values_list("pk", flat=True)[:most]]


def _names(thing: Any) -> set[str]:
    if isinstance(thing, dict):
        return {*thing, *(name for inner in thing.values() for name in _names(inner))}
    if isinstance(thing, list):
        return {name for inner in thing for name in _names(inner)}
    return set()
