"""A window of load that is interrupted ends, and all its sagas have ended, before the audit."""

import os
import signal
import threading

import psutil
import pytest

from loadtests.load.windows import Arrivals, Window, WindowPhase
from loadtests.running.bench import runner_on
from tests.waiting import eventually

WINDOW = Window(
    number=1,
    block=1,
    phase=WindowPhase.CELL,
    pattern="choreographed",
    arrivals=Arrivals.CONSTANT,
    rate=40,
    seconds=30,
    seed=1,
)
SOME = 20
"""Of the 1,200 checkouts of the window."""


def checkouts(shop, condition: str = "true") -> int:
    ((count,),) = shop.rows("carrito", f"SELECT count(*) FROM carrito_checkout WHERE {condition}")
    return count


def generators() -> list[psutil.Process]:
    family = psutil.Process().children(recursive=True)
    return [process for process in family if "locust" in process.cmdline()]


def test_nothing_is_sent_or_on_its_way_once_an_interrupted_window_is_closed(stack, shop, tmp_path):
    before = checkouts(shop)

    def interrupt() -> None:
        eventually(lambda: checkouts(shop) >= before + SOME, what="the window is under way")
        os.kill(os.getpid(), signal.SIGINT)

    with runner_on(stack=stack, name="cut", folder=tmp_path, say=lambda _: None) as runner:
        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            runner.measure(window=WINDOW, seen=[])
        interrupting.join()
        assert generators(), "it is sending"
        runner.close()
        assert not generators()
        assert checkouts(shop, "ended_at IS NULL") == 0
    assert before + SOME <= checkouts(shop) < before + WINDOW.rate * WINDOW.seconds
