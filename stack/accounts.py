"""As whom a server runs that refuses to run as root, and where it can reach its files."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def unprivileged() -> Account | None:
    """Whom PostgreSQL runs as: None (ourselves), or `nobody` when we are root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise StackError(
            f"PostgreSQL refuses to run as root, and there is no user {UNPRIVILEGED!r} to run it"
            " as. Run this as an ordinary user, or set DATABASE_URL to a server of your own."
        ) from None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def is_reachable(path: Path, *, account: Account | None) -> bool:
    """Whether `account` may pass through every folder above `path` and into it."""
    if account is None:
        return True
    return all(one.stat().st_mode & stat.S_IXOTH for one in (path, *path.parents))


def is_readable_tree(root: Path, *, account: Account | None) -> bool:
    """Whether `account` may read all that is below `root` (a wheel installed under a tight umask
    is not readable to others)."""
    if account is None:
        return True
    for folder, _, files in os.walk(root):
        for name in (".", *files):
            mode = os.stat(os.path.join(folder, name)).st_mode
            needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
            if mode & needed != needed:
                return False
    return is_reachable(root, account=account)


def hand_over(path: Path, *, account: Account | None) -> None:
    """Makes `path` a thing of `account` alone."""
    path.chmod(0o700 if path.is_dir() else 0o600)
    if account is not None:
        os.chown(path, account.uid, account.gid)
