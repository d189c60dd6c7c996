"""A pool in front of the database: a service starts only behind a pool that keeps sessions. With
PgBouncer itself.
"""

import os
import subprocess
import sys

import psycopg
import pytest

from participant import databases
from stack import postgres
from stack.children import Program, unprivileged, wait_until_ready
from stack.folders import BASE_FOLDER, Folder, hand_over
from stack.ports import free_ports
from stack.processes import Supervisor
from tests.installed import need

PGBOUNCER = "/usr/sbin/pgbouncer"
LOGIN = "pagos"
_START = """
import django; django.setup()
from participant import sessions
sessions.require(alias="pagos")
"""
_CONFIGURATION = """
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
default_pool_size = {size}
ignore_startup_parameters = options
"""


@pytest.fixture
def server(folder: Folder, supervisor: Supervisor) -> postgres.Postgres:
    made = postgres.embedded(folder=folder, port=free_ports(1)[0], logins=[LOGIN])
    made.prepare(run=supervisor.run)
    supervisor.start(made.program)
    made.wait(check=supervisor.check)
    with made.connect() as connection:
        connection.execute(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{made.logins[LOGIN]}'")
    return made


@pytest.fixture
def with_settings(server: postgres.Postgres) -> None:
    """The login has the settings that a pool does not pass on."""
    wanted = databases.planning(service=LOGIN) | databases.limits(service=LOGIN)
    with server.connect() as connection:
        for name, value in wanted.items():
            connection.execute(f"ALTER ROLE {LOGIN} SET {name} = {value}")


class Pool:
    """PgBouncer between a service and the server."""

    def __init__(self, folder: Folder, supervisor: Supervisor, server: postgres.Postgres) -> None:
        self._folder, self._supervisor, self._server = folder, supervisor, server

    def start(self, *, mode: str, size: int = 5) -> str:
        """The URL through it."""
        account = unprivileged()
        home = self._folder.data("pgbouncer", account=account)
        (port,) = free_ports(1)
        users, configuration = home / "users.txt", home / "pgbouncer.ini"
        password = self._server.logins[LOGIN]
        users.write_text(f'"{LOGIN}" "{password}"\n')
        given = {"host": self._server.sockets, "server_port": self._server.port, "port": port}
        configuration.write_text(_CONFIGURATION.format(**given, users=users, mode=mode, size=size))
        for path in (users, configuration):
            hand_over(path, account=account)
        program = Program(
            name="pgbouncer",
            argv=(PGBOUNCER, str(configuration)),
            environment={"PATH": "/usr/bin:/bin"},
            folder=home,
            log=self._folder.log("pgbouncer"),
            account=account,
        )
        self._supervisor.start(program)
        url = f"postgresql://{LOGIN}:{password}@127.0.0.1:{port}/postgres"
        wait_until_ready(
            program,
            attempt=lambda: psycopg.connect(url, connect_timeout=5).close(),
            failing=psycopg.OperationalError,
            check=self._supervisor.check,
            seconds=30,
        )
        return url


@pytest.fixture
def pool(folder: Folder, supervisor: Supervisor, server: postgres.Postgres) -> Pool:
    need(PGBOUNCER, package="pgbouncer")
    return Pool(folder, supervisor, server)


def refusal(url: str) -> str:
    """Why a process of a service does not start; empty if it starts."""
    named = {"PAGOS_DATABASE_URL": url, "DATABASE_URL": url, "DUETO_SERVICE": LOGIN}
    named |= {"DJANGO_SETTINGS_MODULE": "config.settings", "DUETO_AUTH": "demo"}
    ended = subprocess.run(
        [sys.executable, "-c", _START],
        env={**os.environ, **named},
        cwd=BASE_FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "could not be looked at" not in ended.stderr
    return ended.stderr.strip().rpartition("\n")[2] if ended.returncode else ""


@pytest.mark.usefixtures("with_settings")
@pytest.mark.parametrize("size", [1, 5])
def test_pool_of_transactions_is_refused(pool: Pool, size: int) -> None:
    reason = refusal(pool.start(mode="transaction", size=size))
    assert "PAGOS_DATABASE_URL" in reason
    assert "pool_mode = session" in reason


@pytest.mark.usefixtures("with_settings")
@pytest.mark.parametrize("size", [1, 5])
def test_pool_of_sessions_is_taken(pool: Pool, size: int) -> None:
    """Even if it has no other session left for the check."""
    assert refusal(pool.start(mode="session", size=size)) == ""


def test_pool_that_drops_the_settings_of_a_connection_is_refused(pool: Pool) -> None:
    reason = refusal(pool.start(mode="session"))
    assert "lock_timeout = 1000" in reason
    assert "enable_seqscan = off" in reason


@pytest.mark.usefixtures("with_settings")
def test_the_database_itself_is_taken(server: postgres.Postgres) -> None:
    assert refusal(server.url("postgres", login=LOGIN)) == ""
