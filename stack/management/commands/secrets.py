"""`manage.py secrets`: makes the secrets of containers."""

from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from stack import secret_files
from stack.secret_files import Servers


class Command(BaseCommand):
    help = (
        "Makes the missing secrets of docker-compose.yml, a file each: passwords, URLs with logins,"
        " and keys. Existing secrets stay, as PostgreSQL and RabbitMQ keep passwords with their"
        " data."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--folder",
            type=Path,
            default=secret_files.USUAL,
            help="their folder (default: %(default)s)",
        )
        for name, meta, about in (
            ("database", "HOST:PORT", "PostgreSQL, with libpq's options after a ?"),
            ("broker", "HOST:PORT", "RabbitMQ"),
            ("superuser", "LOGIN", "the login that makes databases and logins at PostgreSQL"),
        ):
            parser.add_argument(
                f"--{name}",
                default=getattr(Servers, name),
                metavar=meta,
                help=f"{about}, in the missing secrets (default: %(default)s)",
            )
        parser.add_argument(
            "--kubernetes",
            action="store_true",
            help="also write kustomization.yaml there, for `kubectl apply -k` to make Secrets",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"]
        servers = Servers(**{name: options[name] for name in ("database", "broker", "superuser")})
        made = secret_files.make_missing(folder, servers=servers)
        call_command("keys", "missing", folder=folder / "keys", stdout=self.stdout)
        secret_files.open_to_holders(folder / "keys")
        if options["kubernetes"]:
            secret_files.write_kustomization(folder, servers=servers)
        self.stdout.write(f"{len(made)} other secrets made in {folder}")
