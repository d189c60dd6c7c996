"""The desk: asks the card network to take or give back money, outside of any transaction.

An intent is a committed row. The network is asked under the saga's key, which it remembers; its
answer is the decision. A web process asks at once, on the thread of the waiting request, whose slot
is free meanwhile; a worker asks on a thread of its own. If the network was slow, or the process
died, a worker asks again when the row is due (`ask_at`).
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cache
from typing import Literal

import msgspec
from django.conf import settings
from django.db import Error, connections

from contracts.bounds import MOST_IN_A_BATCH
from contracts.outcomes import Refused
from contracts.states import Complaint
from coordination.decisions import decide
from httpapi.client import Client, Unreachable
from httpapi.waiting import for_an_answer
from messaging import wakeups
from pagos import store
from pagos.operations import LEASE_SECONDS, NETWORK, SERVICE
from pagos.store import Key, ToAsk
from participant import decisions, failpoints, sql
from participant.decisions import GivenVerdict
from participant.operations import NO, YES

log = logging.getLogger(__name__)

CHANNEL = "desk"
"""The channel that wakes the worker's desk."""
CALL_SECONDS = 2.0
"""Less than a call of a step may take, so that its answer can still be "waiting"."""
SWEEP_SECONDS = 0.5
AGAIN_SECONDS = 0.5
"""The pause before the network is asked again about a payment."""
LONG_SECONDS = 30.0
"""The same, for a payment that can't be settled."""
SILENT_SECONDS = 1.0
"""How long a web process leaves a network that did not answer to the worker."""
BATCH = min(100, MOST_IN_A_BATCH)


class Charged(msgspec.Struct, frozen=True):
    """The network's answer to a charge. `error`: the network does not know the outcome."""

    status: Literal["captured", "refused", "processing", "error"]
    code: str | None = None
    detail: str | None = None
    retry_after_seconds: float | None = None


class Network:
    """The card network, over HTTP. Each call raises Unreachable if it gets no answer."""

    def __init__(self, *, url: str) -> None:
        self._client = Client("tarjetas", url=url, timeout=CALL_SECONDS)

    @property
    def calls(self) -> int:
        return self._client.calls

    def charge(self, *, payments: Sequence[ToAsk]) -> list[Charged]:
        """Takes the money of these payments, each once, however often this is called."""
        body = [
            {
                "key": payment.key,
                "saga_id": payment.saga_id,
                "saga": payment.saga,
                "amount": str(payment.amount),
                "payment_method": payment.payment_method,
            }
            for payment in payments
        ]
        return self._post("/charges", body, list[Charged])

    def refund(self, *, payments: Sequence[ToAsk]) -> None:
        """Gives back the money taken of these payments, and blocks that any more is taken."""
        self._post(
            "/refunds", [{"key": payment.key} for payment in payments], list[dict[str, object]]
        )

    def _post(self, path: str, body: Sequence[object], kind: type[list[Charged]] | object) -> list:  # type: ignore[type-arg]
        given = self._client.post(path=path, body=body)
        if given.status != 207:
            raise Unreachable(f"{path} answered {given.status}", status=given.status)
        found: list[Charged] = given.decode(type=kind)
        if len(found) != len(body):
            raise Unreachable(f"{path}: {len(found)} answers for {len(body)}", status=207)
        return found


@cache
def network() -> Network:
    """The network client of this process."""
    return Network(url=settings.SERVICE_URLS["tarjetas"])


def ask(
    *, payments: Sequence[ToAsk], waiting: Callable[[], AbstractContextManager[None]] = nullcontext
) -> None:
    """Asks the network about these payments, and applies its answers. Raises Unreachable.

    `waiting`: the context for the calls to the network; the database is not used within it.
    """
    to_take = [payment for payment in payments if payment.status == "pending"]
    to_give_back = [payment for payment in payments if payment.status != "pending"]
    if to_take:
        failpoints.reach("desk.before_charge")
        with waiting():
            answers = network().charge(payments=to_take)
        failpoints.reach("desk.charged")
        _follow(dict(zip([payment.id for payment in to_take], to_take, strict=True)), answers)
    if to_give_back:
        failpoints.reach("desk.before_refund")
        with waiting():
            network().refund(payments=to_give_back)
        failpoints.reach("desk.refunded")
        store.given_back(ids=[payment.id for payment in to_give_back])
        failpoints.reach("desk.given_back")


def _follow(payments: Mapping[str, ToAsk], answers: Sequence[Charged]) -> None:
    """Applies the answers; for a payment without a saga this writes its row alone."""
    decided: dict[str, list[GivenVerdict]] = {}
    plain: dict[str, Refused | None] = {}
    later: dict[str, float] = {}
    for (payment_id, payment), answer in zip(payments.items(), answers, strict=True):
        if answer.status in ("processing", "error"):
            later[payment_id] = answer.retry_after_seconds or AGAIN_SECONDS
            if answer.status == "error":
                log.error("%s: %s: %s", payment.key, answer.code, answer.detail)
        elif payment.action:
            decided.setdefault(payment.action, []).append(_given(payment, answer))
        else:
            plain[payment_id] = _refusal(answer)
    for action, given in decided.items():
        decide(service=SERVICE, action=action, given=given, decided_by=NETWORK)
    if plain:
        store.decide_plain(
            ids=list(plain), refusals={payment_id: no for payment_id, no in plain.items() if no}
        )
    if later:
        store.ask_again(seconds=later)


def _refusal(answer: Charged) -> Refused | None:
    if answer.status != "refused":
        return None
    return Refused(answer.code or "card_declined", answer.detail or "")


def _given(payment: ToAsk, answer: Charged) -> GivenVerdict:
    no = _refusal(answer)
    return GivenVerdict(
        saga_id=payment.saga_id,
        step=payment.taken_by,
        word=NO if no else YES,
        by=NETWORK,
        data={"code": no.code, "detail": no.detail} if no else None,
    )


class AtOnce:
    """Asks on the thread of the request that wrote the intents, in a web process."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def ask(self, keys: Collection[Key]) -> bool:
        """Asks about the payments of these steps. Returns True: the rows may have changed."""
        self.ask_about(payments=store.to_ask(keys=keys))
        return True

    def ask_about(self, *, payments: Sequence[ToAsk]) -> None:
        """Asks about these payments; leaves them to the worker's desk if the network is silent."""
        if time.monotonic() >= self._silent_until:
            try:
                ask(payments=payments, waiting=for_an_answer)
            except Unreachable as error:
                log.warning("%d payments left to the worker: %s", len(payments), error)
                self._silent_until = time.monotonic() + SILENT_SECONDS
            else:
                return
        _leave_to_worker(payments)


AT_ONCE = AtOnce()
"""Of this process."""


def _leave_to_worker(payments: Sequence[ToAsk]) -> None:
    store.ask_again(seconds={payment.id: 0.0 for payment in payments})
    wakeups.notify(service=SERVICE, channel=CHANNEL)


class Desk:
    """A component of pagos' worker: asks about its process's intents, and those that are due."""

    name = "desk"

    def __init__(self) -> None:
        self._given: queue.SimpleQueue[Collection[Key]] = queue.SimpleQueue()
        self._woken = threading.Event()
        self._asked = 0
        self._away: Complaint | None = None
        self._stuck: dict[str, Complaint] = {}

    def counters(self) -> dict[str, int]:
        return {f"http_calls.{self.name}": network().calls, "payments_asked": self._asked}

    def complaints(self) -> list[Complaint]:
        """The network that does not answer; or a payment that can't be settled, which stops no
        other.
        """
        return [*([self._away] if self._away else []), *list(self._stuck.values())[:1]]

    def give(self, keys: Collection[Key]) -> bool:
        """Queues this process's steps that wait for the network. Returns False: not asked yet."""
        self._given.put(keys)
        self._woken.set()
        return False

    def run(self, stop: threading.Event) -> None:
        """Asks until `stop` is set; a network that is away is asked again and again."""
        decisions.asked_of(service=SERVICE, decided_by=NETWORK, system=self.give)
        with wakeups.listening(service=SERVICE, channel=CHANNEL, flag=self._woken):
            while not stop.is_set():
                self._woken.clear()
                try:
                    asked = self._ask_given() + self.ask_due()
                except Error as error:
                    log.warning("desk: %s; again in a moment", error)
                    connections[SERVICE].close()
                    stop.wait(AGAIN_SECONDS)
                    continue
                if not asked:
                    self._woken.wait(SWEEP_SECONDS)
        self._leave()
        connections[SERVICE].close()

    def ask_due(self) -> int:
        """Asks about at most BATCH due payments; returns how many."""
        failpoints.reach("desk.before_claim")
        return self._ask(store.claim_to_ask(limit=BATCH, lease=LEASE_SECONDS))

    def _ask_given(self) -> int:
        keys: list[Key] = []
        while not self._given.empty() and len(keys) < BATCH:
            keys += self._given.get()
        return self._ask(store.to_ask(keys=keys)) if keys else 0

    def _leave(self) -> None:
        """Makes the queued steps due at once, for another worker."""
        keys: list[Key] = []
        while not self._given.empty():
            keys += self._given.get()
        if not keys:
            return
        try:
            _leave_to_worker(store.to_ask(keys=keys))
        except Error as error:
            log.warning("desk: %s; asked about again in %g s", error, LEASE_SECONDS)

    def _ask(self, payments: Sequence[ToAsk]) -> int:
        if not payments:
            return 0
        try:
            ask(payments=payments)
            self._away = None
            for payment in payments if self._stuck else ():
                self._stuck.pop(payment.id, None)
        except Exception as error:  # any fault: find the payment with it, ask about the others
            if sql.is_outage(error):
                raise
            self._after_fault(payments, error)
        self._asked += len(payments)
        return len(payments)

    def _after_fault(self, payments: Sequence[ToAsk], error: Exception) -> None:
        """Retries all if the network is away; otherwise one by one, to isolate the fault."""
        if isinstance(error, Unreachable) and error.is_outage:
            store.ask_again(seconds={payment.id: AGAIN_SECONDS for payment in payments})
            what = "the card network does not answer"
            do = "Start tarjetas (PAGOS_GATEWAY_URL); payments wait for it, and then go on."
            self._away = _complaint(what, error, do, self._away)
        elif len(payments) > 1:
            log.warning("%d payments, now one by one: %r", len(payments), error)
            with sql.impatient(service=SERVICE):
                for payment in payments:
                    self._ask([payment])
        else:
            (payment,) = payments
            is_busy = sql.is_busy(error)
            store.ask_again(seconds={payment.id: AGAIN_SECONDS if is_busy else LONG_SECONDS})
            if not is_busy:
                what = f"payment {payment.id} can't be settled with the card network"
                do = "Mend what the log names; the network is asked again."
                known = self._stuck.get(payment.id)
                self._stuck[payment.id] = _complaint(what, error, do, known, stops_sagas=False)


def _complaint(
    what: str, error: Exception, do: str, known: Complaint | None, *, stops_sagas: bool = True
) -> Complaint:
    log.warning("%s: %r", what, error)
    since = known.since if known else datetime.now(UTC)
    what = f"{what}: {sql.category(error)}"[:500]
    return Complaint(what=what, since=since, do=do, stops_sagas=stops_sagas)
