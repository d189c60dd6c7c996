"""`python -m tests.lanes`: the tests, those that only compute beside those that mostly wait.

The former need no server and no clock, so they run at the lowest priority, in the time that the
others leave: on two slow cores that saves a minute of fifteen. What they say comes at the end.
`python -m tests.lanes prove` runs the long proofs in the same way: schedules, crash points, seeded
bugs, the soak. Both together are all tests. With other arguments it is plain pytest.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from stack.children import leashed

COMPUTING = ("tests/unit", "tests/architecture")
LONG_COMPUTING = ("tests/unit/explorer",)
LONG_WAITING = (
    "tests/chaos",
    "tests/seeded",
    "tests/integration/explorer",
    "tests/integration/soak",
)
PROVE = "prove"
PYTEST = (sys.executable, "-m", "pytest")


def main(arguments: Sequence[str]) -> int:
    """The exit status of the tests; does not return where there are arguments for pytest."""
    is_proof = arguments == [PROVE]
    if arguments and not is_proof:
        os.execv(sys.executable, [*PYTEST, *arguments])  # noqa: S606 -- our own command
    waiting, computing = lanes(is_proof=is_proof)
    return beside(
        waiting=[*PYTEST, *waiting],
        computing=["nice", "-n", "19", *PYTEST, "-p", "no:cacheprovider", *computing],
    )


def lanes(*, is_proof: bool) -> tuple[list[str], list[str]]:
    """What pytest is given for the tests that wait, and for those that compute."""
    if is_proof:
        return list(LONG_WAITING), list(LONG_COMPUTING)
    waiting = [f"--ignore={folder}" for folder in (*COMPUTING, *LONG_WAITING)]
    return waiting, [*COMPUTING, *(f"--ignore={folder}" for folder in LONG_COMPUTING)]


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
