"""A minute with a running stack: checkouts that complete, a checkout that is undone, and one that
is parked and then fixed by an operator. All requests are HTTP, as by a shopper and an operator.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import urllib3

from accounts.passes import Passes
from contracts.doors import CATALOGUE_WRITE, OPS_ACT, OPS_READ, PAYMENTS_WRITE, SHOP
from contracts.patterns import ORCHESTRATED, PATTERNS
from contracts.refusals import NOT_STARTED
from stack.console import StackError

SECONDS = 60.0
"""For a saga to be parked: its refund is tried five times before, with increasing delays."""
_PAUSE = 0.25
OPERATOR = "demo"
_SCOPES = (SHOP, CATALOGUE_WRITE, PAYMENTS_WRITE, OPS_READ, OPS_ACT)
_SHOWN = ' -H "Authorization: Bearer $TOKEN"'
Say = Callable[[str], object]


class Demo:
    """Calls the services at `urls`, and prints what it does and where to look."""

    def __init__(self, *, urls: Mapping[str, str], say: Say, passes: Passes) -> None:
        self._urls, self._say = urls, say
        self._passes = passes
        self._token = _SHOWN if passes.person(OPERATOR) else ""
        self._http = urllib3.PoolManager(retries=False, timeout=35.0)
        self._product = ""

    def run(self, *, pattern: str = ORCHESTRATED) -> None:
        """`pattern`: of the checkouts that don't complete. Raises StackError."""
        self._product = self._add_product()
        self._say("1. A checkout that completes, in each pattern")
        for name in PATTERNS:
            self._end(name, "credit_card", "completed")
        self._say("\n2. A card that is declined: what was done is undone")
        undone = self._end(pattern, "card_declined", "compensated")
        state = self._state(undone, pattern)
        steps = (f"{step['step_name']} {step['status']}" for step in state["steps"])
        self._say(f"   {', '.join(steps)}")
        self._say("\n3. A refund that can't be made: the saga is parked, and an operator fixes it")
        self._fix(self._park(pattern), pattern)

    def _park(self, pattern: str) -> str:
        saga_id = self._end(pattern, "closed_account", "completed")
        self._say("   The customer returns it (compensate), but the account is closed by now:")
        self._ask(saga_id, pattern, "compensate", "sent back")
        self._say(
            "   the refund is tried five times, with increasing delays; then a person has to decide"
        )
        parked = self._when(saga_id, pattern, "parked")["parked"]
        self._say(f"   parked at {parked['step']}: {parked['reason']}")
        self._say("   see also: manage.py status, the admin's front page, and there")
        coordinator = PATTERNS[pattern].coordinator
        admin = f"{self._urls.get('dashboard', '')}/admin"
        self._say(f"     {admin}/{coordinator}/saga/{saga_id}/change/")
        return saga_id

    def _fix(self, saga_id: str, pattern: str) -> None:
        payment = self._call("GET", "pagos", f"/api/v1/payments/saga/{saga_id}/status")
        path = f"/api/v1/payments/{payment['payment_id']}"
        self._call("PATCH", "pagos", path, {"refund_to": "paypal"})
        self._say(f"   The operator changes the account: PATCH {self._urls['pagos']}{path}")
        self._ask(saga_id, pattern, "retry", "the customer has named another account")
        self._say("   and retries the saga, in the admin or like this:")
        self._say(
            f"     curl {self._urls[PATTERNS[pattern].coordinator]}"
            f"{PATTERNS[pattern].state.format(saga_id=saga_id)}/retry"
            f' -H "Content-Type: application/json"{self._token}'
            f' -d \'{{"requested_by": "{OPERATOR}", "reason": "..."}}\''
        )
        self._when(saga_id, pattern, "compensated")
        refunded = self._call("GET", "pagos", path)
        self._say(f"   compensated: {refunded['refunded_amount']} went back to paypal")
        self._say(f"   who did what and why: manage.py audit --saga {saga_id}")

    def _end(self, pattern: str, method: str, expected: str) -> str:
        """The id of a new checkout, once it has ended as expected."""
        body = {
            "cart_id": self._add_cart(),
            "user_id": OPERATOR,
            "payment_method": method,
            "billing_address": {"street": "Calle Mayor 1", "city": "Madrid", "country": "ES"},
            "saga_pattern": pattern,
        }
        began = time.monotonic()
        ended = self._call("POST", "carrito", "/checkout/saga", body, Prefer="wait=30")
        took = (time.monotonic() - began) * 1000
        if ended["status"] != expected:
            raise StackError(f"{pattern}, {method}: {ended['status']}, not {expected}: {ended}")
        self._say(f"   {pattern}, {method}: {expected} after {took:.0f} ms")
        self._look(str(ended["saga_id"]), pattern)
        return str(ended["saga_id"])

    def _look(self, saga_id: str, pattern: str) -> None:
        coordinator = PATTERNS[pattern].coordinator
        path = PATTERNS[pattern].state.format(saga_id=saga_id)
        self._say(f"     {self._urls[coordinator]}{path}")
        if "dashboard" in self._urls:
            self._say(f"     {self._urls['dashboard']}/dashboard/sagas/{saga_id}")

    def _add_product(self) -> str:
        name = f"Demo {uuid.uuid4()}"
        wanted = {"name": name, "price": "12.50", "quantity": 100, "category": "demo", "sku": name}
        return str(self._call("POST", "inventario", "/api/products", wanted)["id"])

    def _add_cart(self) -> str:
        items = [{"product_id": self._product, "quantity": 2}]
        wanted = {"user_id": OPERATOR, "items": items}
        return str(self._call("POST", "carrito", "/carts", wanted)["id"])

    def _ask(self, saga_id: str, pattern: str, action: str, reason: str) -> None:
        """Retries until the coordinator has the saga, which may lag behind the owner."""
        service = PATTERNS[pattern].coordinator
        path = f"{PATTERNS[pattern].state.format(saga_id=saga_id)}/{action}"
        until = time.monotonic() + SECONDS
        body = {"requested_by": OPERATOR, "reason": reason}
        while (answer := self._answer("POST", service, path, body)).status == 409:
            problem = answer.json()
            if problem["code"] != NOT_STARTED or time.monotonic() > until:
                raise StackError(f"{action} of {saga_id}: {problem['detail']}")
            time.sleep(_PAUSE)

    def _state(self, saga_id: str, pattern: str) -> dict[str, Any]:
        path = PATTERNS[pattern].state.format(saga_id=saga_id)
        return self._call("GET", PATTERNS[pattern].coordinator, path)

    def _when(self, saga_id: str, pattern: str, status: str) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        while (state := self._state(saga_id, pattern))["status"] != status:
            if time.monotonic() > until:
                raise StackError(f"saga {saga_id} is {state['status']}, and not {status} yet")
            time.sleep(_PAUSE)
        return state

    def _call(self, method: str, service: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self._answer(method, service, path, body, **headers)
        if answer.status >= 400:
            raise StackError(f"{method} {path}: {answer.status} {answer.data.decode()[:500]}")
        return answer.json()

    def _answer(
        self, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self._urls[service]}{path}"
        extra: dict[str, Any] = {} if body is None else {"json": body}
        try:
            headers |= self._passes.person(OPERATOR, *_SCOPES)
            return self._http.request(method, url, headers=headers, **extra)
        except urllib3.exceptions.HTTPError as error:
            raise StackError(f"{service} does not answer at {url}: {error}") from error
