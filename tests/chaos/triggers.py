"""Triggers of failpoints in a running stack: a process dies there, or waits until released."""

from pathlib import Path

from participant.failpoints import HOLD, KILL
from tests.waiting import eventually


class Triggers:
    """The folder that DUETO_POINTS names. A point is `relay.marked`, or
    `executing.before_commit of do create_order`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def kill(self, process: str, point: str) -> None:
        """The next process that reaches the point dies; its replacement does not."""
        self._give(process, point, KILL)

    def hold(self, process: str, point: str) -> None:
        """The first thread of the process that reaches the point waits there."""
        self._give(process, point, HOLD)

    def release(self, process: str, point: str) -> None:
        """Lets the process go on."""
        self._taken(process, f"{point} released").touch()

    def is_taken(self, process: str, point: str) -> bool:
        """Whether the process has reached the point since it was armed."""
        return self._taken(process, point).exists()

    def wait(self, process: str, point: str, *, seconds: float = 180) -> None:
        """Waits until the process is at the point."""
        eventually(
            lambda: self.is_taken(process, point),
            seconds=seconds,
            what=f"{process} reaches {point}",
        )

    def withdraw(self, process: str, point: str) -> None:
        """Disarms a failpoint that no process has reached."""
        (self.folder / "armed" / process / point).unlink(missing_ok=True)

    def seen(self) -> set[tuple[str, str]]:
        """Every (process, point) that was ever reached."""
        return {(path.parent.name, path.name) for path in (self.folder / "seen").glob("*/*")}

    def _give(self, process: str, point: str, what: str) -> None:
        for old in (self._taken(process, point), self._taken(process, f"{point} released")):
            old.unlink(missing_ok=True)
        draft = self.folder / "draft"
        draft.write_text(what)
        draft.rename(self.folder / "armed" / process / point)

    def _taken(self, process: str, name: str) -> Path:
        return self.folder / "taken" / process / name
