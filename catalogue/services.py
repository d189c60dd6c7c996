"""Who there is: every service, once. The settings, the stack, the workers, the load tests and the
checkers read it; a test holds docker-compose.yml to it.
"""

from enum import StrEnum

import msgspec

from contracts import projection
from contracts.patterns import HAS_TEMPORAL
from contracts.saga import Saga


class Role(StrEnum):
    PARTICIPANT = "participant"
    COORDINATOR = "coordinator"
    DASHBOARD = "dashboard"
    EXTERNAL = "external"
    """A system outside the company, which knows nothing of sagas: a store and a web process."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """`name`: its app, its database's alias and DUETO_SERVICE. `port`: where it listens unless it
    is told otherwise; `also`: a second one, which scripts of its users name.
    `url_variable`: by which the others find it. `asks`: whom it asks beside its sagas.
    """

    name: str
    port: int
    url_variable: str = ""
    role: Role = Role.PARTICIPANT
    also: int | None = None
    asks: tuple[str, ...] = ()

    @property
    def has_worker(self) -> bool:
        """Whether it has a worker process, an outbox and a queue of its own."""
        return self.role in (Role.PARTICIPANT, Role.COORDINATOR)

    @property
    def has_tables(self) -> bool:
        """Whether it has tables of its own; the dashboard's database has only logins."""
        return self.role is not Role.DASHBOARD

    @property
    def database_variable(self) -> str:
        return f"{self.name.upper()}_DATABASE_URL" if self.has_tables else "DATABASE_URL"

    @property
    def database(self) -> str:
        """Its database's name on a server that is Dueto's own."""
        return f"dueto_{self.name}" if self.has_tables else "dueto"

    @property
    def login(self) -> str:
        """Whom it logs in as there."""
        return self.name if self.has_tables else ADMIN_LOGIN

    @property
    def broker_login(self) -> str:
        """Whom its processes log in as at the broker; those that publish nothing only look."""
        return self.name if self.has_worker else AUDIT_LOGIN


ADMIN_LOGIN, AUDIT_LOGIN = "dueto_admin", "dueto_audit"
"""The dashboard's, which may act in every service, and who only reads: the audit, load tests."""
BROKER_LOGIN = "dueto_broker"
"""Where PostgreSQL is the broker: every process's, in a database of the same name."""
MONOLITH_LOGIN = "dueto_monolith"
"""For benchmarks, where a checkout is one transaction: it may what all services may."""


# In the order of their ports where DUETO_PORT_BASE counts them: a new one comes last.
_ALWAYS = (
    Service(name="carrito", port=3000, url_variable="CARRITO_SERVICE_URL", asks=("inventario",)),
    Service(name="inventario", port=3001, url_variable="INVENTARIO_SERVICE_URL", also=8002),
    Service(
        name="pagos",
        port=3002,
        url_variable="PAGOS_SERVICE_URL",
        also=8003,
        asks=("tarjetas",),
    ),
    Service(
        name="saga_orchestrator",
        port=3003,
        url_variable="ORCHESTRATOR_URL",
        role=Role.COORDINATOR,
    ),
    Service(
        name="saga_choreography",
        port=3004,
        url_variable="CHOREOGRAPHY_URL",
        role=Role.COORDINATOR,
    ),
    Service(name="dashboard", port=8080, role=Role.DASHBOARD),
    Service(name="pedidos", port=8001, url_variable="PEDIDOS_SERVICE_URL", asks=("inventario",)),
    Service(name="envios", port=8004, url_variable="ENVIOS_SERVICE_URL"),
    Service(name="tarjetas", port=3007, url_variable="PAGOS_GATEWAY_URL", role=Role.EXTERNAL),
    Service(name="reservas", port=3005, url_variable="RESERVAS_SERVICE_URL"),
    Service(name="facturas", port=3006, url_variable="FACTURAS_SERVICE_URL"),
)
_TEMPORAL = Service(
    name="saga_temporal", port=3009, url_variable="TEMPORAL_SAGAS_URL", role=Role.COORDINATOR
)
ALL = (*_ALWAYS, *((_TEMPORAL,) if HAS_TEMPORAL else ()))

BY_NAME = {service.name: service for service in ALL}
PARTICIPANTS = tuple(service.name for service in ALL if service.role is Role.PARTICIPANT)
COORDINATORS = tuple(service.name for service in ALL if service.role is Role.COORDINATOR)
WITH_WORKER = tuple(service.name for service in ALL if service.has_worker)
"""Those that take part in sagas or coordinate them: with a barrier or sagas, an outbox, a queue."""
WITH_DATABASE = tuple(service.name for service in ALL if service.has_tables)
"""Those with tables of their own."""


def callers_of(name: str) -> frozenset[str]:
    """Whom its doors for services are for, beside the coordinators: who asks it, and the owners of
    the sagas that it takes part in.
    """
    return projection.owners_with(name).union(one.name for one in ALL if name in one.asks)


def needed_by(saga: Saga) -> tuple[str, ...]:
    """Who takes part in this saga, its owner first, and whom those ask beside it."""
    part = projection.services_of(saga)
    asked = (other for name in part for other in BY_NAME[name].asks)
    return tuple(dict.fromkeys([*part, *asked]))
