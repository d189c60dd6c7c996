"""The database server and the broker of a stack: given by the environment, or our own.

`python -m stack.backing -- COMMAND...` runs a command beside a fresh PostgreSQL and RabbitMQ.
The command finds them in DATABASE_URL and RABBITMQ_URL (unset where RabbitMQ is not installed;
an error then with DUETO_REQUIRE_RABBITMQ=1 or CI=true). Both end with it and leave no data.
What the environment names already is used as it is. The exit code is the command's.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

import psycopg

from catalogue.services import ALL, Service
from stack import folders, postgres, rabbitmq
from stack.children import bound_to_parent
from stack.console import (
    Announce,
    Interrupted,
    Interruption,
    StackError,
    Stopwatch,
    step,
    to_terminal,
)
from stack.folders import Folder
from stack.ports import free_ports
from stack.processes import Supervisor

BrokerChoice = Literal["auto", "rabbitmq", "postgresql"]
_GIVEN_TIMEOUT = 5.0
_SHARED = "DATABASE_URL"
_USAGE_EXIT, _ERROR_EXIT = 2, 1


def chosen_broker() -> BrokerChoice:
    """What DUETO_BROKER says, else `auto`. Raises StackError when it is no such word."""
    word = os.environ.get("DUETO_BROKER") or "auto"
    for choice in get_args(BrokerChoice):
        if word == choice:
            return cast(BrokerChoice, choice)
    raise StackError(f"DUETO_BROKER is {word!r}: it may be {', '.join(get_args(BrokerChoice))}")


def alias_of(service: Service) -> str:
    """Its database's name in Django's settings."""
    return service.name if service.has_tables else "default"


def database_of(service: Service) -> str:
    """Its database's name on a server of our own."""
    return f"dueto_{service.name}" if service.has_tables else "dueto"


class Backends:
    """`start()`, then `wait_for_broker()`; after that its URLs are of servers that answer."""

    def __init__(
        self,
        *,
        folder: Folder,
        supervisor: Supervisor,
        announce: Announce,
        broker: BrokerChoice,
        use_given: bool = True,
        one_database: bool = False,
    ) -> None:
        """`use_given`: whether DATABASE_URL, <SERVICE>_DATABASE_URL and RABBITMQ_URL count.

        `one_database`: the services share one of our own server, instead of having one each.
        """
        self.database_urls: dict[str, str] = {}
        """By alias; `default` is the dashboard's."""
        self.rabbitmq_url: str | None = None
        self.database = self.broker = ""
        """What they are, in words for a report."""
        self._folder, self._supervisor, self._announce = folder, supervisor, announce
        self._choice: BrokerChoice = broker
        self._one_database = one_database
        self._given: Mapping[str, str] = os.environ if use_given else {}
        self._node: rabbitmq.RabbitMQ | None = None
        self._watch = Stopwatch()

    def start(self) -> None:
        """Starts or checks both; PostgreSQL is ready afterwards. Raises StackError, what was
        given first: nothing is started beside a server that can't be used."""
        self._check_choice()
        self._check_given_databases()
        self._start_broker()
        self._start_database()

    def wait_for_broker(self) -> None:
        """Returns when the broker takes clients. Raises StackError when it doesn't."""
        if self._node is not None:
            self._node.wait(check=self._supervisor.check)
            self._announce(f"{self.broker} ready in {self._watch}")

    def environment(self) -> dict[str, str]:
        """The variable that names the broker."""
        if self.rabbitmq_url:
            return {"RABBITMQ_URL": self.rabbitmq_url}
        return {"DUETO_BROKER_DATABASE_URL": self.database_urls["default"]}

    def _check_choice(self) -> None:
        """Before anything is started: what was asked for must be there."""
        is_required = self._choice == "rabbitmq" or (self._choice == "auto" and _is_required())
        can_have = self._given.get("RABBITMQ_URL") or rabbitmq.is_installed()
        if is_required and not can_have:
            raise StackError(
                "RabbitMQ is required here and not installed:"
                f" run `{rabbitmq.HOW_TO_INSTALL}`, or set RABBITMQ_URL."
            )

    def _start_broker(self) -> None:
        if self._choice == "postgresql":
            self.broker = "PostgreSQL as the broker (as asked)"
        elif url := self._given.get("RABBITMQ_URL"):
            self.broker = f"{_check_broker(url)} (RABBITMQ_URL)"
            self.rabbitmq_url = url
            self._announce(f"{self.broker} answers")
        elif rabbitmq.is_installed():
            self._start_node()
        else:
            self.broker = "PostgreSQL as the broker (RabbitMQ is not installed)"
            self._announce(
                "RabbitMQ is not installed, so PostgreSQL is the broker."
                f" To measure RabbitMQ: {rabbitmq.HOW_TO_INSTALL}"
            )

    def _start_node(self) -> None:
        amqp_port, distribution, epmd = free_ports(3)
        node = rabbitmq.private_node(folder=self._folder, ports=(amqp_port, distribution, epmd))
        node.prepare()
        for program in node.programs:
            self._supervisor.start(program)
        self._node, self.rabbitmq_url = node, node.url
        self.broker = f"RabbitMQ {rabbitmq.version()} (private node)"

    def _check_given_databases(self) -> None:
        known = (service.database_variable for service in ALL)
        variables = [name for name in known if self._given.get(name)]
        versions = {
            variable: _check_database(variable, self._given[variable]) for variable in variables
        }
        if version := versions.get(_SHARED):
            self.database = f"PostgreSQL {version} ({_SHARED})"
            self._announce(f"{self.database} answers; services share it unless they have their own")

    def _start_database(self) -> None:
        if shared := self._given.get(_SHARED):
            self.database_urls = {alias_of(service): shared for service in ALL}
        else:
            self._start_postgres()
        for service in ALL:
            if own := self._given.get(service.database_variable):
                self.database_urls[alias_of(service)] = own

    def _start_postgres(self) -> None:
        (port,) = free_ports(1)
        server = postgres.embedded(folder=self._folder, port=port)
        self.database = f"PostgreSQL {server.version} (embedded)"
        with step(self._announce, f"{self.database} ready"):
            server.prepare(run=self._supervisor.run)
            self._supervisor.start(server.program)
            server.wait(check=self._supervisor.check)
            server.create_databases([database_of(service) for service in ALL])
        names = {alias_of(service): database_of(service) for service in ALL}
        if self._one_database:
            names = dict.fromkeys(names, names["default"])
        self.database_urls = {alias: server.url(name) for alias, name in names.items()}


def _is_required() -> bool:
    return os.environ.get("DUETO_REQUIRE_RABBITMQ") == "1" or os.environ.get("CI") == "true"


def _check_broker(url: str) -> str:
    try:
        return rabbitmq.check_login(url, timeout=_GIVEN_TIMEOUT)
    except (OSError, ValueError) as error:
        # Python's words for a wrong port are a part of the password where that has a slash.
        why = "it can't be read" if isinstance(error, ValueError) else error
        raise StackError(
            f"the RabbitMQ that RABBITMQ_URL names ({_without_login(url)}) can't be used: {why}."
            " Start it, correct the URL, or unset RABBITMQ_URL to get a private one."
        ) from error


def _check_database(variable: str, url: str) -> str:
    """The server's version. Raises StackError when it can't be used."""
    if urlsplit(url).scheme not in ("postgresql", "postgres"):
        raise StackError(f"{variable} must start with postgresql:// ({_without_login(url)})")
    try:
        with psycopg.connect(url, connect_timeout=int(_GIVEN_TIMEOUT)) as connection:
            version = connection.info.parameter_status("server_version") or "?"
    except psycopg.Error as error:
        raise StackError(
            f"the PostgreSQL that {variable} names ({_without_login(url)}) can't be used:"
            f" {_reason(error)}. Start it, correct the URL,"
            f" or unset {variable} to get an embedded one."
        ) from error
    return version.partition(" ")[0]


def _without_login(url: str) -> str:
    """The part of a URL that may be printed."""
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:  # a password with a slash, or the like
        return f"{parts.scheme}://..."
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _reason(error: psycopg.Error) -> str:
    """In a line; of several hosts the last one's. Where it is the URL, it may quote the login."""
    if isinstance(error, psycopg.ProgrammingError):
        return "it can't be read"
    return str(error).strip().splitlines()[-1].strip("- ")


@contextlib.contextmanager
def backing() -> Iterator[dict[str, str]]:
    """The variables of a fresh PostgreSQL and broker, which end with the block."""
    folder = folders.temporary()
    supervisor = Supervisor(announce=to_terminal)
    backends = Backends(
        folder=folder, supervisor=supervisor, announce=to_terminal, broker=chosen_broker()
    )
    try:
        backends.start()
        backends.wait_for_broker()
        supervisor.restarts = True
        yield {"DATABASE_URL": backends.database_urls["default"], **backends.environment()}
    finally:
        supervisor.close()
        folder.purge()
        folder.unlock()


def main(arguments: list[str]) -> int:
    """Runs the command and returns its exit code."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        sys.stderr.write(f"{__doc__}\n")
        return _USAGE_EXIT
    interruption = Interruption()
    interruption.listen()
    try:
        with backing() as environment:
            code = _run(command, environment)
            interruption.ignore()
            return code
    except StackError as error:
        to_terminal(f"stack: {error}")
        return _ERROR_EXIT
    except Interrupted as interrupted:
        return interrupted.exit_code


def _run(command: list[str], environment: dict[str, str]) -> int:
    """In our own process group, so that it has the terminal and its Ctrl-C."""
    with subprocess.Popen(  # noqa: S603 - the command that our caller gave
        bound_to_parent(command, on_parent_death=signal.SIGKILL), env={**os.environ, **environment}
    ) as child:
        try:
            code = child.wait()
        except Interrupted as interrupted:
            # A Ctrl-C in a terminal has reached it too; anything else has reached only us.
            if interrupted.number != signal.SIGINT or not sys.stdin.isatty():
                child.send_signal(interrupted.number)
            code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
