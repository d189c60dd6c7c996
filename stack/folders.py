"""The `.dueto/` folder of a clone: its lock, small secret files, data, and their removal."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stack.children import Account
from stack.console import StackError

BASE_FOLDER = Path(__file__).resolve().parent.parent
STATE_FOLDER = BASE_FOLDER / ".dueto"
MEASURED = ("reports", "surveys")
"""Its folders for comparisons, soaks and rivals, and for surveys."""
MANAGE = (
    f"{Path(sys.prefix).name}/bin/python manage.py"
    if Path(sys.prefix).parent == BASE_FOLDER
    else "python manage.py"
)
"""Our commands as typed in the clone's folder, without an activated environment."""
_PLAIN = re.compile(r"[\w@%+=:,./-]+")
_ON_DISK = Path("/var/tmp")  # noqa: S108 -- kept over a restart; not in memory  # nosec B108
_KEPT_LOGS = 3
_SOCKETS = "sockets.elsewhere.json"
_SOCKET_PATH_LIMIT = 107
_LONGEST_SOCKET_NAME = len("/.s.PGSQL.65535.lock")


class Folder:
    """A state folder: `.dueto/`, or a temporary one inside it."""

    def __init__(self, path: Path, *, logs: Path | None = None) -> None:
        """Makes the folder if needed; `logs` default to a folder inside it."""
        self.path = path.absolute()
        self.logs = logs or self.path / "logs"
        self.is_temporary = False
        """Whether its data is removed at the end of the run."""
        self._lock: int | None = None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Root's PostgreSQL runs as another user, who may traverse the folder, but not list it.
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self.logs.mkdir(exist_ok=True)
            self.logs.chmod(0o700)
        except OSError as error:
            raise StackError(f"{self.path} can't be used: {error.strerror}") from error

    def lock(self) -> bool:
        """Claims the folder for this process; False if another process has it."""
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._lock = handle
        return True

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read(self, name: str) -> dict[str, Any] | None:
        """A small JSON file of this folder; None if it is missing or incomplete."""
        try:
            found = json.loads((self.path / name).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Replaces the file atomically, readable by its owner only."""
        handle, draft = tempfile.mkstemp(dir=self.path, prefix=f".{name}.")
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=2)
        os.replace(draft, self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    @property
    def keys(self) -> Path:
        """The folder with the keys of services and people."""
        return self.path / "keys"

    def log(self, name: str) -> Path:
        """The log file of a process; that of the previous run is kept beside it."""
        path = self.logs / f"{name}.log"
        with contextlib.suppress(FileNotFoundError):
            path.replace(path.with_suffix(".log.1"))
        path.touch(0o600)
        return path

    def data(self, name: str, *, account: Account | None = None, plain: bool = False) -> Path:
        """A data folder for `name`, owned by `account`, the same in every run.

        It is inside this folder if `account` can reach it and, with `plain`, if the path needs no
        quoting in a shell; else elsewhere on a disk, and recorded here.
        """
        remembered = self.read(f"{name}.elsewhere.json")
        if remembered and is_ours(Path(remembered["path"]), account=account):
            return Path(remembered["path"])
        inside = self.path / name
        is_usable = not plain or _PLAIN.fullmatch(str(inside))
        if is_usable and is_reachable(self.path, account=account):
            inside.mkdir(exist_ok=True)
            hand_over(inside, account=account)
            return inside
        elsewhere = Path(tempfile.mkdtemp(prefix=f"dueto-{name}-", dir=_ON_DISK))
        hand_over(elsewhere, account=account)
        self.write(f"{name}.elsewhere.json", {"path": str(elsewhere)})
        return elsewhere

    def sockets(self, *, account: Account | None) -> Path:
        """A new private folder for one run, with a path short enough for a unix socket; removes
        that of a killed run."""
        self.remove_sockets()
        made = _short_folder(account=account)
        self.write(_SOCKETS, {"path": str(made)})
        return made

    def remove_sockets(self) -> None:
        self._remove_elsewhere(_SOCKETS)

    def purge(self) -> None:
        """Removes everything, including data elsewhere, but neither logs elsewhere nor what was
        MEASURED, which took minutes and is not part of a run's data."""
        for note in self.path.glob("*.elsewhere.json"):
            self._remove_elsewhere(note.name)
        for path in self.path.iterdir() if self.path.exists() else ():
            if path.is_dir() and not path.is_symlink():
                if path.name not in MEASURED:
                    shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _remove_elsewhere(self, note: str) -> None:
        remembered = self.read(note)
        if remembered and Path(remembered["path"]).name.startswith("dueto-"):
            shutil.rmtree(remembered["path"], ignore_errors=True)
        self.remove(note)


def temporary(*, inside: Path = STATE_FOLDER) -> Folder:
    """A locked folder for one run; removes those whose run was killed.

    Its logs are in the logs of `inside`, and stay there for a few more runs, as they are needed
    most after a failed run.
    """
    outer = Folder(inside)
    parent = outer.path / "fresh"
    parent.mkdir(exist_ok=True)
    parent.chmod(0o711)
    with _only_one(outer.path / "fresh.lock"):
        for old in [Folder(path, logs=outer.logs / path.name) for path in parent.iterdir()]:
            if old.lock():  # its run was killed
                old.purge()
                old.unlock()
        _forget_old_logs(outer.logs, living=parent)
        path = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        folder = Folder(path, logs=outer.logs / path.name)
        folder.is_temporary = True
        folder.lock()
    return folder


def _forget_old_logs(logs: Path, *, living: Path) -> None:
    finished = [path for path in logs.glob("run-*") if not (living / path.name).exists()]
    finished.sort(key=lambda path: path.stat().st_mtime)
    for old in finished[:-_KEPT_LOGS]:
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _short_folder(*, account: Account | None) -> Path:
    parent = tempfile.gettempdir()
    if len(parent) + len("/dueto-12345678") + _LONGEST_SOCKET_NAME > _SOCKET_PATH_LIMIT:
        parent = "/tmp"  # noqa: S108 -- mkdtemp makes a private folder in it  # nosec B108
    folder = Path(tempfile.mkdtemp(prefix="dueto-", dir=parent))
    if not is_reachable(folder.parent, account=account):
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="dueto-", dir=_ON_DISK))
    hand_over(folder, account=account)
    return folder


def is_ours(path: Path, *, account: Account | None = None) -> bool:
    """Whether this is a folder of `account` (or ours) that no other user can write to; another user
    may have created or replaced it."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    owner = account.uid if account else os.geteuid()
    is_safe = not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and is_safe


def is_reachable(path: Path, *, account: Account | None) -> bool:
    """Whether `account` may traverse every folder above `path`, and `path` itself."""
    if account is None:
        return True
    return all(above.stat().st_mode & stat.S_IXOTH for above in (path, *path.parents))


def is_readable_tree(root: Path, *, account: Account | None) -> bool:
    """Whether `account` may read everything below `root` (a wheel installed under a tight umask is
    not readable to others)."""
    if account is None:
        return True
    everything = (root, *root.rglob("*"))
    return is_reachable(root, account=account) and all(map(_is_readable, everything))


def _is_readable(path: Path) -> bool:
    mode = path.stat().st_mode
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
    return mode & needed == needed


def hand_over(path: Path, *, account: Account | None) -> None:
    """Gives `path` to `account`, with access for no one else."""
    path.chmod(0o700 if path.is_dir() else 0o600)
    if account is not None:
        os.chown(path, account.uid, account.gid)
