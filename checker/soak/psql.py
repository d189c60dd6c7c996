"""What anybody with psql can do to a service's database: look too closely, protect it, change it.

A plain client, with nothing of the shop's own in it. Each raises ConnectionError where the server
is away, and leaves nothing behind.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

BUSIEST = {
    "carrito": "carrito_checkout",
    "inventario": "inventario_product",
    "pagos": "pagos_payment",
    "pedidos": "pedidos_order",
    "envios": "envios_courier",
    "saga_orchestrator": "saga_orchestrator_saga",
    "saga_choreography": "saga_choreography_saga",
}
"""The table of a service that most of its work goes through; of any other, its barrier."""
TEXTS = {
    "pagos": ("pagos_payment", "payment_method"),
    "saga_orchestrator": ("saga_orchestrator_saga", "parked_reason"),
    "saga_choreography": ("saga_choreography_saga", "parked_reason"),
}
"""A column of a service whose type a migration may change while the shop runs; of any other, what
its barrier says of a refusal."""
TRIES = 20

Wait = Callable[[], object]
"""Returns when the fault is to end."""


def hold_row(*, url: str, service: str, wait: Wait) -> str:
    """Begins a transaction, locks the newest row, and forgets about it for a while."""
    name = BUSIEST.get(service, _barrier_of(service))
    table = sql.Identifier(name)
    with _connected(url, autocommit=False) as session:
        found = session.execute(
            sql.SQL("SELECT ctid::text FROM {} ORDER BY ctid DESC LIMIT 1 FOR UPDATE").format(table)
        ).fetchone()
        wait()
        session.rollback()
    return f"row {found[0]} of {name}" if found else f"{name} is empty"


def make_read_only(*, url: str, wait: Wait) -> str:
    """As after a failover: sessions are cut, new ones can read only; then it is over, but those
    sessions stay as they are.
    """
    with _connected(url, autocommit=True) as session:
        name = sql.Identifier(session.info.dbname)
        setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name)
        session.execute(setting)
        try:
            cut = session.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
            wait()
        finally:
            session.execute("SET default_transaction_read_only = off")
            back = sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name)
            session.execute(back)
    return f"{cut[0] if cut else 0} sessions cut"


def change_column(*, url: str, service: str) -> str:
    """Changes the type of a text column, and so makes each prepared plan of its table stale."""
    table, column = TEXTS.get(service, (_barrier_of(service), "detail"))
    with _connected(url, autocommit=True) as session:
        session.execute("SET lock_timeout = '200ms'")
        found = session.execute(
            "SELECT data_type FROM information_schema.columns"
            " WHERE table_name = %s AND column_name = %s",
            [table, column],
        ).fetchone()
        kind = "varchar(4000)" if found and found[0] == "text" else "text"
        change = sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {}").format(
            sql.Identifier(table), sql.Identifier(column), sql.SQL(kind)
        )
        for _ in range(TRIES):
            try:
                session.execute(change)
            except psycopg.errors.LockNotAvailable:
                continue
            return f"{table}.{column} is {kind} now"
    raise ConnectionError(f"{table} was never free")


def _barrier_of(service: str) -> str:
    return f"{service}_barrierentry"


@contextmanager
def _connected(url: str, *, autocommit: bool) -> Iterator[psycopg.Connection]:
    try:
        # Whatever else is done to the database at the same time.
        writes = "-c default_transaction_read_only=off"
        with psycopg.connect(
            url, autocommit=autocommit, connect_timeout=5, options=writes
        ) as session:
            yield session
    except psycopg.OperationalError as error:
        raise ConnectionError(f"PostgreSQL is away ({type(error).__name__})") from error
