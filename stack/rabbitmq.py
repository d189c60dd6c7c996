"""A private RabbitMQ from Debian's package, with one node or several, as child processes.

It shares nothing with the system's RabbitMQ: own home, cookie, name, ports, name server, data.
"""

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from contracts import rights
from contracts.nearness import each_host
from stack.children import Program, wait_until_ready
from stack.console import StackError
from stack.folders import BASE_FOLDER, MANAGE, Folder

# Its errors reach the caller of `check_login` as exceptions.
logging.getLogger("pika").setLevel(logging.CRITICAL)

# Not /usr/sbin/rabbitmq-server, a wrapper that changes user and folders.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_RELEASES = Path("/usr/lib/rabbitmq/lib")
USER = "dueto"
HOW_TO_INSTALL = "apt-get install rabbitmq-server"

_DEFINITIONS = "definitions.json"
_RIGHTS = """
import json, sys
import catalogue
from contracts import rights
print(json.dumps(rights.definitions(**json.load(sys.stdin))))
"""
_CLUSTER = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.discovery_retry_limit = 1
cluster_formation.discovery_retry_interval = 100
cluster_partition_handling = pause_minority
"""
_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
load_definitions = {definitions}
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = info
log.file = false
"""

# By RabbitMQ's own settings Erlang's schedulers sleep at once. In a virtual machine each wake-up is
# expensive: if they spin briefly instead, the node starts in 3.7 s instead of 9.3 s, with less CPU
# (4.7 s against 7.5 s). They also wake each other: with half as many as cores, a lone message costs
# a third less CPU (10 instead of 14 ms for six, on 2 cores).
_SCHEDULERS = max(1, (os.cpu_count() or 2) // 2)
_SPIN = f"+S {_SCHEDULERS}:{_SCHEDULERS} +SDio 2 +sbwt short +sbwtdio very_short"
_LOOPBACK_ONLY = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"


def is_installed() -> bool:
    return SERVER.exists()


def version() -> str:
    """The version of the package, from its folder, without starting the server."""
    found = sorted(_RELEASES.glob("rabbitmq_server-*"))
    return found[-1].name.partition("-")[2] if found else "of unknown version"


def check_login(url: str, *, timeout: float) -> str:
    """Logs in and out at the first host that answers; returns the broker's product and version. An
    open port is not enough: RabbitMQ may listen before it accepts logins.

    Raises OSError, with the reason of each host, and ValueError if the URL can't be read.
    """
    if not url.startswith(("amqp://", "amqps://")):
        raise ConnectionError("a URL of RabbitMQ starts with amqp://")
    reasons = []
    for url_of_host in each_host(url):
        try:
            return _check_host(url_of_host, timeout=timeout)
        except OSError as error:
            reasons.append(error)
    if len(reasons) == 1:
        raise reasons[0]
    raise ConnectionError("; ".join(str(error) for error in reasons))


def _check_host(url: str, *, timeout: float) -> str:
    parameters = pika.URLParameters(url)
    parameters.connection_attempts = 1
    parameters.socket_timeout = parameters.stack_timeout = timeout
    try:
        with pika.BlockingConnection(parameters) as connection:
            server = connection._impl.server_properties
    except AMQPConnectorException as error:
        raise ConnectionError(f"it accepts no client within {timeout:g} s") from error
    except pika.exceptions.AMQPError as error:
        # Without any connection, the system's own reason is the clearest.
        inner = getattr(error.args[0] if error.args else None, "exception", error)
        raise ConnectionError(str(inner) if isinstance(inner, OSError) else repr(error)) from error
    return f"{server.get('product', '')} {server.get('version', '')}".strip()


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node. `name`: of its process; `node`: its name in the cluster."""

    name: str
    home: Path
    node: str
    port: int
    distribution_port: int
    log: Path


@dataclass(frozen=True, kw_only=True)
class RabbitMQ:
    """All nodes: `prepare`, start `programs`, `wait`, and use the URL."""

    nodes: tuple[Node, ...]
    epmd_port: int
    epmd_log: Path
    passwords: Mapping[str, str] = field(repr=False)
    """By login."""
    cookie: str = field(repr=False)
    is_temporary: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the processes that will log in."""

    @property
    def url(self) -> str:
        """With all rights."""
        return self.url_of(USER)

    def url_of(self, login: str) -> str:
        """With each node as a host."""
        return self._url(login, *self.nodes)

    @property
    def programs(self) -> tuple[Program, ...]:
        """Erlang's name server, as our own child, so that it ends with us (Erlang itself would
        leave a daemon), and each node."""
        epmd = Program(
            name="epmd",
            argv=("epmd", "-address", "127.0.0.1", "-port", str(self.epmd_port)),
            environment=self._environment(self.nodes[0]),
            folder=self.nodes[0].home,
            log=self.epmd_log,
        )
        return epmd, *(self._program(node) for node in self.nodes)

    def prepare(self) -> None:
        """Writes the nodes' files."""
        definitions = self._definitions()
        for node in self.nodes:
            for name in ("data", "generated", "plugins"):
                (node.home / name).mkdir(exist_ok=True)
            _write(node.home / "environment.conf", "")
            _write(node.home / "enabled_plugins", "[].\n")
            _write(node.home / _DEFINITIONS, definitions)
            _write(node.home / "rabbitmq.conf", self._configuration(node))
            _write(node.home / ".erlang.cookie", self.cookie)
            (node.home / ".erlang.cookie").chmod(0o400)

    def _program(self, node: Node) -> Program:
        return Program(
            name=node.name,
            argv=(str(SERVER),),
            environment=self._environment(node),
            folder=node.home,
            log=node.log,
            # Throw-away data needs no orderly shutdown.
            stop_signals=() if self.is_temporary else (signal.SIGTERM,),
            patience=15.0,
        )

    def _configuration(self, node: Node) -> str:
        own = _CONFIGURATION.format(port=node.port, definitions=node.home / _DEFINITIONS)
        if len(self.nodes) == 1:
            return own
        peers = [
            f"cluster_formation.classic_config.nodes.{at} = {peer.node}\n"
            for at, peer in enumerate(self.nodes, start=1)
        ]
        return own + _CLUSTER + "".join(peers)

    def _url(self, login: str, *nodes: Node) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        return f"amqp://{login}:{self.passwords[login]}@{hosts}/%2F"

    def _definitions(self) -> str:
        """The logins and their rights, by the saga definitions of the stack's processes, whose
        variables may add steps.
        """
        made = subprocess.run(  # noqa: S603 -- our own program
            [sys.executable, "-c", _RIGHTS],
            input=json.dumps({"passwords": self.passwords, "administrator": USER}),
            env={**os.environ, **self.variables},
            cwd=BASE_FOLDER,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise StackError(f"RabbitMQ's logins can't be made: {made.stderr.strip()[-500:]}")
        return made.stdout

    def wait(self, *, check: Callable[[], None], seconds: float = 90.0) -> None:
        """Returns when a client can log in at each node and they form one cluster, as queues made
        earlier would have no copies at later nodes. Raises StackError."""
        for node in self.nodes:
            wait_until_ready(
                self._program(node),
                attempt=partial(check_login, self._url(USER, node), timeout=5),
                failing=OSError,
                check=check,
                seconds=seconds,
            )
        self._require_joined()

    def _require_joined(self) -> None:
        """Checks that an exchange made at one node exists at each other."""
        first, *others = (pika.URLParameters(self._url(USER, node)) for node in self.nodes)
        if not others:
            return
        mark = f"dueto.joined.{secrets.token_hex(4)}"
        with pika.BlockingConnection(first) as connection:
            channel = connection.channel()
            channel.exchange_declare(mark)
            for node, other in zip(self.nodes[1:], others, strict=True):
                try:
                    with pika.BlockingConnection(other) as there:
                        there.channel().exchange_declare(mark, passive=True)
                except pika.exceptions.ChannelClosedByBroker as error:
                    raise StackError(
                        f"{node.name} has not joined {self.nodes[0].name}; its log: {node.log}"
                    ) from error
            channel.exchange_delete(mark)

    def _environment(self, node: Node) -> dict[str, str]:
        """The complete environment: variables of the user's own RabbitMQ must not leak in."""
        home = node.home
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Makes the script exec the server instead of starting a child.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": node.node,
            "RABBITMQ_DIST_PORT": str(node.distribution_port),
            "RABBITMQ_CONF_ENV_FILE": str(home / "environment.conf"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(home / "plugins"),
            "RABBITMQ_PID_FILE": str(home / "node.pid"),
            "RABBITMQ_LOG_BASE": str(home),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_LOOPBACK_ONLY} {_SPIN}",
        }


def _write(path: Path, content: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(content)


def private(
    *,
    folder: Folder,
    ports: Sequence[int],
    variables: Mapping[str, str] | None = None,
) -> RabbitMQ:
    """The broker of a state folder, not started yet. Nodes' names, cookie and passwords are kept
    with their data, which can be opened only under the node's name that wrote it.

    `ports`: of the name server, and two for each node. Raises StackError if the data are of another
    number of nodes.
    """
    epmd, *own = ports
    count = len(own) // 2
    known = folder.read("rabbitmq.json") or {
        "node": f"dueto-{secrets.token_hex(4)}@localhost",
        "cookie": secrets.token_hex(16),
        "passwords": {},
        "count": count,
    }
    if (there := known.setdefault("count", 1)) != count:
        raise StackError(
            f"the data in {folder.path} are of a broker of {there} node(s): start it with"
            f" `--broker-nodes {there}`, or remove the data with `{MANAGE} down --purge`."
        )
    logins = [USER, *(login.name for login in rights.logins())]
    known["passwords"] |= {
        login: secrets.token_hex(24) for login in logins if login not in known["passwords"]
    }
    folder.write("rabbitmq.json", known)
    names = ["rabbitmq", *(f"rabbitmq-{number}" for number in range(2, count + 1))]
    return RabbitMQ(
        nodes=tuple(
            Node(
                name=name,
                # Its disk monitor passes the path to a shell without quotes.
                home=folder.data(name, plain=True),
                node=known["node"].replace("@", f"{name.removeprefix('rabbitmq')}@"),
                port=own[2 * at],
                distribution_port=own[2 * at + 1],
                log=folder.log(name),
            )
            for at, name in enumerate(names)
        ),
        epmd_port=epmd,
        epmd_log=folder.log("epmd"),
        is_temporary=folder.is_temporary,
        variables=variables or {},
        passwords=known["passwords"],
        cookie=known["cookie"],
    )
