"""Roles and rights in the databases: each database has an owner, a role that can't log in, and the
service's login, which may read and write its rows and nothing else.

The logins are those in the databases' URLs, the tables those of the apps. A model sets the rights
of the service's login if they are less than reading and writing (`granted`), those of the admin's
login if they are more than reading (`for_admin`), and whether other logins can't read its table
(`is_private`). All statements may be repeated, on new and on existing databases.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from django.apps import apps
from django.db import models, router
from psycopg import sql

from participant.databases import parse
from participant.models import READ_AND_WRITE, READ_ONLY

SUPERUSER = "DUETO_SUPERUSER_DATABASE_URL"
"""Of the login that makes all others: for `migrate_all` and `roles`; no other process gets it.
Unset: no roles are made, and every database is used by the login in its URL."""
AUDIT = "DUETO_AUDIT_DATABASE_URL"
"""Of the login that reads all services, and the server's statistics."""
MONOLITH = "DUETO_MONOLITH_DATABASE_URL"
"""Of a login with the rights of all services, for benchmarks; only if it is set."""
BROKER = "DUETO_BROKER_DATABASE_URL"

ADMIN = "default"
"""The alias of the admin's login, which reads in each service, and writes what its actions change.
"""
_MIGRATIONS = "django_migrations"


class DatabaseLogin(NamedTuple):
    """A role that a process logs in as."""

    name: str
    password: str


class Statement(NamedTuple):
    """A statement for the superuser, in this database (empty: any).

    `generates`: its rows are statements, to be run too (psql's \\gexec). `login`: its password is
    in the text as psql's variable `:'NAME_password'`.
    """

    text: str
    database: str = ""
    generates: bool = False
    login: DatabaseLogin | None = None


@dataclass(frozen=True, kw_only=True)
class Home:
    """A database, and by alias the logins of the services whose tables are there."""

    database: str
    logins: Mapping[str, DatabaseLogin]

    @property
    def owner(self) -> str:
        """Named for the service; for the database if several share it, or if it is the admin's."""
        aliases = list(self.logins)
        name = self.database if len(aliases) > 1 or aliases == [ADMIN] else aliases[0]
        return f"{name}_owner"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The roles of one server. `homes`: its databases."""

    superuser: Mapping[str, Any] = field(repr=False)
    """In the form of Django's settings."""
    homes: Sequence[Home]
    audit: DatabaseLogin | None = None
    monolith: DatabaseLogin | None = None
    broker: Home | None = None

    @cached_property
    def admin(self) -> DatabaseLogin | None:
        """The login of the admin, which may enter every database."""
        return next((home.logins[ADMIN] for home in self.homes if ADMIN in home.logins), None)

    @cached_property
    def logins(self) -> list[DatabaseLogin]:
        """All logins, once each."""
        found = [login for home in self.homes for login in home.logins.values()]
        others = [self.audit, self.monolith, *(self.broker.logins.values() if self.broker else ())]
        return list({login.name: login for login in (*found, *others) if login}.values())

    def before(self) -> Iterator[Statement]:
        """Statements before the migrations: roles, databases and the rights to connect."""
        for home in self.homes:
            yield _made(home.owner)
            text = "ALTER ROLE {} WITH NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT"
            yield Statement(_sql(text, home.owner))
            # So that a migration that waits for a lock can name the lock's holder.
            yield Statement(_sql("GRANT pg_read_all_stats TO {}", home.owner))
        for login in self.logins:
            yield from self._login(login)
        for home in [*self.homes, *([self.broker] if self.broker else [])]:
            yield from self._database(home)
        for home in self.homes:
            yield from self._schema(home)

    def after(self) -> Iterator[Statement]:
        """Statements after the migrations: rights on the tables."""
        for home in self.homes:
            everybody = ", ".join(["PUBLIC", *(_sql("{}", login.name) for login in self.logins)])
            # In one transaction: the shop may be running.
            yield Statement("BEGIN", home.database)
            yield Statement(
                f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {everybody}", home.database
            )
            yield Statement(
                f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {everybody}", home.database
            )
            for alias, login in home.logins.items():
                for statement in self._rights(alias, login):
                    yield statement._replace(database=home.database)
            for login in self._inside(home):
                yield Statement(
                    _sql("GRANT SELECT ON {} TO {}", _MIGRATIONS, login.name), home.database
                )
            yield Statement("COMMIT", home.database)

    def _login(self, login: DatabaseLogin) -> Iterator[Statement]:
        yield _made(login.name)
        inherits = "INHERIT" if login in (self.audit, self.monolith) else "NOINHERIT"
        text = "ALTER ROLE {} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
        password = f":'{login.name}_password'"
        yield Statement(
            f"{_sql(text, login.name)} NOBYPASSRLS {inherits} PASSWORD {password}", login=login
        )
        if login == self.audit:
            yield Statement(_sql("GRANT pg_monitor TO {}", login.name))
        if login == self.monolith:
            for name in self._services():
                yield Statement(_sql("GRANT {} TO {}", name, login.name))

    def _services(self) -> list[str]:
        found = (home.logins[alias].name for home in self.homes for alias in home.logins)
        admin = self.admin.name if self.admin else ""
        return [name for name in dict.fromkeys(found) if name != admin]

    def _inside(self, home: Home) -> list[DatabaseLogin]:
        """The logins that may connect to this database. In the broker's database its functions
        check their callers.
        """
        if home is self.broker:
            return self.logins
        found = [*home.logins.values(), self.admin, self.audit, self.monolith]
        return list({login.name: login for login in found if login}.values())

    def _database(self, home: Home) -> Iterator[Statement]:
        name = home.database
        owner = next(iter(home.logins.values())).name if home is self.broker else home.owner
        create = sql.Literal(_sql("CREATE DATABASE {}", name)).as_string()
        literal = sql.Literal(name).as_string()
        yield Statement(
            f"SELECT {create} WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = {literal})",
            generates=True,
        )
        yield Statement(_sql("ALTER DATABASE {} OWNER TO {}", name, owner))
        others = ", ".join(_sql("{}", login.name) for login in self.logins if login.name != owner)
        yield Statement("BEGIN")
        yield Statement(_sql("REVOKE ALL ON DATABASE {} FROM PUBLIC", name) + f", {others}")
        for login in self._inside(home):
            yield Statement(_sql("GRANT CONNECT ON DATABASE {} TO {}", name, login.name))
        yield Statement("COMMIT")

    def _schema(self, home: Home) -> Iterator[Statement]:
        owner = home.owner
        texts = [
            _sql("ALTER SCHEMA public OWNER TO {}", owner),
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
            *(
                _sql("GRANT USAGE ON SCHEMA public TO {}", login.name)
                for login in self._inside(home)
            ),
        ]
        yield from (Statement(text, home.database) for text in texts)
        # An earlier run may have made tables that the superuser owns.
        yield Statement(
            "SELECT format('ALTER TABLE %s OWNER TO %I', oid::regclass,"
            f" {sql.Literal(owner).as_string()}) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
            f" AND pg_get_userbyid(relowner) <> {sql.Literal(owner).as_string()}",
            home.database,
            generates=True,
        )
        if len(home.logins) == 1:
            for login in home.logins.values():
                text = "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA public"
                grant = f" GRANT {READ_AND_WRITE} ON TABLES TO "
                yield Statement(_sql(text, owner) + grant + _sql("{}", login.name), home.database)

    def _rights(self, alias: str, login: DatabaseLogin) -> Iterator[Statement]:
        for model in _models(alias):
            table = model._meta.db_table
            is_private = alias == ADMIN or getattr(model, "is_private", False)
            granted = {login.name: getattr(model, "granted", READ_AND_WRITE)}
            if self.admin and not is_private:
                granted.setdefault(self.admin.name, of_admin(model))
            for name, rights in granted.items():
                yield from granting(model, rights, to=name)
            if self.audit and not is_private:
                yield Statement(_sql("GRANT SELECT ON {} TO {}", table, self.audit.name))


def wanted(*, databases: Mapping[str, Mapping[str, Any]]) -> Roles | None:
    """The roles of these databases (Django's settings, by alias); None if the environment names no
    superuser. Databases on other servers are left out. Raises ImproperlyConfigured."""
    if not (url := os.environ.get(SUPERUSER)):
        return None
    superuser = parse(url=url, variable=SUPERUSER)
    by_database: dict[str, dict[str, DatabaseLogin]] = {}
    for alias, database in databases.items():
        if _is_there(database, superuser) and database["USER"] != superuser["USER"]:
            by_database.setdefault(database["NAME"], {})[alias] = _login_of(database)
    broker = _named(BROKER)
    homes = [Home(database=name, logins=found) for name, found in by_database.items()]
    return Roles(
        superuser=superuser,
        homes=homes,
        audit=_login_of(found) if (found := _named(AUDIT)) else None,
        monolith=_login_of(found) if (found := _named(MONOLITH)) else None,
        broker=Home(database=broker["NAME"], logins={"broker": _login_of(broker)})
        if broker and _is_there(broker, superuser) and broker["NAME"] not in by_database
        else None,
    )


def granting(model: type[Any], rights: str, *, to: str) -> Iterator[Statement]:
    """Grants these rights on the model's table, and the use of its sequence for new rows."""
    table, key = model._meta.db_table, model._meta.pk
    yield Statement(_sql(f"GRANT {rights} ON {{}} TO {{}}", table, to))
    if isinstance(key, models.AutoField) and key.column and "INSERT" in rights:
        yield _sequence(table, key.column, to)


def of_admin(model: type[Any]) -> str:
    """The rights of the admin's login on the table of a service's model."""
    found: str = getattr(model, "for_admin", READ_ONLY)
    return found


def written(statements: Iterable[Statement]) -> Iterator[str]:
    """The statements as a script for psql, line by line."""
    database = ""
    for statement in statements:
        if statement.database and statement.database != database:
            database = statement.database
            yield _sql("\\connect {}", database)
        yield f"{statement.text} \\gexec" if statement.generates else f"{statement.text};"


def _models(alias: str) -> list[type[Any]]:
    """The models with a table in the database of this alias."""
    return [
        model
        for config in apps.get_app_configs()
        if router.allow_migrate(alias, config.label)
        for model in config.get_models(include_auto_created=True)
        if model._meta.managed
    ]


def _sequence(table: str, column: str, login: str) -> Statement:
    """Grants the use of a table's sequence, for the next key."""
    literals = [sql.Literal(text).as_string() for text in (table, column, login)]
    return Statement(
        "SELECT format('GRANT USAGE ON SEQUENCE %s TO %I',"
        f" pg_get_serial_sequence({literals[0]}, {literals[1]}), {literals[2]})",
        generates=True,
    )


def _made(role: str) -> Statement:
    create = sql.Literal(_sql("CREATE ROLE {}", role)).as_string()
    literal = sql.Literal(role).as_string()
    return Statement(
        f"SELECT {create} WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {literal})",
        generates=True,
    )


def _named(variable: str) -> Mapping[str, Any] | None:
    url = os.environ.get(variable)
    return parse(url=url, variable=variable) if url else None


def _is_there(database: Mapping[str, Any], superuser: Mapping[str, Any]) -> bool:
    return all(database[name] == superuser[name] for name in ("HOST", "PORT"))


def _login_of(database: Mapping[str, Any]) -> DatabaseLogin:
    return DatabaseLogin(name=database["USER"], password=database["PASSWORD"])


def _sql(template: str, *names: str) -> str:
    """The template with these identifiers, quoted."""
    return sql.SQL(template).format(*map(sql.Identifier, names)).as_string()
