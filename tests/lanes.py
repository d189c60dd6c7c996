"""`python -m tests.lanes`: the tests, in lanes that run beside each other.

Most tests wait: for a database, a broker, a process that starts. Those that share the databases
given run one after the other, beside them those that start a stack of their own. Those that only
compute need no server and no clock, so they run at the lowest priority, in the time that the
others leave. The first lane is seen as it goes; what the others say comes at the end. What measures
how the shop stands a rush runs after them, with the machine to itself.

`python -m tests.lanes prove` runs the long proofs: the tutorials, crash points, seeded bugs and a
soak, schedules. They keep the machine busy, so they run one after the other. Both together are all
tests. With other arguments it is plain pytest.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO

from stack.children import bound_to_parent

OWN_STACK = (
    *("tests/checkout", "tests/sagas", "tests/stack"),
    *("tests/integration/test_monolith.py", "tests/integration/loadtests/test_compare.py"),
)
ALONE = ("tests/checkout/test_participant_away.py", "tests/checkout/test_waiting_shoppers.py")
COMPUTING = ("tests/unit", "tests/architecture")
LONG_OWN_STACK = ("tests/tutorials", "tests/chaos")
LONG_SHARING = ("tests/seeded", "tests/integration/explorer", "tests/integration/soak")
LONG_COMPUTING = ("tests/unit/explorer",)
PROVE = "prove"
PYTEST = (sys.executable, "-m", "pytest")


def main(arguments: Sequence[str]) -> int:
    """The exit status of the tests; does not return where there are arguments for pytest."""
    is_proof = arguments == [PROVE]
    if arguments and not is_proof:
        os.execv(sys.executable, [*PYTEST, *arguments])  # noqa: S606 -- our own command
    if is_proof:
        ended = [_run([*PYTEST, *lane]) for lane in lanes(is_proof=True)]
        return next((status for status in ended if status), 0)
    first, *others = lanes(is_proof=False)
    quiet = [[*PYTEST, "-p", "no:cacheprovider", *lane] for lane in others]
    quiet[-1] = ["nice", "-n", "19", *quiet[-1]]
    status = beside([*PYTEST, *first], *quiet)
    return status or _run([*PYTEST, *ALONE])


def _run(command: Sequence[str]) -> int:
    bound = bound_to_parent(command, on_parent_death=signal.SIGTERM)
    return subprocess.run(bound, check=False).returncode


def lanes(*, is_proof: bool) -> tuple[list[str], list[str], list[str]]:
    """What pytest is given for each lane; the last one's tests only compute."""
    if is_proof:
        return [*LONG_OWN_STACK], [*LONG_SHARING], [*LONG_COMPUTING]
    elsewhere = (*OWN_STACK, *COMPUTING, *LONG_OWN_STACK, *LONG_SHARING)
    sharing = [f"--ignore={folder}" for folder in elsewhere]
    computing = [*COMPUTING, *(f"--ignore={folder}" for folder in LONG_COMPUTING)]
    return sharing, [*OWN_STACK, *(f"--ignore={name}" for name in ALONE)], computing


def beside(first: Sequence[str], *others: Sequence[str]) -> int:
    """Runs the commands at once; the output of each other one follows that of the first.

    Returns the first status that is not 0, in their order. However this process ends, all end
    with it.
    """
    with contextlib.ExitStack() as cleanup:
        running = [(command, *_quietly(command, cleanup)) for command in others]
        statuses = [_run(first)]
        for command, process, said in running:
            if process.poll() is None:
                sys.stdout.write(f"\nStill running: {' '.join(command)}\n")
                sys.stdout.flush()
            statuses.append(process.wait())
            said.seek(0)
            sys.stdout.write(f"\nBeside it ran {' '.join(command)}:\n\n{said.read()}")
            sys.stdout.flush()
    return next((status for status in statuses if status), 0)


def _quietly(
    command: Sequence[str], cleanup: contextlib.ExitStack
) -> tuple[subprocess.Popen[bytes], IO[str]]:
    """The process, and where its output is kept; both end with `cleanup`."""
    said = cleanup.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 -- `cleanup` closes it
    process = subprocess.Popen(
        bound_to_parent(command, on_parent_death=signal.SIGTERM),
        stdout=said,
        stderr=subprocess.STDOUT,
    )
    cleanup.callback(process.wait)
    cleanup.callback(process.terminate)
    return process, said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
