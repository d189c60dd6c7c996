"""The container files are well-formed, start containers in order, keep secrets out, and have
working health checks. No container engine runs here, so its checks are made by hand.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from django.conf import settings

from tests.architecture import compose
from tests.architecture.tree import PACKAGES, ROOT, modules

DOCKERFILE = ROOT / "Dockerfile"
COMPOSE_FILES = sorted(path.name for path in ROOT.glob("docker-compose*.yml"))
ENDS_BY_ITSELF = "service_completed_successfully"
SET_ELSEWHERE = {
    "DJANGO_SETTINGS_MODULE": "Django's own, always config.settings",
    "DUETO_ARRIVALS_FD": "from the comparison to its load generator, never set by a person",
    "RIVAL_DATABASE_URL": "from `manage.py rivals` to what it starts, never set by a person",
    "CI": "set by the machine that runs CI",
}
"""Variables that the code reads and that .env.example need not explain."""


@pytest.mark.parametrize(
    "command",
    [
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE_FILES),
        ("hadolint", "Dockerfile"),
    ],
    ids=lambda command: command[0],
)
def test_file_passes_its_linter(command: tuple[str, ...]) -> None:
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_container_that_others_wait_for_ends_or_has_a_health_check() -> None:
    services = compose.services()
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            ends = services[other].get("restart") == "no"
            assert ends == (wanted["condition"] == ENDS_BY_ITSELF), (name, other)
            assert ends or "healthcheck" in services[other], (name, other)


def test_every_long_running_process_has_a_health_check() -> None:
    unwatched = {
        name
        for name, container in compose.services().items()
        if "healthcheck" not in container and container.get("restart") != "no"
    }
    assert not unwatched


def test_every_container_has_limits_and_writes_to_no_disk_but_a_volume() -> None:
    for name, service in compose.services().items():
        assert service["deploy"]["resources"]["limits"].keys() == {"memory", "pids"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if service["image"].endswith(":local"):
            assert service["read_only"], name
            assert all("size=" in mount for mount in service["tmpfs"]), name


def test_image_is_built_once_and_never_looked_for_elsewhere() -> None:
    ours = {
        name: container
        for name, container in compose.services().items()
        if container["image"].endswith(":local")
    }
    builders = {
        container["image"]: name for name, container in ours.items() if "build" in container
    }
    assert builders == {"dueto:local": "migrate", "dueto-load:local": "locust"}
    for name, container in ours.items():
        is_builder = builders[container["image"]] == name
        assert container["pull_policy"] == ("build" if is_builder else "never"), name
        assert is_builder or builders[container["image"]] in container["depends_on"], name


def test_image_of_others_is_pinned_by_digest() -> None:
    files = [*map(ROOT.joinpath, COMPOSE_FILES), DOCKERFILE, *(ROOT / "deploy").rglob("*.yaml")]
    named = {
        name
        for file in files
        for name in re.findall(r"^ *(?:image:|FROM) (\S+)", file.read_text(), re.MULTILINE)
    }
    others = {name for name in named if ":" in name and not name.endswith(":local")}
    assert len(others) >= 8
    assert not [name for name in others if not re.search("@sha256:[0-9a-f]{64}$", name)]


def test_every_build_is_a_stage_of_the_dockerfile() -> None:
    stages = re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    built = {
        service["build"]["target"] for service in compose.services().values() if "build" in service
    }
    assert built <= set(stages)
    assert stages[-1] == "app", "a plain `docker build .` makes the services"


def test_services_have_no_development_packages_and_do_not_run_as_root() -> None:
    pieces = re.split(r"^FROM \S+ AS ", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]
    stages = {piece.split()[0]: piece for piece in pieces}
    assert set(re.findall(r"\w+\.txt", stages["packages"] + stages["app"])) == {"base.txt"}
    assert all(re.findall(r"^USER (\d+)$", stages[name], re.MULTILINE) for name in ("app", "load"))


def test_image_has_our_packages_and_no_others() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines[: lines.index("!manage.py")], "first all is kept out"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert let_in == {*PACKAGES, "manage.py", "pyproject.toml", "requirements/*.txt"}


def test_example_file_has_every_variable_of_compose_and_its_default() -> None:
    placeholders, example = compose.placeholders(), compose.example()
    assert set(example) == set(placeholders), ".env.example documents what compose reads"
    for name, defaults in placeholders.items():
        assert defaults == {example[name]}, f"{name} is the same here and there"


def test_no_secret_is_a_variable() -> None:
    """Variables are visible to all who can inspect a container; .env may have no secrets."""
    words = re.compile(r"PASS|SECRET_KEY|TOKEN|://[^/]*@")
    for name in compose.services():
        for variable, value in compose.environment_of(name, given=compose.example()).items():
            is_file = value.startswith("/run/secrets/")
            assert is_file or not words.search(f"{variable}={value}"), (name, variable)


def test_every_variable_that_the_code_reads_is_explained() -> None:
    text = compose.EXAMPLE.read_text()
    reading = r"(?:environ(?:\.get\(|\[)\s*|given\.get\(|env_var=)\"([A-Z_]+)\""
    read = {name for path in modules() for name in re.findall(reading, path.read_text())}
    read |= {f"{alias.upper()}_DATABASE_URL" for alias in settings.DATABASES if alias != "default"}
    unexplained = {
        name for name in read - set(SET_ELSEWHERE) if not re.search(rf"\b{name}\b", text)
    }
    assert len(read) > 10, "the pattern finds them"
    assert not unexplained


@pytest.fixture
def page() -> Iterator[tuple[str, dict[str, int]]]:
    """An address, and the status that each of its paths answers with."""
    statuses = {"/health/ready": 200, "/health": 503}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses[self.path])
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Logs nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"127.0.0.1:{server.server_port}", statuses
        server.shutdown()
        thread.join()


def test_health_check_follows_the_status_of_the_page(page: tuple[str, dict[str, int]]) -> None:
    address, statuses = page
    for path, status in statuses.items():
        assert _checks("carrito", address, path) == (status == 200)


def test_health_check_fails_when_nothing_answers() -> None:
    assert not _checks("carrito", "127.0.0.1:1", "/health")


def _checks(name: str, address: str, path: str) -> bool:
    """Runs a container's health check, against another address."""
    kind, program, *options, _, _ = compose.services()[name]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    done = subprocess.run(
        [sys.executable, *options, address, path],
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    return done.returncode == 0
