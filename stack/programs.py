"""What of Dueto one run has: what its caller chose, and the programs that follow from it."""

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catalogue.services import ALL, Service
from stack import folders, services
from stack.backing import Backends, BrokerChoice, chosen_broker
from stack.children import Program
from stack.console import Announce, StackError, to_terminal
from stack.folders import Folder
from stack.ports import free_ports
from stack.processes import LONGEST_PAUSE
from stack.services import BASE_FOLDER

LOOPBACK = "127.0.0.1"
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound to
_HIGHEST_PORT = 65535

_INTERPRETED = {"python": (sys.executable,), "granian": (sys.executable, "-m", "granian")}


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
        return {service.name: service.also for service in self.services if service.also}


class Programs:
    """Commands, variables and logs of every process of one run."""

    def __init__(
        self, *, options: Options, folder: Folder, ports: Mapping[str, int], backends: Backends
    ) -> None:
        self.urls = services.service_urls(host=options.reachable_host, ports=ports)
        self._options, self._folder, self._ports = options, folder, ports
        self._backends = backends
        self._secret = os.environ.get("DUETO_SECRET_KEY") or secrets.token_urlsafe(48)

    def environment(self) -> dict[str, str]:
        """The variables that lead a command to every database and service of this run."""
        length = os.environ.get(services.LENGTH_VARIABLE, "")
        return {
            **({services.LENGTH_VARIABLE: length} if length else {}),
            **self._common(),
            **services.database_environment(urls=self._backends.database_urls),
        }

    def all(self) -> list[Program]:
        """Every process of the chosen services."""
        return [
            self._process(name, service)
            for service in self._options.services
            for name in services.processes_of(service)
        ]

    def task(self, command: tuple[str, ...], **variables: str) -> Program:
        """A command that ends by itself, like a migration; its log is named after it."""
        name = command[2] if command[:2] == ("python", "manage.py") else Path(command[0]).name
        return Program(
            name=name,
            argv=_runnable(command),
            environment={**_inherited(), **self.environment(), **variables},
            folder=BASE_FOLDER,
            log=self._folder.log(name),
            is_task=True,
        )

    def _process(self, name: str, service: Service) -> Program:
        kind = name.rpartition(".")[2]
        web = services.web_command(host=self._options.host, port=self._ports[service.name])
        return Program(
            name=name,
            argv=_runnable(web if kind == "web" else services.WORKER_COMMAND),
            environment={**_inherited(), **self._environment_of(service)},
            folder=BASE_FOLDER,
            log=self._folder.log(name),
            on_parent_death=services.PARENT_DEATH_SIGNAL[kind],
        )

    def _environment_of(self, service: Service) -> dict[str, str]:
        """A service is told of its own database alone; the dashboard of all."""
        urls = self._backends.database_urls
        own = {service.database_variable: urls[services.alias_of(service)]}
        if not service.has_tables:
            own = services.database_environment(urls=urls)
        servers = {**own, **self._backends.environment()}
        led = {name: self._options.detour(url) for name, url in servers.items()}
        return {**self._common(), **led, "DUETO_SERVICE": service.name}

    def _common(self) -> dict[str, str]:
        return {
            **services.url_environment(urls=self.urls),
            **self._backends.environment(),
            "DUETO_SECRET_KEY": self._secret,
            "DUETO_SAGA": self._options.saga,
            **self._options.environment,
        }


def _inherited() -> dict[str, str]:
    """Our own variables without those that say where things are: those are of this run."""
    places = {one.database_variable for one in ALL}
    places |= {one.url_variable for one in ALL if one.url_variable}
    places |= {"RABBITMQ_URL", "DUETO_BROKER_DATABASE_URL", "DUETO_SERVICE"}
    kept = {name: value for name, value in os.environ.items() if name not in places}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _runnable(command: tuple[str, ...]) -> tuple[str, ...]:
    """With the interpreter that runs us, whatever PATH says."""
    return (*_INTERPRETED.get(command[0], command[:1]), *command[1:])


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
