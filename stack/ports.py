"""TCP ports: which are free, and who holds one that is not."""

import contextlib
import random
import socket
from collections.abc import Mapping

import psutil

from contracts import services
from stack.console import StackError
from stack.services import PORT_BASE_VARIABLE

FREE_RANGE = (20000, 32000)
"""Below the range from which the kernel takes ports for outgoing connections."""


def is_free(port: int, *, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that lingers after its end doesn't hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """That many different free ports, picked at random so that two clones seldom collide."""
    found: list[int] = []
    for port in random.sample(range(*FREE_RANGE), k=min(count + 2000, 12000)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    if len(found) < count:
        raise StackError(f"no {count} free TCP ports between {FREE_RANGE[0]} and {FREE_RANGE[1]}")
    return found


def require_free(ports: Mapping[str, int], *, host: str) -> None:
    """Raises StackError naming every port of `ports` (by service) that is taken, and by whom."""
    taken = [(name, port) for name, port in ports.items() if not is_free(port, host=host)]
    if not taken:
        return
    lines = [f"  {port} (for {name}) is taken by {holder(port)}" for name, port in taken]
    raise StackError(
        "a port is busy:\n"
        + "\n".join(lines)
        + "\nEnd what holds it, or choose other ports:"
        + f" {PORT_BASE_VARIABLE}=4000 uses 4000 to {4000 + len(services.ALL) - 1}."
    )


def holder(port: int) -> str:
    """Who listens there, for a message."""
    for found in psutil.net_connections("tcp"):
        if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid:
            with contextlib.suppress(psutil.Error):  # gone meanwhile
                command = " ".join(psutil.Process(found.pid).cmdline())
                return f"process {found.pid}: {command[:100]}"
    return "a process of another user"
