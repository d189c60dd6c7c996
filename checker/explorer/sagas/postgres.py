"""The backend of an environment on PostgreSQL, with the real SQL of barrier, outbox and
coordinators.

Its databases have the explorer's clock: `now()` and `clock_timestamp()` are functions of a schema
that our connections search before PostgreSQL's own, and the defaults of the columns with a row's
creation time use them meanwhile. Between two settings the clock runs a thousand times slower than
the real one: statements keep their order, and a busy machine makes nothing due.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime

from django.apps import apps
from django.db import transaction

from catalogue.services import WITH_DATABASE
from checker.explorer.injection import Clock, FaultInjection
from checker.explorer.sagas.backend import AskedDecision, Backend, Stage
from checker.explorer.sagas.environments import all_environments
from checker.explorer.sagas.participants import Effect, ScriptedParticipants, Word
from checker.explorer.sagas.scenarios import SLACK_SECONDS, Scenario
from checker.explorer.scheduling import Environment
from contracts import projection
from contracts.patterns import PATTERNS
from contracts.saga import Direction
from messaging.models import FailedStatus
from participant.sql import execute
from saga_choreography.store import SERVICE as WATCHER
from saga_orchestrator import store
from saga_orchestrator.in_flight import Call
from saga_orchestrator.store import ALIAS

_MADE = """
    CREATE SCHEMA explorer;
    CREATE FUNCTION explorer.shown(moment timestamptz) RETURNS timestamptz LANGUAGE sql STABLE
    RETURN current_setting('explorer.now')::timestamptz
           + (moment - current_setting('explorer.set_at')::timestamptz) / 1000;
    CREATE FUNCTION explorer.now() RETURNS timestamptz LANGUAGE sql STABLE
    RETURN explorer.shown(pg_catalog.now());
    CREATE FUNCTION explorer.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    RETURN explorer.shown(pg_catalog.clock_timestamp());
    CREATE TABLE explorer.effect (saga_id text, step text, direction text, at float8);
    CREATE TABLE explorer.unit (free int);
    CREATE TABLE explorer.word (id serial, saga_id text, step text, decided_by text, word text);
"""
_OWN, _THEIRS = "explorer.clock_timestamp()", "statement_timestamp()"
_DEFAULTS = """
    FOR made IN SELECT table_name, column_name FROM information_schema.columns
                WHERE table_schema = 'public' AND column_default = '{before}'
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER %I SET DEFAULT {after}', made.table_name,
                       made.column_name);
    END LOOP;
"""
_SHOWN = """
    SELECT set_config('search_path', 'explorer, pg_catalog, public', false),
           set_config('explorer.now', %s, false),
           set_config('explorer.set_at', pg_catalog.clock_timestamp()::text, false)
"""
_CLAIMABLE = f"SELECT count(*) FROM saga_orchestrator_saga WHERE {store.CLAIMABLE}"
_DECISIONS = """
    SELECT saga_id, step, '{service}', action, decided_by, until, verdict, closed_at IS NOT NULL,
           closed_at IS NOT NULL AND is_to_be_told, coalesce(status = 'waiting', false)
    FROM {service}_decision
    LEFT JOIN (SELECT saga_id, step, status FROM {service}_barrierentry WHERE direction = 'do')
        AS entry USING (saga_id, step)
    ORDER BY {service}_decision.id
"""
_UNTIL_LOOKED_AT = "SELECT extract(epoch FROM min(watch_at) - now()) FROM saga_choreography_saga"
_UNTIL_DUE = "SELECT extract(epoch FROM min(next_attempt_at) - now()) FROM saga_orchestrator_saga"
_EMPTIED = "DELETE FROM explorer.effect; DELETE FROM explorer.unit; DELETE FROM explorer.word;"
_DECIDED = "INSERT INTO explorer.word (saga_id, step, decided_by, word) VALUES (%s, %s, %s, %s)"
_WORDS = "SELECT saga_id, step, decided_by, word FROM explorer.word ORDER BY id"
_ALIVE = """
    INSERT INTO saga_orchestrator_runner (id, host, pid, seen_at) VALUES (%s, '', 0, 'infinity')
    ON CONFLICT (id) DO UPDATE SET seen_at = 'infinity'
"""
_EXPIRED = "UPDATE saga_orchestrator_runner SET seen_at = '-infinity' WHERE id = %s"


@contextmanager
def on_postgres() -> Iterator[dict[str, Environment]]:
    """The environments on the databases of the settings, which are emptied for each schedule."""
    clock = Clock()
    ledger = PostgresLedger(clock)
    stage = Stage(clock, FaultInjection(nullcontext), ledger, ScriptedParticipants(ledger=ledger))
    with _installed(), all_environments(stage, PostgresBackend) as made:
        yield made


class PostgresLedger:
    """A `participants.Ledger`, in a table of each service. `services`: the services to be read."""

    def __init__(self, clock: Clock, services: Sequence[str] = WITH_DATABASE) -> None:
        self._clock = clock
        self._services = services

    def lock_units(self, *, service: str) -> int:
        rows = execute(service=service, sql="SELECT free FROM explorer.unit FOR NO KEY UPDATE")
        return int(rows[0][0]) if rows else 0

    def set_units(self, *, service: str, units: int) -> None:
        if not execute(
            service=service, sql="UPDATE explorer.unit SET free = %s RETURNING free", values=[units]
        ):
            execute(service=service, sql="INSERT INTO explorer.unit VALUES (%s)", values=[units])

    def add(self, *, service: str, effects: Sequence[Effect]) -> None:
        for saga_id, step, direction in effects:
            values = [saga_id, step, direction.value, self._clock.stamp()]
            execute(
                service=service,
                sql="INSERT INTO explorer.effect VALUES (%s, %s, %s, %s)",
                values=values,
            )

    def decided(self, *, service: str, words: Sequence[Word]) -> None:
        for word in words:
            execute(service=service, sql=_DECIDED, values=list(word))

    def words(self) -> list[Word]:
        return [
            Word(*row) for service in self._services for row in execute(service=service, sql=_WORDS)
        ]

    def effects(self) -> Mapping[Effect, Sequence[float]]:
        found: dict[Effect, tuple[float, ...]] = {}
        rows = [
            row
            for service in self._services
            for row in execute(
                service=service, sql="SELECT saga_id, step, direction, at FROM explorer.effect"
            )
        ]
        for saga_id, step, direction, at in sorted(rows, key=lambda row: row[3]):
            key = (saga_id, step, Direction(direction))
            found[key] = (*found.get(key, ()), at)
        return found

    def units(self, *, service: str) -> int:
        return int(execute(service=service, sql="SELECT free FROM explorer.unit")[0][0])


class PostgresBackend(Backend):
    """Empties all tables of all services at each beginning, so it needs its own databases. Each
    service has one connection, and so one transaction at a time.
    """

    can_overlap = False

    def __init__(self, *, stage: Stage, scenario: Scenario, pattern: str) -> None:
        ledger = PostgresLedger(stage.clock, projection.services_of(scenario.saga))
        super().__init__(stage=stage._replace(ledger=ledger), scenario=scenario, pattern=pattern)
        self._runs = apps.get_model(PATTERNS[pattern].coordinator, "Saga")

    def empty(self) -> None:
        """Deletes referring rows before the rows they refer to."""
        _show(self.now())
        for service in WITH_DATABASE:
            models = reversed(list(apps.get_app_config(service).get_models()))
            statements = "; ".join(f'DELETE FROM "{model._meta.db_table}"' for model in models)
            _do(service, f"{statements}; {_EMPTIED}")

    def atomic(self, service: str) -> AbstractContextManager[None]:
        return transaction.atomic(using=service)

    def unsent(self) -> list[str]:
        return [
            service
            for service in self.services
            if apps.get_model(service, "OutboxEntry").objects.filter(sent_at=None).exists()
        ]

    def passes(self, seconds: float) -> None:
        super().passes(seconds)
        _show(self.now())

    def is_claimable(self, *, runner: int, in_flight: Sequence[str], but: Sequence[Call]) -> bool:
        values = store.claimable(runner_id=runner, in_flight=in_flight, but=but)
        return bool(execute(service=ALIAS, sql=_CLAIMABLE, values=values)[0][0])

    def seconds_until_due(self) -> float:
        return SLACK_SECONDS + max(0.0, float(execute(service=ALIAS, sql=_UNTIL_DUE)[0][0] or 0))

    def seconds_until_looked_at(self) -> float:
        return float(execute(service=WATCHER, sql=_UNTIL_LOOKED_AT)[0][0] or 0)

    def named_times(self) -> set[str]:
        named = "next_attempt_at" if self._runs._meta.app_label == ALIAS else "watch_at"
        found = self._runs.objects.filter(**{f"{named}__isnull": False})
        return set(found.values_list("saga_id", flat=True))

    def decisions(self) -> list[AskedDecision]:
        return [
            AskedDecision(*row)
            for service in self.deciding
            for row in execute(service=service, sql=_DECISIONS.format(service=service))
        ]

    def fall_silent(self, runner: int) -> None:
        super().fall_silent(runner)
        execute(service=ALIAS, sql=_EXPIRED, values=[runner])

    def speak(self, runner: int) -> None:
        super().speak(runner)
        execute(service=ALIAS, sql=_ALIVE, values=[runner])

    def runs(self) -> Mapping[str, str]:
        return dict(self._runs.objects.values_list("saga_id", "status"))

    def dead_letters(self) -> list[str]:
        return [
            f"{service} dead-lettered {message.event_type} of {message.saga_id}: {message.reason}"
            for service in self.services
            for message in apps.get_model(service, "FailedMessage").objects.exclude(
                status=FailedStatus.HANDLED
            )
        ]


@contextmanager
def _installed() -> Iterator[None]:
    """Within the block the databases of all services have the explorer's clock, once set."""
    for service in WITH_DATABASE:
        _do(service, _MADE + _DEFAULTS.format(before=_THEIRS, after=_OWN))
    try:
        yield
    finally:
        for service in WITH_DATABASE:
            execute(service=service, sql="RESET search_path")
            changed = _DEFAULTS.format(before=_OWN, after=_THEIRS)
            _do(service, changed + "DROP SCHEMA explorer CASCADE;")


def _show(now: datetime) -> None:
    """Sets the clock of all databases."""
    for service in WITH_DATABASE:
        execute(service=service, sql=_SHOWN, values=[now.isoformat()])


def _do(service: str, made: str) -> None:
    body = made.replace("%", "%%")  # it has no parameters
    execute(service=service, sql=f"DO $$ DECLARE made record; BEGIN {body} END $$")
