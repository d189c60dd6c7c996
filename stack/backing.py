"""The database server and the broker of a stack: given by the environment, or our own.

`python -m stack.backing -- COMMAND...` runs a command beside a fresh PostgreSQL and RabbitMQ, whose
URLs are in DATABASE_URL and RABBITMQ_URL (unset if RabbitMQ is not installed, which is an error
with DUETO_REQUIRE_RABBITMQ=1 or CI=true). Both end with the command and leave no data, so this
PostgreSQL does not wait for the disk: don't use it for measurements. Servers that the environment
names are used as they are. The exit code is the command's.
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

from catalogue.services import (
    ADMIN_LOGIN,
    ALL,
    AUDIT_LOGIN,
    BROKER_LOGIN,
    MONOLITH_LOGIN,
    Service,
)
from contracts import rights
from stack import folders, postgres, rabbitmq
from stack.children import ANYBODY, OWN_USER, bound_to_parent
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
_SHARED, _BROKER = "DATABASE_URL", "RABBITMQ_URL"
_USAGE_EXIT, _ERROR_EXIT = 2, 1
_GIVEN_SECONDS = 5.0
"""The timeout for a given server."""


def chosen_broker() -> BrokerChoice:
    """DUETO_BROKER, else `auto`. Raises StackError for any other word."""
    word = os.environ.get("DUETO_BROKER") or "auto"
    for choice in get_args(BrokerChoice):
        if word == choice:
            return cast(BrokerChoice, choice)
    raise StackError(f"DUETO_BROKER is {word!r}: it may be {', '.join(get_args(BrokerChoice))}")


def variable_of(login: str) -> str:
    """The variable that names a given broker for one of its logins (contracts.rights)."""
    return f"{login.upper()}_{_BROKER}"


def alias_of(service: Service) -> str:
    """Its database's name in Django's settings."""
    return service.name if service.has_tables else "default"


class Backends:
    """`start()`, then `wait_for_broker()`; after that the servers at its URLs answer."""

    def __init__(
        self,
        *,
        folder: Folder,
        supervisor: Supervisor,
        announce: Announce,
        broker: BrokerChoice,
        use_given: bool = True,
        one_database: bool = False,
        broker_nodes: int = 1,
        standby: bool = False,
        variables: Mapping[str, str] | None = None,
        is_forgetful: bool = False,
    ) -> None:
        """`use_given`: whether to use the servers in DATABASE_URL and RABBITMQ_URL, and those of
        one service or login (<SERVICE>_DATABASE_URL, <LOGIN>_RABBITMQ_URL).

        `one_database`: the services share one database of our own server. `broker_nodes`: of our
        own RabbitMQ. `standby`: whether our own PostgreSQL has one. `variables`: of the processes
        that will use them. `is_forgetful`: our own database server does not wait for its disk.
        """
        self.database_urls: dict[str, str] = {}
        """By alias, with the login of its own service; `default` is the dashboard's."""
        self.admin_urls: dict[str, str] = {}
        """The same, with the dashboard's login."""
        self.audit_urls: dict[str, str] = {}
        """The same, with a read-only login."""
        self.superuser_urls: dict[str, str] = {}
        """The same, as superuser; no long-running process gets these."""
        self.monolith_url = ""
        """Of the shared database, with a login that may write in each service's tables."""
        self.rabbitmq_url: str | None = None
        self.database = self.broker = ""
        """Descriptions of the servers, for a report."""
        self._folder, self._supervisor, self._announce = folder, supervisor, announce
        self._choice: BrokerChoice = broker
        self._broker_nodes, self._has_standby = broker_nodes, standby
        self._variables = variables or {}
        self._one_database = one_database
        self._settings = postgres.FORGETFUL if is_forgetful else {}
        self._given: Mapping[str, str] = os.environ if use_given else {}
        self._rabbitmq: rabbitmq.RabbitMQ | None = None
        self._server: postgres.Postgres | None = None
        self._watch = Stopwatch()

    def start(self) -> None:
        """Starts or checks both; PostgreSQL is ready afterwards. Checks the given servers before it
        starts any. Raises StackError."""
        self._check_choice()
        self._check_given_databases()
        self._start_broker()
        self._start_database()

    def wait_for_broker(self) -> None:
        """Returns when the broker takes clients. Raises StackError."""
        if self._rabbitmq is not None:
            self._rabbitmq.wait(check=self._supervisor.check)
            self._announce(f"{self.broker} ready in {self._watch}")

    def broker_environment(self, login: str) -> dict[str, str]:
        """The variable that names the broker, for this login of `contracts.rights`. A given server
        has one login for all, except for logins with a URL of their own."""
        if self._rabbitmq is not None:
            return {_BROKER: self._rabbitmq.url_of(login)}
        if self.rabbitmq_url:
            return {_BROKER: self._broker_urls().get(variable_of(login), self.rabbitmq_url)}
        if self._server is not None:
            owner = BROKER_LOGIN if login == rights.TOPOLOGY else login
            return {"DUETO_BROKER_DATABASE_URL": self._server.url(BROKER_LOGIN, login=owner)}
        return {"DUETO_BROKER_DATABASE_URL": self.database_urls["default"]}

    def _broker_urls(self) -> dict[str, str]:
        """The given URLs of single logins, by variable."""
        variables = [variable_of(login.name) for login in rights.logins()]
        return {name: self._given[name] for name in variables if self._given.get(name)}

    def environment(self) -> dict[str, str]:
        """The variable that names the broker, for a login with all rights."""
        if self.rabbitmq_url:
            return {_BROKER: self.rabbitmq_url}
        return self.broker_environment(rights.TOPOLOGY)

    def superuser_environment(self) -> dict[str, str]:
        """The variables of the command that makes the logins of our own server; none for a given
        server."""
        if self._server is None:
            return {}
        named = {
            "DUETO_SUPERUSER_DATABASE_URL": self._server.url(postgres.MAINTENANCE_DATABASE),
            "DUETO_AUDIT_DATABASE_URL": self.audit_urls["default"],
            **({} if self.rabbitmq_url else self.environment()),
        }
        return named | (
            {"DUETO_MONOLITH_DATABASE_URL": self.monolith_url} if self.monolith_url else {}
        )

    def _check_choice(self) -> None:
        """Raises StackError, before anything is started, if the options can't be met."""
        if self._has_standby and self._given.get(_SHARED):
            raise StackError(f"only our own PostgreSQL can have a standby: unset {_SHARED}.")
        wants_nodes = self._broker_nodes > 1
        if wants_nodes and (self._choice == "postgresql" or self._given.get(_BROKER)):
            raise StackError(
                f"only our own RabbitMQ can have {self._broker_nodes} nodes: choose no other"
                " broker, and unset RABBITMQ_URL."
            )
        is_required = (
            wants_nodes or self._choice == "rabbitmq" or (self._choice == "auto" and _is_required())
        )
        can_have = self._given.get(_BROKER) or rabbitmq.is_installed()
        if is_required and not can_have:
            raise StackError(
                "RabbitMQ is required here and not installed:"
                f" run `{rabbitmq.HOW_TO_INSTALL}`, or set RABBITMQ_URL."
            )

    def _start_broker(self) -> None:
        if self._choice == "postgresql":
            self.broker = "PostgreSQL as the broker (as asked)"
        elif url := self._given.get(_BROKER):
            self.broker = f"{_check_broker(_BROKER, url)} ({_BROKER})"
            for variable, own in self._broker_urls().items():
                _check_broker(variable, own)
            self.rabbitmq_url = url
            self._announce(f"{self.broker} answers")
        elif named := list(self._broker_urls()):
            raise StackError(f"{named[0]} is for one login: set {_BROKER} too, for all others.")
        elif rabbitmq.is_installed():
            self._start_rabbitmq()
        else:
            self.broker = "PostgreSQL as the broker (RabbitMQ is not installed)"
            self._announce(
                "RabbitMQ is not installed, so PostgreSQL is the broker."
                f" To measure RabbitMQ: {rabbitmq.HOW_TO_INSTALL}"
            )

    def _start_rabbitmq(self) -> None:
        count = self._broker_nodes
        ports = free_ports(1 + 2 * count)
        own = rabbitmq.private(folder=self._folder, ports=ports, variables=self._variables)
        own.prepare()
        for program in own.programs:
            self._supervisor.start(program)
        self._rabbitmq, self.rabbitmq_url = own, own.url
        nodes = "private node" if count == 1 else f"{count} private nodes"
        self.broker = f"RabbitMQ {rabbitmq.version()} ({nodes})"

    def _fail_over(self) -> None:
        """Replaces the primary, which has ended, and so takes no writes any more."""
        server = self._server
        if server is None or server.standby is None:
            return
        try:
            server.standby.promote()
        except (StackError, psycopg.Error) as error:
            self._announce(f"{server.standby.name} can't take over: {error}")
            return
        postgres.note_promotion(folder=self._folder)
        self._announce(f"{server.standby.name} is the primary now; {server.name} stays stopped")

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
            self._use({alias_of(service): shared for service in ALL})
        else:
            self._start_postgres()
        self._use(
            {
                alias_of(service): own
                for service in ALL
                if (own := self._given.get(service.database_variable))
            }
        )

    def _use(self, given: Mapping[str, str]) -> None:
        """All logins use these URLs."""
        for urls in (
            self.database_urls,
            self.admin_urls,
            self.audit_urls,
            self.superuser_urls,
        ):
            urls.update(given)

    def _start_postgres(self) -> None:
        port, standby_port = free_ports(2)
        logins = [*(service.login for service in ALL), AUDIT_LOGIN, BROKER_LOGIN, MONOLITH_LOGIN]
        server = postgres.embedded(
            folder=self._folder,
            port=port,
            standby_port=standby_port if self._has_standby else None,
            logins=logins,
            settings=self._settings,
        )
        with_it = ", with a standby" if server.standby else ""
        self.database = f"PostgreSQL {server.version} (embedded{with_it})"
        with step(self._announce, f"{self.database} ready"):
            server.prepare(run=self._supervisor.run)
            self._supervisor.start(server.program)
            server.wait(check=self._supervisor.check)
            server.create_databases([service.database for service in ALL])
            if server.standby:
                server.copy_to_standby(run=self._supervisor.run)
                self._supervisor.start(server.standby.program)
                server.wait_for_standby(check=self._supervisor.check)
                self._supervisor.instead[server.name] = self._fail_over
        if server.account and server.account.name == ANYBODY:
            self._announce(
                f"PostgreSQL runs as {ANYBODY}, so every other program that does can read its data:"
                f"\n  `useradd --system {OWN_USER}` gives it a user of its own"
            )
        self._server = server
        names = {alias_of(service): service.database for service in ALL}
        if self._one_database:
            names = dict.fromkeys(names, names["default"])
            self.monolith_url = server.url(names["default"], login=MONOLITH_LOGIN)
        own = {alias_of(service): service.login for service in ALL}
        self.database_urls = {a: server.url(name, login=own[a]) for a, name in names.items()}
        self.admin_urls = {a: server.url(name, login=ADMIN_LOGIN) for a, name in names.items()}
        self.audit_urls = {a: server.url(name, login=AUDIT_LOGIN) for a, name in names.items()}
        self.superuser_urls = {a: server.url(name) for a, name in names.items()}


def _check_broker(variable: str, url: str) -> str:
    """A description of the broker. Raises StackError if it can't be used."""
    if variable == "RABBITMQ_URL" and urlsplit(url).username == rights.AUDIT:
        raise StackError(
            "RABBITMQ_URL and the databases' URLs are those of a running stack (`status --env`),"
            " and another stack needs its own servers. Use a shell without these variables."
        )
    try:
        return rabbitmq.check_login(url, timeout=_GIVEN_SECONDS)
    except (OSError, ValueError) as error:
        # Python's message for a wrong port quotes the password if that has a slash.
        why = "it can't be read" if isinstance(error, ValueError) else error
        raise StackError(
            f"the RabbitMQ that {variable} names ({_without_login(url)}) can't be used: {why}."
            f" Start it, correct the URL, or unset {variable} to get a private one."
        ) from error


def _check_database(variable: str, url: str) -> str:
    """The server's version. Raises StackError if it can't be used."""
    if url.partition("://")[0] not in ("postgresql", "postgres"):
        raise StackError(f"{variable} must start with postgresql:// ({_without_login(url)})")
    try:
        with psycopg.connect(url, connect_timeout=int(_GIVEN_SECONDS)) as connection:
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
    try:
        parts = urlsplit(url)
    except ValueError:  # several hosts, and one of them in brackets
        return f"{url.partition('://')[0]}://..."
    if "@" in parts.path + parts.query + parts.fragment:  # a password with a slash, or the like
        return f"{parts.scheme}://..."
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _reason(error: psycopg.Error) -> str:
    """In one line; with several hosts that of the last one."""
    if isinstance(error, psycopg.ProgrammingError):  # about the URL, which it may quote
        return "it can't be read"
    return str(error).strip().splitlines()[-1].strip("- ")


def _is_required() -> bool:
    return os.environ.get("DUETO_REQUIRE_RABBITMQ") == "1" or os.environ.get("CI") == "true"


@contextlib.contextmanager
def backing() -> Iterator[dict[str, str]]:
    """The variables of a fresh PostgreSQL and broker, which end with the block."""
    folder = folders.temporary()
    supervisor = Supervisor(announce=to_terminal)
    backends = Backends(
        folder=folder,
        supervisor=supervisor,
        announce=to_terminal,
        broker=chosen_broker(),
        is_forgetful=True,
    )
    try:
        backends.start()
        backends.wait_for_broker()
        supervisor.restarts = True
        # The superuser's, as a test runner makes databases, but no roles.
        url = backends.superuser_urls["default"]
        broker = backends.environment() if backends.rabbitmq_url else {}
        yield {"DATABASE_URL": url, **broker}
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
            # A Ctrl-C in a terminal has reached the command too; any other signal only us.
            if interrupted.number != signal.SIGINT or not sys.stdin.isatty():
                child.send_signal(interrupted.number)
            code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
