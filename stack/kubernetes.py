"""`python -m stack.kubernetes` writes the manifests of deploy/kubernetes that follow from the
register (catalogue/services.py) and from the callers that each door declares.

Processes, commands, variables and secrets are those of docker-compose.yml. What all processes have
in common is written by hand, as patches: deploy/kubernetes/components/processes.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import django
import yaml
from django.apps import apps

from catalogue.services import ALL, Role, Service
from contracts import declared_doors, rights
from stack import services

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "kubernetes"
MARK = "# Written by `python -m stack.kubernetes`: change that, or a patch, and not this file.\n"

SECRETS, KEYS = "/run/secrets", "/run/keys"
_HOST = "0.0.0.0"  # noqa: S104 -- in a pod, whose callers a NetworkPolicy limits
_LABEL = "app.kubernetes.io"
_PART = {f"{_LABEL}/part-of": "dueto"}
_VERSIONS = {
    "Service": "v1",
    "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "Job": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
}
"""The API version of each kind."""
_POSTGRES = {"cnpg.io/cluster": "postgres"}
_RABBITMQ = {f"{_LABEL}/name": "rabbitmq"}
"""Labels that the operators of CloudNativePG and RabbitMQ give the pods of components/servers."""

FEWEST, MOST = 2, 10
"""Pods of a process, with autoscaling."""
BUSY = "700m"
"""Of the one core that a Python process can use."""
SAGAS_A_RUNNER, MESSAGES_A_WORKER = 300, 200
"""A runner has up to 1,000 sagas in flight (saga_orchestrator.worker); a worker handles some
hundreds of messages per second."""
IN_FLIGHT, QUEUED = "dueto_sagas_in_flight", "dueto_queue_work"
"""The names in deploy/kubernetes/components/autoscaling/prometheus-adapter.yaml."""

Manifest = dict[str, Any]


def host_of(service: Service) -> str:
    """The host name by which others call it, without underscores."""
    return service.name.replace("_", "-")


def manifests() -> dict[str, Iterable[Manifest]]:
    """The manifests of each file. Needs Django, for the doors."""
    callers = {service.name: callers_of(service) for service in ALL}
    return {
        "base/services.yaml": [*chain.from_iterable(map(_of_service, ALL)), _service_of_edge()],
        "base/network-policies.yaml": _policies(callers),
        "before/tasks.yaml": [*_tasks(), *_policies_before()],
        "components/autoscaling/scaling.yaml": chain.from_iterable(map(_scaling, ALL)),
    }


def files() -> dict[Path, str]:
    """The text of each file, by path."""
    found = {name: _written(some) for name, some in manifests().items()}
    found["base/edge-services.conf"] = _edge()
    found["components/configuration/dueto.env"] = _configuration()
    return {FOLDER / name: text for name, text in found.items()}


def _written(some: Iterable[Manifest]) -> str:
    """Short mappings on one line, and no YAML aliases."""
    style = {"sort_keys": False, "width": 1000, "default_flow_style": None}
    return MARK + "---\n".join(yaml.dump(manifest, Dumper=_InFull, **style) for manifest in some)


class _InFull(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def callers_of(service: Service) -> list[str]:
    """The services that its doors allow, and the dashboard, which shows all services."""
    if service.role is Role.DASHBOARD:
        return []
    urls = [*import_module(f"{service.name}.urls").urlpatterns]
    if service.has_worker:  # as config.urls adds these
        closing = import_module("coordination.closing")
        urls += [*apps.get_app_config(service.name).urls(), *closing.urls(service=service.name)]
    found = declared_doors.all_in(urls)
    named = {name for door in found for name in door.declared.callers} - {service.name}
    dashboards = [other.name for other in ALL if other.role is Role.DASHBOARD]
    return [other.name for other in ALL if other.name in {*named, *dashboards}]


def _configuration() -> str:
    """The variables of all processes. Overlays add to them, and set the host's name.
    SERVICE_NAMES: a part of DUETO_ALLOWED_HOSTS (components/processes).
    """
    urls = {service.name: f"http://{host_of(service)}:{service.port}" for service in ALL}
    variables = {
        **services.url_environment(urls=urls),
        "SERVICE_NAMES": ",".join(host_of(service) for service in ALL),
        "DUETO_AUTH": "required",
        "DUETO_JWKS": f"{KEYS}/people.json",
        "DUETO_SERVICE_KEYS": f"{KEYS}/services.json",
        "DUETO_PLAINTEXT_INSIDE": "1",
        "DUETO_PROXY_TLS_HEADER": "X-Forwarded-Proto",
        "DUETO_HOST_NAME": "localhost",
        "DUETO_LOG_FORMAT": "json",
    }
    return MARK + "".join(f"{name}={value}\n" for name, value in variables.items())


def _of_service(service: Service) -> Iterator[Manifest]:
    web = services.web_command(host=_HOST, port=service.port)
    ports = [{"name": "http", "containerPort": service.port}]
    yield _deployment(service, "web", web, ports=ports)
    spec = {
        "selector": _selector(service, "web"),
        "ports": [{"name": "http", "port": service.port, "targetPort": "http"}],
    }
    yield _manifest("Service", host_of(service), _labels(service, "web"), spec)
    yield _budget(service, "web")
    if service.has_worker:
        yield _deployment(service, "worker", services.WORKER_COMMAND)
        yield _budget(service, "worker")


def _manifest(kind: str, name: str, labels: Mapping[str, str], spec: Manifest) -> Manifest:
    return {
        "apiVersion": _VERSIONS[kind],
        "kind": kind,
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": spec,
    }


def _template(
    secret: str,
    labels: Mapping[str, str],
    command: Iterable[str],
    variables: Mapping[str, str],
    **more: list[Manifest],
) -> Manifest:
    """The template of a pod. `secret`: mounted there; `more`: fields of its container."""
    container = {
        "name": "dueto",
        "image": "dueto",
        "command": list(command),
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        **more,
    }
    volume = {"name": "secrets", "secret": {"secretName": secret}}
    spec = {"containers": [container], "volumes": [volume]}
    return {"metadata": {"labels": dict(labels)}, "spec": spec}


def _process(service: Service, kind: str) -> str:
    return host_of(service) + ("-worker" if kind == "worker" else "")


def _selector(service: Service, kind: str) -> dict[str, str]:
    return {f"{_LABEL}/name": host_of(service), f"{_LABEL}/component": kind}


def _labels(service: Service, kind: str) -> dict[str, str]:
    """`dueto/service`: the name in metrics and alerts."""
    return {**_selector(service, kind), **_PART, "dueto/service": service.name}


def _deployment(
    service: Service, kind: str, command: Iterable[str], **more: list[Manifest]
) -> Manifest:
    """`more`: fields of its container."""
    labels, variables = _labels(service, kind), variables_of(service)
    spec = {
        "selector": {"matchLabels": _selector(service, kind)},
        "template": _template(host_of(service), labels, command, variables, **more),
    }
    return _manifest("Deployment", _process(service, kind), labels, spec)


def variables_of(service: Service) -> dict[str, str]:
    """The variables of its processes besides the configuration; secrets by their files' names."""
    found = {
        "DUETO_SERVICE": service.name,
        "DUETO_SIGNING_KEY": f"{SECRETS}/{service.name}_key",
        "RABBITMQ_URL_FILE": f"{SECRETS}/{service.broker_login}_rabbitmq_url",
    }
    if service.has_tables:
        return found | _databases([service])
    return found | {
        **_databases(ALL, prefix="admin_"),
        "DUETO_ACCOUNTS_KEY": f"{SECRETS}/accounts_key",
        "DUETO_SECRET_KEY_FILE": f"{SECRETS}/secret_key",
    }


def _databases(some: Iterable[Service], *, prefix: str = "") -> dict[str, str]:
    return {
        f"{service.database_variable}_FILE": f"{SECRETS}/{prefix}{service.login}_database_url"
        if service.has_tables
        else f"{SECRETS}/database_url"
        for service in some
    }


def _budget(service: Service, kind: str) -> Manifest:
    """A node can be drained, one pod of a process at a time; unhealthy pods at once."""
    spec = {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": _selector(service, kind)},
    }
    return _manifest("PodDisruptionBudget", _process(service, kind), _labels(service, kind), spec)


def _tasks() -> Iterator[Manifest]:
    """The jobs that run before the services start."""
    script = "; ".join(map(" ".join, (services.MIGRATE_COMMAND, services.ADMIN_COMMAND)))
    names = ("admin_password", "superuser_database_url")
    secrets = {f"DUETO_{name.upper()}_FILE": f"{SECRETS}/{name}" for name in names}
    yield _task("migrate", ["sh", "-euc", script], _databases(ALL) | secrets)
    broker = {"RABBITMQ_URL_FILE": f"{SECRETS}/{rights.TOPOLOGY}_rabbitmq_url"}
    yield _task("topology", services.TOPOLOGY_COMMAND, broker)


def _task(name: str, command: Iterable[str], variables: Mapping[str, str]) -> Manifest:
    labels = {f"{_LABEL}/name": name, f"{_LABEL}/component": "task", **_PART}
    return _manifest("Job", name, labels, {"template": _template(name, labels, command, variables)})


def _policies(callers: Mapping[str, list[str]]) -> Iterator[Manifest]:
    """Which pods may reach which, besides the policy for all pods (before/tasks.yaml)."""
    for service in ALL:
        called = [other for other in ALL if service.name in callers[other.name]]
        ingress = [{"from": _pods(["edge", *callers[service.name]]), **_port(service)}]
        egress = [
            *({"to": _pods([other.name], kind="web"), **_port(other)} for other in called),
            _to_postgres(),
            _to_rabbitmq(),
        ]
        own = {f"{_LABEL}/name": host_of(service)}
        yield _policy(host_of(service), own, ingress=ingress, egress=egress)
    doors_of_edge = [{"port": port} for port in _ports()]
    yield _policy(
        "edge",
        {f"{_LABEL}/name": "edge"},
        ingress=[{"ports": doors_of_edge}],
        egress=[{"to": _pods([service.name], kind="web"), **_port(service)} for service in ALL],
    )
    watching = {"namespaceSelector": {"matchLabels": {"dueto/watches": "true"}}}
    web = {**_PART, f"{_LABEL}/component": "web"}
    ports = [{"port": service.port} for service in ALL]
    yield _policy("metrics", web, ingress=[{"from": [watching], "ports": ports}])


def _policies_before() -> Iterator[Manifest]:
    """The policy for all pods, which allows only DNS; and those of the tasks."""
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    node_local = {"ipBlock": {"cidr": "169.254.20.10/32"}}
    yield _policy("dueto", _PART, ingress=[], egress=[{"to": [system, node_local], "ports": dns}])
    for name, to in (("migrate", _to_postgres()), ("topology", _to_rabbitmq())):
        yield _policy(name, {f"{_LABEL}/name": name}, ingress=[], egress=[to])


def _policy(
    name: str,
    pods: Mapping[str, str],
    *,
    ingress: list[Manifest],
    egress: list[Manifest] | None = None,
) -> Manifest:
    """Without `egress` it does not restrict what these pods may reach."""
    spec = {
        "podSelector": {"matchLabels": dict(pods)},
        "policyTypes": ["Ingress"] if egress is None else ["Ingress", "Egress"],
        "ingress": ingress,
        **({} if egress is None else {"egress": egress}),
    }
    return _manifest("NetworkPolicy", name, _PART, spec)


def _pods(names: Iterable[str], *, kind: str = "") -> list[Manifest]:
    component = {f"{_LABEL}/component": kind} if kind else {}
    return [
        {"podSelector": {"matchLabels": {f"{_LABEL}/name": name.replace("_", "-"), **component}}}
        for name in names
    ]


def _port(service: Service) -> Manifest:
    return {"ports": [{"port": service.port}]}


def _to_postgres() -> Manifest:
    return {"to": [{"podSelector": {"matchLabels": _POSTGRES}}], "ports": [{"port": 5432}]}


def _to_rabbitmq() -> Manifest:
    ports = [{"port": 5671}, {"port": 5672}]
    return {"to": [{"podSelector": {"matchLabels": _RABBITMQ}}], "ports": ports}


def _ports() -> dict[int, Service]:
    """The ports of the edge: each service's usual one, and its second one, if any."""
    first = {service.port: service for service in ALL}
    return first | {service.also: service for service in ALL if service.also}


def _service_of_edge() -> Manifest:
    """It preserves the callers' addresses, by which nginx limits them."""
    spec = {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "selector": {f"{_LABEL}/name": "edge"},
        "ports": [{"name": f"port-{port}", "port": port} for port in _ports()],
    }
    return _manifest("Service", "edge", _PART, spec)


def _edge() -> str:
    """For nginx. A Service's address is stable, so each is looked up once, at the start, by its
    name in the namespace."""
    upstreams = (
        f"upstream {host_of(it)} {{\n    server {host_of(it)}:{it.port};\n}}\n" for it in ALL
    )
    table = "".join(f"    {port} {host_of(it)};\n" for port, it in _ports().items())
    return f"{MARK}{''.join(upstreams)}map $server_port $service {{\n{table}}}\n"


def _scaling(service: Service) -> Iterator[Manifest]:
    yield _scaler(service, "web", [_cpu()])
    if service.has_worker:
        queued = _external(QUEUED, service, MESSAGES_A_WORKER)
        is_coordinator = service.role is Role.COORDINATOR
        in_flight = [_external(IN_FLIGHT, service, SAGAS_A_RUNNER)] if is_coordinator else []
        yield _scaler(service, "worker", [_cpu(), queued, *in_flight])


def _cpu() -> Manifest:
    target = {"type": "AverageValue", "averageValue": BUSY}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _external(metric: str, service: Service, a_pod: int) -> Manifest:
    selected = {"name": metric, "selector": {"matchLabels": {"service": service.name}}}
    target = {"type": "AverageValue", "averageValue": str(a_pod)}
    return {"type": "External", "external": {"metric": selected, "target": target}}


def _scaler(service: Service, kind: str, metrics: list[Manifest]) -> Manifest:
    name = _process(service, kind)
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": FEWEST,
        "maxReplicas": MOST,
        "metrics": metrics,
    }
    return _manifest("HorizontalPodAutoscaler", name, _labels(service, kind), spec)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    for path, text in files().items():
        path.write_text(text)
