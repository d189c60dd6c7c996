"""All of Dueto on this machine, as one object: `with LocalStack() as stack: ...`."""

import atexit
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from accounts.passes import Passes
from catalogue.services import Service
from contracts import rights
from stack import access, folders, record, replicas, services, status, temporal
from stack.backing import Backends
from stack.children import Program, wait_until_ready
from stack.console import Interruption, StackError, Stopwatch, step
from stack.folders import MANAGE, Folder
from stack.ports import holder, require_free
from stack.processes import Supervisor
from stack.proxy import Proxy
from stack.services import Options, Programs

__all__ = ["LocalStack", "Options"]

READY_SECONDS = 90.0
_PAUSE = 0.1
_ADMIN, _LENGTH = "admin.json", "extra_steps.json"


class LocalStack:
    """Runs the stack between `start()` and `stop()`, or inside a `with` block.

    Inside `with`, in the main thread, Ctrl-C, SIGTERM and SIGHUP raise Interrupted (a
    KeyboardInterrupt), once; in any case nothing of the stack is left running. The attributes are
    set from `start()` on.
    """

    folder: Folder
    urls: dict[str, str]
    """Base URL by service name."""
    passes: Passes
    """Makes the tokens of people and services."""
    admin: dict[str, str] | None
    """`user` and `password` of the admin's superuser, if there is one."""

    def __init__(self, options: Options | None = None, **chosen: Any) -> None:
        """Nothing is started yet. `chosen`: fields of Options, `LocalStack(fresh=True)`."""
        self.options = replace(options or Options(), **chosen)
        self._interruption = Interruption()
        self._is_set_up = self._is_ready = False

    @property
    def database_urls(self) -> dict[str, str]:
        """By alias, with the login of its own service."""
        return dict(self._backends.database_urls)

    @property
    def audit_urls(self) -> dict[str, str]:
        """By alias, with a read-only login."""
        return dict(self._backends.audit_urls)

    @property
    def superuser_urls(self) -> dict[str, str]:
        """By alias, as superuser; no process of the stack gets these."""
        return dict(self._backends.superuser_urls)

    @property
    def rabbitmq_url(self) -> str | None:
        """None if PostgreSQL is the broker."""
        return self._backends.rabbitmq_url

    @property
    def broker_url(self) -> str:
        """Of RabbitMQ, or of the database that is the broker, with the audit's login."""
        return next(iter(self._backends.broker_environment(rights.AUDIT).values()))

    @property
    def broker(self) -> str:
        """The broker in words: `RabbitMQ 3.10.8 (private node)`."""
        return self._backends.broker

    @property
    def database(self) -> str:
        """The database server in words: `PostgreSQL 18.6 (embedded)`."""
        return self._backends.database

    @property
    def environment(self) -> dict[str, str]:
        """The variables for a command (a load generator, say) on this stack."""
        return self._programs.environment()

    @property
    def audit_environment(self) -> dict[str, str]:
        """The same, for a command that only reads."""
        return self._programs.audit_environment()

    @property
    def logs(self) -> Path:
        """The folder with a log per process."""
        return self.folder.logs

    @property
    def processes(self) -> dict[str, int]:
        """The current process ids by name: `carrito.web`, `carrito.worker`, `postgres`, ..."""
        return self._supervisor.pids()

    def run(self, *command: str, **variables: str) -> str:
        """Runs a command (`python`, `manage.py`, ...) with this stack's environment and these
        `variables`; returns its last lines. Raises StackError if it fails."""
        return self._supervisor.run(self._programs.task(command, **variables))

    def make_topology(self) -> None:
        """Makes the broker's queues that are missing or wrong."""
        login = self._backends.broker_environment(rights.TOPOLOGY)
        self.run(*services.TOPOLOGY_COMMAND, **login)

    def start_beside(
        self, program: Program, *, attempt: Callable[[], object], failing: type[Exception]
    ) -> None:
        """Starts a program that is not part of the shop, and waits as in `wait_until_ready`. It
        ends with the stack; before the servers if its name has a dot. Raises StackError."""
        self._supervisor.start(program)
        wait_until_ready(
            program,
            attempt=attempt,
            failing=failing,
            check=self._supervisor.check,
            seconds=READY_SECONDS,
        )

    def kill(self, name: str, number: int) -> None:
        """Sends a signal to a process and its descendants."""
        self._supervisor.kill(name, number)

    def stop_process(self, name: str) -> None:
        """Stops a process until `restart`."""
        self._supervisor.stop([name])

    def restart(self, name: str) -> None:
        """Stops a process, if it runs, and starts it again; `wait_ready` waits until it is up."""
        self._supervisor.restart(name)

    def wait_ready(self, *, seconds: float = READY_SECONDS) -> None:
        """Returns when every service is healthy. Raises StackError at once if a process has ended
        and is not restarted, and after `seconds`, with the reason for each service."""
        deadline = time.monotonic() + seconds
        waiting = list(self.options.services)
        while waiting:
            self._supervisor.check()
            complaints = {service.name: self._complaint(service) for service in waiting}
            waiting = [service for service in waiting if complaints[service.name]]
            if waiting and time.monotonic() > deadline:
                lines = [f"  {service.name}: {complaints[service.name]}" for service in waiting]
                raise StackError(
                    f"not ready after {seconds:g} s:\n"
                    + "\n".join(lines)
                    + f"\nTheir logs: {self.logs}"
                )
            if waiting:
                time.sleep(_PAUSE)

    def start(self) -> None:
        """Returns when everything is up and healthy. Raises StackError; nothing runs then."""
        atexit.register(self.stop)  # in case the caller does not
        place = self.options.folder
        folder = folders.temporary(inside=place) if self.options.fresh else record.claim(place)
        try:
            self._set_up(folder)
            self._bring_up()
        except BaseException:
            self._interruption.ignore()
            self.stop()
            folder.unlock()
            raise

    def stop(self) -> None:
        """Stops everything, the services before their servers, and removes temporary data.
        Idempotent."""
        atexit.unregister(self.stop)
        if not self._is_set_up:
            return
        self._supervisor.restarts = False
        running, watch = self._supervisor.pids(), Stopwatch()
        for proxy in self._second.values():
            proxy.close()
        self._supervisor.stop(name for name in running if "." in name)
        self._supervisor.close()
        if running:
            self.options.announce(f"stopped {len(running)} processes in {watch}")
        self.folder.remove_sockets()
        self.folder.remove(record.FILE)
        if self.options.fresh:
            self.folder.purge()
        self.folder.unlock()
        self._is_set_up = self._is_ready = False

    def __enter__(self) -> Self:
        self._interruption.listen()
        try:
            self.start()
        except BaseException:
            self._interruption.restore()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._interruption.ignore()
        finally:
            self.stop()
            self._interruption.restore()

    def _set_up(self, folder: Folder) -> None:
        """Prepares a run; starts nothing yet."""
        options = self.options
        self.folder, self.admin = folder, None
        self.passes = Passes(folder.keys if options.needs_tokens else None)
        self._ports = options.choose_ports()
        self._temporal_port = options.temporal_port()
        if self._temporal_port:
            where = {temporal.VARIABLE: f"{temporal.HOST}:{self._temporal_port}"}
            options = replace(options, environment={**where, **options.environment})
        self._second: dict[str, Proxy] = {}
        self._supervisor = Supervisor(
            announce=options.announce,
            changed=self._write_record,
            longest_pause=options.longest_pause,
        )
        self._backends = Backends(
            folder=folder,
            supervisor=self._supervisor,
            announce=options.announce,
            broker=options.broker,
            use_given=options.use_given,
            one_database=options.one_database,
            broker_nodes=options.broker_nodes,
            standby=options.standby,
            variables=options.environment,
        )
        ports = options.choose_replica_ports()
        self._nginx = (
            replicas.nginx(folder=folder, host=options.host, listens=self._ports, ports=ports)
            if ports
            else None
        )
        self._programs = Programs(
            options=options,
            folder=folder,
            ports=self._ports,
            replica_ports=ports,
            backends=self._backends,
            nginx=self._nginx,
        )
        self.urls = self._programs.urls
        self._is_set_up = True

    def _bring_up(self) -> None:
        options, watch = self.options, Stopwatch()
        if not options.fresh and "DATABASE_URL" not in os.environ:
            require_same_length(self.folder)
        chosen = {service.name: self._ports[service.name] for service in options.services}
        require_free(chosen, host=options.host)
        if self._nginx:
            self._nginx.prepare()
        self._backends.start()
        self._start_temporal()
        with step(options.announce, "databases migrated and seeded"):
            self._prepare_databases()
        self._backends.wait_for_broker()
        self.make_topology()
        with step(options.announce, f"{len(chosen)} services ready"):
            if self._nginx:
                self._supervisor.start(self._nginx.program)
            for program in self._programs.all():
                self._supervisor.start(program)
            self.wait_ready()
        self._second = second_addresses(
            wanted=options.second_ports(), ports=self._ports, options=options
        )
        self._supervisor.restarts = options.restarts
        self._is_ready = True
        self._write_record()
        options.announce(f"everything is up in {watch}")

    def _start_temporal(self) -> None:
        if port := self._temporal_port:
            require_free({temporal.NAME: port}, host=temporal.HOST)
            with step(self.options.announce, f"Temporal's server on {port}"):
                self.start_beside(
                    temporal.program(folder=self.folder, port=port),
                    attempt=lambda: temporal.knock(port),
                    failing=OSError,
                )

    def _prepare_databases(self) -> None:
        names = [service.name for service in self.options.services]
        if self.options.needs_tokens:
            self.run(*services.KEYS_COMMAND)
        seed = ["--seed", *names] if self.options.seed else []
        makes_roles = self._backends.superuser_environment()
        self.run(*services.MIGRATE_COMMAND, *seed, **makes_roles)
        if self.options.with_admin:
            password = self._admin_password()
            task = self._programs.task(services.ADMIN_COMMAND, DUETO_ADMIN_PASSWORD=password)
            self._supervisor.run(task)
            self.admin = {"user": services.ADMIN_USER, "password": password}

    def _admin_password(self) -> str:
        """DUETO_ADMIN_PASSWORD, else that of the last run."""
        known = self.folder.read(_ADMIN) or {"password": secrets.token_urlsafe(12)}
        if given := os.environ.get("DUETO_ADMIN_PASSWORD"):
            known = {"password": given}
        self.folder.write(_ADMIN, known)
        return str(known["password"])

    def _complaint(self, service: Service) -> str | None:
        """The first complaint about its processes, if any."""
        pids, names = self._supervisor.pids(), self.options.processes_of(service)
        missing = [name for name in names if name not in pids]
        if missing:
            return f"{missing[0]} is not running"
        known = self._programs.replica_urls
        urls = [known[name] for name in names if name in known] or [self.urls[service.name]]
        workers = [pids[name] for name in names if replicas.kind_of(name)[1] == replicas.WORKER]
        complaints = (
            status.complaint(url, worker_pids=workers, passes=self.passes) for url in urls
        )
        return next(filter(None, complaints), None)

    def _access(self) -> dict[str, Any]:
        """Whether it has authentication, and which variables are why, unless it was chosen."""
        options = self.options
        why = [] if options.auth or os.environ.get(access.VARIABLE) else options.beyond
        return {"asks": options.needs_tokens, "why": why, "keys": str(self.folder.keys)}

    def _write_record(self) -> None:
        chosen = self.options.services
        facts = {
            "urls": {service.name: self.urls[service.name] for service in chosen},
            "names": {service.name: self.options.processes_of(service) for service in chosen},
            "replicas": self._programs.replica_urls,
            "also": {name: proxy.port for name, proxy in self._second.items()},
            "database": self.database,
            "broker": self.broker,
            "logs": str(self.logs),
            "admin": self.admin,
            "access": self._access(),
            "environment": self.environment if self.database_urls else {},
            "audit": self.audit_environment if self.database_urls else {},
        }
        record.write(
            self.folder, is_ready=self._is_ready, processes=self._supervisor.pids(), facts=facts
        )


def require_same_length(folder: Folder) -> None:
    """Raises StackError if the folder's data are of checkouts with another number of steps, which
    would look like broken sagas."""
    given = os.environ.get(services.LENGTH_VARIABLE) or "0"
    known = (folder.read(_LENGTH) or {}).get("extra_steps", given)
    if known != given:
        raise StackError(
            f"the data in {folder.path} are of checkouts with {services.LENGTH_VARIABLE}={known},"
            f" but it is {given} now: set it to {known},"
            f" or remove the data with `{MANAGE} down --purge`."
        )
    folder.write(_LENGTH, {"extra_steps": given})


def second_addresses(
    *, wanted: Mapping[str, int], ports: Mapping[str, int], options: Options
) -> dict[str, Proxy]:
    """Proxies from a service's second port to its first, by service name.

    A second port that is taken is announced, and otherwise ignored.
    """
    found = {}
    for name, port in wanted.items():
        try:
            found[name] = Proxy(options.reachable_host, ports[name], on=(options.host, port))
        except OSError as error:
            options.announce(
                f"{name} is on {ports[name]} only: its second port {port} is taken by"
                f" {holder(port)} ({error.strerror})"
            )
    return found
