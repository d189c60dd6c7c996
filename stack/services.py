"""How the services of the register (catalogue/services.py) are run: their processes, commands,
ports and variables, shared by the local stack and compose; the options of a run, and its programs.
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
from contracts import rights
from contracts.patterns import TEMPORAL_VARIABLE
from stack import access, folders, temporal
from stack import replicas as replicated
from stack.backing import Backends, BrokerChoice, alias_of, chosen_broker
from stack.children import Program
from stack.console import Announce, to_terminal
from stack.folders import BASE_FOLDER, Folder
from stack.ports import free_ports, port_base, usual_ports
from stack.processes import LONGEST_PAUSE
from stack.replicas import NONE, Nginx, Replicas

NAMES = tuple(service.name for service in ALL)

LENGTH_VARIABLE = "DUETO_EXTRA_STEPS"
"""Adds steps to the checkout; the audit of a run needs it, too."""

WEB_THREADS = 176
"""152 for requests, 4 for steps, 2 for health checks (httpapi.slots), and some that still read a
body. Granian starts them on demand, and ends those that were idle for 30 s; an idle one costs some
30 kB."""
WEB_CONNECTIONS = 16384
"""The limit of a web process, idle connections included: with Granian's default of 1,024, that many
idle shoppers would keep all others waiting."""

PARENT_DEATH_SIGNAL = {"web": signal.SIGTERM, "worker": signal.SIGKILL}
"""The signal from the kernel when the supervisor is killed. A web process has to end its child; a
worker is safe to kill at any moment."""

MONOLITH_SERVICE = "carrito"
"""With DUETO_MONOLITH=1, its processes write in others' tables."""

RECORD, RECORD_VARIABLE = "run.json", "DUETO_RUN_RECORD"
"""The record of the run's processes."""

MIGRATE_COMMAND = ("python", "manage.py", "migrate_all")
TOPOLOGY_COMMAND = ("python", "manage.py", "topology")
ADMIN_COMMAND = ("python", "manage.py", "admin_login")
ADMIN_USER = "admin"
KEYS_COMMAND = ("python", "manage.py", "keys", "missing")
WORKER_COMMAND = ("python", "manage.py", "worker")


def processes_of(service: Service, *, replicas: Replicas = NONE) -> tuple[str, ...]:
    """The names of its processes: `carrito.web`, `carrito.worker`; or, if there are several,
    `carrito.worker.1`, `carrito.worker.2` and so on."""
    kinds = replicated.kinds_of(service)
    return tuple(name for kind in kinds for name in replicated.names_of(kind, replicas))


def needed_by(saga: str) -> tuple[str, ...]:
    """The names of the services that a saga needs in any pattern, and the dashboard, in the
    register's order. Raises KeyError for an unknown saga.
    """
    part = {*services.needed_by(SAGAS[saga]), *COORDINATORS}
    return tuple(
        service.name for service in ALL if service.name in part or service.role is Role.DASHBOARD
    )


def web_command(*, host: str, port: int) -> tuple[str, ...]:
    """Starts the web process of the service in DUETO_SERVICE."""
    return (
        # Granian's own command line, with another handling of SIGTERM.
        *("python", "-m", "httpapi.serving", "--interface", "wsgi"),
        *("--host", host, "--port", str(port)),
        *("--http", "1", "--workers", "1", "--blocking-threads", str(WEB_THREADS)),
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
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 -- recognised, not bound to


@dataclass(frozen=True, kw_only=True)
class Options:
    """The defaults are those of `manage.py up`."""

    folder: Path = folders.STATE_FOLDER
    fresh: bool = False
    """With new data that is removed at the end, in a folder of its own inside `folder`."""
    free_ports: bool = False
    """On any free ports, instead of the usual ones or those from DUETO_PORT_BASE on."""
    host: str = field(default_factory=lambda: os.environ.get("DUETO_HOST", LOOPBACK))
    names: tuple[str, ...] = NAMES
    """Of the services to run."""
    saga: str = ""
    """Runs only the services that this saga needs; empty: all."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More variables for the services' processes."""
    detour: Callable[[str], str] = str
    """Replaces the URL of a server for services, for example by that of a proxy."""
    replicas: Replicas = field(default_factory=dict)
    restarts: bool = True
    """Whether a crashed process is restarted."""
    longest_pause: float = LONGEST_PAUSE
    """Seconds before the restart of a process that crashes repeatedly."""
    broker: BrokerChoice = field(default_factory=chosen_broker)
    """`auto`: RabbitMQ if available, else PostgreSQL."""
    broker_nodes: int = 1
    """Of our own RabbitMQ: the processes `rabbitmq`, `rabbitmq-2` and so on. Of three, one may be
    down."""
    standby: bool = False
    """Whether our own PostgreSQL, the process `postgres`, has a synchronous standby, the process
    `postgres-standby`, which takes over when it crashes."""
    use_given: bool = True
    """Whether to use DATABASE_URL, <SERVICE>_DATABASE_URL and RABBITMQ_URL of our environment."""
    auth: str = ""
    """`required` or `demo`; empty: DUETO_AUTH, else demo if only this machine can reach the run."""
    one_database: bool = False
    """Whether all services' tables are in one database, instead of one each."""
    seed: bool = True
    """Whether to load the sample catalogue."""
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

    @property
    def needs_tokens(self) -> bool:
        """Whether the doors need authentication. Raises StackError if `demo` is not possible."""
        return access.mode(chosen=self.auth, beyond=self.beyond) == access.REQUIRED

    @property
    def beyond(self) -> list[str]:
        """The variables that involve other machines."""
        given = os.environ if self.use_given else {}
        return list(access.leading_beyond(host=self.host, given=given))

    def choose_ports(self) -> dict[str, int]:
        """Port by service name. Raises StackError if DUETO_PORT_BASE is invalid."""
        if self.free_ports:
            numbers = free_ports(len(ALL))
            return dict(zip(NAMES, numbers, strict=True))
        return usual_ports(base=port_base())

    def choose_replica_ports(self) -> dict[str, int]:
        """Port by name, for web processes behind nginx."""
        kinds = [f"{service.name}.{replicated.WEB}" for service in self.services]
        named = [
            name
            for kind in kinds
            if kind in self.replicas
            for name in replicated.names_of(kind, self.replicas)
        ]
        return dict(zip(named, free_ports(len(named)), strict=True))

    def processes_of(self, service: Service) -> tuple[str, ...]:
        """The names of its processes in this run."""
        return processes_of(service, replicas=self.replicas)

    def temporal_port(self) -> int | None:
        """Of the Temporal server that this run starts, if it needs one."""
        names = tuple(service.name for service in self.services)
        if not temporal.is_needed(services=names, use_given=self.use_given):
            return None
        if self.free_ports:
            return free_ports(1)[0]
        base = port_base()
        return temporal.USUAL_PORT if base is None else base + len(ALL)

    def second_ports(self) -> dict[str, int]:
        """Second ports by service name; none unless the run uses the usual ports."""
        if self.free_ports or port_base() is not None:
            return {}
        return {service.name: service.also for service in self.services if service.also}


class Programs:
    """Commands, variables and logs of every process of one run."""

    def __init__(
        self,
        *,
        options: Options,
        folder: Folder,
        ports: Mapping[str, int],
        replica_ports: Mapping[str, int],
        backends: Backends,
        nginx: Nginx | None,
    ) -> None:
        self.urls = service_urls(host=options.reachable_host, ports=ports)
        self.replica_urls = {
            name: f"http://{LOOPBACK}:{port}" for name, port in replica_ports.items()
        }
        """Base URL by name, for web processes behind nginx."""
        self._replica_ports, self._nginx = replica_ports, nginx
        self._options, self._folder, self._ports = options, folder, ports
        self._backends = backends
        self._secret = os.environ.get("DUETO_SECRET_KEY") or secrets.token_urlsafe(48)

    def environment(self) -> dict[str, str]:
        """The variables for a command that uses all databases and services of this run."""
        chosen = (LENGTH_VARIABLE, TEMPORAL_VARIABLE)
        return {
            **{name: os.environ[name] for name in chosen if os.environ.get(name)},
            **self._common(),
            **self._backends.broker_environment(rights.AUDIT),
            **database_environment(urls=self._backends.database_urls),
        }

    def audit_environment(self) -> dict[str, str]:
        """The same, with read-only logins."""
        return {
            **self.environment(),
            **database_environment(urls=self._backends.audit_urls),
        }

    def all(self) -> list[Program]:
        """Every process of the chosen services."""
        return [
            self._process(name, service)
            for service in self._options.services
            for name in self._options.processes_of(service)
        ]

    def task(self, command: tuple[str, ...], **variables: str) -> Program:
        """A command that ends by itself, like a migration, with a log of its name."""
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
        _, kind = replicated.kind_of(name)
        is_web = kind == replicated.WEB
        return Program(
            name=name,
            argv=_runnable(self._web_command(name, service) if is_web else WORKER_COMMAND),
            environment={
                **_inherited(),
                **self._environment_of(service),
                **self._draining(name),
            },
            folder=BASE_FOLDER,
            log=self._folder.log(name),
            on_parent_death=PARENT_DEATH_SIGNAL[kind],
        )

    def _web_command(self, name: str, service: Service) -> tuple[str, ...]:
        if name in self._replica_ports:
            return web_command(host=LOOPBACK, port=self._replica_ports[name])
        return web_command(host=self._options.host, port=self._ports[service.name])

    def _draining(self, name: str) -> dict[str, str]:
        """How a web process behind nginx announces that it wants no new requests."""
        if self._nginx is None or name not in self._replica_ports:
            return {}
        return {
            "DUETO_DRAIN_FILE": str(self._nginx.drain_file(name)),
            "DUETO_DRAIN_SECONDS": str(replicated.DRAIN_SECONDS),
        }

    def _environment_of(self, service: Service) -> dict[str, str]:
        """A service gets its own database and login only; the dashboard gets all databases, with a
        login of its own."""
        own = {service.database_variable: self._backends.database_urls[alias_of(service)]}
        if not service.has_tables:
            own = database_environment(urls=self._backends.admin_urls)
        elif service.name == MONOLITH_SERVICE and self._is_monolith():
            own = {service.database_variable: self._backends.monolith_url}
        servers = {**own, **self._backends.broker_environment(service.broker_login)}
        led = {name: self._options.detour(url) for name, url in servers.items()}
        return {
            **self._common(),
            **led,
            **({} if service.has_tables else self._of_dashboard()),
            **self._own_keys(service),
            "DUETO_SERVICE": service.name,
        }

    def _of_dashboard(self) -> dict[str, str]:
        """It may stop and kill the processes in the record, for demonstrations."""
        return {
            RECORD_VARIABLE: str(self._folder.path / RECORD),
            "DUETO_SECRET_KEY": self._secret,
        }

    def _own_keys(self, service: Service) -> dict[str, str]:
        """The keys that it signs its requests with."""
        if not self._options.needs_tokens:
            return {}
        own = {"DUETO_SIGNING_KEY": str(self._folder.keys / f"{service.name}.json")}
        if not service.has_tables:
            own["DUETO_ACCOUNTS_KEY"] = str(self._folder.keys / "dueto-accounts.json")
        return own

    def _is_monolith(self) -> bool:
        asked = self._options.environment.get("DUETO_MONOLITH") == "1"
        return asked and bool(self._backends.monolith_url)

    def _common(self) -> dict[str, str]:
        return {
            **url_environment(urls=self.urls),
            "DUETO_SAGA": self._options.saga,
            "DUETO_HOST": self._options.host,
            access.VARIABLE: access.REQUIRED if self._options.needs_tokens else access.DEMO,
            "DUETO_KEYS": str(self._folder.keys),
            "DUETO_JWKS": str(self._folder.keys / "public" / "people.json"),
            "DUETO_SERVICE_KEYS": str(self._folder.keys / "public" / "services.json"),
            **self._options.environment,
        }


def _inherited() -> dict[str, str]:
    """Our own variables without addresses and logins, which each run sets itself."""
    places = {service.database_variable for service in ALL}
    places |= {service.url_variable for service in ALL if service.url_variable}
    places |= {"RABBITMQ_URL", "DUETO_BROKER_DATABASE_URL", "DUETO_SERVICE", "DUETO_SECRET_KEY"}
    places |= {f"DUETO_{who}_DATABASE_URL" for who in ("SUPERUSER", "AUDIT", "MONOLITH")}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in places and not name.endswith("_RABBITMQ_URL")
    }
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _runnable(command: tuple[str, ...]) -> tuple[str, ...]:
    """With our own interpreter, whatever PATH is."""
    return (sys.executable, *command[1:]) if command[0] == "python" else command
