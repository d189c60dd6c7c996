"""`python -m tests.lanes`: the tests, in parallel lanes.

Most tests wait: for a database, a broker, a process that starts. Tests that share the given
databases run one after the other; beside them run lanes with other servers, and two lanes of tests
that start their own stack. Tests that only compute need no server and no clock, so they run at the
lowest priority, in the remaining CPU time. The output of the first lane is shown as it runs; that
of the others at the end.

`python -m tests.lanes prove` runs the long proofs in the same way: the crash points, the tutorials
and a comparison; tests that start stacks of their own, and tests that break a whole one (BROKEN);
random requests, seeded bugs, a soak and growth, which share the given databases; the optional
pattern `temporal`; and the schedules, which only compute. There are only as many lanes as keep two
cores busy: a waiting stack uses a tenth of one. Tests that measure the shop under overload, and
those of a broker of three nodes, whose recovery takes minutes on a busy machine, come last (ALONE),
and wait for the other lanes to end. Both commands together run all tests. With other arguments it
is plain pytest.
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
"""They share a stack: its start takes a minute of CPU, keeping it a tenth of a core."""
OWN_STACK_TOO = ("tests/integration/test_monolith.py", "tests/security/test_matrix.py")
SHARING_TOO = (
    *("tests/kit", "tests/integration/test_damaged_rows.py"),
    *("tests/integration/choreography", "tests/integration/lost_replies"),
    "tests/integration/loadtests",
)
SHARING_THIRD = (
    *("tests/integration/orchestrator", "tests/integration/audit"),
    *("tests/integration/messaging", "tests/broker"),
)
CLUSTER = "tests/stack/test_broker_cluster.py"
ALONE = (
    CLUSTER,
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
"""Each test starts a stack of its own."""
BROKEN = (
    *("tests/sagas/test_rush.py", "tests/checkout/test_crashes.py"),
    *("tests/checkout/test_servers_away.py", "tests/checkout/test_lights.py"),
    *("tests/checkout/test_compensating_at_odd_moments.py", "tests/checkout/test_parked.py"),
    *("tests/checkout/test_distributed_load.py", "tests/checkout/test_interrupted_load.py"),
)
"""Tests that start, kill, stop and load a stack again and again: also proofs."""
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
"""Of node ids: run only by `make prove FULL=1`, as a similar test runs without it, or as they
measure something that a busy machine hides.
"""
PYTEST = (sys.executable, "-m", "pytest")
ON_TEMPORAL = (
    *("tests/temporal", "tests/sagas/test_endings.py", "tests/checkout/test_crashes.py"),
    *(CRASH_POINTS, "-k", "temporal"),
)
"""The tests of every pattern, and those of this pattern only, if it is enabled."""
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
    """The arguments of pytest for each lane; the last one may wait for the others to end."""
    if is_proof:
        return [
            [CRASH_POINTS, TUTORIALS, COMPARISON],
            [*LONG_COMPUTING],
            [*ON_TEMPORAL],
            # Last those that share a stack, which lives until the end.
            [MANY_STACKS, *BROKEN, *_without(CLUSTER)],
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
    """Runs the commands at once; the output of the others follows that of the first.

    Returns the first status that is not 0, in their order. All commands end with this process. Only
    the last one may `wait_for_quiet`.
    """
    with contextlib.ExitStack() as cleanup:
        busy = cleanup.enter_context(tempfile.NamedTemporaryFile())
        fcntl.flock(busy, fcntl.LOCK_EX)
        environment = {**os.environ, BUSY: busy.name}
        running = [(command, *_quietly(command, environment, cleanup)) for command in others]
        bound = bound_to_parent(first, on_parent_death=signal.SIGTERM)
        statuses = [subprocess.run(bound, env=environment, check=False).returncode]
        for at, (command, process, output) in enumerate(running, start=1):
            if at == len(running):
                fcntl.flock(busy, fcntl.LOCK_UN)
            if process.poll() is None:
                sys.stdout.write(f"\nStill running: {' '.join(command)}\n")
                sys.stdout.flush()
            statuses.append(process.wait())
            output.seek(0)
            sys.stdout.write(f"\nBeside it ran {' '.join(command)}:\n\n{output.read()}")
            sys.stdout.flush()
    return next((status for status in statuses if status), 0)


def wait_for_quiet() -> None:
    """Returns when no lane runs beside this process; at once outside of a lane."""
    if name := os.environ.get(BUSY):
        with open(name, "rb") as busy:
            fcntl.flock(busy, fcntl.LOCK_SH)


def _quietly(
    command: Sequence[str], environment: Mapping[str, str], cleanup: contextlib.ExitStack
) -> tuple[subprocess.Popen[bytes], IO[str]]:
    """The process, and where its output is kept; both end with `cleanup`."""
    output = cleanup.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 -- `cleanup` closes it
    process = subprocess.Popen(
        bound_to_parent(command, on_parent_death=signal.SIGTERM),
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    cleanup.callback(process.wait)
    cleanup.callback(process.terminate)
    return process, output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
