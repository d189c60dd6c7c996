"""`manage.py forget`: deletes the addresses of sagas that ended long ago."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from coordination.management import operating
from coordination.models import AcceptedSaga, PersonalData
from participant import sql

AT_ONCE = 1_000

HELP = """\
Deletes the addresses of sagas that ended longer ago than a given time; orders, payments and
deliveries stay. Addresses are stored nowhere else. The address of a saga that runs, waits or is
parked stays, however old. Started again after Ctrl-C, the command continues with the rest.

  python manage.py forget --older-than 90d --dry-run
"""


class Command(BaseCommand):
    help = HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            type=operating.age,
            metavar="90d",
            required=True,
            help="the least time since the saga's end",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count, and delete nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        seconds = options["older_than"].total_seconds()
        done = "would be deleted" if options["dry_run"] else "deleted"
        for service, addresses, sagas in _keepers():
            looked_at = found = 0
            after = ""
            while batch := _batch(service, addresses, sagas, after, seconds, options["dry_run"]):
                count, after, gone = batch
                looked_at, found = looked_at + count, found + gone
                if count == AT_ONCE:
                    self.stdout.write(f"{service}: {looked_at} examined, {found} {done}")
            self.stdout.write(f"{service}: {found} of {looked_at} addresses {done}")


def _keepers() -> Iterator[tuple[str, str, str]]:
    """The services of this process that keep addresses, each with its two tables."""
    for service in [settings.SERVICE] if settings.SERVICE else settings.SERVICES:
        tables = {
            kind: model._meta.db_table
            for model in apps.get_app_config(service).get_models()
            for kind in (PersonalData, AcceptedSaga)
            if issubclass(model, kind)
        }
        if PersonalData in tables:
            yield service, tables[PersonalData], tables[AcceptedSaga]


def _batch(
    service: str, addresses: str, sagas: str, after: str, seconds: float, is_dry: bool
) -> tuple[int, str, int] | None:
    """The number of the next addresses, the last one's saga, and how many of them are old (and
    deleted, unless `is_dry`); None if there are no more."""
    gone = "SELECT saga_id FROM old"
    if not is_dry:
        gone = f"DELETE FROM {addresses} WHERE saga_id IN ({gone}) RETURNING saga_id"
    ((count, last, number),) = sql.execute(
        service=service,
        sql=f"""
        WITH looked_at AS MATERIALIZED (
            SELECT saga_id FROM {addresses} WHERE saga_id > %s ORDER BY saga_id LIMIT %s
        ), old AS MATERIALIZED (
            SELECT saga_id FROM looked_at JOIN {sagas} AS saga USING (saga_id)
            WHERE saga.ended_at < now() - make_interval(secs => %s)
        ), gone AS ({gone})
        SELECT count(*), max(saga_id), (SELECT count(*) FROM gone) FROM looked_at
        """,
        values=[after, AT_ONCE, seconds],
    )
    return (count, last, number) if count else None
