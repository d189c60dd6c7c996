"""The secrets of a process: in a variable, or in a file that `<VARIABLE>_FILE` names.

A process of a service reads them once and then removes them from its environment: Granian puts the
environment into each request (`request.META`), and child processes inherit it.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

FILE = "_FILE"
"""The end of the variable that names a secret's file."""

LEAST_BYTES = 32
"""Of a signing key."""
KNOWN = frozenset(
    ("admin", "changeme", "dueto", "guest", "password", "postgres", "root", "secret", "throwaway")
)
"""Passwords that an attacker tries first."""
_CONTAINER = Path("/run/secrets")
"""Compose puts a secret's file there, only into the containers that may read it."""

_files: dict[str, Path] = {}


def read_files(names: Iterable[str]) -> None:
    """Sets each of these variables to the text of the file that its `_FILE` names, without the
    line's end.

    Raises ImproperlyConfigured, which names the variable and no secret: if both are set, or the
    file can't be read or is empty.
    """
    for name in names:
        path = os.environ.pop(name + FILE, "")
        if not path:
            continue
        if os.environ.get(name):
            raise ImproperlyConfigured(f"Both {name} and {name}{FILE} are set: set one of them.")
        os.environ[name] = _read(path, variable=name + FILE)
        _files[name + FILE] = Path(path)


def forget(names: Iterable[str]) -> None:
    """Removes the variables from the environment."""
    for name in names:
        os.environ.pop(name, None)


def problems_of_values(names: Iterable[str], *, keys: Iterable[str] = ()) -> list[str]:
    """The problems of the variables that are set, without their secrets; empty if there are none.
    `keys`: the signing keys among them."""
    found = []
    for name in names:
        value = os.environ.get(name, "")
        secret = _password_in(value) if "://" in value else value
        if secret.lower() in KNOWN:
            found.append(f"{name} has a password that everybody knows")
        elif value and name in keys and len(value.encode()) < LEAST_BYTES:
            found.append(f"{name} is shorter than {LEAST_BYTES} bytes")
    return found


def problems_of_files(more: dict[str, Path]) -> list[str]:
    """The problems of the files that secrets came from, and of `more`, by variable: missing files,
    and files that others may read or write."""
    found = []
    for variable, path in (_files | more).items():
        if not path.exists():
            found.append(f"{variable} names {path}, which is not there")
            continue
        mode = path.stat().st_mode
        folder = path.resolve().parent
        is_closed = folder == _CONTAINER or not folder.stat().st_mode & stat.S_IXOTH
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            found.append(f"{variable} names {path}, which others may write")
        elif mode & stat.S_IROTH and not is_closed:
            found.append(f"{variable} names {path}, which everybody may read")
    return found


def _password_in(url: str) -> str:
    login, at, _ = url.partition("://")[2].rpartition("@")
    return login.partition(":")[2] if at else ""


def _read(path: str, *, variable: str) -> str:
    try:
        text = Path(path).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ImproperlyConfigured(f"{variable} names {path}: {why}.") from None
    if not text:
        raise ImproperlyConfigured(f"{variable} names {path}: the file is empty.")
    return text
