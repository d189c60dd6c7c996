"""The kit: its wheel, in an environment without this clone, runs another business's saga.

`trip/` is that business, complete: three services, one saga, and the settings.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
import urllib3

from contracts.patterns import PATTERNS
from stack.ports import free_ports
from tests.integration.httpapi.conftest import database_url
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
TRIP = Path(__file__).parent / "trip"
WORKERS = ("trips", "hotel", "flight", "saga_orchestrator", "saga_choreography")
SECONDS = 60
"""For processes to start, and for a trip to end, beside other tests."""


class Running(NamedTuple):
    """The business, running. `python`: of the environment that the kit is installed in."""

    python: Path
    url: str
    database: str

    def ask(self, city: str, pattern: str) -> dict[str, Any]:
        """How a trip to this city has ended."""
        answer = urllib3.request(
            "POST",
            f"{self.url}/trips",
            json={"traveller": "Ana", "city": city, "saga_pattern": pattern},
            headers={"Prefer": "wait=25"},
            timeout=SECONDS,
        )
        assert answer.status == 200, answer.data
        body: dict[str, Any] = answer.json()
        return body

    def booked(self, service: str, trip: dict[str, Any]) -> list[bool]:
        """For each booking of the trip there: whether it is still valid."""
        with psycopg.connect(self.database) as connection:
            statement = f"SELECT NOT is_cancelled FROM {service}_booking WHERE saga_id = %s"
            return [row[0] for row in connection.execute(statement, [trip["saga_id"]])]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with only the kit's wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("kit")
    uv = [sys.executable, "-m", "uv", "--offline", "--quiet"]
    run([*uv, "build", "--wheel", "--out-dir", folder, ROOT])
    run([*uv, "venv", "--python", sys.executable, folder / "venv"])
    executable = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    run([*uv, "pip", "install", "--no-deps", "--python", executable, wheel])
    (packages_of(executable) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return executable


@pytest.fixture(scope="module")
def running(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Its web process and its workers, on a database of its own."""
    folder = shutil.copytree(TRIP, tmp_path_factory.mktemp("trip") / "trip")
    (port,) = free_ports(1)
    with ExitStack() as stack:
        database = stack.enter_context(database_of_its_own())
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": database,
            "TRIP_URL": f"http://127.0.0.1:{port}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        manage = [python, "manage.py"]
        run([*manage, "makemigrations", "trips", "hotel", "flight"], folder, environment)
        run([*manage, "migrate_all"], folder, environment)
        run([*manage, "topology"], folder, environment)
        commands = {
            "web": ["runserver", "--noreload", str(port)],
            **{service: ["worker", "--service", service] for service in WORKERS},
        }
        processes: list[subprocess.Popen[bytes]] = []
        for name, command in commands.items():
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            started = subprocess.Popen(
                [*manage, *command], cwd=folder, env=environment, stdout=log, stderr=log
            )
            stack.callback(started.wait, SECONDS)
            processes.append(started)
        stack.callback(lambda: [process.terminate() for process in processes])
        ready = f"{environment['TRIP_URL']}/health/ready"
        eventually(lambda: is_ready(ready), seconds=SECONDS, what=f"{folder}/web.log")
        yield Running(python, environment["TRIP_URL"], database)


def test_kit_is_that_of_the_wheel_and_brings_no_shop(python: Path) -> None:
    code = (
        "import importlib.util as found, contracts.saga;"
        "print(contracts.saga.__file__, dict(contracts.saga.SAGAS));"
        "print([name for name in ('catalogue', 'config', 'carrito', 'stack', 'loadtests')"
        " if found.find_spec(name)])"
    )
    output = run([python, "-c", code], python.parent, {})
    assert output.splitlines() == [f"{packages_of(python)}/contracts/saga.py {{}}", "[]"]


def test_business_that_registers_no_saga_does_not_start(python: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(TRIP, tmp_path / "trip")
    (folder / "catalogue.py").write_text("")
    done = subprocess.run(
        [python, "manage.py", "check"],
        cwd=folder,
        env={"DATABASE_URL": "postgresql:///none"},
        capture_output=True,
        text=True,
    )
    assert done.returncode
    assert "no saga is registered" in done.stderr


def test_kit_needs_what_the_shop_runs_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["rabbitmq"]]
    of_the_shop = (ROOT / "requirements" / "base.in").read_text().replace("[binary]", "")
    missing = [name for name in needed if name not in of_the_shop]
    assert not missing


@pytest.mark.parametrize("pattern", PATTERNS)
def test_trip_is_booked_to_its_end(running: Running, pattern: str) -> None:
    trip = running.ask("Lisbon", pattern)
    assert (trip["status"], trip["saga_pattern"]) == ("completed", pattern)
    assert running.booked("hotel", trip) == running.booked("flight", trip) == [True]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_trip_that_is_refused_is_undone(running: Running, pattern: str) -> None:
    trip = running.ask("Atlantis", pattern)
    assert trip["status"] == "compensated"
    assert trip["failure"]["code"] == "not_flown_to"
    assert running.booked("hotel", trip) == [False]
    assert running.booked("flight", trip) == []


def run(command: list[Any], folder: Path = ROOT, environment: dict[str, str] | None = None) -> str:
    """The command's output. Fails with the output if the command fails."""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def database_of_its_own() -> Iterator[str]:
    """The URL of a new database, on the server of all tests."""
    server = database_url("default")
    name = f"dueto_kit_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield server.replace(f"/{connection.info.dbname}?", f"/{name}?")
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def is_ready(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def packages_of(python: Path) -> Path:
    (packages,) = (python.parent.parent / "lib").glob("*/site-packages")
    return packages
