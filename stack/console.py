"""A run and its terminal: errors, progress, and Ctrl-C."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

Announce = Callable[[str], None]
_STDERR = 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StackError(Exception):
    """The stack can't run; the message says why, and what to do."""


def to_terminal(line: str) -> None:
    """The default listener: stderr, as stdout is for a command's result."""
    # A closed terminal is no reason to fail.
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


class Stopwatch:
    """Shows the seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __str__(self) -> str:
        return f"{time.monotonic() - self._started:.1f} s"


@contextlib.contextmanager
def step(announce: Announce, text: str) -> Iterator[None]:
    """Announces `text` with its duration after the block, unless that raises."""
    watch = Stopwatch()
    yield
    announce(f"{text} in {watch}")


class Interrupted(KeyboardInterrupt):
    """We were asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


class Interruption:
    """Takes over Ctrl-C, SIGTERM and SIGHUP between `listen()` and `restore()`, in the main thread.

    The first signal raises an exception; further signals are ignored, so as not to break the
    clean-up.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._is_stopping = False

    def listen(self) -> None:
        """Raises Interrupted in the main thread at the first signal from now on."""
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread can handle signals, and does so itself
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if number == signal.SIGHUP and before is signal.SIG_IGN:
                continue  # started under nohup, to outlive its terminal
            self._before[number] = before
            signal.signal(number, self._on_signal)

    def ignore(self) -> None:
        """Ignores signals from now on, as the stop has begun."""
        self._is_stopping = True

    def restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Not through a stream: the signal may have interrupted a write to it.
        os.write(
            _STDERR, b"already stopping, please wait\n" if self._is_stopping else b"stopping\n"
        )
        if self._is_stopping:
            return
        self._is_stopping = True
        raise Interrupted(number)
