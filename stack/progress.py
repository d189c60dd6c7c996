"""Says what is being done and how long it took."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Announce = Callable[[str], None]


def to_terminal(line: str) -> None:
    """The default listener. To the error stream: the output of a command is its result."""
    with contextlib.suppress(
        BrokenPipeError
    ):  # nobody listens any more, which is no reason to fail
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


class Stopwatch:
    """Seconds since it was made, as people read them."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __str__(self) -> str:
        return f"{time.monotonic() - self._started:.1f} s"


@contextlib.contextmanager
def step(announce: Announce, text: str) -> Iterator[None]:
    """Announces `text` with its seconds when the block has gone well."""
    watch = Stopwatch()
    yield
    announce(f"{text} in {watch}")
