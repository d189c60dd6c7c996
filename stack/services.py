"""How the services of the register (catalogue/services.py) are run: their processes, commands,
ports and variables, the same ones for the local stack and for compose; what a caller may choose of
a run, and the programs that follow from it.
"""

import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catalogue import SAGAS, services
from catalogue.services import ALL, COORDINATORS, Role, Service
from stack import folders
from stack.backing import Backends, BrokerChoice, alias_of, chosen_broker
from stack.children import Program
from stack.console import Announce, to_terminal
from stack.folders import Folder
from stack.ports import free_ports, port_base, usual_ports
from stack.processes import LONGEST_PAUSE

NAMES = tuple(service.name for service in ALL)
BASE_FOLDER = Path(__file__).resolve().parent.parent

LENGTH_VARIABLE = "DUETO_EXTRA_STEPS"
"""Which steps a checkout has: the audit of a run needs it, too."""

WEB_THREADS = 176
"""152 that work or wait for anything, 4 for steps, 2 for the health (httpapi.slots), and some that
still read a body. Granian makes them when all others are taken, and ends those that were idle for
30 s; an idle one costs some 30 kB."""
WEB_CONNECTIONS = 16384
"""A web process accepts no more than so many. Idle ones count: with Granian's default of 1,024, as
many shoppers who keep their connections keep all others waiting until some are closed."""

PARENT_DEATH_SIGNAL = {"web": signal.SIGTERM, "worker": signal.SIGKILL}
"""What each kind of process gets from the kernel when its supervisor is killed. A web process is
asked, because it has to end the process below it; a worker is safe to kill at any moment."""

RECORD, RECORD_VARIABLE = "run.json", "DUETO_RUN_RECORD"
"""Where it is noted which process is whose."""

MIGRATE_COMMAND = ("python", "manage.py", "migrate_all")
ADMIN_COMMAND = ("python", "manage.py", "admin_login")
ADMIN_USER = "admin"
WORKER_COMMAND = ("python", "manage.py", "worker")


def processes_of(service: Service) -> tuple[str, ...]:
    """The names of its processes: `carrito.web`, `carrito.worker`."""
    return (f"{service.name}.web", f"{service.name}.worker")[: 1 + service.has_worker]


def needed_by(saga: str) -> tuple[str, ...]:
    """The names of those that a saga needs: who takes part, whatever its pattern who coordinates,
    and the dashboard, in the register's order. Raises KeyError where there is no such saga.
    """
    part = {*services.needed_by(SAGAS[saga]), *COORDINATORS}
    return tuple(
        service.name for service in ALL if service.name in part or service.role is Role.DASHBOARD
    )


def web_command(*, host: str, port: int) -> tuple[str, ...]:
    """How a web process is started; DUETO_SERVICE in its environment says which."""
    return (
        *("granian", "--interface", "wsgi", "--host", host, "--port", str(port)),
        *("--workers", "1", "--blocking-threads", str(WEB_THREADS)),
        *("--backpressure", str(WEB_CONNECTIONS)),
        # Without it a request that hangs would keep a stopping process alive for ever.
        *("--workers-kill-timeout", "5"),
        "config.wsgi:application",
    )


def service_urls(*, host: str, ports: Mapping[str, int]) -> dict[str, str]:
    """Base URL by service name."""
    return {service.name: f"http://{host}:{ports[service.name]}" for service in ALL}


def url_environment(*, urls: Mapping[str, str]) -> dict[str, str]:
    """The variables by which services find each other."""
    return {service.url_variable: urls[service.name] for service in ALL if service.url_variable}


def database_environment(*, urls: Mapping[str, str]) -> dict[str, str]:
    """The variables that name each database, from URL by alias."""
    return {service.database_variable: urls[alias_of(service)] for service in ALL}


LOOPBACK = "127.0.0.1"
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound to

_INTERPRETED = {"python": (sys.executable,), "granian": (sys.executable, "-m", "granian")}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The defaults are those of `manage.py up`."""

    folder: Path = folders.STATE_FOLDER
    fresh: bool = False
    """With new data that is removed at the end, in a folder of its own inside `folder`."""
    free_ports: bool = False
    """On any free ports, instead of the usual ones or those that DUETO_PORT_BASE starts."""
    host: str = field(default_factory=lambda: os.environ.get("DUETO_HOST", LOOPBACK))
    names: tuple[str, ...] = NAMES
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
        names = needed_by(self.saga) if self.saga else self.names
        return tuple(
            service for service in ALL if service.name in names and service.name in self.names
        )

    @property
    def reachable_host(self) -> str:
        """Where a client on this machine finds the services."""
        return LOOPBACK if self.host in _EVERYWHERE else self.host

    def choose_ports(self) -> dict[str, int]:
        """Port by service name. Raises StackError when DUETO_PORT_BASE is no port."""
        if self.free_ports:
            numbers = free_ports(len(ALL))
            return dict(zip(NAMES, numbers, strict=True))
        return usual_ports(base=port_base())

    def second_ports(self) -> dict[str, int]:
        """By service name, where one has a second address; none where ports are not the usual."""
        if self.free_ports or port_base() is not None:
            return {}
        return {service.name: service.also for service in self.services if service.also}


class Programs:
    """Commands, variables and logs of every process of one run."""

    def __init__(
        self, *, options: Options, folder: Folder, ports: Mapping[str, int], backends: Backends
    ) -> None:
        self.urls = service_urls(host=options.reachable_host, ports=ports)
        self._options, self._folder, self._ports = options, folder, ports
        self._backends = backends
        self._secret = os.environ.get("DUETO_SECRET_KEY") or secrets.token_urlsafe(48)

    def environment(self) -> dict[str, str]:
        """The variables that lead a command to every database and service of this run."""
        length = os.environ.get(LENGTH_VARIABLE, "")
        return {
            **({LENGTH_VARIABLE: length} if length else {}),
            **self._common(),
            **database_environment(urls=self._backends.database_urls),
        }

    def all(self) -> list[Program]:
        """Every process of the chosen services."""
        return [
            self._process(name, service)
            for service in self._options.services
            for name in processes_of(service)
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
        web = web_command(host=self._options.host, port=self._ports[service.name])
        return Program(
            name=name,
            argv=_runnable(web if kind == "web" else WORKER_COMMAND),
            environment={**_inherited(), **self._environment_of(service)},
            folder=BASE_FOLDER,
            log=self._folder.log(name),
            on_parent_death=PARENT_DEATH_SIGNAL[kind],
        )

    def _environment_of(self, service: Service) -> dict[str, str]:
        """A service is told of its own database alone; the dashboard of all."""
        urls = self._backends.database_urls
        own = {service.database_variable: urls[alias_of(service)]}
        if not service.has_tables:
            own = database_environment(urls=urls)
        servers = {**own, **self._backends.environment()}
        led = {name: self._options.detour(url) for name, url in servers.items()}
        # The dashboard may stop and kill processes, for who teaches: those that are noted there.
        noted = {} if service.has_tables else {RECORD_VARIABLE: str(self._folder.path / RECORD)}
        return {**self._common(), **led, **noted, "DUETO_SERVICE": service.name}

    def _common(self) -> dict[str, str]:
        return {
            **url_environment(urls=self.urls),
            **self._backends.environment(),
            "DUETO_SECRET_KEY": self._secret,
            "DUETO_SAGA": self._options.saga,
            **self._options.environment,
        }


def _inherited() -> dict[str, str]:
    """Our own variables without those that say where things are: those are of this run."""
    places = {service.database_variable for service in ALL}
    places |= {service.url_variable for service in ALL if service.url_variable}
    places |= {"RABBITMQ_URL", "DUETO_BROKER_DATABASE_URL", "DUETO_SERVICE"}
    kept = {name: value for name, value in os.environ.items() if name not in places}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _runnable(command: tuple[str, ...]) -> tuple[str, ...]:
    """With the interpreter that runs us, whatever PATH says."""
    return (*_INTERPRETED.get(command[0], command[:1]), *command[1:])
