"""A private RabbitMQ node from Debian's package, as child processes of ours.

It shares nothing with a node of the system: own home, cookie, name, ports, name server, data.
"""

import logging
import os
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from stack.children import Program, wait_until_ready
from stack.folders import Folder

# What it has to say reaches the caller of `check` as an exception.
logging.getLogger("pika").setLevel(logging.CRITICAL)

# Not /usr/sbin/rabbitmq-server: that is a wrapper that changes user and folders.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_RELEASES = Path("/usr/lib/rabbitmq/lib")
USER = "dueto"
HOW_TO_INSTALL = "apt-get install rabbitmq-server"

_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = info
log.file = false
"""

# Erlang's schedulers go to sleep at once in RabbitMQ's own settings. In a virtual machine each
# wake-up is dear: letting them spin for a moment starts the node in 3.7 s instead of 9.3 s, for
# less CPU (4.7 s against 7.5 s). And they wake each other: with half as many as there are cores, a
# message that comes alone costs a third less CPU (10 instead of 14 ms for six, on 2 cores).
_SCHEDULERS = max(1, (os.cpu_count() or 2) // 2)
_SPIN = f"+S {_SCHEDULERS}:{_SCHEDULERS} +SDio 2 +sbwt short +sbwtdio very_short"
_LOOPBACK_ONLY = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"


def is_installed() -> bool:
    return SERVER.exists()


def version() -> str:
    """The version of the package, read from its folder: asking the server would start one."""
    found = sorted(_RELEASES.glob("rabbitmq_server-*"))
    return found[-1].name.partition("-")[2] if found else "of unknown version"


def check_login(url: str, *, timeout: float) -> str:
    """Logs in and out; returns the broker's product and version. A port that is open says nothing:
    RabbitMQ may listen before it lets anybody in.

    Raises OSError, with the reason, and ValueError when the URL can't be read.
    """
    if not url.startswith(("amqp://", "amqps://")):
        raise ConnectionError("a URL of RabbitMQ starts with amqp://")
    parameters = pika.URLParameters(url)
    parameters.connection_attempts = 1
    parameters.socket_timeout = parameters.stack_timeout = timeout
    try:
        with pika.BlockingConnection(parameters) as connection:
            server = connection._impl.server_properties
    except AMQPConnectorException as error:
        raise ConnectionError(f"it lets no client in within {timeout:g} s") from error
    except pika.exceptions.AMQPError as error:
        # Where there is no connection at all, the system's own reason is the plainest.
        inner = getattr(error.args[0] if error.args else None, "exception", error)
        raise ConnectionError(str(inner) if isinstance(inner, OSError) else repr(error)) from error
    return f"{server.get('product', '')} {server.get('version', '')}".strip()


@dataclass(frozen=True, kw_only=True)
class RabbitMQ:
    """One node: `prepare`, start `programs`, `wait`, and use its URL."""

    home: Path
    node: str
    port: int
    distribution_port: int
    epmd_port: int
    log: Path
    epmd_log: Path
    password: str = field(repr=False)
    cookie: str = field(repr=False)
    is_temporary: bool = False

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}/%2F"

    @property
    def programs(self) -> tuple[Program, Program]:
        """Erlang's name server, in the foreground as our own child so that it ends with us (by
        itself Erlang would leave a daemon behind), and the node."""
        epmd = Program(
            name="epmd",
            argv=("epmd", "-address", "127.0.0.1", "-port", str(self.epmd_port)),
            environment=self._environment,
            folder=self.home,
            log=self.epmd_log,
        )
        node = Program(
            name="rabbitmq",
            argv=(str(SERVER),),
            environment=self._environment,
            folder=self.home,
            log=self.log,
            # Data that is thrown away need not be brought in order first.
            stop_signals=() if self.is_temporary else (signal.SIGTERM,),
            patience=15.0,
        )
        return epmd, node

    def prepare(self) -> None:
        """Writes the node's files."""
        for name in ("data", "generated", "plugins"):
            (self.home / name).mkdir(exist_ok=True)
        self._write("environment.conf", "")
        self._write("enabled_plugins", "[].\n")
        self._write(
            "rabbitmq.conf",
            _CONFIGURATION.format(port=self.port, user=USER, password=self.password),
        )
        self._write(".erlang.cookie", self.cookie)
        (self.home / ".erlang.cookie").chmod(0o400)

    def wait(self, *, check: Callable[[], None], seconds: float = 90.0) -> None:
        """Returns when a client can log in. Raises StackError when none can in time."""
        wait_until_ready(
            self.programs[1],
            attempt=lambda: check_login(self.url, timeout=5),
            failing=OSError,
            check=check,
            seconds=seconds,
        )

    def _write(self, name: str, content: str) -> None:
        path = self.home / name
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_text(content)

    @property
    def _environment(self) -> dict[str, str]:
        """All of it: a variable of the user's own RabbitMQ must not leak in."""
        home = self.home
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Makes the script become the server instead of starting it below itself.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
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


def private_node(*, folder: Folder, ports: tuple[int, int, int]) -> RabbitMQ:
    """The node of a state folder, not started yet. Its name, cookie and password are made with
    its data: a node's data can only be opened under the name that wrote it."""
    # Its disk monitor hands the path to a shell without quotes.
    home = folder.data("rabbitmq", plain=True)
    known = folder.read("rabbitmq.json")
    if known is None:
        known = {
            "node": f"dueto-{secrets.token_hex(4)}@localhost",
            "cookie": secrets.token_hex(16),
            "password": secrets.token_hex(24),
        }
        folder.write("rabbitmq.json", known)
    return RabbitMQ(
        home=home,
        port=ports[0],
        distribution_port=ports[1],
        epmd_port=ports[2],
        log=folder.log("rabbitmq"),
        epmd_log=folder.log("epmd"),
        is_temporary=folder.is_temporary,
        **known,
    )
