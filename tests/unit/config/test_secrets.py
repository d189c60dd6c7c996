"""A secret comes from a variable or a file, is read once, and does not stay in the environment."""

import os
import signal
import subprocess
import sys

import pytest
import urllib3
from django.core.exceptions import ImproperlyConfigured

from config.settings import BASE_DIR, SECRETS
from participant import secrets
from stack.ports import free_ports

NAME = "DUETO_SECRET_KEY"
KEY = "a-key-that-is-made-up-and-long-enough-for-it"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    return path


def test_file_gives_what_the_variable_would(file, monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setenv(f"{NAME}_FILE", str(file))
    secrets.read_files([NAME])
    assert os.environ[NAME] == KEY
    assert f"{NAME}_FILE" not in os.environ, "a child inherits only the secret"


def test_two_ways_at_once_are_refused_without_a_word_of_the_secret(file, monkeypatch):
    monkeypatch.setenv(NAME, "another-key")
    monkeypatch.setenv(f"{NAME}_FILE", str(file))
    with pytest.raises(ImproperlyConfigured, match=f"Both {NAME} and {NAME}_FILE") as refused:
        secrets.read_files([NAME])
    assert KEY not in str(refused.value)
    assert "another-key" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff\xfe", "not text")]
)
def test_file_that_gives_none_is_refused(content, why, tmp_path, monkeypatch):
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setenv(f"{NAME}_FILE", str(path))
    with pytest.raises(ImproperlyConfigured, match=why):
        secrets.read_files([NAME])


def environment(**variables: str) -> dict[str, str]:
    """The result of a process with only these variables."""
    secret = {*SECRETS, *(name + secrets.FILE for name in SECRETS), "DUETO_SERVICE"}
    usual = {name: value for name, value in os.environ.items() if name not in secret}
    return {**usual, **variables}


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(DJANGO_SETTINGS_MODULE="config.settings", **variables),
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


_SHOW = (
    "from django.conf import settings; import os;"
    " print(settings.SECRET_KEY, settings.BROKER_URL, settings.DATABASES['carrito']['PASSWORD'],"
    " sorted(name for name in os.environ if name.endswith('_URL') or 'SECRET' in name))"
)


def test_process_of_a_service_knows_its_secrets_and_its_environment_does_not(file, tmp_path):
    database = tmp_path / "database"
    database.write_text("postgresql://carrito:hidden@db/dueto_carrito")
    process = run(
        _SHOW,
        DUETO_SERVICE="dashboard",
        DUETO_SECRET_KEY_FILE=str(file),
        CARRITO_DATABASE_URL_FILE=str(database),
        RABBITMQ_URL="amqp://carrito:hidden@rabbitmq:5672/",
    )
    assert process.stdout.split() == [KEY, "amqp://carrito:hidden@rabbitmq:5672/", "hidden", "[]"]


def test_command_passes_its_secrets_to_the_processes_that_it_starts():
    """The control: what starts a stack needs them, and answers no request."""
    process = run(_SHOW, RABBITMQ_URL="amqp://carrito:hidden@rabbitmq:5672/")
    assert "['RABBITMQ_URL']" in process.stdout


def test_dashboard_does_not_start_without_a_key():
    assert "DUETO_SECRET_KEY is not set" in run("import config.wsgi", DUETO_SERVICE="").stderr


def test_service_starts_without_a_key():
    assert run("import config.wsgi", DUETO_SERVICE="carrito").returncode == 0


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("DUETO_SECRET_KEY", "short", "is shorter than 32 bytes"),
        ("DUETO_SECRET_KEY", "throwaway", "everybody knows"),
        ("RABBITMQ_URL", "amqp://guest:guest@rabbitmq:5672/", "everybody knows"),
        ("CARRITO_DATABASE_URL", "postgresql://carrito:Postgres@db/dueto", "everybody knows"),
    ],
)
def test_weak_secret_is_named_without_its_value(name, value, why, monkeypatch):
    monkeypatch.setenv(name, value)
    (problem,) = secrets.problems_of_values([name], keys=["DUETO_SECRET_KEY"])
    assert problem.startswith(f"{name} ")
    assert why in problem
    assert "Postgres" not in problem


@pytest.mark.parametrize("value", [KEY, "postgresql://carrito:hidden@db/dueto", "", "amqp://[::1"])
def test_good_secret_is_no_problem(value, monkeypatch):
    monkeypatch.setenv(NAME, value)
    assert secrets.problems_of_values([NAME]) == []


def test_service_that_asks_for_tokens_does_not_start_with_a_known_password():
    weak = {"DUETO_SERVICE": "carrito", "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:5672/"}
    refused = run("import config.wsgi", DUETO_AUTH="required", **weak)
    assert "RABBITMQ_URL has a password that everybody knows" in refused.stderr
    assert run("import config.wsgi", DUETO_AUTH="demo", **weak).returncode == 0


@pytest.mark.parametrize(
    ("mode", "folder_mode", "why"),
    [
        (0o600, 0o755, None),
        (0o444, 0o700, None),
        (0o644, 0o755, "everybody may read"),
        (0o660, 0o700, "others may write"),
    ],
)
def test_file_that_others_may_touch_is_named(mode, folder_mode, why, file):
    file.chmod(mode)
    file.parent.chmod(folder_mode)
    problems = secrets.problems_of_files({"DUETO_SIGNING_KEY": file})
    of_the_key = [problem for problem in problems if problem.startswith("DUETO_SIGNING_KEY ")]
    assert [why in problem for problem in of_the_key] == ([True] if why else [])


_PEEK = """
from config.wsgi import application as real
def application(environ, start_response):
    start_response("200 OK", [])
    return [" ".join(f"{name}={value}" for name, value in environ.items()).encode()]
"""


@pytest.fixture
def peeking(tmp_path):
    """The address of a web process that answers with Granian's variables of a request."""
    (tmp_path / "peek.py").write_text(_PEEK)
    (port,) = free_ports(1)
    web = ("granian", "--interface", "wsgi", "--port", str(port), "peek:application")
    with subprocess.Popen(
        (sys.executable, "-m", *web),
        env=environment(
            PYTHONPATH=f"{tmp_path}{os.pathsep}{BASE_DIR}",
            DUETO_SERVICE="dashboard",
            DUETO_SECRET_KEY=KEY,
            RABBITMQ_URL="amqp://dashboard:hidden@127.0.0.1:5672/",
        ),
        cwd=BASE_DIR,
        start_new_session=True,
    ) as process:
        yield f"http://127.0.0.1:{port}/"
        os.killpg(process.pid, signal.SIGKILL)


def test_request_carries_no_secret(peeking):
    retries = urllib3.Retry(total=200, backoff_factor=0.1, backoff_max=0.1)
    seen = urllib3.request("GET", peeking, retries=retries).data.decode()
    assert "DUETO_SERVICE=dashboard" in seen, "Granian shows the environment"
    assert KEY not in seen
    assert "hidden" not in seen
