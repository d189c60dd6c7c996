"""What runs in a clone, written down for `down`, `status` and the next `up`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack import identity
from stack.errors import StackError
from stack.folders import Folder

FILE = "run.json"
_LEFTOVER_SECONDS = 10.0


class Record:
    """The note of one run in its state folder."""

    def __init__(self, folder: Folder) -> None:
        self.is_ready = False
        self._folder = folder

    def write(self, *, processes: Mapping[str, int], facts: Mapping[str, Any]) -> None:
        """Writes it anew: who supervises, which processes there are, and `facts`."""
        known = {name: identity.of(pid) for name, pid in processes.items()}
        self._folder.write(
            FILE,
            {
                "supervisor": identity.of(os.getpid()),
                "ready": self.is_ready,
                "processes": {name: one for name, one in known.items() if one},
                **facts,
            },
        )

    def remove(self) -> None:
        self._folder.remove(FILE)


def read(folder: Folder) -> dict[str, Any] | None:
    """The note of the run that is alive, or None."""
    found = folder.read(FILE)
    return found if found and identity.is_alive(found["supervisor"]) else None


def claim(path: Path) -> Folder:
    """The state folder, locked for us, with nothing of an earlier run left alive.

    Raises StackError when a run of this clone is alive.
    """
    folder = Folder(path)
    if not folder.lock():
        other = (folder.read(FILE) or {}).get("supervisor") or {}
        raise StackError(
            f"this clone runs already (process {other.get('pid', 'unknown')}):"
            " `python manage.py status` shows it, `python manage.py down` stops it."
        )
    clear_leftovers(folder)
    return folder


def clear_leftovers(folder: Folder) -> None:
    """After a killed supervisor its processes may still be on their way out, holding ports and
    data: waits for them, and ends those that stay."""
    found = folder.read(FILE)
    for known in (found or {}).get("processes", {}).values():
        identity.end(known, seconds=_LEFTOVER_SECONDS)
    folder.remove(FILE)
