"""TCP ports: which are free, and who holds one that is not."""

import contextlib
import os
import random
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from contracts import services
from stack.errors import StackError
from stack.services import PORT_BASE_VARIABLE

FREE_RANGE = (20000, 32000)
"""Below the range from which the kernel takes ports for outgoing connections."""

_LISTEN = "0A"
_SOCKET_LINK = "socket:["


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
    sockets = set(_listening_inodes(port))
    for folder in Path("/proc").glob("[0-9]*"):
        if sockets & _socket_inodes(folder / "fd"):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            return f"process {folder.name}: {command[:100]}"
    return "a process of another user"


def _listening_inodes(port: int) -> Iterable[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (line.split() for line in lines):
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _socket_inodes(handles: Path) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):  # not ours to look into, or gone meanwhile
        for handle in handles.iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                link = os.readlink(handle)
                if link.startswith(_SOCKET_LINK):
                    found.add(link[len(_SOCKET_LINK) : -1])
    return found
