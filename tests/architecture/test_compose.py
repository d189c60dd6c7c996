"""The containers run what the local stack runs: same processes, commands, ports and variables."""

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from catalogue.services import ALL, Service
from participant import databases, metrics
from stack import postgres
from stack import services as stack
from stack.backing import alias_of, database_of
from tests.architecture import compose
from tests.architecture.tree import ROOT

ANYWHERE = "0.0.0.0"  # noqa: S104 -- inside a container, whose ports are published on loopback
SERVERS, TASKS = {"db", "rabbitmq"}, {"migrate", "locust"}
OBSERVERS = {"jaeger", "prometheus", "grafana"}
WITH_WORKER = [one for one in ALL if one.has_worker]
GIVEN = {name: f"made-up-{name.lower()}" for name, value in compose.example().items() if not value}
"""What a user sets: the variables that .env.example leaves empty."""

OF_THIS_MACHINE = {"listen_addresses", "unix_socket_permissions"}
"""Settings of the local PostgreSQL that have no meaning in a container of its own."""


def _web(service: Service) -> str:
    """The name of its container, by which others call it: a host name has no underscore."""
    return service.name.replace("_", "-")


def _worker(service: Service) -> str:
    return f"{_web(service)}-worker"


def _urls() -> dict[str, str]:
    return {one.name: f"http://{_web(one)}:{one.port}" for one in ALL}


PROCESSES = {_web(one): one for one in ALL} | {_worker(one): one for one in WITH_WORKER}
"""The service of each container that runs one."""


def test_every_process_has_its_container_and_no_other_is_there() -> None:
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
    service, found = PROCESSES[name], compose.environment_of(name, given=GIVEN)
    known = {one.database_variable for one in ALL}
    own = known if alias_of(service) == "default" else {service.database_variable}
    assert found["DUETO_SERVICE"] == service.name
    assert found["DUETO_SECRET_KEY"] == GIVEN["DUETO_SECRET_KEY"]
    assert stack.url_environment(urls=_urls()).items() <= found.items()
    assert known & set(found) == own, "a service is told of its own database alone"


def test_migrate_is_told_of_every_database() -> None:
    assert _databases("migrate").keys() == {one.database_variable for one in ALL}


@pytest.mark.parametrize(
    "name", ["migrate", "dashboard", *(_web(one) for one in ALL if one.has_tables)]
)
def test_databases_have_the_names_of_the_local_stack(name: str) -> None:
    names = {one.database_variable: database_of(one) for one in ALL}
    for variable, url in _databases(name).items():
        found = databases.parse(url=url)
        assert (found["NAME"], found["HOST"], found["PORT"]) == (
            names[variable],
            "db",
            "5432",
        )
        assert found["PASSWORD"] == GIVEN["DUETO_DATABASE_PASSWORD"]


def test_every_database_is_created() -> None:
    script = compose.read()["configs"]["databases"]["content"].splitlines()
    image = compose.environment_of("db", given=GIVEN)
    wanted = {database_of(one) for one in ALL} - {image["POSTGRES_DB"]}
    assert set(script) == {f"CREATE DATABASE {name};" for name in wanted}
    assert image["POSTGRES_USER"] == postgres.USER
    assert image["POSTGRES_PASSWORD"] == GIVEN["DUETO_DATABASE_PASSWORD"]


def test_postgresql_has_the_settings_of_the_local_one() -> None:
    program, *options = compose.command_of("db")
    wanted = {name: one for name, one in postgres.SETTINGS.items() if name not in OF_THIS_MACHINE}
    assert program == "postgres"
    assert set(options) == {f"--{name}={value}" for name, value in wanted.items()}


def test_broker_takes_the_login_that_the_services_use() -> None:
    broker = compose.environment_of("rabbitmq", given=GIVEN)
    url = urlsplit(compose.environment_of("carrito", given=GIVEN)["RABBITMQ_URL"])
    assert (url.username, url.password) == (
        broker["RABBITMQ_DEFAULT_USER"],
        broker["RABBITMQ_DEFAULT_PASS"],
    )
    assert (url.hostname, url.port, url.path) == ("rabbitmq", 5672, "/%2F")


def _published(*, given: Mapping[str, str]) -> dict[str, list[str]]:
    """By container, where it is reached on this machine, and where inside."""
    found = {name: one["ports"] for name, one in compose.services().items() if one.get("ports")}
    return {
        name: [compose.resolved(port, environment=given) for port in ports]
        for name, ports in found.items()
    }


@pytest.mark.parametrize("prefix", ["", "1"])
def test_ports_are_published_on_this_machine_alone(prefix: str) -> None:
    wanted = {_web(one): [(f"{prefix}{one.port}", one.port)] for one in ALL}
    for one in ALL:
        wanted[_web(one)] += [(f"{prefix}{one.also}", one.port)] if one.also else []
    wanted |= {"rabbitmq": [("15672", 15672)], "locust": [(f"{prefix}8089", 8089)]}
    wanted |= {"jaeger": [(f"{prefix}3010", 16686)], "grafana": [(f"{prefix}3011", 3000)]}
    wanted |= {"prometheus": [(f"{prefix}9090", 9090)]}
    assert _published(given={"DUETO_PORT_PREFIX": prefix}) == {
        name: [f"127.0.0.1:{here}:{there}" for here, there in ports]
        for name, ports in wanted.items()
    }


def test_file_to_try_it_with_gives_every_secret_and_says_that_they_are_none() -> None:
    (include,) = compose.read(compose.TO_TRY)["include"]
    secrets = compose.TO_TRY.with_name(include["env_file"])
    required = {name for name, defaults in compose.placeholders().items() if "?" in defaults}
    assert set(compose.example(secrets)) == {*required, "DUETO_RABBITMQ_USER"}
    assert "NO SECRETS" in secrets.read_text().splitlines()[0]
    broker = compose.environment_of("rabbitmq", given=compose.example(secrets))
    assert (broker["RABBITMQ_DEFAULT_USER"], broker["RABBITMQ_DEFAULT_PASS"]) == ("guest", "guest")
    assert compose.read(compose.TO_TRY)["name"] != compose.read()["name"], "data of its own"


def test_file_to_try_it_with_opens_the_servers_to_this_machine_alone() -> None:
    (include,) = compose.read(compose.TO_TRY)["include"]
    base, over = (compose.TO_TRY.with_name(one) for one in include["path"])
    assert base == compose.FILE
    opened = {
        name: [compose.resolved(port, environment={}) for port in one["ports"]]
        for name, one in compose.read(over)["services"].items()
    }
    assert opened == {"db": ["127.0.0.1:5432:5432"], "rabbitmq": ["127.0.0.1:5672:5672"]}


def test_web_processes_answer_to_the_names_they_are_called_by() -> None:
    hosts = compose.environment_of("carrito", given=GIVEN)["DUETO_ALLOWED_HOSTS"].split(",")
    called = [urlsplit(url).netloc for url in _urls().values()] + ["localhost:3000", "127.0.0.1:1"]
    for one in called:
        domain, _ = split_domain_port(one)
        assert domain, f"Django takes {one} for no host name at all"
        assert validate_host(domain, hosts), one


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
    found = compose.environment_of("carrito", given=GIVEN)
    assert {name: float(found[name]) for name in stated} == stated


def _databases(name: str) -> dict[str, str]:
    variables = {one.database_variable for one in ALL}
    found = compose.environment_of(name, given=GIVEN)
    return {key: value for key, value in found.items() if key in variables}


def test_prometheus_scrapes_every_service() -> None:
    (job,) = compose.read(ROOT / "observe" / "prometheus.yml")["scrape_configs"]
    found = {tuple(it["targets"]): it["labels"]["service"] for it in job["static_configs"]}
    assert job["job_name"] == "dueto", "as the alerts call it"
    assert found == {(f"{_web(one)}:{one.port}",): one.name for one in ALL}


@pytest.mark.parametrize("name", sorted(OBSERVERS))
def test_observer_is_there_only_if_it_is_asked_for_and_finds_what_it_is_given(name: str) -> None:
    service = compose.services()[name]
    assert service["profiles"] == ["observe"]
    given = [volume.split(":")[0] for volume in service.get("volumes", [])]
    assert not [path for path in given if path.startswith(".") and not (ROOT / path).exists()]


def test_dashboard_asks_for_metrics_that_there_are() -> None:
    folder = ROOT / "observe" / "grafana"
    panels = json.loads((folder / "dashboards" / "dueto.json").read_text())["panels"]
    sources = compose.read(folder / "datasources" / "dueto.yml")["datasources"]
    told = {f"{it.name}{end}" for it in metrics.ALL for end in ("", "_bucket", "_sum", "_count")}
    for panel in panels:
        assert panel["datasource"]["uid"] in {source["uid"] for source in sources}
        for target in panel["targets"]:
            asked = set(re.findall(r"dueto_\w+", target["expr"]))
            assert asked <= told, panel["title"]
            assert asked or "ALERTS" in target["expr"], panel["title"]
