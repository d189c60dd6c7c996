"""`manage.py check_security` finds excessive rights, and nothing if there are none."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from messaging.brokers import Rejected
from messaging.management.commands import check_security

MODEST = "dueto_test_modest"


@pytest.fixture
def broker(monkeypatch):
    """A broker whose login may make queues, by default."""

    class Broker:
        is_modest = False

        def declare(self, **_):
            if self.is_modest:
                raise Rejected("403 ACCESS_REFUSED")

        def grant(self, *_):
            """Is allowed."""

        def close(self):
            """Nothing is open."""

    made = Broker()
    monkeypatch.setattr(check_security, "configured_broker", lambda: made)
    return made


@pytest.fixture
def modest(db, settings):
    """The database's login has no special rights."""
    settings.SERVICE = "default"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {MODEST}")
        cursor.execute(f"SET ROLE {MODEST}")
        yield
        cursor.execute("RESET ROLE")
        cursor.execute(f"DROP ROLE {MODEST}")


def check(settings) -> str:
    settings.AUTH, settings.WEAK_SECRETS = "required", []
    output = StringIO()
    call_command("check_security", stdout=output)
    return output.getvalue()


@pytest.mark.django_db
def test_superuser_is_found(broker, settings):
    settings.SERVICE = "default"
    broker.is_modest = True
    with pytest.raises(CommandError, match="of the database of default is a superuser"):
        check(settings)


def test_login_that_may_change_the_broker_is_found(broker, modest, settings):
    with pytest.raises(CommandError, match="Found:\nthe login at the broker may make"):
        check(settings)


def test_nothing_is_found_where_nothing_is(broker, modest, settings):
    broker.is_modest = True
    assert check(settings) == "Nothing was found.\n"
