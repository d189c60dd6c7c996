"""Every service, once. The settings, the stack, the workers, the load tests and the checkers read
it; a test checks docker-compose.yml against it.
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
    """A system outside the company, without sagas: a store and a web process."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """`name`: its app, its database's alias and DUETO_SERVICE. `port`: where it listens by default;
    `also`: a second port, which scripts of its users name. `url_variable`: by which other services
    find it. `asks`: the services that it calls outside of sagas.
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
        """Its database's name on Dueto's own server."""
        return f"dueto_{self.name}" if self.has_tables else "dueto"

    @property
    def login(self) -> str:
        """Its login at its database."""
        return self.name if self.has_tables else ADMIN_LOGIN

    @property
    def broker_login(self) -> str:
        """Its processes' login at the broker; a service that publishes nothing only counts."""
        return self.name if self.has_worker else AUDIT_LOGIN


ADMIN_LOGIN, AUDIT_LOGIN = "dueto_admin", "dueto_audit"
"""The dashboard's login, which may act in every service; and the login of the audit and the load
tests, which only reads."""
BROKER_LOGIN = "dueto_broker"
"""If PostgreSQL is the broker: the login of every process, in a database of the same name."""
MONOLITH_LOGIN = "dueto_monolith"
"""For benchmarks of a checkout in one transaction: it has the rights of all services."""


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
"""The services that take part in sagas or coordinate them: each has an outbox and a queue."""
WITH_DATABASE = tuple(service.name for service in ALL if service.has_tables)
"""The services that have tables of their own."""


def callers_of(name: str) -> frozenset[str]:
    """The services that may call its doors for services, beside the coordinators: those that ask
    it, and the owners of the sagas in which it takes part.
    """
    return projection.owners_with(name).union(other.name for other in ALL if name in other.asks)


def needed_by(saga: Saga) -> tuple[str, ...]:
    """The participants of this saga, its owner first, and the services that they ask."""
    part = projection.services_of(saga)
    asked = (other for name in part for other in BY_NAME[name].asks)
    return tuple(dict.fromkeys([*part, *asked]))
