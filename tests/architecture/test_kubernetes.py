"""The manifests of deploy/kubernetes agree with the register, fit the schemas of Kubernetes, and
run what docker-compose.yml runs. Built by kubectl; no cluster runs here.
"""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from catalogue import SAGAS
from catalogue.services import ALL, BY_NAME
from contracts.projection import services_of
from participant import metrics
from stack import kubernetes, replicas
from tests.architecture import compose
from tests.architecture.tree import ROOT, name_of
from tests.installed import need

FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMA = Path(__file__).with_name("kubernetes-1.37.json.gz")
KUBECTL = Path(sys.executable).with_name("kubectl")
NGINX = str(replicas.PROGRAM)

OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
STEPS = [(overlay, step) for overlay in OVERLAYS for step in ("before", "")]
OF_OPERATORS = {"Cluster", "RabbitmqCluster"}
"""Their schemas are in no package: only the operators in a cluster check them."""
MADE_ELSEWHERE = {"edge-tls", "postgres-ca"}
"""Secrets that a certificate's issuer and CloudNativePG create."""
MOUNTS = {"/run/keys/people.json": "people", "/run/keys/services.json": "services"}
"""Public keys are no secret in Kubernetes: where they are, and their name in compose."""
PART, NAME = "app.kubernetes.io/part-of", "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"

Manifest = dict[str, Any]


@cache
def built(folder: Path) -> tuple[Manifest, ...]:
    """The output of `kubectl apply -k`, which would be sent."""
    done = subprocess.run(
        [KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def overlay(name: str, step: str = "") -> tuple[Manifest, ...]:
    return built(FOLDER / "overlays" / name / step)


def of_kind(kind: str, some: Iterable[Manifest]) -> dict[str, Manifest]:
    return {it["metadata"]["name"]: it for it in some if it["kind"] == kind}


def everything() -> list[Manifest]:
    """Of both steps of the overlay that has most."""
    return [*overlay("production", "before"), *overlay("production")]


def pods() -> dict[str, Manifest]:
    """The template of each workload's pods, by its name."""
    some = everything()
    found = of_kind("Deployment", some) | of_kind("Job", some)
    return {name: it["spec"]["template"] for name, it in found.items()}


def _main(pod: Manifest) -> Manifest:
    (container,) = pod["spec"]["containers"]
    found: Manifest = container
    return found


@pytest.mark.parametrize("path", kubernetes.files(), ids=name_of)
def test_generated_file_is_current(path: Path) -> None:
    message = f"{name_of(path)}: python -m stack.kubernetes writes it anew"
    assert path.read_text() == kubernetes.files()[path], message


@cache
def _registry() -> Registry[Any]:
    schema = json.loads(gzip.decompress(SCHEMA.read_bytes()))
    return Registry().with_resource("urn:kubernetes", DRAFT202012.create_resource(schema))


@cache
def _validator(api_version: str, kind: str) -> Draft202012Validator:
    group, _, version = api_version.rpartition("/")
    asked = {"group": group, "kind": kind, "version": version}
    (name,) = [
        name
        for name, it in _registry()["urn:kubernetes"].contents["$defs"].items()
        if asked in it.get("x-kubernetes-group-version-kind", [])
    ]
    where = {"$ref": f"urn:kubernetes#/$defs/{name}"}
    return Draft202012Validator(where, registry=_registry())


def _problems(manifest: Manifest) -> list[str]:
    """The errors by Kubernetes' schema, in its strict form."""
    validator = _validator(manifest["apiVersion"], manifest["kind"])
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_overlay_fits_the_schemas_of_kubernetes(name: str, step: str) -> None:
    for manifest in overlay(name, step):
        if manifest["kind"] not in OF_OPERATORS:
            assert _problems(manifest) == [], manifest["metadata"]["name"]
        assert manifest["metadata"].get("namespace", "dueto") == "dueto"


def test_schema_notices_a_field_that_is_misspelt() -> None:
    damaged = json.loads(json.dumps(of_kind("Deployment", overlay("production"))["carrito"]))
    damaged["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    assert _problems(damaged)


def _worked() -> Iterator[tuple[str, str]]:
    """The processes and tasks, here and in docker-compose.yml alike."""
    for name in pods():
        if name != "edge":
            yield name, name


def test_every_process_of_compose_is_there_and_no_other() -> None:
    ours = {name for name, it in compose.services().items() if it["image"] == "dueto:local"}
    assert {name for name, _ in _worked()} == ours


@pytest.mark.parametrize("name", sorted(compose.services()))
def test_process_has_the_command_and_variables_of_compose(name: str) -> None:
    if compose.services()[name]["image"] != "dueto:local":
        pytest.skip("no process of ours")
    found = _main(pods()[name])
    told = {it["name"]: it["value"] for it in found["env"] if "value" in it}
    there = compose.environment_of(name, given=compose.example())
    if name != "migrate":  # which is a script, and puts no samples in here
        assert tuple(found["command"]) == compose.command_of(name)
    own = {key for key, value in there.items() if value.startswith("/run/secrets/")}
    own = {key for key in own if f"/run/keys/{there[key].rpartition('/')[2]}.json" not in MOUNTS}
    assert {key: told[key] for key in own} == {key: there[key] for key in own}
    files = {key for key in told if told[key].startswith("/run/secrets/")}
    assert files == own, "no secret more"
    assert told.get("DUETO_SERVICE") == there.get("DUETO_SERVICE")


def test_migrate_runs_what_it_runs_in_compose_without_samples() -> None:
    ours, there = _main(pods()["migrate"])["command"], compose.command_of("migrate")
    assert ours[:2] == list(there[:2])
    assert ours[2].split("; ") == there[2].replace(" --seed", "").splitlines()


def test_all_have_the_variables_of_compose() -> None:
    (told,) = [
        it["data"] for it in overlay("production") if "ORCHESTRATOR_URL" in it.get("data", {})
    ]
    there = compose.environment_of("carrito", given=compose.example())
    same = told.keys() & there.keys() - {
        "DUETO_TRUSTED_ORIGINS",
        "DUETO_JWKS",
        "DUETO_SERVICE_KEYS",
    }
    assert {key: told[key] for key in same} == {key: there[key] for key in same}
    urls = {it.url_variable for it in ALL if it.url_variable}
    assert urls | {"DUETO_AUTH", "DUETO_PLAINTEXT_INSIDE"} <= same
    assert {told["DUETO_JWKS"], told["DUETO_SERVICE_KEYS"]} == MOUNTS.keys()


def test_every_secret_that_is_mounted_is_made_with_the_files_that_are_named(tmp_path: Path) -> None:
    call_command("secrets", folder=tmp_path, kubernetes=True, stdout=StringIO())
    made = of_kind("Secret", built(tmp_path)) | of_kind("ConfigMap", built(tmp_path))
    for name, pod in pods().items():
        volumes = {it["name"]: it for it in pod["spec"]["volumes"]}
        for it in volumes.values():
            named = it.get("secret", {}).get("secretName", "")
            assert not named or named in made.keys() | MADE_ELSEWHERE, name
        if name != "edge":
            held = set(made[volumes["secrets"]["secret"]["secretName"]]["data"])
            told = {it.get("value", "") for it in _main(pod)["env"]}
            wanted = {it.rpartition("/")[2] for it in told if it.startswith("/run/secrets/")}
            assert held == wanted, name
    assert made["postgres-superuser"]["type"] == "kubernetes.io/basic-auth"
    assert {"definitions.json"} == set(made["rabbitmq-definitions"]["data"])
    assert {"people.json", "services.json"} <= set(made["public-keys"]["data"])


def test_pods_are_restricted_as_the_containers_of_compose_are() -> None:
    for name, pod in pods().items():
        spec, container = pod["spec"], _main(pod)
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert not spec["automountServiceAccountToken"], name
        assert not spec["enableServiceLinks"], name
        assert container["resources"].keys() == {"requests", "limits"}, name
    assert of_kind("Namespace", everything())["dueto"]["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }


def test_process_that_stays_is_probed_and_has_time_to_end() -> None:
    for name, it in of_kind("Deployment", overlay("production")).items():
        spec, container = it["spec"]["template"]["spec"], _main(it["spec"]["template"])
        assert it["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}, name
        assert "livenessProbe" in container, name
        component = it["metadata"]["labels"][COMPONENT]
        if component == "web":
            kill = int(
                container["command"][container["command"].index("--workers-kill-timeout") + 1]
            )
            pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert spec["terminationGracePeriodSeconds"] >= pause + 2 * kill, name
            paths = {key: container[key]["httpGet"]["path"] for key in container if "Probe" in key}
            assert paths == {
                "startupProbe": "/health/live",
                "livenessProbe": "/health/live",
                "readinessProbe": "/health/ready",
            }, name
        if component == "worker":
            file = next(i["value"] for i in container["env"] if i["name"] == "DUETO_HEARTBEAT_FILE")
            assert file in container["livenessProbe"]["exec"]["command"][-1], name


def _selects(selector: Manifest, labels: Manifest) -> bool:
    return selector.get("matchLabels", selector).items() <= labels.items()


def test_what_selects_pods_or_names_a_deployment_finds_it() -> None:
    some = everything()
    labels = {name: pod["metadata"]["labels"] for name, pod in pods().items()}
    deployments = of_kind("Deployment", some)
    for kind in ("Service", "PodDisruptionBudget"):
        for name, it in of_kind(kind, some).items():
            found = [own for own in labels if _selects(it["spec"]["selector"], labels[own])]
            assert found == [name], (kind, name)
    assert of_kind("PodDisruptionBudget", some).keys() == deployments.keys()
    for name, it in of_kind("HorizontalPodAutoscaler", some).items():
        assert it["spec"]["scaleTargetRef"]["name"] == name, name
        assert name in deployments
        assert "replicas" not in deployments[name]["spec"], "an apply would set it back"


def _may_call(caller: str, service: str, port: int) -> bool:
    """Whether the policies let the pods of one workload (`facturas-worker`, `edge`) connect to the
    web process of a service: its egress and the service's ingress must allow it.
    """
    policies = of_kind("NetworkPolicy", everything()).values()
    labels = {name: pod["metadata"]["labels"] for name, pod in pods().items()}

    def lets(direction: str, key: str, own: str, other: str) -> bool:
        return any(
            any(rule["port"] == port for rule in rules["ports"])
            and (key not in rules or any(_selected(peer, labels[other]) for peer in rules[key]))
            for it in policies
            if _selects(it["spec"]["podSelector"], labels[own])
            for rules in it["spec"].get(direction) or []
        )

    return lets("egress", "to", caller, service) and lets("ingress", "from", service, caller)


def _selected(peer: Manifest, labels: Manifest) -> bool:
    return "podSelector" in peer and _selects(peer["podSelector"], labels)


def test_policies_let_only_the_registered_callers_through() -> None:
    web = {kubernetes.host_of(it): it for it in ALL}
    for caller in [*web, *(f"{kubernetes.host_of(it)}-worker" for it in ALL if it.has_worker)]:
        service = BY_NAME[caller.removesuffix("-worker").replace("-", "_")]
        for asked in service.asks:
            assert _may_call(caller, kubernetes.host_of(BY_NAME[asked]), BY_NAME[asked].port)
    for it in ALL:
        assert _may_call("edge", kubernetes.host_of(it), it.port)
        assert not _may_call("migrate", kubernetes.host_of(it), it.port)
    orchestrated = {it.name for it in ALL if _may_call("saga-orchestrator-worker", *_web(it.name))}
    assert {"carrito", "inventario", "pagos", "envios", "facturas"} <= orchestrated
    assert not _may_call("facturas", *_web("pagos"))
    assert not _may_call("carrito", *_web("tarjetas"))
    assert not _may_call("saga-choreography-worker", *_web("pagos"))


def _web(name: str) -> tuple[str, int]:
    return kubernetes.host_of(BY_NAME[name]), BY_NAME[name].port


def test_owner_reaches_all_who_take_part_in_its_sagas() -> None:
    """An owner calls the participants when a saga is closed."""
    assert [
        (saga.owner, service)
        for saga in SAGAS.values()
        for service in services_of(saga)
        if service != saga.owner and saga.owner not in kubernetes.callers_of(BY_NAME[service])
    ] == []


def test_every_pod_is_closed_but_for_what_a_policy_names() -> None:
    closed = of_kind("NetworkPolicy", everything())["dueto"]["spec"]
    assert closed["podSelector"] == {"matchLabels": {PART: "dueto"}}
    assert set(closed["policyTypes"]) == {"Ingress", "Egress"}
    assert closed["ingress"] == []
    assert {it["port"] for rule in closed["egress"] for it in rule["ports"]} == {53}
    assert all(pod["metadata"]["labels"][PART] == "dueto" for pod in pods().values())


def test_data_are_reached_by_processes_and_tasks_alone() -> None:
    for server, label in (("postgres", "cnpg.io/cluster"), ("rabbitmq", NAME)):
        policies = of_kind("NetworkPolicy", everything())
        told = {
            name
            for name, it in policies.items()
            for rule in it["spec"].get("egress") or []
            for peer in rule.get("to", [])
            if peer.get("podSelector", {}).get("matchLabels") == {label: server}
        }
        task = {"migrate"} if server == "postgres" else {"topology"}
        assert told == {kubernetes.host_of(it) for it in ALL} | task


def test_scaling_asks_for_metrics_that_the_adapter_gives_and_the_shop_tells() -> None:
    rules = compose.read(FOLDER / "components" / "autoscaling" / "prometheus-adapter.yaml")
    given = {it["name"]["as"]: it["metricsQuery"] for it in rules["rules"]["external"]}
    asked = {
        metric["external"]["metric"]["name"]
        for it in of_kind("HorizontalPodAutoscaler", overlay("production")).values()
        for metric in it["spec"]["metrics"]
        if metric["type"] == "External"
    }
    assert asked == given.keys()
    for query in given.values():
        assert set(re.findall(r"dueto_\w+", query)) <= {it.name for it in metrics.ALL}


def test_edge_has_a_port_for_each_service_and_nginx_takes_its_configuration(tmp_path: Path) -> None:
    ports = {
        it["port"] for it in of_kind("Service", overlay("production"))["edge"]["spec"]["ports"]
    }
    assert ports == {it.port for it in ALL} | {it.also for it in ALL if it.also}
    data: dict[str, str] = {}
    for it in overlay("production"):
        if it["kind"] == "ConfigMap" and it["metadata"]["name"].startswith("edge"):
            data |= it["data"]
    need(NGINX, package="nginx-light")
    data["services.conf"] = re.sub(r"server [\w-]+:", "server 127.0.0.1:", data["services.conf"])
    listened = re.findall(r"listen \d+", data["tls.conf"])
    assert {f"listen {port}" for port in ports} <= set(listened)
    data["listen.conf"] = "".join(f"{it};\n" for it in listened)  # there is no certificate here
    for name, text in data.items():
        here = text.replace("/tmp/", f"{tmp_path}/")  # noqa: S108 -- of its container, and not of ours
        (tmp_path / name).write_text(here.replace("/etc/nginx/edge/", f"{tmp_path}/"))
    done = subprocess.run(
        [NGINX, "-t", "-q", "-c", tmp_path / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
