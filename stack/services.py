"""The processes of Dueto as data: the one truth that the local stack and compose share."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass

PORT_BASE_VARIABLE = "DUETO_PORT_BASE"
"""With N: services on N, N+1, ... in the order below, the dashboard last."""

LENGTH_VARIABLE = "DUETO_EXTRA_STEPS"
"""Which steps a checkout has: whoever audits a run must know it, too."""

WEB_THREADS = 96
"""8 that work, 64 that wait (httpapi.slots, httpapi.waiting), and some that are on their way to a
slot, still read a body, or look at the health. Granian makes them when all others are taken, and
ends those that were idle for 30 s; an idle one costs some 30 kB."""
WEB_CONNECTIONS = 16384
"""A web process accepts no more than so many. Idle ones count: with Granian's default of 1,024, as
many shoppers who keep their connections keep all others waiting until some are closed."""

ORPHANED_SIGNAL = {"web": signal.SIGTERM, "worker": signal.SIGKILL}
"""What each kind of process gets from the kernel when its supervisor is killed. A web process is
asked, because it has to end the process below it; a worker is safe to kill at any moment."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service: a web process, usually a worker beside it, and a database of its own."""

    name: str
    """DUETO_SERVICE, app label and database alias (the dashboard's alias is `default`)."""
    port: int
    database: str
    database_variable: str
    url_variable: str | None
    """The variable by which the others find it."""
    has_worker: bool = True

    @property
    def alias(self) -> str:
        return self.name if self.has_worker else "default"

    @property
    def processes(self) -> tuple[str, ...]:
        """The names of its processes: `carrito.web`, `carrito.worker`."""
        return (f"{self.name}.web", f"{self.name}.worker")[: 1 + self.has_worker]


def _participant(name: str, port: int, url_variable: str) -> Service:
    return Service(
        name=name,
        port=port,
        database=f"dueto_{name}",
        database_variable=f"{name.upper()}_DATABASE_URL",
        url_variable=url_variable,
    )


SERVICES: tuple[Service, ...] = (
    _participant("carrito", 3000, "CARRITO_SERVICE_URL"),
    _participant("inventario", 3001, "INVENTARIO_SERVICE_URL"),
    _participant("pagos", 3002, "PAGOS_SERVICE_URL"),
    _participant("saga_orchestrator", 3003, "ORCHESTRATOR_URL"),
    _participant("saga_choreography", 3004, "CHOREOGRAPHY_URL"),
    Service(
        name="dashboard",
        port=8080,
        database="dueto",
        database_variable="DATABASE_URL",
        url_variable=None,
        has_worker=False,
    ),
)

MIGRATE_COMMAND = ("python", "manage.py", "migrate_all")
SEED_COMMAND = ("python", "manage.py", "seed_catalogue")
ADMIN_COMMAND = ("python", "manage.py", "admin_login")
ADMIN_USER = "admin"
WORKER_COMMAND = ("python", "manage.py", "worker")


def web_command(*, host: str, port: int, threads: int = WEB_THREADS) -> tuple[str, ...]:
    """How a web process is started; DUETO_SERVICE in its environment says which."""
    return (
        *("granian", "--interface", "wsgi", "--host", host, "--port", str(port)),
        *("--workers", "1", "--blocking-threads", str(threads)),
        *("--backpressure", str(WEB_CONNECTIONS)),
        # Without it a request that hangs would keep a stopping process alive for ever.
        *("--workers-kill-timeout", "5"),
        "config.wsgi:application",
    )


def default_ports(*, base: int | None) -> dict[str, int]:
    """Port by service name: the usual ones, or counted from `base`."""
    if base is None:
        return {one.name: one.port for one in SERVICES}
    return {one.name: base + place for place, one in enumerate(SERVICES)}


def service_urls(*, host: str, ports: Mapping[str, int]) -> dict[str, str]:
    """Base URL by service name."""
    return {one.name: f"http://{host}:{ports[one.name]}" for one in SERVICES}


def url_environment(*, urls: Mapping[str, str]) -> dict[str, str]:
    """The variables by which services find each other."""
    return {one.url_variable: urls[one.name] for one in SERVICES if one.url_variable}


def database_environment(*, urls: Mapping[str, str]) -> dict[str, str]:
    """The variables that name each database, from URL by alias."""
    return {one.database_variable: urls[one.alias] for one in SERVICES}
