"""How the services of the register (catalogue/services.py) are run: their processes, commands,
ports and variables, the same ones for the local stack and for compose.
"""

import signal
from collections.abc import Mapping
from pathlib import Path

from catalogue import SAGAS, services
from catalogue.services import ALL, COORDINATORS, Role, Service

BASE_FOLDER = Path(__file__).resolve().parent.parent

PORT_BASE_VARIABLE = "DUETO_PORT_BASE"
"""With N: services on N, N+1, ... in the register's order."""

LENGTH_VARIABLE = "DUETO_EXTRA_STEPS"
"""Which steps a checkout has: whoever audits a run must know it, too."""

WEB_THREADS = 96
"""8 that work, 64 that wait (httpapi.slots, httpapi.waiting), and some that are on their way to a
slot, still read a body, or look at the health. Granian makes them when all others are taken, and
ends those that were idle for 30 s; an idle one costs some 30 kB."""
WEB_CONNECTIONS = 16384
"""A web process accepts no more than so many. Idle ones count: with Granian's default of 1,024, as
many shoppers who keep their connections keep all others waiting until some are closed."""

PARENT_DEATH_SIGNAL = {"web": signal.SIGTERM, "worker": signal.SIGKILL}
"""What each kind of process gets from the kernel when its supervisor is killed. A web process is
asked, because it has to end the process below it; a worker is safe to kill at any moment."""

MIGRATE_COMMAND = ("python", "manage.py", "migrate_all")
ADMIN_COMMAND = ("python", "manage.py", "admin_login")
ADMIN_USER = "admin"
WORKER_COMMAND = ("python", "manage.py", "worker")


def alias_of(service: Service) -> str:
    """Its database's name in Django's settings."""
    return service.name if service.has_tables else "default"


def database_of(service: Service) -> str:
    """Its database's name on a server of our own."""
    return f"dueto_{service.name}" if service.has_tables else "dueto"


def processes_of(service: Service) -> tuple[str, ...]:
    """The names of its processes: `carrito.web`, `carrito.worker`."""
    return (f"{service.name}.web", f"{service.name}.worker")[: 1 + service.has_worker]


def needed_by(saga: str) -> tuple[str, ...]:
    """The names of those that a saga needs: who takes part, whatever its pattern who coordinates,
    and the dashboard, in the register's order. Raises KeyError where there is no such saga.
    """
    part = {*services.needed_by(SAGAS[saga]), *COORDINATORS}
    return tuple(one.name for one in ALL if one.name in part or one.role is Role.DASHBOARD)


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


def default_ports(*, base: int | None) -> dict[str, int]:
    """Port by service name: the usual ones, or counted from `base`."""
    if base is None:
        return {one.name: one.port for one in ALL}
    return {one.name: base + place for place, one in enumerate(ALL)}


def service_urls(*, host: str, ports: Mapping[str, int]) -> dict[str, str]:
    """Base URL by service name."""
    return {one.name: f"http://{host}:{ports[one.name]}" for one in ALL}


def url_environment(*, urls: Mapping[str, str]) -> dict[str, str]:
    """The variables by which services find each other."""
    return {one.url_variable: urls[one.name] for one in ALL if one.url_variable}


def database_environment(*, urls: Mapping[str, str]) -> dict[str, str]:
    """The variables that name each database, from URL by alias."""
    return {one.database_variable: urls[alias_of(one)] for one in ALL}
