"""The containers run the processes, commands, ports and variables of the local stack."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.management import call_command
from django.http.request import split_domain_port, validate_host
from django.test import RequestFactory

from accounts import passes
from catalogue.services import ALL, Service
from contracts import bounds, doors, rights
from httpapi import authentication, identity
from participant import databases, metrics
from participant.secrets import FILE
from stack import postgres, secret_files
from stack import services as stack
from stack.backing import alias_of
from tests.architecture import compose
from tests.architecture.tree import ROOT

ANYWHERE = "0.0.0.0"  # noqa: S104 -- inside a container, whose ports are published on loopback
SERVERS, TASKS = {"edge", "db", "rabbitmq"}, {"migrate", "topology", "locust"}
OBSERVERS = {"jaeger", "prometheus", "grafana"}
WITH_WORKER = [service for service in ALL if service.has_worker]
GIVEN = {name: f"made-up-{name.lower()}" for name, value in compose.example().items() if not value}
"""The variables that .env.example leaves empty, for the user to set."""

PUBLIC = {"DUETO_JWKS": "public/people.json", "DUETO_SERVICE_KEYS": "public/services.json"}
"""By variable, the files in the folder of keys that every process reads."""

OF_THIS_MACHINE = {"listen_addresses", "unix_socket_permissions"}
"""Settings of the local PostgreSQL that have no meaning in a container of its own."""


def _web(service: Service) -> str:
    """The name of its container, by which others call it: a host name has no underscore."""
    return service.name.replace("_", "-")


def _worker(service: Service) -> str:
    return f"{_web(service)}-worker"


def _urls() -> dict[str, str]:
    return {service.name: f"http://{_web(service)}:{service.port}" for service in ALL}


PROCESSES = {_web(service): service for service in ALL} | {
    _worker(service): service for service in WITH_WORKER
}
"""The service of each container that runs a service."""


def test_every_process_has_its_container_and_there_is_no_other() -> None:
    assert set(compose.services()) == {*PROCESSES, *SERVERS, *TASKS, *OBSERVERS}


@pytest.mark.parametrize("service", ALL, ids=_web)
def test_web_process_is_started_as_in_the_local_stack(service: Service) -> None:
    assert compose.command_of(_web(service)) == stack.web_command(host=ANYWHERE, port=service.port)


@pytest.mark.parametrize("service", WITH_WORKER, ids=_web)
def test_worker_is_started_as_in_the_local_stack(service: Service) -> None:
    assert compose.command_of(_worker(service)) == stack.WORKER_COMMAND


def test_migrate_runs_what_the_local_stack_runs_first() -> None:
    shell, option, script = compose.command_of("migrate")
    commands = ((*stack.MIGRATE_COMMAND, "--seed"), stack.ADMIN_COMMAND)
    assert (shell, option) == ("sh", "-euc"), "a step that fails must end it"
    assert script.splitlines() == [" ".join(command) for command in commands]


@pytest.mark.parametrize("name", PROCESSES)
def test_process_has_the_variables_of_the_local_stack(name: str) -> None:
    service, variables = PROCESSES[name], compose.environment_of(name, given=GIVEN)
    known = {service.database_variable + FILE for service in ALL}
    own = known if alias_of(service) == "default" else {service.database_variable + FILE}
    assert variables["DUETO_SERVICE"] == service.name
    assert variables["DUETO_AUTH"] == "required"
    assert stack.url_environment(urls=_urls()).items() <= variables.items()
    assert known & set(variables) == own, "a service has the URL of its own database only"
    assert ("DUETO_SECRET_KEY_FILE" in variables) == (not service.has_tables), "it signs sessions"


@pytest.mark.parametrize("name", compose.services())
def test_container_gets_only_the_secrets_that_its_variables_name(name: str) -> None:
    mounted = set(_targets(name))
    named = {
        value
        for value in compose.environment_of(name, given=GIVEN).values()
        if value.startswith("/run/secrets/")
    }
    beside = {"/run/secrets/rabbitmq_definitions"} if name == "rabbitmq" else set()
    assert mounted == named | beside


@pytest.mark.parametrize("service", ALL, ids=_web)
def test_only_a_service_has_its_secrets(service: Service) -> None:
    own = {f"{service.name}_key"}
    if service.has_worker:
        own |= {f"{service.name}_rabbitmq_url"}
    holders = {name for name in compose.services() if own & set(_targets(name).values())}
    assert holders == {name for name, of in PROCESSES.items() if of == service}


def _targets(name: str) -> dict[str, str]:
    """Where each secret of a container is in it, and which it is."""
    stated = compose.services()[name].get("secrets", [])
    mounts = [secret if isinstance(secret, dict) else {"source": secret} for secret in stated]
    return {
        secret.get("target", f"/run/secrets/{secret['source']}"): secret["source"]
        for secret in mounts
    }


@pytest.mark.parametrize("name", ["carrito", "saga-orchestrator-worker", "dashboard", "tarjetas"])
@pytest.mark.parametrize("without", ["", "DUETO_SERVICE_KEYS", "DUETO_PLAINTEXT_INSIDE"])
def test_process_starts_with_the_variables_of_its_container(
    name: str, without: str, made: Path
) -> None:
    """It would not start with less."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if "DUETO" not in name and not name.endswith("_URL")
    }
    variables |= compose.environment_of(name, given={})
    folder = {key: _file_of(secret, made) for key, secret in _targets(name).items()}
    folder |= {variables[key]: str(made / "keys" / where) for key, where in PUBLIC.items()}
    environment = {
        key: folder.get(value, value) for key, value in variables.items() if key != without
    }
    code = (
        "import django; django.setup(); from participant.starting import require_safe as it; it()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "DJANGO_SETTINGS_MODULE": "config.settings"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode == 0) == (not without), ended.stderr
    assert without in ended.stderr


def _file_of(secret: str, made: Path) -> str:
    stated: str = compose.read()["secrets"][secret]["file"]
    return str(made / stated.partition("/secrets}/")[2])


def test_every_secret_is_made_and_no_other(made: Path) -> None:
    wanted = {
        secret["file"].partition("/secrets}/")[2] for secret in compose.read()["secrets"].values()
    }
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    of_the_volume = {f"keys/{where}" for where in PUBLIC.values()}
    assert files == wanted | of_the_volume | {"keys/lock"}


@pytest.mark.parametrize("name", PROCESSES)
def test_revocations_are_read_in_every_container(name: str, made: Path) -> None:
    """The folder is mounted: of a single file a container would keep the old one."""
    (volume,) = compose.services()[name]["volumes"]
    source, target, mode = compose.resolved(volume, environment={}).split(":")
    variables = compose.environment_of(name, given=GIVEN)
    paths = {variable: Path(variables[variable]) for variable in PUBLIC}
    assert {path.parent for path in paths.values()} == {Path(target)}
    assert {f"public/{path.name}" for path in paths.values()} == set(PUBLIC.values())
    assert (source, mode) == ("./secrets/keys/public", "ro")
    folder = made / "keys" / "public"
    (folder / authentication.REVOKED).write_text('{"sub": ["ana"]}')
    seen = authentication.Revocations((folder / "people.json").with_name(authentication.REVOKED))
    assert seen.have_changed()
    assert seen.name(identity.Principal(sub="ana"))
    (folder / authentication.REVOKED).unlink()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755, "readable for every user"
    assert not [path.name for path in folder.iterdir() if '"d":' in path.read_text()]


def test_locust_sends_tokens_that_the_services_accept(
    made: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    path = compose.environment_of("locust", given={})[passes.OF_PEOPLE]
    monkeypatch.setenv(passes.OF_PEOPLE, _file_of(_targets("locust")[path], made))
    shown = passes.found_in(made / "nowhere").person("shopper-1")
    settings.AUTH, settings.JWKS = "required", str(made / "keys" / PUBLIC["DUETO_JWKS"])
    authentication.forget()
    try:
        request = RequestFactory().post("/carts", headers=shown)
        presented = authentication.presented(request, doors.declared(doors.SHOP))
        authentication.admit(request, doors.declared(doors.SHOP), presented)
        assert identity.of(request).sub == "shopper-1"
    finally:
        authentication.forget()


def test_published_ports_are_those_that_answers_may_name() -> None:
    for prefix in ("", "1"):
        given = {"DUETO_PORT_PREFIX": prefix}
        stated = compose.environment_of("carrito", given=given)["DUETO_PUBLISHED_PORTS"].split(",")
        ports = [port.split(":") for port in _published(given=given)["edge"]]
        assert set(stated) == {out for _, out, inside in ports if int(inside) not in BEHIND}


def test_folder_of_secrets_is_closed_and_each_is_different(made: Path) -> None:
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made, made / "keys")} == {0o700}
    passwords = [
        urlsplit((made / f"{name}_database_url").read_text()).password
        for name in ("superuser", *(service.name for service in ALL if service.has_tables))
    ]
    assert len(set(passwords)) == len(passwords)
    assert all(len(password or "") >= 32 for password in passwords)


def test_existing_secrets_are_kept(made: Path) -> None:
    before = (made / "carrito_database_url").read_text()
    assert secret_files.make_missing(made, servers=secret_files.Servers()) == []
    assert (made / "carrito_database_url").read_text() == before


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of secrets."""
    folder: Path = tmp_path_factory.mktemp("secrets")
    call_command("secrets", folder=folder, stdout=StringIO())
    return folder


def test_migrate_gets_every_database_url_and_the_superusers() -> None:
    variables = compose.environment_of("migrate", given=GIVEN)
    assert {service.database_variable + FILE for service in ALL} < set(variables)
    superuser = {name for name in PROCESSES if "superuser_database_url" in _targets(name).values()}
    assert not superuser, "given to no long-running process"


def test_databases_have_the_names_of_the_local_stack(made: Path) -> None:
    for service in ALL:
        name = f"{service.name}_database_url" if service.has_tables else "database_url"
        for file in [name, f"admin_{name}"] if service.has_tables else [name]:
            parsed = databases.parse(url=(made / file).read_text())
            wanted = (service.database, "db", "5432")
            assert (parsed["NAME"], parsed["HOST"], parsed["PORT"]) == wanted


def test_every_database_is_created() -> None:
    script = compose.read()["configs"]["databases"]["content"].splitlines()
    image = compose.environment_of("db", given=GIVEN)
    wanted = {service.database for service in ALL} - {image["POSTGRES_DB"]}
    assert set(script) == {f"CREATE DATABASE {name};" for name in wanted}
    assert image["POSTGRES_USER"] == postgres.USER
    assert image["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_password"


def test_superuser_logs_in_with_the_password_of_the_server(made: Path) -> None:
    url = urlsplit((made / "superuser_database_url").read_text())
    assert url.username == postgres.USER
    assert url.password == (made / "postgres_password").read_text()


def test_postgresql_has_the_settings_of_the_local_one() -> None:
    program, *options = compose.command_of("db")
    wanted = {
        name: setting for name, setting in postgres.SETTINGS.items() if name not in OF_THIS_MACHINE
    }
    assert program == "postgres"
    assert set(options) == {f"--{name}={value}" for name, value in wanted.items()}


@pytest.mark.parametrize("name", PROCESSES)
def test_process_logs_in_at_the_broker_as_in_the_local_stack(name: str, made: Path) -> None:
    (file,) = [secret for secret in _targets(name).values() if secret.endswith("_rabbitmq_url")]
    url = urlsplit((made / file).read_text())
    assert url.username == PROCESSES[name].broker_login
    assert (url.hostname, url.port, url.path) == ("rabbitmq", 5672, "/%2F")


def test_broker_knows_the_passwords_and_no_administrator(made: Path) -> None:
    definitions = json.loads((made / "rabbitmq_definitions.json").read_text())
    passwords = {
        login.name: urlsplit((made / f"{login.name}_rabbitmq_url").read_text()).password or ""
        for login in rights.logins()
    }
    assert definitions == rights.definitions(passwords=passwords)
    assert not [user["name"] for user in definitions["users"] if user["tags"]]
    lines = compose.read()["configs"]["rabbitmq"]["content"].split()
    assert lines == ["load_definitions", "=", "/run/secrets/rabbitmq_definitions"]


def test_topology_is_made_as_in_the_local_stack() -> None:
    assert compose.command_of("topology") == stack.TOPOLOGY_COMMAND
    assert f"{rights.TOPOLOGY}_rabbitmq_url" in _targets("topology").values()


def _published(*, given: Mapping[str, str]) -> dict[str, list[str]]:
    """By container, where it is reached on this machine, and where inside."""
    stated = {
        name: service["ports"]
        for name, service in compose.services().items()
        if service.get("ports")
    }
    return {
        name: [compose.resolved(port, environment=given) for port in ports]
        for name, ports in stated.items()
    }


BEHIND = {8089: "locust:8089", 3010: "jaeger:16686", 3011: "grafana:3000", 9090: "prometheus:9090"}
"""The ports that are published beside the shop's."""


def _doors() -> dict[int, str]:
    """By port, the service that the edge passes requests to."""
    targets = {service.port: f"{_web(service)}:{service.port}" for service in ALL}
    return (
        targets
        | {service.also: f"{_web(service)}:{service.port}" for service in ALL if service.also}
        | BEHIND
    )


@pytest.mark.parametrize("prefix", ["", "1"])
def test_edge_alone_is_published_and_on_this_machine(prefix: str) -> None:
    published = _published(given={"DUETO_PORT_PREFIX": prefix})
    assert published.keys() == {"edge"}
    assert set(published["edge"]) == {f"127.0.0.1:{prefix}{port}:{port}" for port in _doors()}


def test_ports_without_a_login_are_published_only_on_this_machine() -> None:
    published = _published(given={"DUETO_PUBLISHED_ON": "0.0.0.0"})  # noqa: S104 -- that is asked for
    local = {
        int(port.rpartition(":")[2]) for port in published["edge"] if port.startswith("127.0.0.1:")
    }
    assert local == set(BEHIND)


def test_edge_leads_from_each_port_to_its_service() -> None:
    text = (ROOT / "edge" / "containers.conf").read_text()
    (table,) = re.findall(r"map \$server_port \$service \{(.*?)\}", text, re.DOTALL)
    assert {int(port): to for port, to in re.findall(r"(\d+) (\S+);", table)} == _doors()
    for name in ("plain", "tls"):
        listened = re.findall(r"^listen (\d+)", (ROOT / "edge" / f"{name}.conf").read_text(), re.M)
        assert set(map(int, listened)) == set(_doors()), name


def test_edge_takes_bodies_as_long_as_a_person_may_send() -> None:
    text = (ROOT / "edge" / "nginx.conf").read_text()
    assert f"client_max_body_size {bounds.MOST_BYTES_OF_MANY // 2**20}m;" in text


def test_data_are_reached_by_the_services_alone() -> None:
    members: dict[str, set[str]] = {}
    for name, container in compose.services().items():
        for network in container["networks"]:
            members.setdefault(network, set()).add(name)
    assert members.keys() == {"edge", "shop", "data"} == compose.read()["networks"].keys()
    assert members["data"] == {*PROCESSES, "db", "rabbitmq", "migrate", "topology"}
    assert not {"db", "rabbitmq"} & (members["edge"] | members["shop"])
    assert not {_worker(service) for service in WITH_WORKER} & members["edge"]


def test_loopback_file_publishes_the_servers_only_on_this_machine() -> None:
    (include,) = compose.read(compose.TO_TRY)["include"]
    base, over = (compose.TO_TRY.with_name(name) for name in include["path"])
    assert base == compose.FILE
    opened = {
        name: [compose.resolved(port, environment={}) for port in container["ports"]]
        for name, container in compose.read(over)["services"].items()
    }
    assert opened == {"db": ["127.0.0.1:5432:5432"], "rabbitmq": ["127.0.0.1:5672:5672"]}


def test_web_processes_answer_to_the_names_they_are_called_by() -> None:
    hosts = compose.environment_of("carrito", given=GIVEN)["DUETO_ALLOWED_HOSTS"].split(",")
    called = [urlsplit(url).netloc for url in _urls().values()] + ["localhost:3000", "127.0.0.1:1"]
    for host in called:
        domain, _ = split_domain_port(host)
        assert domain, f"Django takes {host} for no host name at all"
        assert validate_host(domain, hosts), host


def test_business_rules_have_the_same_defaults_everywhere() -> None:
    stated = {
        "INVENTARIO_RESERVATION_SECONDS": settings.RESERVATION_SECONDS,
        "PAGOS_DECLINE_SHARE": settings.DECLINE_SHARES[""],
        "ENVIOS_FAIL_SHARE": settings.DELIVERY_FAIL_SHARE,
        "RESERVAS_AUTO_APPROVE_BELOW": settings.AUTO_APPROVE_BELOW,
        "PAGOS_SLOW_CARD_SECONDS": settings.SLOW_CARD_SECONDS,
        "PAGOS_NETWORK_SECONDS": settings.NETWORK_SECONDS,
        "TARJETAS_KEY_SECONDS": settings.KEY_SECONDS,
        "DUETO_HOP_SECONDS": settings.HOP_SECONDS,
        "DUETO_SAGA_SECONDS": settings.SAGA_SECONDS,
        "DUETO_REDRIVE_SECONDS": settings.REDRIVE_SECONDS,
        "DUETO_KEEP_SECONDS": settings.KEEP_SECONDS,
    }
    variables = compose.environment_of("carrito", given=GIVEN)
    assert {name: float(variables[name]) for name in stated} == stated


def test_prometheus_scrapes_every_service() -> None:
    (job,) = compose.read(ROOT / "observe" / "prometheus.yml")["scrape_configs"]
    scraped = {
        tuple(target["targets"]): target["labels"]["service"] for target in job["static_configs"]
    }
    assert job["job_name"] == "dueto", "as the alerts call it"
    assert scraped == {(f"{_web(service)}:{service.port}",): service.name for service in ALL}


@pytest.mark.parametrize("name", sorted(OBSERVERS))
def test_observer_runs_only_on_request_and_finds_its_files(name: str) -> None:
    service = compose.services()[name]
    assert service["profiles"] == ["observe"]
    given = [volume.split(":")[0] for volume in service.get("volumes", [])]
    assert not [path for path in given if path.startswith(".") and not (ROOT / path).exists()]


def test_dashboard_queries_only_existing_metrics() -> None:
    folder = ROOT / "observe" / "grafana"
    panels = json.loads((folder / "dashboards" / "dueto.json").read_text())["panels"]
    sources = compose.read(folder / "datasources" / "dueto.yml")["datasources"]
    names = {
        f"{metric.name}{end}" for metric in metrics.ALL for end in ("", "_bucket", "_sum", "_count")
    }
    for panel in panels:
        assert panel["datasource"]["uid"] in {source["uid"] for source in sources}
        for target in panel["targets"]:
            asked = set(re.findall(r"dueto_\w+", target["expr"]))
            assert asked <= names, panel["title"]
            assert asked or "ALERTS" in target["expr"], panel["title"]
