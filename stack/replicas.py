"""Several processes of a kind: their number, their names, and nginx in front of web processes.

nginx takes a service's own port, and sends requests to its replicas in turns; not to a replica
whose drain file exists (httpapi.serving), of which there should be one at a time. If it can't
connect, it tries another replica. A request that was sent already goes to another replica only if
it may be repeated: a read; a step or a hand-over, which are idempotent by their keys; and any
request with an Idempotency-Key.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from catalogue.services import ALL, BY_NAME, Role, Service
from contracts.patterns import PATTERNS
from stack.children import Account, Program, unprivileged
from stack.console import StackError
from stack.folders import Folder

WEB, WORKER = "web", "worker"
MOST = 12
"""Of a kind: no more relays have a partition (messaging.outbox.PARTITIONS)."""
DRAIN_SECONDS = 1.0
"""Of a web process behind nginx: requests already sent to it have arrived by then."""
NAME = "nginx"
PROGRAM = Path("/usr/sbin/nginx")
HOW_TO_INSTALL = "apt-get install nginx-light"

Replicas = Mapping[str, int]
"""The number of processes by kind (`carrito.web`), if more than one."""
NONE: Replicas = MappingProxyType({})


def read(text: str, *, services: Iterable[Service] = ALL) -> dict[str, int]:
    """Parses `carrito.web=2,inventario.worker=3`. `services`: those that run. Raises StackError."""
    # The dashboard keeps races and streams in its one process.
    known = [
        kind
        for service in services
        if service.role is not Role.DASHBOARD
        for kind in kinds_of(service)
    ]
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in known:
            raise StackError(
                f"--replicas: there is no process {name!r} here, or it can't be replicated;"
                f" there can be several of {', '.join(known)}"
            )
        if not re.fullmatch("[0-9]{1,3}", number) or not 1 <= int(number) <= MOST:
            raise StackError(
                f"--replicas: {part!r} needs a whole number from 1 to {MOST}, as in {name}=2"
            )
        if name in found:
            raise StackError(f"--replicas: {name} is named twice")
        found[name] = int(number)
    return {name: count for name, count in found.items() if count > 1}


def written(replicas: Replicas) -> str:
    """The inverse of `read`."""
    return ",".join(f"{name}={count}" for name, count in replicas.items())


def kinds_of(service: Service) -> tuple[str, ...]:
    """The kinds of its processes, which are also their names if there is one of each."""
    return (f"{service.name}.{WEB}", f"{service.name}.{WORKER}")[: 1 + service.has_worker]


def names_of(kind: str, replicas: Replicas) -> tuple[str, ...]:
    """`carrito.web`, or `carrito.web.1`, `carrito.web.2` and so on if there are several."""
    count = replicas.get(kind, 1)
    return (kind,) if count == 1 else tuple(f"{kind}.{number + 1}" for number in range(count))


def kind_of(name: str) -> tuple[Service, str]:
    """The service of a process, and `web` or `worker`."""
    service, kind, *_ = name.split(".")
    return BY_NAME[service], kind


def nginx(
    *, folder: Folder, host: str, listens: Mapping[str, int], ports: Mapping[str, int]
) -> "Nginx":
    """For a state folder, not started yet."""
    account = unprivileged()
    return Nginx(
        home=folder.data(NAME, account=account, plain=True),
        log=folder.log(NAME),
        host=host,
        listens=listens,
        ports=ports,
        account=account,
    )


@dataclass(frozen=True, kw_only=True)
class Nginx:
    """`prepare`, then start `program`. `listens`: the port of each service; `ports`: that of each
    replica, by name. `home` belongs to `account`.
    """

    home: Path
    log: Path
    host: str
    listens: Mapping[str, int]
    ports: Mapping[str, int]
    account: Account | None

    def drain_file(self, name: str) -> Path:
        """Exists while this replica wants no requests."""
        return self.home / f"{name}.drains"

    def prepare(self) -> None:
        """Writes its configuration, and removes drain files of an earlier run. Raises StackError if
        nginx is not installed.
        """
        if not PROGRAM.exists():
            raise StackError(
                "several web processes of a service need nginx, which is not installed:"
                f" run `{HOW_TO_INSTALL}`, or omit the .{WEB} of --replicas."
            )
        for old in self.home.glob("*.drains"):
            old.unlink()
        (self.home / "nginx.conf").write_text(self.configuration())
        (self.home / "nginx.conf").chmod(0o644)

    @property
    def program(self) -> Program:
        """nginx in the foreground, as a direct child."""
        return Program(
            name=NAME,
            argv=(str(PROGRAM), "-p", str(self.home), "-c", "nginx.conf", "-e", "stderr"),
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            folder=self.home,
            log=self.log,
            account=self.account,
        )

    def configuration(self) -> str:
        """For all services that have replicas."""
        named = dict.fromkeys(kind_of(name)[0].name for name in self.ports)
        services = "\n".join(map(self._service, named))
        return _CONFIGURATION % {"services": services}

    def _service(self, service: str) -> str:
        replicas = [name for name in self.ports if name.startswith(f"{service}.{WEB}.")]
        pools = [_pool(service, [self.ports[name] for name in replicas])]
        choices = []
        for number, drained in enumerate(replicas, start=1):
            others = [self.ports[name] for name in replicas if name != drained]
            pool = f"{service}_but_{number}"
            pools.append(_pool(pool, others))
            choices.append(f'if (-f "{self.drain_file(drained)}") {{ set $pool {pool}; }}')
        host = f"[{self.host}]" if ":" in self.host else self.host
        server = _SERVER % {
            "listen": f"{host}:{self.listens[service]}",
            "pool": service,
            "choices": _indented(choices),
            "repeated": "|".join(map(re.escape, _repeated())),
            "away": json.dumps(_AWAY),
        }
        return "\n".join([*pools, server])


def _repeated() -> Iterable[str]:
    """The paths of doors whose POSTs are idempotent."""
    hand_overs = dict.fromkeys(pattern.hand_over for pattern in PATTERNS.values())
    return [*hand_overs, *(f"{path}/decided" for path in hand_overs)]


def _pool(name: str, ports: Sequence[int]) -> str:
    # A replica that has refused twice is skipped for a second, as it is starting.
    servers = [f"server 127.0.0.1:{port} max_fails=2 fail_timeout=1s;" for port in ports]
    # Granian closes connections that are idle for 30 s; nginx earlier, so that no request is lost.
    kept = ["keepalive 64;", "keepalive_timeout 10s;", "keepalive_requests 1000000;"]
    return f"    upstream {name} {{\n{_indented([*servers, *kept])}\n    }}"


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"        {line}" for line in lines)


_AWAY = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "code": "unavailable",
    "detail": "The service cannot be reached now; try again.",
}

_CONFIGURATION = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 16384; }
http {
    access_log off;
    server_tokens off;
    default_type application/problem+json;
    client_body_temp_path bodies;
    proxy_temp_path answers;
    fastcgi_temp_path unused;
    scgi_temp_path unused;
    uwsgi_temp_path unused;

    # The services have their own limits; clients may keep their connections.
    client_max_body_size 0;
    large_client_header_buffers 4 40k;
    keepalive_timeout 3600s;
    keepalive_requests 1000000;

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_connect_timeout 2s;
    # A shopper may wait 30 s for the end of a saga.
    proxy_read_timeout 40s;
    # By default nginx repeats no POST of which a byte was sent.
    proxy_next_upstream error;
    proxy_buffers 16 16k;

%(services)s
}
"""

_SERVER = """\
    server {
        listen %(listen)s;
        set $pool %(pool)s;
%(choices)s
        error_page 502 504 @away;
        error_page 418 = @again;
        recursive_error_pages on;

        location / {
            if ($http_idempotency_key) { return 418; }
            proxy_pass http://$pool;
        }
        location ~ ^(/steps/.*|%(repeated)s)$ {
            proxy_next_upstream error non_idempotent;
            proxy_pass http://$pool;
        }
        location @again {
            proxy_next_upstream error non_idempotent;
            proxy_pass http://$pool;
        }
        location @away {
            add_header X-Content-Type-Options nosniff always;
            add_header Retry-After 1 always;
            return 503 '%(away)s';
        }
    }
"""
