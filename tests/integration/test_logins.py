"""The database roles that a process accepts."""

import pytest
from django.conf import settings
from django.db import connections

from participant import logins, roles

pytestmark = pytest.mark.django_db(databases=["default", "pagos"])


@pytest.fixture
def as_role():
    """Gives the session of pagos' database a role with these rights."""

    def become(may: str) -> None:
        with connections["pagos"].cursor() as cursor:
            cursor.execute(f"CREATE ROLE careful {may}")
            cursor.execute("SET LOCAL ROLE careful")

    return become


def test_a_superuser_is_a_problem():
    (problem,) = logins.problems_of_login(aliases=["pagos"])
    assert problem.startswith("the login ")
    assert problem.endswith("of the database of pagos is a superuser")


def test_a_login_that_may_only_work_is_none(as_role):
    as_role("LOGIN")
    assert logins.problems_of_login(aliases=["pagos"]) == []


@pytest.mark.parametrize(
    ("may", "words"),
    [
        ("CREATEROLE", "may create roles"),
        ("CREATEDB", "may create databases"),
        ("IN ROLE pg_execute_server_program", "may run programs on the server"),
        ("IN ROLE pg_read_server_files", "may read the server's files"),
    ],
)
def test_each_right_that_no_process_needs_is_named(as_role, may, words):
    as_role(may)
    (problem,) = logins.problems_of_login(aliases=["pagos"])
    assert words in problem


def test_without_a_superuser_no_roles_are_made(monkeypatch):
    monkeypatch.delenv(roles.SUPERUSER, raising=False)
    assert roles.wanted(databases=settings.DATABASES) is None


def test_a_database_of_another_server_is_left_alone(monkeypatch):
    databases = {alias: dict(entry) for alias, entry in settings.DATABASES.items()}
    for entry in databases.values():
        entry |= {"HOST": "here", "PORT": "5432", "USER": "app", "PASSWORD": "x"}
    databases["pagos"] |= {"HOST": "elsewhere", "NAME": "their_pagos"}
    monkeypatch.setenv(roles.SUPERUSER, "postgresql://root:x@here:5432/postgres")
    changes = roles.wanted(databases=databases)
    assert changes is not None
    assert "their_pagos" not in [home.database for home in changes.homes]


def test_the_script_has_no_password_in_it(monkeypatch):
    databases = {alias: dict(entry) for alias, entry in settings.DATABASES.items()}
    for alias, entry in databases.items():
        login = {"USER": alias, "PASSWORD": f"secret-{alias}", "NAME": f"shop_{alias}"}
        entry |= {"HOST": "here", "PORT": "5432", **login}
    monkeypatch.setenv(roles.SUPERUSER, "postgresql://root:x@here:5432/postgres")
    changes = roles.wanted(databases=databases)
    assert changes is not None
    script = "\n".join([*roles.written(changes.before()), *roles.written(changes.after())])
    assert "secret-" not in script
    assert ":'pagos_password'" in script
    assert 'GRANT SELECT, INSERT ON "pagos_refund" TO "pagos"' in script
    assert '\\connect "shop_pagos"' in script
