"""A booked slot: approved or not, paid or not, stopped and returned; the same in every pattern.

Beside the usual stack, whose managers have a day, another stack gives them a second.
"""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from catalogue import SAGAS
from contracts.patterns import CHOREOGRAPHED
from contracts.saga import Direction
from tests.checkout.shop import ENDED, Shop
from tests.sagas.test_endings import completed, ended, settled_state, steps_of_refused
from tests.waiting import eventually

SAGA = "booking"
PRICE, ENOUGH, TOO_LITTLE = "40.00", "500.00", "20.00"
TEN = datetime(2026, 12, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Lobby:
    """Where a user with some credits books a slot of their own."""

    def __init__(self, shop: Shop, pattern: str, *, credits: str = ENOUGH) -> None:  # noqa: A002 -- as its users call it
        self.shop = shop
        self.pattern = pattern
        self.user = f"ana-{uuid.uuid4()}"
        self.slot = self._made("reservas", "/slots", name="Sala", price_per_hour=PRICE)["id"]
        self._made("pagos", "/credits", user_id=self.user, amount=credits)

    def ask(self, *, hour: int = 0, **changed: Any) -> tuple[int, Any]:
        """Status and body of the answer to a booking of the slot for an hour."""
        starts_at = TEN + hour * HOUR
        wanted = {
            "user_id": self.user,
            "slot_id": self.slot,
            "starts_at": starts_at.isoformat(),
            "ends_at": (starts_at + HOUR).isoformat(),
            "saga_pattern": self.pattern,
            **changed,
        }
        return self.shop.call("POST", "reservas", "/bookings", wanted)

    def book(self, **changed: Any) -> str:
        """The id of a booking that was accepted."""
        status, body = self.ask(**changed)
        assert (status, body["status"]) == (202, "pending"), body
        return str(body["booking_id"])

    def approve(self, booking_id: str) -> None:
        self.decide(booking_id, "approve", by="eva")

    def decide(self, booking_id: str, decision: str, **body: str) -> None:
        """The manager's decision, as soon as the step waits for it."""

        def is_accepted() -> bool:
            path = f"/bookings/{booking_id}/{decision}"
            status, answer = self.shop.call("POST", "reservas", path, body)
            assert status == 200 or answer["code"] == "not_started", answer
            return status == 200

        eventually(is_accepted, what=f"{decision} of {booking_id} is accepted")

    def pay(self, booking_id: str, *, method: str = "credits") -> None:
        """The customer's payment, as soon as there is a bill to be paid."""

        def paid() -> bool:
            path = f"/bills/{booking_id}/pay"
            status, answer = self.shop.call("POST", "pagos", path, {"payment_method": method})
            assert status != 409, answer
            return status in (200, 202)

        eventually(paid, what=f"the bill of {booking_id} is paid")

    def waits_for(self, booking_id: str, decider: str) -> None:
        """Returns once its coordinator shows that it waits for this person."""

        def waits() -> bool:
            waiting = self.shop.state(booking_id, self.pattern).get("waiting")
            return bool(waiting and waiting["decided_by"] == decider)

        eventually(waits, what=f"{booking_id} waits for the {decider}")

    def seen(self, booking_id: str) -> dict[str, Any]:
        """The booking, and its rows in every service."""
        _, booking = self.shop.call("GET", "reservas", f"/bookings/{booking_id}")
        _, bills = self.shop.call("GET", "facturas", f"/bills?booking_id={booking_id}")
        _, papers = self.shop.call("GET", "facturas", f"/invoices?booking_id={booking_id}")
        return {
            "booking": booking["status"],
            "why": booking["failure"] and booking["failure"]["code"],
            "bill": [bill["status"] for bill in bills["results"]],
            "papers": sorted(result["kind"] for result in papers["results"]),
            "balance": self.balance(),
        }

    def require_free_slot(self) -> None:
        """Books the slot for the same hour, and frees it again."""
        self.decide(self.book(), "reject", by="eva")

    def balance(self) -> str:
        return str(self.shop.call("GET", "pagos", f"/credits/{self.user}")[1]["balance"])

    def is_consistent(self, bookings: list[str], *, of: str) -> bool:
        """Whether each is reserved and paid, or undone entirely; `of`: the credits before."""
        seen = [self.seen(booking) for booking in bookings]
        kept = sum(booking["booking"] == "reserved" for booking in seen)
        ends = {(booking["booking"], *booking["bill"], len(booking["papers"])) for booking in seen}
        allowed = {
            ("reserved", "paid", 1),
            ("cancelled", "failed", 0),
            ("cancelled", "credited", 2),
        }
        return ends <= allowed and Decimal(self.balance()) == Decimal(of) - kept * Decimal(PRICE)

    def settled_state(self, booking_id: str, steps: dict[str, str]) -> dict[str, Any]:
        """The coordinator's answer, once its steps have these statuses."""
        return settled_state(self.shop, SAGA, booking_id, self.pattern, steps)

    def reserved(self) -> str:
        """The id of a completed booking."""
        booking_id = self.book()
        self.approve(booking_id)
        self.pay(booking_id)
        self.settled_state(booking_id, completed(SAGA))
        return booking_id

    def _made(self, service: str, path: str, **body: str) -> dict[str, Any]:
        status, made = self.shop.call("POST", service, path, body)
        assert status == 201, made
        return dict(made)


@pytest.fixture
def lobby(shop, pattern):
    return Lobby(shop, pattern)


def test_booking_is_approved_paid_and_reserved(lobby):
    booking_id = lobby.book()
    assert lobby.seen(booking_id)["bill"] == []
    lobby.approve(booking_id)
    assert lobby.seen(booking_id)["booking"] == "approved"
    lobby.pay(booking_id)
    state = lobby.settled_state(booking_id, completed(SAGA))
    assert (state["status"], state["state"], state["failure"]) == ("completed", "ok", None)
    assert lobby.seen(booking_id) == {
        "booking": "reserved",
        "why": None,
        "bill": ["paid"],
        "papers": ["invoice"],
        "balance": "460.00",
    }
    assert lobby.ask()[1]["code"] == "slot_taken"


def test_choreographed_booking_shows_its_events(shop):
    lobby = Lobby(shop, CHOREOGRAPHED)
    state = lobby.settled_state(lobby.reserved(), completed(SAGA))
    assert [event["type"] for event in state["events"]] == [step.done for step in SAGAS[SAGA].steps]


def test_bill_is_paid_by_card_as_well(lobby):
    booking_id = lobby.book(auto_approve=True)
    lobby.pay(booking_id, method="credit_card")
    lobby.settled_state(booking_id, completed(SAGA))
    assert lobby.shop.money(booking_id) == ("captured", PRICE)
    assert lobby.balance() == ENOUGH


def test_rejected_booking_has_failed_and_its_slot_is_free(lobby):
    booking_id = lobby.book()
    lobby.decide(booking_id, "reject", by="eva", reason="closed that day")
    state = lobby.settled_state(booking_id, steps_of_refused(SAGA, "approve_booking"))
    assert state["failure"]["code"] == "rejected_by_manager"
    assert state["failure"]["detail"] == "closed that day"
    assert lobby.seen(booking_id) == {
        "booking": "failed",
        "why": "rejected_by_manager",
        "bill": [],
        "papers": [],
        "balance": ENOUGH,
    }
    lobby.require_free_slot()


def test_without_enough_credits_the_bill_fails_and_then_the_booking(shop, pattern):
    lobby = Lobby(shop, pattern, credits=TOO_LITTLE)
    booking_id = lobby.book(auto_approve=True)
    lobby.waits_for(booking_id, "customer")
    _, options = shop.call("GET", "pagos", f"/bills/{booking_id}/options")
    lobby.pay(booking_id)
    lobby.settled_state(booking_id, steps_of_refused(SAGA, "pay_bill"))
    assert options["options"][0]["is_enough"] is False
    assert lobby.seen(booking_id) == {
        "booking": "failed",
        "why": "insufficient_funds",
        "bill": ["failed"],
        "papers": [],
        "balance": TOO_LITTLE,
    }
    ((billed,),) = shop.rows(
        "facturas", "SELECT closed_at FROM facturas_bill WHERE saga_id = %s", [booking_id]
    )
    ((booked,),) = shop.rows(
        "reservas", "SELECT ended_at FROM reservas_booking WHERE saga_id = %s", [booking_id]
    )
    assert billed < booked
    lobby.require_free_slot()


@pytest.mark.parametrize("decider", ["manager", "customer"])
def test_booking_that_is_cancelled_while_it_waits_leaves_nothing(lobby, decider):
    booking_id = lobby.book(auto_approve=decider == "customer")
    lobby.waits_for(booking_id, decider)
    status, body = lobby.shop.call("POST", "reservas", f"/bookings/{booking_id}/cancel", {})
    assert status == 202, body
    assert ended(lobby.shop, SAGA, booking_id)["failure"]["code"] == "stopped"
    lobby.shop.state_when(booking_id, lobby.pattern, "failed", "compensated")
    seen = lobby.seen(booking_id)
    assert (seen["booking"], seen["papers"], seen["balance"]) == ("cancelled", [], ENOUGH)
    assert seen["bill"] == ([] if decider == "manager" else ["failed"])
    if decider == "manager":
        path = f"/bookings/{booking_id}/approve"
        late = lobby.shop.call("POST", "reservas", path, {"by": "eva"})
        assert (late[0], late[1]["code"]) == (409, "decision_closed")
    lobby.require_free_slot()


def test_reserved_booking_that_is_returned_is_credited_and_its_invoice_stays(lobby):
    booking_id = lobby.reserved()
    status, body = lobby.shop.call("POST", "reservas", f"/bookings/{booking_id}/cancel", {})
    assert status == 202, body
    undone = [step.name for step in SAGAS[SAGA].steps if step.can(Direction.UNDO)]
    stands = completed(SAGA) | dict.fromkeys(undone, "compensated")
    assert lobby.settled_state(booking_id, stands)["status"] == "compensated"
    assert lobby.seen(booking_id) == {
        "booking": "cancelled",
        "why": "stopped",
        "bill": ["credited"],
        "papers": ["credit_note", "invoice"],
        "balance": ENOUGH,
    }
    lobby.require_free_slot()


def test_two_bookings_with_credits_for_one_reserve_one_slot(shop, pattern):
    lobby = Lobby(shop, pattern, credits=PRICE)
    both = [lobby.book(hour=hour, auto_approve=True) for hour in range(2)]
    for booking_id in both:
        lobby.waits_for(booking_id, "customer")
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lobby.pay, both))
    ends = shop.all_ended(both, saga=SAGA)
    assert (ends["completed"], ends.total()) == (1, 2)
    assert lobby.balance() == "0.00"


def test_pay_and_cancel_at_once_are_reserved_or_cancelled_and_never_half(shop, pattern):
    lobby = Lobby(shop, pattern, credits="4000.00")
    bookings = [lobby.book(hour=hour, auto_approve=True) for hour in range(10)]
    for booking_id in bookings:
        lobby.waits_for(booking_id, "customer")

    def cancel(booking_id: str) -> None:
        shop.call("POST", "reservas", f"/bookings/{booking_id}/cancel", {})

    def pay(booking_id: str) -> None:
        shop.call("POST", "pagos", f"/bills/{booking_id}/pay", {"payment_method": "credits"})

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(call, booking) for booking in bookings for call in (pay, cancel)]
        [future.result() for future in asked]
    shop.all_ended(bookings, saga=SAGA)
    eventually(
        lambda: lobby.is_consistent(bookings, of="4000.00"), what="each is reserved or nothing"
    )


def test_same_hour_twice_at_once_is_one_booking(lobby):
    with ThreadPoolExecutor(2) as threads:
        for hour in range(10):
            given = list(threads.map(lambda _, hour=hour: lobby.ask(hour=hour), range(2)))
            assert sorted(status for status, _ in given) == [202, 409]
            (booked,) = [body["booking_id"] for status, body in given if status == 202]
            lobby.decide(booked, "reject", by="eva")


@pytest.mark.parametrize("decider", ["manager", "customer"])
def test_no_decision_in_time_is_a_refusal(unusual_shop, pattern, decider):
    lobby = Lobby(unusual_shop, pattern)
    booking_id = lobby.book(auto_approve=decider == "customer")
    at, code = {
        "manager": ("approve_booking", "approval_overdue"),
        "customer": ("pay_bill", "payment_overdue"),
    }[decider]
    assert lobby.settled_state(booking_id, steps_of_refused(SAGA, at))["failure"]["code"] == code
    seen = lobby.seen(booking_id)
    assert (seen["booking"], seen["why"], seen["balance"]) == ("failed", code, ENOUGH)
    assert lobby.ask()[0] == 202, "its slot is free"


def test_shop_with_overdue_bookings_passes_the_audit(unusual_shop):
    eventually(
        lambda: (
            not unusual_shop.rows(
                "reservas", "SELECT 1 FROM reservas_booking WHERE status <> ALL(%s)", [list(ENDED)]
            )
        ),
        what="all have ended",
    )
    unusual_shop.audit()
