"""Waiting in tests: always for a condition, always with a deadline."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")
PAUSE_SECONDS = 0.02


def eventually(condition: Callable[[], T], *, seconds: float = 60, what: str = "") -> T:
    """The condition's first true value; fails once the time is over."""
    deadline = monotonic() + seconds
    pause = threading.Event()
    while not (value := condition()):
        assert monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        pause.wait(PAUSE_SECONDS)
    return value
