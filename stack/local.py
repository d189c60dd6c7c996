"""All of Dueto on this machine, as one object: `with LocalStack() as stack: ...`."""

import atexit
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stack import folders
from stack.errors import StackError
from stack.interruption import Interruption
from stack.options import Options
from stack.record import claim
from stack.run import Run

__all__ = ["LocalStack", "Options"]


class LocalStack:
    """Runs the stack between `start()` and `stop()`, or inside a `with` block.

    Inside `with`, in the main thread, Ctrl-C, SIGTERM and SIGHUP raise Interrupted (a
    KeyboardInterrupt), once; whatever happens, nothing of the stack is left running.
    """

    def __init__(self, options: Options | None = None, **chosen: Any) -> None:
        """Nothing is started yet. `chosen`: fields of Options, `LocalStack(fresh=True)`."""
        self.options = replace(options or Options(), **chosen)
        self._interruption = Interruption()
        self._current: Run | None = None

    # What a caller needs to talk to it.

    @property
    def urls(self) -> dict[str, str]:
        """Base URL by service name."""
        return dict(self._run.programs.urls)

    @property
    def database_urls(self) -> dict[str, str]:
        """By alias."""
        return dict(self._run.backends.database_urls)

    @property
    def rabbitmq_url(self) -> str | None:
        """None: PostgreSQL is the broker."""
        return self._run.backends.rabbitmq_url

    @property
    def broker(self) -> str:
        """The broker in words: `RabbitMQ 3.10.8 (private node)`."""
        return self._run.backends.broker

    @property
    def database(self) -> str:
        """The database server in words: `PostgreSQL 18.6 (embedded)`."""
        return self._run.backends.database

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a command (an audit, a load generator) to this stack."""
        return self._run.programs.environment()

    @property
    def admin(self) -> dict[str, str] | None:
        """`user` and `password` of the superuser, where one was asked for."""
        return self._run.admin

    @property
    def logs(self) -> Path:
        """The folder with a log a process."""
        return self._run.folder.logs

    @property
    def processes(self) -> dict[str, int]:
        """Process id by name of what runs now: `carrito.web`, `carrito.worker`, `postgres`, ..."""
        return self._run.supervisor.pids()

    # What a caller does with it.

    def run(self, *command: str) -> str:
        """Runs a command (`python`, `manage.py`, ...) with this stack's environment to its end
        and returns its last lines. Raises StackError when it fails."""
        return self._run.supervisor.run(self._run.programs.task(command))

    def kill(self, name: str, number: int) -> None:
        """Sends a signal to a process and those below it."""
        self._run.supervisor.kill(name, number)

    def stop_process(self, name: str) -> None:
        """Stops one and leaves it stopped, until `restart`."""
        self._run.supervisor.stop([name])

    def restart(self, name: str) -> None:
        """Stops one, if it runs, and starts it again; `wait_ready` tells when it is back."""
        self._run.supervisor.restart(name)

    def wait_ready(self, *, seconds: float = 90.0) -> None:
        """Returns when every service is healthy. Raises StackError when one isn't in time."""
        self._run.wait_ready(seconds=seconds)

    # Coming and going.

    def start(self) -> None:
        """Returns when everything is up and healthy. Raises StackError; nothing is left then."""
        atexit.register(self.stop)  # for a caller who never comes to it
        place = self.options.folder
        folder = folders.temporary(inside=place) if self.options.fresh else claim(place)
        try:
            self._current = Run(options=self.options, folder=folder)
            self._current.start()
        except BaseException:
            self._interruption.ignore()
            self.stop()
            folder.unlock()
            raise

    def stop(self) -> None:
        """Stops everything and removes what was temporary. Idempotent."""
        atexit.unregister(self.stop)
        if self._current is not None:
            self._current.stop()
            self._current = None

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

    @property
    def _run(self) -> Run:
        if self._current is None:
            raise StackError("this stack does not run: call start() or use it in a with block")
        return self._current
