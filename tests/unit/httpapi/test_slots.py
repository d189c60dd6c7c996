"""A waiting request holds no slot, so it delays no other request."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext

import pytest

from httpapi import slots, waiting
from httpapi.middleware import Gateway
from httpapi.waiting import Places, Waiters
from stack.services import WEB_THREADS
from tests.waiting import eventually

SOON = 10.0
"""Seconds: far more than a request takes that is not delayed."""
BRIEFLY = 0.2


class Rows:
    """Rows that end on request."""

    def __init__(self) -> None:
        self.ended: set[str] = set()

    def ended_among(self, keys: list[str]) -> set[str]:
        return self.ended & set(keys)


class Response(list[bytes]):
    streaming = False

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(autouse=True)
def _places(monkeypatch):
    monkeypatch.setattr(waiting, "places", Places(most=waiting.MOST_WAITING))


@pytest.fixture
def rows():
    return Rows()


@pytest.fixture
def waiters(rows):
    return Waiters(service="carrito", ended=rows.ended_among)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WEB_THREADS) as pool:
        yield pool


def web(waiters: Waiters):
    """A web process whose /wait/KEY waits, and whose other paths are answered at once."""

    def application(environ, start_response):
        kind, _, key = environ["PATH_INFO"][1:].partition("/")
        if kind == "wait":
            return Response([b"ended" if waiters.wait(key=key, seconds=SOON) else b"not yet"])
        return Response([b"here"])

    return Gateway(application)


def ask(process: Gateway, path: str) -> bytes:
    environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET"}
    return b"".join(process(environ, lambda *_: None))


def waits_for(rows, waiters, threads, *, count: int) -> tuple[Gateway, list[Future[bytes]]]:
    process = web(waiters)
    return process, [threads.submit(ask, process, f"/wait/{n}") for n in range(count)]


def test_waiting_requests_leave_slots_for_other_work(rows, waiters, threads):
    process, requests = waits_for(rows, waiters, threads, count=waiting.MOST_WAITING)
    assert threads.submit(ask, process, "/step").result(SOON) == b"here"
    rows.ended = {str(n) for n in range(waiting.MOST_WAITING)}
    assert {request.result(SOON) for request in requests} == {b"ended"}


def test_waiting_requests_that_keep_their_slots_block_the_process(
    rows, waiters, threads, monkeypatch
):
    """The control."""
    monkeypatch.setattr(slots, "given_back", nullcontext)
    process, requests = waits_for(rows, waiters, threads, count=slots.WORKING)
    eventually(lambda: not slots.working._idle)
    step = threads.submit(ask, process, "/step")
    eventually(lambda: len(slots.working._to_begin) == 1)
    assert not step.done()
    assert threads.submit(ask, process, "/health").result(SOON) == b"here"
    rows.ended = {str(n) for n in range(slots.WORKING)}
    assert step.result(SOON) == b"here"
    assert {request.result(SOON) for request in requests} == {b"ended"}


def test_request_beyond_the_limit_is_answered_at_once(rows, waiters, threads, monkeypatch):
    monkeypatch.setattr(waiting, "places", Places(most=2))
    _, requests = waits_for(rows, waiters, threads, count=3)
    done, others = wait(requests, timeout=SOON, return_when="FIRST_COMPLETED")
    assert [request.result() for request in done] == [b"not yet"]
    rows.ended = {"0", "1", "2"}
    assert {other.result(SOON) for other in others} == {b"ended"}


def held(every: slots.Slots, threads) -> tuple[threading.Event, list[Future[None]]]:
    """All slots are taken, until the event is set."""
    freed, taken = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        with every.taken():
            taken.release()
            assert freed.wait(SOON)

    holding = [threads.submit(hold) for _ in range(len(every._idle))]
    for _ in holding:
        assert taken.acquire(timeout=SOON)
    return freed, holding


def test_number_of_requests_at_once_is_limited(threads):
    two = slots.Slots(count=2, most=3)
    freed, holding = held(two, threads)
    waiting_request = threads.submit(lambda: two.taken().__enter__())
    eventually(lambda: len(two._to_begin) == 1)
    with pytest.raises(slots.NoSlot), two.taken():
        pass
    freed.set()
    waiting_request.result(SOON)
    for request in holding:
        request.result(SOON)


def test_requests_that_wait_without_a_slot_count_too(threads):
    one_slot = slots.Slots(count=1, most=2)
    answered = threading.Event()

    def asks_others() -> None:
        with one_slot.taken(), one_slot.given_back():
            assert answered.wait(SOON)

    asking = [threads.submit(asks_others) for _ in range(2)]
    eventually(lambda: one_slot._there == 2)
    with pytest.raises(slots.NoSlot), one_slot.taken():
        pass
    answered.set()
    for request in asking:
        request.result(SOON)
    with one_slot.taken():
        assert one_slot._there == 1


def test_request_that_resumes_comes_before_those_that_have_not_begun(threads):
    one_slot = slots.Slots(count=1)
    answered, order = threading.Event(), []

    def asks_others() -> None:
        with one_slot.taken():
            with one_slot.given_back():
                assert answered.wait(SOON)
            order.append("goes on")

    def begins() -> None:
        with one_slot.taken():
            order.append("begins")

    going_on = threads.submit(asks_others)
    eventually(lambda: len(one_slot._idle) == 1)
    freed, holding = held(one_slot, threads)
    begun = threads.submit(begins)
    eventually(lambda: len(one_slot._to_begin) == 1)
    answered.set()
    eventually(lambda: len(one_slot._to_go_on) == 1)
    freed.set()
    for request in (going_on, begun, *holding):
        request.result(SOON)
    assert order == ["goes on", "begins"]


def test_steps_have_slots_of_their_own(rows, waiters, threads):
    process = web(waiters)
    freed, holding = held(slots.working, threads)
    assert threads.submit(ask, process, "/steps/reserve").result(SOON) == b"here"
    assert threads.submit(ask, process, "/sagas").result(SOON) == b"here"
    cart = threads.submit(ask, process, "/carts")
    eventually(lambda: len(slots.working._to_begin) == 1)
    assert not cart.done()
    freed.set()
    assert cart.result(SOON) == b"here"
    for request in holding:
        request.result(SOON)


def test_place_is_counted_by_request_and_not_by_saga(rows, waiters, threads, monkeypatch):
    monkeypatch.setattr(waiting, "places", Places(most=2))
    process = web(waiters)
    same = [threads.submit(ask, process, "/wait/same") for _ in range(3)]
    done, others = wait(same, timeout=SOON, return_when="FIRST_COMPLETED")
    assert [request.result() for request in done] == [b"not yet"]
    rows.ended = {"same"}
    assert {other.result(SOON) for other in others} == {b"ended"}


def test_request_that_gives_up_leaves_the_entry_of_the_other(rows, waiters, threads):
    patient = threads.submit(waiters.wait, key="same", seconds=SOON)
    assert threads.submit(waiters.wait, key="same", seconds=BRIEFLY).result() is False
    rows.ended = {"same"}
    assert patient.result(SOON) is True


def test_waiting_requests_are_answered_when_the_process_stops(rows, waiters, threads):
    process, requests = waits_for(rows, waiters, threads, count=5)
    threads.submit(ask, process, "/step").result(SOON)
    waiting.stop()
    assert {request.result(SOON) for request in requests} == {b"not yet"}
    assert threads.submit(ask, process, "/wait/later").result(SOON) == b"not yet"


def test_web_process_has_threads_for_all_waiting_and_working_requests():
    assert slots.MOST >= slots.WORKING + waiting.MOST_WAITING + 64
    assert WEB_THREADS >= slots.MOST + slots.STEPPING + slots.LOOKING + 16


def test_preference_is_read_as_the_standard_writes_it():
    asked = {
        "wait=5": 5,
        'respond-async, wait="7"': 7,
        "wait = 3; x=1": 3,
        "wait=999999": waiting.MOST_SECONDS,
        "no-wait=5": 0,
        "wait=x": 0,
        "": 0,
    }
    assert {text: waiting.seconds_of(prefer=text) for text in asked} == asked


@pytest.mark.parametrize("wanted", [True, False])
def test_thread_without_a_slot_just_waits(wanted):
    with slots.given_back(if_wanted=wanted):
        assert threading.current_thread()
