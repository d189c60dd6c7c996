"""The programs of the services: what `stack.services` says, made concrete for one run."""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from contracts.services import ALL, Service
from stack import services
from stack.backends import Backends
from stack.children import Program
from stack.folders import Folder
from stack.options import Options
from stack.services import BASE_FOLDER

_INTERPRETED = {"python": (sys.executable,), "granian": (sys.executable, "-m", "granian")}


class Programs:
    """Commands, variables and logs of every process of one run."""

    def __init__(
        self, *, options: Options, folder: Folder, ports: Mapping[str, int], backends: Backends
    ) -> None:
        self.urls = services.service_urls(host=options.reachable_host, ports=ports)
        self._options, self._folder, self._ports = options, folder, ports
        self._backends = backends
        self._secret = os.environ.get("DUETO_SECRET_KEY") or secrets.token_urlsafe(48)

    def environment(self) -> dict[str, str]:
        """The variables that lead a command to every database and service of this run."""
        length = os.environ.get(services.LENGTH_VARIABLE, "")
        return {
            **({services.LENGTH_VARIABLE: length} if length else {}),
            **self._common(),
            **services.database_environment(urls=self._backends.database_urls),
        }

    def all(self) -> list[Program]:
        """Every process of the chosen services."""
        return [one for service in self._options.services for one in self._of(service)]

    def task(self, command: tuple[str, ...], **variables: str) -> Program:
        """A command that ends by itself, like a migration; its log is named after it."""
        name = command[2] if command[:2] == ("python", "manage.py") else Path(command[0]).name
        return Program(
            name=name,
            argv=_runnable(command),
            environment={**_inherited(), **self.environment(), **variables},
            folder=BASE_FOLDER,
            log=self._folder.log(name),
            is_task=True,
        )

    def _of(self, service: Service) -> list[Program]:
        web = services.web_command(
            host=self._options.host,
            port=self._ports[service.name],
            threads=self._options.web_threads,
        )
        commands = (web, services.WORKER_COMMAND)
        return [
            self._process(name, service, command)
            for name, command in zip(services.processes_of(service), commands, strict=False)
        ]

    def _process(self, name: str, service: Service, command: tuple[str, ...]) -> Program:
        return Program(
            name=name,
            argv=_runnable(command),
            environment={**_inherited(), **self._environment_of(service)},
            folder=BASE_FOLDER,
            log=self._folder.log(name),
            orphaned=services.ORPHANED_SIGNAL[name.rpartition(".")[2]],
        )

    def _environment_of(self, service: Service) -> dict[str, str]:
        """A service is told of its own database alone; the dashboard of all."""
        urls = self._backends.database_urls
        own = {service.database_variable: urls[services.alias_of(service)]}
        if not service.has_worker:
            own = services.database_environment(urls=urls)
        servers = {**own, **self._backends.environment()}
        led = {name: self._options.detour(url) for name, url in servers.items()}
        return {**self._common(), **led, "DUETO_SERVICE": service.name}

    def _common(self) -> dict[str, str]:
        return {
            **services.url_environment(urls=self.urls),
            **self._backends.environment(),
            "DUETO_SECRET_KEY": self._secret,
            "DUETO_SAGA": self._options.saga,
            **self._options.environment,
        }


def _inherited() -> dict[str, str]:
    """Our own variables without those that say where things are: those are of this run."""
    places = {one.database_variable for one in ALL}
    places |= {one.url_variable for one in ALL if one.url_variable}
    places |= {"RABBITMQ_URL", "DUETO_BROKER_DATABASE_URL", "DUETO_SERVICE"}
    kept = {name: value for name, value in os.environ.items() if name not in places}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _runnable(command: tuple[str, ...]) -> tuple[str, ...]:
    """With the interpreter that runs us, whatever PATH says."""
    return (*_INTERPRETED.get(command[0], command[:1]), *command[1:])
