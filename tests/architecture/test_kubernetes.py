"""The manifests of deploy/kubernetes agree with the register, fit the schemas of Kubernetes, and
run what docker-compose.yml runs. Built by kubectl; no cluster runs here.
"""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterable
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


def of_kind(kind: str, manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    return {
        manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind
    }


def everything() -> list[Manifest]:
    """Of both steps of the overlay that has most."""
    return [*overlay("production", "before"), *overlay("production")]


def pods() -> dict[str, Manifest]:
    """The template of each workload's pods, by its name."""
    manifests = everything()
    workloads = of_kind("Deployment", manifests) | of_kind("Job", manifests)
    return {name: workload["spec"]["template"] for name, workload in workloads.items()}


def _main(pod: Manifest) -> Manifest:
    (container,) = pod["spec"]["containers"]
    manifest: Manifest = container
    return manifest


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
        for name, definition in _registry()["urn:kubernetes"].contents["$defs"].items()
        if asked in definition.get("x-kubernetes-group-version-kind", [])
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


def test_every_process_of_compose_has_a_workload_and_there_is_no_other() -> None:
    ours = {
        name
        for name, container in compose.services().items()
        if container["image"] == "dueto:local"
    }
    assert pods().keys() - {"edge"} == ours


@pytest.mark.parametrize("name", sorted(compose.services()))
def test_process_has_the_command_and_variables_of_compose(name: str) -> None:
    if compose.services()[name]["image"] != "dueto:local":
        pytest.skip("no process of ours")
    container = _main(pods()[name])
    variables = {
        variable["name"]: variable["value"] for variable in container["env"] if "value" in variable
    }
    expected = compose.environment_of(name, given=compose.example())
    if name != "migrate":  # which is a script, and puts no samples in here
        assert tuple(container["command"]) == compose.command_of(name)
    own = {key for key, value in expected.items() if value.startswith("/run/secrets/")}
    own = {key for key in own if f"/run/keys/{expected[key].rpartition('/')[2]}.json" not in MOUNTS}
    assert {key: variables[key] for key in own} == {key: expected[key] for key in own}
    files = {key for key in variables if variables[key].startswith("/run/secrets/")}
    assert files == own, "no secret more"
    assert variables.get("DUETO_SERVICE") == expected.get("DUETO_SERVICE")


def test_migrate_runs_the_commands_of_compose_without_samples() -> None:
    ours, theirs = _main(pods()["migrate"])["command"], compose.command_of("migrate")
    assert ours[:2] == list(theirs[:2])
    assert ours[2].split("; ") == theirs[2].replace(" --seed", "").splitlines()


def test_all_have_the_variables_of_compose() -> None:
    (variables,) = [
        service["data"]
        for service in overlay("production")
        if "ORCHESTRATOR_URL" in service.get("data", {})
    ]
    expected = compose.environment_of("carrito", given=compose.example())
    same = variables.keys() & expected.keys() - {
        "DUETO_TRUSTED_ORIGINS",
        "DUETO_JWKS",
        "DUETO_SERVICE_KEYS",
    }
    assert {key: variables[key] for key in same} == {key: expected[key] for key in same}
    urls = {service.url_variable for service in ALL if service.url_variable}
    assert urls | {"DUETO_AUTH", "DUETO_PLAINTEXT_INSIDE"} <= same
    assert {variables["DUETO_JWKS"], variables["DUETO_SERVICE_KEYS"]} == MOUNTS.keys()


def test_every_secret_that_is_mounted_is_made_with_the_files_that_are_named(tmp_path: Path) -> None:
    call_command("secrets", folder=tmp_path, kubernetes=True, stdout=StringIO())
    made = of_kind("Secret", built(tmp_path)) | of_kind("ConfigMap", built(tmp_path))
    for name, pod in pods().items():
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for volume in volumes.values():
            named = volume.get("secret", {}).get("secretName", "")
            assert not named or named in made.keys() | MADE_ELSEWHERE, name
        if name != "edge":
            held = set(made[volumes["secrets"]["secret"]["secretName"]]["data"])
            values = {variable.get("value", "") for variable in _main(pod)["env"]}
            wanted = {
                value.rpartition("/")[2] for value in values if value.startswith("/run/secrets/")
            }
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


def test_long_running_process_is_probed_and_has_time_to_end() -> None:
    for name, deployment in of_kind("Deployment", overlay("production")).items():
        template, strategy = deployment["spec"]["template"], deployment["spec"]["strategy"]
        spec, container = template["spec"], _main(template)
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}, name
        assert "livenessProbe" in container, name
        component = deployment["metadata"]["labels"][COMPONENT]
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


def test_selectors_and_autoscalers_find_their_deployment() -> None:
    manifests = everything()
    labels = {name: pod["metadata"]["labels"] for name, pod in pods().items()}
    deployments = of_kind("Deployment", manifests)
    for kind in ("Service", "PodDisruptionBudget"):
        for name, selector in of_kind(kind, manifests).items():
            selected = [
                own for own in labels if _selects(selector["spec"]["selector"], labels[own])
            ]
            assert selected == [name], (kind, name)
    assert of_kind("PodDisruptionBudget", manifests).keys() == deployments.keys()
    for name, autoscaler in of_kind("HorizontalPodAutoscaler", manifests).items():
        assert autoscaler["spec"]["scaleTargetRef"]["name"] == name, name
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
            for policy in policies
            if _selects(policy["spec"]["podSelector"], labels[own])
            for rules in policy["spec"].get(direction) or []
        )

    return lets("egress", "to", caller, service) and lets("ingress", "from", service, caller)


def _selected(peer: Manifest, labels: Manifest) -> bool:
    return "podSelector" in peer and _selects(peer["podSelector"], labels)


def test_policies_let_only_the_registered_callers_through() -> None:
    web = {kubernetes.host_of(each): each for each in ALL}
    workers = [f"{kubernetes.host_of(each)}-worker" for each in ALL if each.has_worker]
    for caller in [*web, *workers]:
        service = BY_NAME[caller.removesuffix("-worker").replace("-", "_")]
        for asked in service.asks:
            assert _may_call(caller, kubernetes.host_of(BY_NAME[asked]), BY_NAME[asked].port)
    for callee in ALL:
        assert _may_call("edge", kubernetes.host_of(callee), callee.port)
        assert not _may_call("migrate", kubernetes.host_of(callee), callee.port)
    orchestrated = {
        each.name for each in ALL if _may_call("saga-orchestrator-worker", *_web(each.name))
    }
    assert {"carrito", "inventario", "pagos", "envios", "facturas"} <= orchestrated
    assert not _may_call("facturas", *_web("pagos"))
    assert not _may_call("carrito", *_web("tarjetas"))
    assert not _may_call("saga-choreography-worker", *_web("pagos"))


def _web(name: str) -> tuple[str, int]:
    return kubernetes.host_of(BY_NAME[name]), BY_NAME[name].port


def test_owner_reaches_all_participants_of_its_sagas() -> None:
    """An owner calls the participants when a saga is closed."""
    assert [
        (saga.owner, service)
        for saga in SAGAS.values()
        for service in services_of(saga)
        if service != saga.owner and saga.owner not in kubernetes.callers_of(BY_NAME[service])
    ] == []


def test_every_pod_is_closed_except_for_the_calls_that_a_policy_names() -> None:
    closed = of_kind("NetworkPolicy", everything())["dueto"]["spec"]
    assert closed["podSelector"] == {"matchLabels": {PART: "dueto"}}
    assert set(closed["policyTypes"]) == {"Ingress", "Egress"}
    assert closed["ingress"] == []
    assert {port["port"] for rule in closed["egress"] for port in rule["ports"]} == {53}
    assert all(pod["metadata"]["labels"][PART] == "dueto" for pod in pods().values())


def test_data_are_reached_by_processes_and_tasks_alone() -> None:
    for server, label in (("postgres", "cnpg.io/cluster"), ("rabbitmq", NAME)):
        policies = of_kind("NetworkPolicy", everything())
        owners = {
            name
            for name, policy in policies.items()
            for rule in policy["spec"].get("egress") or []
            for peer in rule.get("to", [])
            if peer.get("podSelector", {}).get("matchLabels") == {label: server}
        }
        task = {"migrate"} if server == "postgres" else {"topology"}
        assert owners == {kubernetes.host_of(service) for service in ALL} | task


def test_scaling_asks_for_metrics_that_the_adapter_serves_and_the_shop_exports() -> None:
    rules = compose.read(FOLDER / "components" / "autoscaling" / "prometheus-adapter.yaml")
    given = {rule["name"]["as"]: rule["metricsQuery"] for rule in rules["rules"]["external"]}
    asked = {
        metric["external"]["metric"]["name"]
        for autoscaler in of_kind("HorizontalPodAutoscaler", overlay("production")).values()
        for metric in autoscaler["spec"]["metrics"]
        if metric["type"] == "External"
    }
    assert asked == given.keys()
    for query in given.values():
        assert set(re.findall(r"dueto_\w+", query)) <= {metric.name for metric in metrics.ALL}


def test_edge_has_a_port_for_each_service_and_nginx_takes_its_configuration(tmp_path: Path) -> None:
    ports = {
        port["port"] for port in of_kind("Service", overlay("production"))["edge"]["spec"]["ports"]
    }
    assert ports == {service.port for service in ALL} | {
        service.also for service in ALL if service.also
    }
    data: dict[str, str] = {}
    for manifest in overlay("production"):
        if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"].startswith("edge"):
            data |= manifest["data"]
    need(NGINX, package="nginx-light")
    data["services.conf"] = re.sub(r"server [\w-]+:", "server 127.0.0.1:", data["services.conf"])
    listened = re.findall(r"listen \d+", data["tls.conf"])
    assert {f"listen {port}" for port in ports} <= set(listened)
    # There is no certificate here.
    data["listen.conf"] = "".join(f"{directive};\n" for directive in listened)
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
