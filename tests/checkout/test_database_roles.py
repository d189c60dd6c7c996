"""The rights of an attacker who has only one service's own database URL."""

from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from catalogue.services import ALL
from stack.backing import alias_of
from stack.services import processes_of

SERVICES = [service for service in ALL if service.has_tables]
LEDGERS = {
    "pagos": ["pagos_refund", "pagos_creditmovement"],
    "facturas": ["facturas_invoice"],
    "inventario": ["inventario_reservationline"],
    "saga_orchestrator": ["saga_orchestrator_intervention"],
    "saga_choreography": ["saga_choreography_intervention"],
}
COLUMNS = {"facturas_invoice": "amount", "inventario_reservationline": "quantity"}
WRITTEN_ONCE = [(service, table) for service, tables in LEDGERS.items() for table in tables]
OUTSIDE_OF_ITS_ROWS = {
    "a program": ("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'", errors.InsufficientPrivilege),
    "a file": ("SELECT pg_read_file('/etc/passwd')", errors.InsufficientPrivilege),
    "passwords": ("SELECT rolpassword FROM pg_authid", errors.InsufficientPrivilege),
    "a table": ("CREATE TABLE loot (id int)", errors.InsufficientPrivilege),
    "a temporary table": ("CREATE TEMPORARY TABLE loot (id int)", errors.InsufficientPrivilege),
    "a role": ("CREATE ROLE thief", errors.InsufficientPrivilege),
    "a database": ("CREATE DATABASE loot", errors.InsufficientPrivilege),
    "its owner": ("SET ROLE pagos_owner", errors.InsufficientPrivilege),
    "history": ("DELETE FROM django_migrations", errors.InsufficientPrivilege),
    "a dropped table": ("DROP TABLE pagos_refund", errors.InsufficientPrivilege),
}


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def run(url: str, statement: str) -> None:
    """Rolls it back."""
    with psycopg.connect(url, autocommit=statement.startswith("CREATE DATABASE")) as link:
        link.execute(statement)
        if not link.autocommit:
            link.rollback()


def elsewhere(url: str, *, database: str) -> str:
    path, question, query = url.partition("?")
    return f"{path.rpartition('/')[0]}/{database}{question}{query}"


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_cannot_connect_to_another_database(shop, service):
    url = shop.stack.database_urls[service.name]
    run(url, "SELECT")
    others = {other.database for other in ALL if other is not service}
    for database in [*others, "postgres", "template1"]:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            run(elsewhere(url, database=database), "SELECT")


def test_the_superuser_can_connect_to_each(shop):
    for url in shop.stack.superuser_urls.values():
        run(url, "SELECT")


@pytest.mark.parametrize("what", OUTSIDE_OF_ITS_ROWS)
def test_a_service_reaches_its_rows_and_nothing_else(shop, what):
    statement, refused = OUTSIDE_OF_ITS_ROWS[what]
    with pytest.raises(refused):
        run(shop.stack.database_urls["pagos"], statement)


@pytest.mark.parametrize("what", OUTSIDE_OF_ITS_ROWS.keys() - {"a database"})
def test_a_superuser_would_reach_it(shop, what):
    run(shop.stack.superuser_urls["pagos"], OUTSIDE_OF_ITS_ROWS[what][0])


@pytest.mark.parametrize(("service", "table"), WRITTEN_ONCE)
def test_rows_of_a_ledger_stay(shop, service, table):
    url = shop.stack.database_urls[service]
    run(url, f"SELECT FROM {table}")
    column = COLUMNS.get(table, "saga_id")
    for statement in (
        f"UPDATE {table} SET {column} = {column} WHERE false",
        f"DELETE FROM {table} WHERE false",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            run(url, statement)
        run(shop.stack.superuser_urls[service], statement)
    with pytest.raises(errors.InsufficientPrivilege):
        run(url, f"TRUNCATE {table}")


@pytest.mark.parametrize(
    ("service", "written", "fixed"),
    [
        ("tarjetas", "tarjetas_charge SET status = status", "tarjetas_charge SET amount = 0"),
        ("carrito", "carrito_pause SET resumed_by = ''", "carrito_pause SET paused_by = ''"),
        ("pagos", "pagos_decision SET by = by", "pagos_decision SET command = command"),
    ],
)
def test_request_stays_while_its_end_is_written(shop, service, written, fixed):
    url = shop.stack.database_urls[service]
    run(url, f"UPDATE {written} WHERE false")
    with pytest.raises(errors.InsufficientPrivilege):
        run(url, f"UPDATE {fixed} WHERE false")


def test_no_process_gets_the_superusers_url(shop):
    secrets = {url.split(":", 2)[2].split("@")[0] for url in shop.stack.superuser_urls.values()}
    (secret,) = secrets
    for name, pid in shop.stack.processes.items():
        if "." in name:
            assert secret not in "".join(environment_of(pid).values()), name
    assert secret not in "".join(shop.stack.environment.values())
    assert secret not in "".join(shop.stack.audit_environment.values())


def test_process_gets_only_its_own_database_url(shop):
    for service in SERVICES:
        for name in processes_of(service):
            environment = environment_of(shop.stack.processes[name])
            urls = {key for key in environment if key.endswith("DATABASE_URL") and environment[key]}
            assert urls <= {service.database_variable, "DUETO_BROKER_DATABASE_URL"}, name


def test_no_login_of_a_running_stack_is_more_than_its_service(shop):
    stack = shop.stack
    dashboard = environment_of(stack.processes["dashboard.web"])
    urls = [
        *stack.database_urls.values(),
        *stack.audit_urls.values(),
        *(dashboard[service.database_variable] for service in ALL),
    ]
    for url in urls:
        assert dangerous(url) == (False, False, False)
    assert dangerous(stack.superuser_urls["pagos"])[0]


def dangerous(url: str):
    with psycopg.connect(url) as link:
        return link.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()


def test_the_login_of_the_benchmarks_is_not_there_unless_asked_for(shop):
    names = shop.rows("default", "SELECT rolname FROM pg_roles WHERE rolname LIKE 'dueto_%%'")
    assert ("dueto_audit",) in names
    assert ("dueto_monolith",) not in names


def test_audit_login_reads_and_changes_nothing(shop):
    for service in SERVICES:
        url = shop.stack.audit_urls[alias_of(service)]
        table = "tarjetas_charge" if service.name == "tarjetas" else f"{service.name}_outboxentry"
        run(url, f"SELECT FROM {table}")
        with pytest.raises(errors.InsufficientPrivilege):
            run(url, f"DELETE FROM {table}")
    with pytest.raises(errors.InsufficientPrivilege):
        run(shop.stack.audit_urls["default"], "SELECT FROM auth_user")


MONEY = {
    "pagos": ["pagos_refund", "pagos_creditaccount", "pagos_creditmovement"],
    "facturas": ["facturas_bill", "facturas_invoice"],
    "tarjetas": ["tarjetas_charge"],
    "inventario": ["inventario_reservation", "inventario_reservationline"],
}


@pytest.mark.parametrize(("service", "tables"), MONEY.items())
def test_the_dashboard_reads_of_money_and_moves_none(shop, service, tables):
    url = elsewhere(shop.stack.database_urls["default"], database=f"dueto_{service}")
    for table in tables:
        run(url, f"SELECT FROM {table}")
        for statement in ("DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES", "TRUNCATE {}"):
            with pytest.raises(errors.InsufficientPrivilege):
                run(url, statement.format(table))
        with psycopg.connect(url) as link:
            column = link.execute(f"SELECT * FROM {table} LIMIT 0").description[0].name
        with pytest.raises(errors.InsufficientPrivilege):
            run(url, f"UPDATE {table} SET {column} = {column} WHERE false")


def test_the_dashboard_sets_no_amount_and_sends_money_nowhere(shop):
    url = elsewhere(shop.stack.database_urls["default"], database="dueto_pagos")
    run(url, "UPDATE pagos_payment SET status = status WHERE false")
    for column in ("amount", "refund_to", "user_id", "saga_id"):
        with pytest.raises(errors.InsufficientPrivilege):
            run(url, f"UPDATE pagos_payment SET {column} = {column} WHERE false")


def test_the_roles_are_made_again_and_nothing_changes(shop):
    before = rights(shop)
    made = shop.stack.run(
        "python", "manage.py", "migrate_all", **shop.stack._backends.superuser_environment()
    )
    assert "logins have their rights" in made
    assert rights(shop) == before


def test_tables_of_an_earlier_run_are_taken_over(shop):
    before = rights(shop)
    with psycopg.connect(shop.stack.superuser_urls["envios"], autocommit=True) as link:
        link.execute("ALTER TABLE envios_courier OWNER TO CURRENT_USER")
        link.execute("ALTER DATABASE dueto_envios OWNER TO CURRENT_USER")
    assert rights(shop) != before
    shop.stack.run("python", "manage.py", "roles", **shop.stack._backends.superuser_environment())
    assert rights(shop) == before


def test_a_right_that_was_given_by_hand_is_taken_back(shop):
    with psycopg.connect(shop.stack.superuser_urls["pagos"], autocommit=True) as link:
        link.execute("GRANT UPDATE ON pagos_refund TO pagos")
    run(shop.stack.database_urls["pagos"], "UPDATE pagos_refund SET id = id WHERE false")
    shop.stack.run("python", "manage.py", "roles", **shop.stack._backends.superuser_environment())
    with pytest.raises(errors.InsufficientPrivilege):
        run(shop.stack.database_urls["pagos"], "UPDATE pagos_refund SET id = id WHERE false")


def test_an_operator_sees_what_would_be_done_without_a_password(shop):
    output = shop.stack.run(
        "python", "manage.py", "roles", "--sql", **shop.stack._backends.superuser_environment()
    )
    for url in shop.stack.database_urls.values():
        assert url.split(":", 2)[2].split("@")[0] not in output
    assert "GRANT" in output


def rights(shop):
    granted = {}
    for service in ALL:
        with psycopg.connect(shop.stack.superuser_urls[alias_of(service)]) as link:
            granted[service.name] = link.execute(
                "SELECT relname, relowner::regrole::text, relacl::text FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
            ).fetchall()
    return granted
