"""TCP ports: which are free, and which process holds one that is not.

Between finding a port and listening there another process may find it too. So the range is divided
into blocks, and each process takes ports from its own blocks only.
"""

import contextlib
import os
import random
import socket
import threading
from collections.abc import Mapping

import psutil

from catalogue import services
from stack.console import StackError

PORT_BASE_VARIABLE = "DUETO_PORT_BASE"
"""N: services listen on N, N+1, ... in the register's order."""
FREE_RANGE = (20000, 32000)
"""Below the kernel's range for outgoing connections."""

_HIGHEST = 65535
_BLOCK = 50
_left: list[int] = []
"""The ports of our blocks that are not used yet."""
_choosing = threading.Lock()
# A forked child shares the claims, but must not use the same ports as its parent.
os.register_at_fork(after_in_child=_left.clear)


def is_free(port: int) -> bool:
    """Whether a server could listen there now, on loopback."""
    return _refusal(port, "127.0.0.1") is None


def _refusal(port: int, host: str) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Like servers: connections in TIME_WAIT must not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def free_ports(count: int) -> list[int]:
    """`count` free ports, which no other process of this machine gets while we live, and which we
    don't get again. Raises StackError if too few are left."""
    found: list[int] = []
    with _choosing:
        while len(found) < count:
            if not _left:
                _left.extend(_another_block())
            if is_free(port := _left.pop()):
                found.append(port)
    return found


def _another_block() -> list[int]:
    """The ports of a block, which is ours from now on."""
    blocks = range(*FREE_RANGE, _BLOCK)
    for first in random.sample(blocks, k=len(blocks)):
        if _is_claimed(first):
            return random.sample(range(first, first + _BLOCK), k=_BLOCK)
    raise StackError(f"no free TCP ports are left between {FREE_RANGE[0]} and {FREE_RANGE[1]}")


def _is_claimed(first: int) -> bool:
    """Claims the block that starts there; False if another process has it.

    The claim is an abstract unix socket: as with ports, the kernel lets one process per network
    namespace bind it, whatever its user, and releases it when that process ends.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0dueto-ports-{first}")
    except OSError:
        claim.close()
        return False
    claim.detach()  # stays open until this process ends
    return True


def port_base() -> int | None:
    """DUETO_PORT_BASE, if set. Raises StackError if the ports from there on are invalid."""
    text = os.environ.get(PORT_BASE_VARIABLE, "")
    highest = _HIGHEST - len(services.ALL) + 1
    if text and not (text.isdecimal() and 1 <= int(text) <= highest):
        raise StackError(
            f"{PORT_BASE_VARIABLE} is {text!r}: it must be a number from 1 to {highest}"
        )
    return int(text) if text else None


def usual_ports(*, base: int | None) -> dict[str, int]:
    """Port by service name: its own, or counted from `base`."""
    return {
        service.name: service.port if base is None else base + place
        for place, service in enumerate(services.ALL)
    }


def require_free(ports: Mapping[str, int], *, host: str) -> None:
    """Raises StackError with every port of `ports` (by service) that can't be used, and why."""
    refused = {name: _refusal(port, host) for name, port in ports.items()}
    lines = [
        f"  {ports[name]} (for {name}) {_why(ports[name], error)}"
        for name, error in refused.items()
        if error
    ]
    if lines:
        raise StackError(
            "not every port can be used:\n"
            + "\n".join(lines)
            + "\nStop that process, or choose other ports:"
            + f" {PORT_BASE_VARIABLE}=4000 uses 4000 to {4000 + len(services.ALL) - 1}."
        )


def _why(port: int, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "needs root, like all low ports"
    return f"is taken by {holder(port)}"


def holder(port: int) -> str:
    """The process that listens there, for a message."""
    for found in psutil.net_connections("tcp"):
        if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid:
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                command = " ".join(psutil.Process(found.pid).cmdline())
                return f"process {found.pid}: {command[:100]}"
    return "a process of another user"
