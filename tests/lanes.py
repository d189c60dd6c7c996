"""`python -m tests.lanes`: all tests, those that only compute beside those that mostly wait.

The former need no server and no clock, so they run at the lowest priority, in the time that the
others leave: on two slow cores that saves a minute of fifteen. What they say comes at the end. With
arguments it is plain pytest.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from stack.children import leashed

COMPUTING = ("tests/unit", "tests/architecture")
PYTEST = (sys.executable, "-m", "pytest")


def main(arguments: Sequence[str]) -> int:
    """The exit status of all tests; does not return where there are arguments."""
    if arguments:
        os.execv(sys.executable, [*PYTEST, *arguments])  # noqa: S606 -- our own command
    ignored = [f"--ignore={one}" for one in COMPUTING]
    return beside(
        waiting=[*PYTEST, *ignored],
        computing=["nice", "-n", "19", *PYTEST, "-p", "no:cacheprovider", *COMPUTING],
    )


def beside(*, waiting: Sequence[str], computing: Sequence[str]) -> int:
    """Runs both commands at once; the output of `computing` follows that of `waiting`.

    Returns the first status of the two that is not 0. However this process ends, both end with it.
    """
    with tempfile.TemporaryFile("w+") as said:
        second = subprocess.Popen(
            leashed(computing, orphaned=signal.SIGTERM), stdout=said, stderr=subprocess.STDOUT
        )
        try:
            first = subprocess.run(leashed(waiting, orphaned=signal.SIGTERM), check=False)
            second.wait()
        finally:
            second.terminate()
            second.wait()
            said.seek(0)
            sys.stdout.write(f"\nBeside them ran {' '.join(computing)}:\n\n{said.read()}")
            sys.stdout.flush()
    return first.returncode or second.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
