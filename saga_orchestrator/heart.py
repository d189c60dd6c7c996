"""A runner's sign of life: a row with a time, once a second.

One whose heart has been silent for `sagalog.SILENT_SECONDS` loses its sagas to the others.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError

from participant import points
from saga_orchestrator import sagalog

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0


class Heart:
    """Beats from `start` to `stop`. `runner_id`: None until the database has heard the first.

    `parked`: how many sagas wait for a person, as of the last beat.
    """

    def __init__(self, *, on_first: Callable[[], None]) -> None:
        self.runner_id: int | None = None
        self.parked = 0
        self._on_first = on_first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Signs the runner off."""
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raises RuntimeError once it has died: a bug, and nobody may go on without it."""
        if not self._thread.is_alive():
            raise RuntimeError("the runner's heart has died")

    def _run(self) -> None:
        while not self._stop.is_set():
            self._if_the_database_is_there(self._beat)
            self._stop.wait(BEAT_SECONDS)
        self._if_the_database_is_there(self._sign_off)
        sagalog.close()

    def _if_the_database_is_there(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except (DatabaseError, InterfaceError) as error:
            log.warning("heart of runner %s: %s", self.runner_id, error)
            sagalog.close()

    def _beat(self) -> None:
        is_first = self.runner_id is None
        points.reach("heart.before_beat")
        self.runner_id, self.parked = sagalog.beat(
            runner_id=self.runner_id, host=socket.gethostname(), pid=os.getpid()
        )
        points.reach("heart.beaten")
        if is_first:
            self._on_first()

    def _sign_off(self) -> None:
        if self.runner_id is not None:
            points.reach("heart.before_release")
            sagalog.release(runner_id=self.runner_id)
            points.reach("heart.before_sign_off")
            sagalog.forget_runner(runner_id=self.runner_id)
            points.reach("heart.signed_off")
