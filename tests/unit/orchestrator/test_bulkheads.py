"""Batches grow with the load; a bulkhead has one at a time, and waits for no other bulkhead."""

import threading

import pytest

from saga_orchestrator.in_flight import MOST_IN_A_BATCH, Bulkheads


class Work:
    """Records batches; a bulkhead can be held up."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.gates: dict[str, threading.Event] = {}
        self.out = 0
        self.most_out_of_a_lane = 0
        self.changed = threading.Condition()
        self.ended_threads = 0
        self.bulkheads: Bulkheads[str, int] = Bulkheads(work=self, at_exit=self.thread_ended)

    def __call__(self, key: str, items: list[int]) -> None:
        with self.changed:
            self.batches.append((key, items))
            self.out += 1
            self.most_out_of_a_lane = max(self.most_out_of_a_lane, self.out)
            self.changed.notify_all()
        self.gates.get(key, _OPEN).wait(10)
        with self.changed:
            self.out -= 1
            self.changed.notify_all()

    def thread_ended(self) -> None:
        self.ended_threads += 1

    def hold(self, key: str) -> threading.Event:
        return self.gates.setdefault(key, threading.Event())

    def until(self, condition) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 10)

    def of(self, key: str) -> list[list[int]]:
        return [items for bulkhead, items in self.batches if bulkhead == key]


_OPEN = threading.Event()
_OPEN.set()


@pytest.fixture
def work():
    made = Work()
    yield made
    for gate in made.gates.values():
        gate.set()
    made.bulkheads.close(seconds=10)


def test_lone_item_goes_at_once(work):
    work.bulkheads.put("a", [1])
    work.until(lambda: work.of("a") == [[1]])


def test_items_that_come_while_a_batch_is_away_go_together(work):
    gate = work.hold("a")
    work.bulkheads.put("a", [1])
    work.until(lambda: work.of("a") == [[1]])
    work.bulkheads.put("a", [2, 3])
    work.bulkheads.put("a", [4])
    gate.set()
    work.until(lambda: work.of("a") == [[1], [2, 3, 4]])


def test_bulkhead_has_one_batch_away_at_a_time(work):
    for i in range(200):
        work.bulkheads.put("a", [i])
    work.until(lambda: sum(map(len, work.of("a"))) == 200)
    assert work.most_out_of_a_lane == 1


def test_blocked_bulkhead_blocks_no_other(work):
    work.hold("slow")
    work.bulkheads.put("slow", [1])
    work.until(lambda: work.of("slow"))
    for i in range(5):
        work.bulkheads.put("quick", [i])
    work.until(lambda: sum(map(len, work.of("quick"))) == 5)


def test_batch_is_bounded(work):
    gate = work.hold("a")
    work.bulkheads.put("a", [0])
    work.until(lambda: work.of("a"))
    work.bulkheads.put("a", range(1, 2 * MOST_IN_A_BATCH))
    gate.set()
    work.until(lambda: len(work.of("a")) == 3)
    assert len(work.of("a")[1]) == MOST_IN_A_BATCH


def test_item_goes_through_its_bulkheads_on_one_thread():
    seen: list[tuple[str, int]] = []
    done = threading.Event()

    def move_on(key: str, items: list[int]) -> None:
        seen.append((key, threading.get_ident()))
        following = {"a": "b", "b": "c"}.get(key)
        if following:
            bulkheads.put(following, items)
        else:
            done.set()

    bulkheads: Bulkheads[str, int] = Bulkheads(work=move_on, at_exit=lambda: None)
    bulkheads.put("a", [1])
    assert done.wait(10)
    bulkheads.close(seconds=10)
    assert [key for key, _ in seen] == ["a", "b", "c"]
    assert len({thread for _, thread in seen}) == 1


def test_closed_bulkheads_start_nothing_and_end_their_threads(work):
    gate = work.hold("a")
    work.bulkheads.put("a", [1])
    work.until(lambda: work.of("a"))
    work.bulkheads.put("a", [2])
    closing = threading.Thread(target=work.bulkheads.close, kwargs={"seconds": 10})
    closing.start()
    gate.set()
    closing.join()
    assert work.of("a") == [[1]]
    assert work.ended_threads == 1
