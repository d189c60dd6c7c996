"""One run of the stack, from its claimed folder to its last process."""

import secrets
from collections.abc import Mapping
from typing import Any

from stack import services
from stack.backends import Backends
from stack.folders import Folder
from stack.options import Options
from stack.ports import holder, require_free
from stack.processes import Supervisor
from stack.programs import Programs
from stack.progress import Stopwatch, step
from stack.proxy import Proxy
from stack.readiness import wait_until_ready
from stack.record import Record


class Run:
    """Everything that exists only while a stack runs."""

    def __init__(self, *, options: Options, folder: Folder) -> None:
        """Starts nothing yet."""
        self.options, self.folder = options, folder
        self.ports = options.choose_ports()
        self.admin: dict[str, str] | None = None
        self.supervisor = Supervisor(
            announce=options.announce,
            changed=self._write_record,
            longest_pause=options.longest_pause,
        )
        self.backends = Backends(
            folder=folder,
            supervisor=self.supervisor,
            announce=options.announce,
            broker=options.broker,
            use_given=options.use_given,
            one_database=options.one_database,
        )
        self.programs = Programs(
            options=options, folder=folder, ports=self.ports, backends=self.backends
        )
        self._record = Record(folder)
        self._second: dict[str, Proxy] = {}

    def start(self) -> None:
        """Returns when all is up and healthy. Raises StackError; `stop()` then clears away what
        was started."""
        watch = Stopwatch()
        chosen = {one.name: self.ports[one.name] for one in self.options.services}
        require_free(chosen, host=self.options.host)
        self.backends.start()
        with step(self.options.announce, "databases migrated and seeded"):
            self._prepare_databases()
        self.backends.wait_for_broker()
        with step(self.options.announce, f"{len(chosen)} services ready"):
            for program in self.programs.all():
                self.supervisor.start(program)
            self.wait_ready(seconds=90.0)
        self._second = second_addresses(
            wanted=self.options.second_ports(),
            ports=self.ports,
            options=self.options,
        )
        self.supervisor.restarts = self.options.restarts
        self._record.is_ready = True
        self._write_record()
        self.options.announce(f"all of it is up in {watch}")

    def wait_ready(self, *, seconds: float) -> None:
        wait_until_ready(
            services=self.options.services,
            urls=self.programs.urls,
            supervisor=self.supervisor,
            logs=self.folder.logs,
            seconds=seconds,
        )

    def stop(self) -> None:
        """Services first, then the servers below them; then the folder is left as it was found."""
        self.supervisor.restarts = False
        running, watch = self.supervisor.pids(), Stopwatch()
        for proxy in self._second.values():
            proxy.close()
        self.supervisor.stop(one for one in running if "." in one)
        self.supervisor.close()
        if running:
            self.options.announce(f"stopped {len(running)} processes in {watch}")
        self.backends.clear()
        self._record.remove()
        if self.options.fresh:
            self.folder.purge()
        self.folder.unlock()

    def _prepare_databases(self) -> None:
        self.supervisor.run(self.programs.task(services.MIGRATE_COMMAND))
        if self.options.seed:
            for command in services.seed_commands(
                names=[one.name for one in self.options.services]
            ):
                self.supervisor.run(self.programs.task(command))
        if self.options.with_admin:
            password = secrets.token_urlsafe(12)
            task = self.programs.task(services.ADMIN_COMMAND, DUETO_ADMIN_PASSWORD=password)
            self.supervisor.run(task)
            self.admin = {"user": services.ADMIN_USER, "password": password}

    def _write_record(self) -> None:
        self._record.write(processes=self.supervisor.pids(), facts=self._facts())

    def _facts(self) -> dict[str, Any]:
        names = [one.name for one in self.options.services]
        return {
            "urls": {name: self.programs.urls[name] for name in names},
            "also": {name: proxy.port for name, proxy in self._second.items()},
            "database": self.backends.database,
            "broker": self.backends.broker,
            "logs": str(self.folder.logs),
            "admin": self.admin,
            "environment": self.programs.environment() if self.backends.database_urls else {},
        }


def second_addresses(
    *, wanted: Mapping[str, int], ports: Mapping[str, int], options: Options
) -> dict[str, Proxy]:
    """What forwards a service's second port to its first, by service name.

    One that can't be had is told of, and stops nothing: the service has its first one.
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
