"""`python -m stack.backing -- COMMAND...`: runs a command beside a fresh PostgreSQL and RabbitMQ.

The command finds them in DATABASE_URL and RABBITMQ_URL (unset where RabbitMQ is not installed;
an error then with DUETO_REQUIRE_RABBITMQ=1 or CI=true). Both end with it and leave no data.
What the environment names already is used as it is. The exit code is the command's.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from stack import folders
from stack.backends import Backends, chosen_broker
from stack.children import leashed
from stack.errors import StackError
from stack.interruption import Interrupted, Interruption
from stack.processes import Supervisor
from stack.progress import to_terminal

_USAGE_EXIT, _ERROR_EXIT = 2, 1


@contextlib.contextmanager
def backing() -> Iterator[dict[str, str]]:
    """The variables of a fresh PostgreSQL and broker, which end with the block."""
    folder = folders.temporary()
    supervisor = Supervisor(announce=to_terminal)
    backends = Backends(
        folder=folder, supervisor=supervisor, announce=to_terminal, broker=chosen_broker()
    )
    try:
        backends.start()
        backends.wait_for_broker()
        supervisor.restarts = True
        yield {"DATABASE_URL": backends.database_urls["default"], **backends.environment()}
    finally:
        supervisor.close()
        backends.clear()
        folder.purge()
        folder.unlock()


def main(arguments: list[str]) -> int:
    """Runs the command and returns its exit code."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        sys.stderr.write(f"{__doc__}\n")
        return _USAGE_EXIT
    interruption = Interruption()
    interruption.listen()
    try:
        with backing() as environment:
            code = _run(command, environment)
            interruption.ignore()
            return code
    except StackError as error:
        to_terminal(f"stack: {error}")
        return _ERROR_EXIT
    except Interrupted as interrupted:
        return interrupted.exit_code


def _run(command: list[str], environment: dict[str, str]) -> int:
    """In our own process group, so that it has the terminal and its Ctrl-C."""
    with subprocess.Popen(  # noqa: S603 - the command that our caller gave
        leashed(command, orphaned=signal.SIGKILL), env={**os.environ, **environment}
    ) as child:
        try:
            code = child.wait()
        except Interrupted as interrupted:
            # A Ctrl-C in a terminal has reached it too; anything else has reached only us.
            if interrupted.number != signal.SIGINT or not sys.stdin.isatty():
                child.send_signal(interrupted.number)
            code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
