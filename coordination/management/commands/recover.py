"""`manage.py recover`: retries, skips, undoes or discards many parked sagas or failed messages."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from contracts.states import SagaStatus
from coordination.coordinator import Coordinator
from coordination.management import operating
from coordination.management.operating import Reply

ALL_DONE, SOME_REFUSED, STOPPED = 0, 1, 130
Row = dict[str, Any]
_DID = {"discard": "discarded"}

HELP = """\
Retries, skips, undoes or discards all parked sagas, or failed messages, that match the filters: one
after the other, each in its own transaction and recorded with your name and reason. Shows their
number and total amount, and asks, before it skips, undoes or discards.

  python manage.py recover sagas retry --step process_payment --older 10m --reason 'pagos is back'
  python manage.py recover messages discard --service pagos --reason 'of a test'

Ctrl-C stops it between two rows; started again, it continues with the rest. Exit status: 0 all
done, 1 some were refused, 130 stopped.
"""


class Command(BaseCommand):
    help = HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        sagas = what.add_parser("sagas", help="sagas that are parked")
        sagas.add_argument("action", choices=["retry", "skip", "compensate"], help="what to do")
        sagas.add_argument("--saga", choices=sorted(SAGAS), help="only this saga")
        sagas.add_argument("--pattern", choices=list(PATTERNS), help="only this pattern")
        sagas.add_argument("--step", metavar="NAME", help="only sagas parked at this step")
        messages = what.add_parser("messages", help="messages that are dead letters")
        messages.add_argument("action", choices=["retry", "discard"], help="what to do")
        messages.add_argument("--service", metavar="NAME", help="only messages of this service")
        messages.add_argument("--type", metavar="EVENT", help="only messages of this type")
        for parser_of in (sagas, messages):
            parser_of.add_argument(
                "--error",
                metavar="TEXT",
                help="only with this error code, or with this text in the reason",
            )
            parser_of.add_argument(
                "--older", type=operating.age, metavar="10m", help="only older than this"
            )
            parser_of.add_argument(
                "--dry-run", action="store_true", help="only list the matches, and do nothing"
            )
            parser_of.add_argument("--yes", action="store_true", help="do not ask")
            operating.add_who_and_why(parser_of)

    def handle(self, *args: Any, **options: Any) -> None:
        rows = list(_sagas(options) if options["what"] == "sagas" else _messages(options))
        found = _told(rows, options)
        if options["dry_run"] or not rows:
            for row in rows:
                self.stdout.write(f"{_name(row)}  {row['step']}  {row['since']}  {row['reason']}")
            self.stdout.write(f"{found}.")
            return
        if options["action"] != "retry":
            question = f"{options['action'].capitalize()} {found}?"
            operating.ask_again(question, is_sure=options["yes"])
        body = operating.who_and_why(options)

        def act(row: Row) -> Reply:
            return operating.call(
                row["at"], "POST", f"{row['path']}/{options['action']}", body=body
            )

        did = _DID.get(options["action"], "on their way")
        try:
            told, is_all_done = operating.for_each(rows, act, did=did, say=self.stderr.write)
        except KeyboardInterrupt:
            self.stderr.write("Stopped; started again, it continues with the rest.")
            sys.exit(STOPPED)
        self.stdout.write(told)
        sys.exit(ALL_DONE if is_all_done else SOME_REFUSED)


def _sagas(options: dict[str, Any]) -> Iterator[Row]:
    patterns = [options["pattern"]] if options["pattern"] else list(PATTERNS)
    for service in dict.fromkeys(PATTERNS[name].coordinator for name in patterns):
        coordinator: Coordinator = import_module(f"{service}.urls").COORDINATOR
        asked = {"status": SagaStatus.PARKED.value, "page_size": 500}
        asked |= {"saga": options["saga"]} if options["saga"] else {}
        for found in operating.listed(service, f"/{coordinator.below}/{coordinator.listed}", asked):
            parked = found["parked"] or {"step": "", "reason": "", "since": None}
            path = f"/{coordinator.below}/{operating.quoted(found['saga_id'])}"
            row = {**found, **parked, "at": service, "path": path}
            if found["saga_pattern"] in patterns and _fits(row, options):
                yield from _with_state(row, options)


def _with_state(row: Row, options: dict[str, Any]) -> Iterator[Row]:
    """The saga with its amount, if its failure's code fits; no query if neither is needed."""
    if options["action"] == "retry" and not options["error"]:
        yield row
        return
    reply = operating.call(row["at"], "GET", row["path"])
    if reply.status == 404:
        return
    state = operating.done(reply)
    code = (state["failure"] or {}).get("code")
    if not options["error"] or options["error"] == code or options["error"] in row["reason"]:
        yield {**row, "amount": state["total_amount"]}


def _messages(options: dict[str, Any]) -> Iterator[Row]:
    services = [options["service"]] if options["service"] else list(settings.SERVICE_URLS)
    asked = {"status": "dead_lettered", "page_size": 100}
    for service in services:
        if operating.call(service, "GET", "/messages/parked", query={"page_size": 1}).status == 404:
            continue  # a service without messages
        for found in operating.listed(service, "/messages/parked", asked):
            row = {**found, "step": found["event_type"], "since": found["failed_at"]}
            row |= {"at": service, "path": f"/messages/parked/{found['id']}"}
            is_of_type = options["type"] in (None, found["event_type"])
            has_error = not options["error"] or options["error"] in found["reason"]
            if is_of_type and has_error and _fits({**row, "step": None}, options):
                yield row


def _fits(row: Row, options: dict[str, Any]) -> bool:
    if options.get("step") and row["step"] != options["step"]:
        return False
    if not options["older"]:
        return True
    since = row["since"] and datetime.fromisoformat(row["since"])
    return bool(since and datetime.now(UTC) - since > options["older"])


def _told(rows: Sequence[Row], options: dict[str, Any]) -> str:
    """`12 sagas (9 at process_payment, 3 at ship), 345.60 in all`."""
    if not rows:
        return f"No {options['what']} like this wait"
    amounts = [Decimal(row["amount"]) for row in rows if row.get("amount")]
    total = f", {sum(amounts)} in all" if amounts else ""
    what = options["what"] if len(rows) > 1 else options["what"].removesuffix("s")
    where = operating.counted([row["step"] for row in rows])
    return f"{len(rows)} {what} ({where}){total}"


def _name(row: Row) -> str:
    return f"{row['at']} {row['saga_id'] or 'no saga'}"
