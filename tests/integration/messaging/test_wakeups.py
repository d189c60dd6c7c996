"""A listener whose connection was cut listens again."""

import threading

import psycopg
import pytest

from messaging import wakeups
from messaging.wakeups import Listener
from tests.integration.httpapi.conftest import database_url
from tests.threads import InThread
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"


@pytest.fixture
def woken():
    """Is set by a wake-up of the channel, while a listener passes on those of other processes."""
    stop = threading.Event()
    with wakeups.listening(service=SERVICE, channel="test", flag=threading.Event()) as flag:
        thread = InThread(lambda: Listener(service=SERVICE).run(stop), service=SERVICE)
        yield flag
        stop.set()
        thread.result()


def notify(session):
    session.execute("SELECT pg_notify('dueto_inventario', 'test')")


def test_wakeup_is_received_again_after_the_listeners_connection_was_cut(woken):
    with psycopg.connect(database_url(SERVICE), autocommit=True) as session:
        eventually(lambda: notify(session) or woken.is_set(), what="it listens")
        session.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN %'"
        )
        woken.clear()
        eventually(lambda: notify(session) or woken.is_set(), what="it listens again")
