"""Who may do what in the databases: of each an owner, who is nobody's login, and the service's own
login, which may read and write its rows and nothing else.

Made from the settings: the logins are those that the databases' URLs name, the tables those of the
apps. A model may say what is granted on its table, where that is less than reading and writing
(`granted`), what the admin's login is granted, where that is more than reading (`for_admin`), and
that no other login reads it (`is_private`). All of it may be done again, on new
databases and on those that exist.
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
"""Of the login that makes all others: for `migrate_all` and `roles`, and told to no other process.
Unset: no roles are made, and every database is used by whom its URL names."""
AUDIT = "DUETO_AUDIT_DATABASE_URL"
"""Of the login that reads all services, and the server's statistics."""
MONOLITH = "DUETO_MONOLITH_DATABASE_URL"
"""Of a login that may what all services may: for benchmarks, where it is set."""
BROKER = "DUETO_BROKER_DATABASE_URL"

ADMIN = "default"
"""Whose login is the admin's, which reads in each service, and writes what its actions change."""
_MIGRATIONS = "django_migrations"


class Login(NamedTuple):
    """One that a process logs in as."""

    name: str
    password: str


class Statement(NamedTuple):
    """What a superuser is to run, in this database (empty: any).

    `generates`: its rows are statements, to be run (psql's \\gexec). `login`: whose password stands
    in it as `:'NAME_password'`, psql's variable.
    """

    text: str
    database: str = ""
    generates: bool = False
    login: Login | None = None


@dataclass(frozen=True, kw_only=True)
class Home:
    """A database, and the login of each service whose tables are there, by alias."""

    database: str
    logins: Mapping[str, Login]

    @property
    def owner(self) -> str:
        """The service's, or the database's where several share it, or it is the admin's."""
        aliases = list(self.logins)
        name = self.database if len(aliases) > 1 or aliases == [ADMIN] else aliases[0]
        return f"{name}_owner"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What is to be on one server. `homes`: of the databases that are on it."""

    superuser: Mapping[str, Any] = field(repr=False)
    """As Django's settings have it."""
    homes: Sequence[Home]
    audit: Login | None = None
    monolith: Login | None = None
    broker: Home | None = None

    @cached_property
    def admin(self) -> Login | None:
        """The login of the admin, which is in every database."""
        return next((home.logins[ADMIN] for home in self.homes if ADMIN in home.logins), None)

    @cached_property
    def logins(self) -> list[Login]:
        """All that log in, once each."""
        found = [login for home in self.homes for login in home.logins.values()]
        others = [self.audit, self.monolith, *(self.broker.logins.values() if self.broker else ())]
        return list({login.name: login for login in (*found, *others) if login}.values())

    def before(self) -> Iterator[Statement]:
        """What comes before the migrations: roles, databases and who may enter them."""
        for home in self.homes:
            yield _made(home.owner)
            text = "ALTER ROLE {} WITH NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT"
            yield Statement(_sql(text, home.owner))
            # A migration that waits for a lock names who holds it.
            yield Statement(_sql("GRANT pg_read_all_stats TO {}", home.owner))
        for login in self.logins:
            yield from self._login(login)
        for home in [*self.homes, *([self.broker] if self.broker else [])]:
            yield from self._database(home)
        for home in self.homes:
            yield from self._schema(home)

    def after(self) -> Iterator[Statement]:
        """What comes after them: rights on the tables."""
        for home in self.homes:
            everybody = ", ".join(["PUBLIC", *(_sql("{}", login.name) for login in self.logins)])
            # At once: the shop may be running.
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

    def _login(self, login: Login) -> Iterator[Statement]:
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

    def _inside(self, home: Home) -> list[Login]:
        """Who may enter this database. The broker's functions tell its users apart themselves."""
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
        # Of an earlier run, whose tables were the superuser's.
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

    def _rights(self, alias: str, login: Login) -> Iterator[Statement]:
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
    """What the environment asks for in these databases (Django's settings, by alias); None where it
    names no superuser. A database on another server is left as it is. Raises
    ImproperlyConfigured."""
    if not (url := os.environ.get(SUPERUSER)):
        return None
    superuser = parse(url=url, variable=SUPERUSER)
    by_database: dict[str, dict[str, Login]] = {}
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
    """These rights on its table, and what adding a row needs beside."""
    table, key = model._meta.db_table, model._meta.pk
    yield Statement(_sql(f"GRANT {rights} ON {{}} TO {{}}", table, to))
    if isinstance(key, models.AutoField) and key.column and "INSERT" in rights:
        yield _sequence(table, key.column, to)


def of_admin(model: type[Any]) -> str:
    """What the admin's login may on the table of a service's model."""
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
    """Those with a table in the database of this alias."""
    return [
        model
        for config in apps.get_app_configs()
        if router.allow_migrate(alias, config.label)
        for model in config.get_models(include_auto_created=True)
        if model._meta.managed
    ]


def _sequence(table: str, column: str, login: str) -> Statement:
    """The next number of a table's may be asked for before its row is written."""
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


def _login_of(database: Mapping[str, Any]) -> Login:
    return Login(name=database["USER"], password=database["PASSWORD"])


def _sql(template: str, *names: str) -> str:
    """With these identifiers in it, quoted."""
    return sql.SQL(template).format(*map(sql.Identifier, names)).as_string()
