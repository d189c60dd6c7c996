"""`python -m tests.lanes`: the tests, in lanes that run beside each other.

Most tests wait: for a database, a broker, a process that starts. Those that share the databases
given run one after the other, beside them others that share those of other servers, and in two
lanes those that start a stack of their own. Those that only compute need no server and no clock,
so they run at the lowest priority, in the time that the others leave. The first lane is seen as it
goes; what the others say comes at the end.

`python -m tests.lanes prove` runs the long proofs in the same way: the crash points, the tutorials
and a comparison; what starts stacks of its own, and what breaks a whole one (BROKEN); random
requests, seeded bugs, a soak and growth, which share the databases given; the pattern `temporal`,
which is there for who asks; and the schedules, which only compute. There are no more
lanes than keep two cores busy: a stack that waits takes a tenth of one. What measures how the shop
stands a rush (ALONE) comes last, and waits for the other lanes to end: it has the machine to
itself. Both together are all tests. With other arguments it is plain pytest.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO

from contracts.patterns import TEMPORAL_VARIABLE
from stack.children import bound_to_parent

OWN_STACK = ("tests/dashboard", "tests/sagas", "tests/checkout")
"""They share a stack: to start one takes a minute of CPU, to keep it a tenth of a core."""
OWN_STACK_TOO = ("tests/integration/test_monolith.py", "tests/security/test_matrix.py")
SHARING_TOO = (
    *("tests/broker", "tests/kit", "tests/integration/test_damaged_rows.py"),
    *("tests/integration/choreography", "tests/integration/lost_replies"),
    "tests/integration/loadtests",
)
SHARING_THIRD = (
    *("tests/integration/orchestrator", "tests/integration/audit"),
    "tests/integration/messaging",
)
ALONE = (
    "tests/checkout/test_participant_away.py",
    "tests/checkout/test_surveying.py",
    "tests/checkout/test_too_many.py",
    "tests/checkout/test_waiting_shoppers.py",
)
COMPUTING = ("tests/unit", "tests/architecture")
COMPARISON = "tests/integration/loadtests/test_compare.py"
CRASH_POINTS = "tests/chaos"
TUTORIALS = "tests/tutorials"
MANY_STACKS = "tests/stack"
"""Each starts one of its own."""
BROKEN = (
    *("tests/sagas/test_rush.py", "tests/checkout/test_crashes.py"),
    *("tests/checkout/test_servers_away.py", "tests/checkout/test_lights.py"),
    *("tests/checkout/test_compensating_at_odd_moments.py", "tests/checkout/test_parked.py"),
    *("tests/checkout/test_distributed_load.py", "tests/checkout/test_interrupted_load.py"),
)
"""What is started, killed, stopped and loaded again and again: proofs, too."""
LONG_SHARING = (
    *("tests/fuzz", "tests/seeded", "tests/integration/explorer", "tests/integration/soak"),
    *("tests/growth", "tests/integration/messaging/test_several_relays.py"),
)
LONG_COMPUTING = ("tests/unit/explorer",)
FUZZ = "--fuzz=2000"
"""Requests and messages of a proof; `make fuzz` sends more."""
PROVE, FULL = "prove", "--full"
ONLY_FULL = "|".join(
    f"^tests/{place}"
    for place in (
        *("chaos/test_takeover", "chaos/.*temporal", "growth/", "tutorials/.*a-checkout"),
        *("checkout/test_interrupted", "checkout/test_surveying", "checkout/test_parked"),
        *("checkout/test_compensating", "checkout/test_lights.*test_coordinator"),
        *("checkout/test_too_many.*choreographed", "sagas/test_rush.*(shipment|fulfilment)"),
        "sagas/test_endings.*(shipment|purchase).*temporal",
        *("stack/test_broker_cluster.*nodes_are_restarted", "stack/test_rotation"),
        *("stack/test_failover.*(killed_standby|only_reads)", "stack/test_local.*by_the_detour"),
        *("stack/test_local.*second_run", "integration/messaging/test_several_relays.*test_two"),
        "integration/loadtests/test_compare.*another_owner",
    )
)
"""Of node ids: what only `make prove FULL=1` runs, as something like it is proved without, or as it
measures what a busy machine hides."""
PYTEST = (sys.executable, "-m", "pytest")
ON_TEMPORAL = (
    *("tests/temporal", "tests/sagas/test_endings.py", "tests/checkout/test_crashes.py"),
    *(CRASH_POINTS, "-k", "temporal"),
)
"""What is true of every pattern, and of this one alone, where it is asked for."""
OTHER_SERVERS = (
    *("env", "-u", "DATABASE_URL", "-u", "RABBITMQ_URL"),
    *(sys.executable, "-m", "stack.backing", "--"),
)
BUSY = "DUETO_TEST_BUSY"
"""Names a file that is locked while other lanes run."""


def main(arguments: Sequence[str]) -> int:
    """The exit status of the tests; does not return where there are arguments for pytest."""
    is_proof = arguments[:1] == [PROVE]
    if arguments and not is_proof:
        os.execv(sys.executable, [*PYTEST, *arguments])  # noqa: S606 -- our own command
    more = arguments[1:]
    return beside(*(_command([*lane, *more]) for lane in lanes(is_proof=is_proof)))


def _command(lane: Sequence[str]) -> list[str]:
    first: tuple[str, ...] = ()
    if lane[0] in (*COMPUTING, *LONG_COMPUTING):
        first = ("nice", "-n", "19")
    elif lane[: len(ON_TEMPORAL)] == [*ON_TEMPORAL]:
        first = ("env", f"{TEMPORAL_VARIABLE}=1")
    elif lane[0] in (*SHARING_TOO, *SHARING_THIRD):
        first = OTHER_SERVERS
    return [*first, *PYTEST, "-p", "no:cacheprovider", *lane]


def lanes(*, is_proof: bool) -> list[list[str]]:
    """What pytest is given for each lane; the last one may wait for the others to end."""
    if is_proof:
        return [
            [CRASH_POINTS, TUTORIALS, COMPARISON],
            [*LONG_COMPUTING],
            [*ON_TEMPORAL],
            # Last those that share a stack, which lives until the end.
            [MANY_STACKS, *BROKEN],
            [*LONG_SHARING, FUZZ, *ALONE],
        ]
    sharing = (*SHARING_TOO, *SHARING_THIRD)
    elsewhere = (*sharing, *OWN_STACK, *OWN_STACK_TOO, *COMPUTING)
    proofs = (CRASH_POINTS, MANY_STACKS, COMPARISON, TUTORIALS, *BROKEN, *LONG_SHARING)
    return [
        _without(*elsewhere, *proofs),
        [*SHARING_TOO, *_without(COMPARISON, *LONG_SHARING)],
        [*SHARING_THIRD, *_without(*LONG_SHARING)],
        [*COMPUTING, *_without(*LONG_COMPUTING)],
        [*OWN_STACK_TOO],
        [*OWN_STACK, *_without(*ALONE, *BROKEN)],
    ]


def _without(*paths: str) -> list[str]:
    return [f"--ignore={path}" for path in paths]


def beside(first: Sequence[str], *others: Sequence[str]) -> int:
    """Runs the commands at once; the output of each other one follows that of the first.

    Returns the first status that is not 0, in their order. However this process ends, all end
    with it. The last one, and only that, may `wait_for_quiet`.
    """
    with contextlib.ExitStack() as cleanup:
        busy = cleanup.enter_context(tempfile.NamedTemporaryFile())
        fcntl.flock(busy, fcntl.LOCK_EX)
        environment = {**os.environ, BUSY: busy.name}
        running = [(command, *_quietly(command, environment, cleanup)) for command in others]
        bound = bound_to_parent(first, on_parent_death=signal.SIGTERM)
        statuses = [subprocess.run(bound, env=environment, check=False).returncode]
        for at, (command, process, said) in enumerate(running, start=1):
            if at == len(running):
                fcntl.flock(busy, fcntl.LOCK_UN)
            if process.poll() is None:
                sys.stdout.write(f"\nStill running: {' '.join(command)}\n")
                sys.stdout.flush()
            statuses.append(process.wait())
            said.seek(0)
            sys.stdout.write(f"\nBeside it ran {' '.join(command)}:\n\n{said.read()}")
            sys.stdout.flush()
    return next((status for status in statuses if status), 0)


def wait_for_quiet() -> None:
    """Returns when no lane runs beside this process; at once where it is of none."""
    if name := os.environ.get(BUSY):
        with open(name, "rb") as busy:
            fcntl.flock(busy, fcntl.LOCK_SH)


def _quietly(
    command: Sequence[str], environment: Mapping[str, str], cleanup: contextlib.ExitStack
) -> tuple[subprocess.Popen[bytes], IO[str]]:
    """The process, and where its output is kept; both end with `cleanup`."""
    said = cleanup.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 -- `cleanup` closes it
    process = subprocess.Popen(
        bound_to_parent(command, on_parent_death=signal.SIGTERM),
        env=environment,
        stdout=said,
        stderr=subprocess.STDOUT,
    )
    cleanup.callback(process.wait)
    cleanup.callback(process.terminate)
    return process, said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
