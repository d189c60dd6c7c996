"""What a caller may choose about a local stack."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contracts.services import ALL, Service
from stack import folders, services
from stack.backends import BrokerChoice, chosen_broker
from stack.errors import StackError
from stack.ports import free_ports
from stack.processes import LONGEST_PAUSE
from stack.progress import Announce, to_terminal

LOOPBACK = "127.0.0.1"
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound to
_HIGHEST_PORT = 65535


def _all_services() -> tuple[str, ...]:
    return tuple(one.name for one in ALL)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The defaults are those of `manage.py up`."""

    folder: Path = folders.STATE_FOLDER
    fresh: bool = False
    """With new data that is removed at the end, in a folder of its own inside `folder`."""
    free_ports: bool = False
    """On any free ports, instead of the usual ones or those that DUETO_PORT_BASE starts."""
    host: str = field(default_factory=lambda: os.environ.get("DUETO_HOST", LOOPBACK))
    names: tuple[str, ...] = field(default_factory=_all_services)
    """Of the services to run."""
    saga: str = ""
    """Of those, only what this saga needs; empty: all."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More variables for their processes."""
    detour: Callable[[str], str] = str
    """What services are told for the URL of a server: the way through a proxy, say."""
    web_threads: int = services.WEB_THREADS
    restarts: bool = True
    """Whether a process that crashes is started again."""
    longest_pause: float = LONGEST_PAUSE
    """Seconds before one that crashes again and again is; less where it is killed on purpose."""
    broker: BrokerChoice = field(default_factory=chosen_broker)
    """`auto`: RabbitMQ if it can be had, else PostgreSQL."""
    use_given: bool = True
    """Whether DATABASE_URL, <SERVICE>_DATABASE_URL and RABBITMQ_URL of our environment count."""
    one_database: bool = False
    """Whether all services' tables are in one database, instead of one each."""
    seed: bool = True
    """Whether the sample catalogue is put in."""
    with_admin: bool = False
    """Whether a superuser is made for this run."""
    announce: Announce = to_terminal

    @property
    def services(self) -> tuple[Service, ...]:
        names = services.needed_by(self.saga) if self.saga else self.names
        return tuple(one for one in ALL if one.name in names and one.name in self.names)

    @property
    def reachable_host(self) -> str:
        """Where a client on this machine finds the services."""
        return LOOPBACK if self.host in _EVERYWHERE else self.host

    def choose_ports(self) -> dict[str, int]:
        """Port by service name. Raises StackError when DUETO_PORT_BASE is no port."""
        if self.free_ports:
            numbers = free_ports(len(ALL))
            return dict(zip(_all_services(), numbers, strict=True))
        return services.default_ports(base=_port_base())

    def second_ports(self) -> dict[str, int]:
        """By service name, where one has a second address; none where ports are not the usual."""
        if self.free_ports or _port_base() is not None:
            return {}
        return {one.name: one.also for one in self.services if one.also}


def _port_base() -> int | None:
    text = os.environ.get(services.PORT_BASE_VARIABLE, "")
    if not text:
        return None
    highest = _HIGHEST_PORT - len(ALL) + 1
    if not text.isdecimal() or not 1 <= int(text) <= highest:
        raise StackError(
            f"{services.PORT_BASE_VARIABLE} is {text!r}: it must be a number from 1 to {highest}"
        )
    return int(text)
