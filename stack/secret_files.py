"""The secrets of docker-compose.yml and deploy/kubernetes: a file each, for its holder only.

Only the owner may enter their folder; the files themselves are readable by all, as containers run
as other users.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from catalogue.services import ADMIN_LOGIN, ALL, Service
from contracts import rights
from stack import postgres

USUAL = Path("secrets")
_FOLDER_MODE, _FILE_MODE = 0o700, 0o444
_OF_SUPERUSER = "postgres_password"


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The servers in the URLs of the secrets. The defaults are the containers of
    docker-compose.yml.

    `database`: host and port, and libpq's options if any (`db:5432?sslmode=verify-full`).
    `superuser`: the login that creates the databases and their logins there.
    """

    database: str = "db:5432"
    broker: str = "rabbitmq:5672"
    superuser: str = postgres.USER

    def database_url(self, login: str, password: str, name: str) -> str:
        host, question, options = self.database.partition("?")
        return f"postgresql://{login}:{password}@{host}/{name}{question}{options}"

    def broker_url(self, login: str, password: str) -> str:
        return f"amqp://{login}:{password}@{self.broker}/%2F"


def make_missing(folder: Path, *, servers: Servers) -> list[str]:
    """Makes the missing secrets; returns their names. Existing ones stay, as the servers keep the
    passwords with their data."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(_FOLDER_MODE)
    made = []
    for name, text in _contents(folder, servers):
        path = folder / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(text)
            path.chmod(_FILE_MODE)
            made.append(name)
    _write_definitions(folder)
    return made


def open_to_holders(folder: Path) -> None:
    """Makes the keys of `manage.py keys` readable like the other files. All containers mount the
    folder of the public keys.
    """
    (folder / "public").chmod(0o755)
    for path in folder.rglob("*.json"):
        path.chmod(_FILE_MODE)


def _contents(folder: Path, servers: Servers) -> Iterator[tuple[str, str]]:
    """The content of each file, if it is new. Files that contain the passwords of others come
    later, and read these.
    """
    for name in ("secret_key", "admin_password", _OF_SUPERUSER):
        yield name, _password()
    yield "database_url", servers.database_url(ADMIN_LOGIN, _password(), "dueto")
    superuser = (folder / _OF_SUPERUSER).read_text()
    yield "superuser_database_url", servers.database_url(servers.superuser, superuser, "postgres")
    admin = str(urlsplit((folder / "database_url").read_text()).password)
    for service in ALL:
        if service.has_tables:
            name, database = service.login, service.database
            yield f"{name}_database_url", servers.database_url(name, _password(), database)
            yield f"admin_{name}_database_url", servers.database_url(ADMIN_LOGIN, admin, database)
    for login in rights.logins():
        yield f"{login.name}_rabbitmq_url", servers.broker_url(login.name, _password())


def _write_definitions(folder: Path) -> None:
    """Rewrites the broker's logins each time, as a new release may have others."""
    passwords = {
        login.name: str(urlsplit((folder / f"{login.name}_rabbitmq_url").read_text()).password)
        for login in rights.logins()
    }
    path = folder / "rabbitmq_definitions.json"
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(rights.definitions(passwords=passwords)))
    path.chmod(_FILE_MODE)


def _password() -> str:
    return secrets.token_hex(24)


def held_by(service: Service) -> dict[str, str]:
    """The secrets of its processes: the file of each, by name."""
    own = {f"{service.name}_key": f"keys/{service.name}.json"}
    broker = f"{service.broker_login}_rabbitmq_url"
    if service.has_tables:
        return own | _files(f"{service.login}_database_url", broker)
    all_databases = [f"admin_{other.login}_database_url" for other in ALL if other.has_tables]
    keys = own | {"accounts_key": "keys/dueto-accounts.json"}
    return keys | _files("secret_key", broker, "database_url", *all_databases)


def held_by_tasks() -> dict[str, dict[str, str]]:
    """The same for the tasks that migrate the databases and make the broker's queues."""
    databases = [f"{service.login}_database_url" for service in ALL if service.has_tables]
    return {
        "migrate": _files("admin_password", "superuser_database_url", "database_url", *databases),
        "topology": _files(f"{rights.TOPOLOGY}_rabbitmq_url"),
    }


def _files(*names: str) -> dict[str, str]:
    return {name: name for name in names}


PUBLIC_KEYS = ("people.json", "services.json", "revoked.json")
"""Public; needed to check tokens."""


def write_kustomization(folder: Path, *, servers: Servers) -> None:
    """Writes kustomization.yaml, from which `kubectl apply -k` makes a Secret for each holder, and
    those of PostgreSQL and RabbitMQ."""
    held = {service.name.replace("_", "-"): held_by(service) for service in ALL}
    held |= held_by_tasks()
    keys = "keys/public"
    public = [f"{keys}/{name}" for name in PUBLIC_KEYS if (folder / keys / name).exists()]
    found = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "dueto",
        "generatorOptions": {"disableNameSuffixHash": True},
        "configMapGenerator": [{"name": "public-keys", "files": public}],
        "secretGenerator": [
            *(
                {"name": name, "files": [f"{key}={file}" for key, file in files.items()]}
                for name, files in held.items()
            ),
            {
                "name": "postgres-superuser",
                "type": "kubernetes.io/basic-auth",
                "literals": [f"username={servers.superuser}"],
                "files": [f"password={_OF_SUPERUSER}"],
            },
            {
                "name": "rabbitmq-definitions",
                "files": ["definitions.json=rabbitmq_definitions.json"],
            },
        ],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(found, indent=2) + "\n")
