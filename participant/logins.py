"""Logging in to the databases as the superuser, who makes the roles, and as the owner, who
migrates; and the check that a login has no more rights than a service needs.
"""

from collections.abc import Iterable

import psycopg
from django.db import connections
from psycopg import sql

from participant.roles import Roles, Statement

_SUPERUSER = "is a superuser"
_DANGEROUS = {
    "rolsuper": _SUPERUSER,
    "rolcreaterole": "may create roles",
    "rolcreatedb": "may create databases",
    "rolreplication": "may replicate",
    "rolbypassrls": "bypasses row security",
}
_DANGEROUS_ROLES = {
    "pg_execute_server_program": "may run programs on the server",
    "pg_read_server_files": "may read the server's files",
    "pg_write_server_files": "may write the server's files",
}


def run(*, roles: Roles, statements: Iterable[Statement]) -> None:
    """Runs the statements as the superuser. Raises psycopg.Error."""
    links: dict[str, psycopg.Connection] = {}
    try:
        for statement in statements:
            database = statement.database or str(roles.superuser["NAME"])
            link = links.get(database) or links.setdefault(database, _connected(roles, database))
            _run(link, statement)
    finally:
        for link in links.values():
            link.close()


def become_owner(*, roles: Roles, alias: str) -> None:
    """Makes Django act as the owner in this database from now on, so that it owns new tables."""
    home = next((home for home in roles.homes if alias in home.logins), None)
    if home is None:
        return
    connection = connections[alias]
    connection.close()
    given = connection.settings_dict
    options = f"{given['OPTIONS'].get('options', '')} -c role={home.owner}".strip()
    connection.settings_dict = {
        **given,
        **{name: roles.superuser[name] for name in ("USER", "PASSWORD", "HOST", "PORT")},
        "OPTIONS": {**given["OPTIONS"], "options": options},
    }


def problems_of_login(*, aliases: Iterable[str]) -> list[str]:
    """The rights of these databases' logins that no service needs, in words; empty if there are
    none. Raises django.db.OperationalError if a database is down."""
    found = []
    for alias in aliases:
        with connections[alias].cursor() as cursor:
            cursor.execute(
                f"SELECT rolname, {', '.join(_DANGEROUS)}"
                " FROM pg_roles WHERE rolname = current_user"
            )
            name, *flags = cursor.fetchone() or ("nobody",)
            cursor.execute(
                "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
                " AND pg_has_role(current_user, oid, 'MEMBER')",
                [list(_DANGEROUS_ROLES)],
            )
            member = [row[0] for row in cursor.fetchall()]
        may = [what for what, flag in zip(_DANGEROUS.values(), flags, strict=False) if flag]
        may += [_DANGEROUS_ROLES[role] for role in member]
        if _SUPERUSER in may:  # which includes all others
            may = [_SUPERUSER]
        found += [f"the login {name} of the database of {alias} {what}" for what in may]
    return found


def _run(link: psycopg.Connection, statement: Statement) -> None:
    text = statement.text
    if login := statement.login:
        # Only the password's SCRAM secret is sent: a log may keep the statement.
        secret = link.pgconn.encrypt_password(
            login.password.encode(), login.name.encode(), b"scram-sha-256"
        )
        literal = sql.Literal(secret.decode()).as_string()
        text = text.replace(f":'{login.name}_password'", literal)
    found = link.execute(text.encode())
    for (generated,) in found.fetchall() if statement.generates else ():
        link.execute(generated.encode())


def _connected(roles: Roles, database: str) -> psycopg.Connection:
    given = roles.superuser
    return psycopg.connect(
        dbname=database,
        user=given["USER"],
        password=given["PASSWORD"],
        host=given["HOST"],
        port=given["PORT"],
        connect_timeout=given["OPTIONS"]["connect_timeout"],
        target_session_attrs=given["OPTIONS"].get("target_session_attrs"),
        autocommit=True,
    )
