"""Growth: a saga, a list and a sweep read no more rows among many finished sagas than among none.

Rows are counted by PostgreSQL, independent of the machine's load; times are only printed. The
finished sagas are copies of two that were run: `--sagas 1000000` makes that many, over a month, and
`-s` shows the table. Then the older half of them is deleted.
"""

import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from statistics import median
from typing import NamedTuple

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connections, transaction
from django.db.models import DateTimeField, F
from django.test import Client
from django.utils import timezone
from msgspec import to_builtins
from msgspec.structs import replace

from carrito.models import Cart, Checkout
from carrito.operations import OWNER
from catalogue import SAGAS
from catalogue.services import WITH_DATABASE, WITH_WORKER
from contracts.outcomes import Done
from contracts.saga import Context
from coordination import engine, owner_doors
from coordination.closing import Closing
from coordination.handover import ROUTES
from dashboard import figures
from httpapi import standing
from inventario import store as stock
from inventario.models import OutboxEntry, Product, Reservation
from loadtests.audit import checking
from messaging import outbox, retention
from messaging.brokers import connect
from pagos import store as payments
from participant import admin, databases, decisions, sql
from saga_choreography import models as choreography
from saga_choreography import queries as watched
from saga_choreography import watchdog
from saga_orchestrator import models as orchestrator
from saga_orchestrator import queries, store
from tests.integration.audit.conftest import Shop
from tests.integration.audit.test_closed import Doors

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=[*WITH_DATABASE, "default"]),
    pytest.mark.undocumented,
]
TIMES = 15
MOST_MILLISECONDS = 100
ADMIN = [
    "saga_orchestrator/saga",
    "saga_choreography/saga",
    "carrito/checkout",
    "carrito/cart",
    "carrito/order",
    "carrito/barrierentry",
    "carrito/idempotencykey",
    "inventario/reservation",
    "inventario/outboxentry",
    "pagos/payment",
    "pagos/barrierentry",
    "tarjetas/charge",
]


Calls = dict[str, Callable[[], object]]


class Cost(NamedTuple):
    """The rows that a call reads of all tables, and its median milliseconds."""

    rows: int
    milliseconds: float


def test_nothing_reads_more_of_many_finished_sagas(pytestconfig, admin_client, monkeypatch):
    sagas = pytestconfig.getoption("--sagas")
    share = scaled(sagas, monkeypatch)
    shop = Shop()
    Product.objects.update(initial=10**6, available=10**6)
    templates = {pattern: template(shop, pattern) for pattern in ("orchestrated", "choreographed")}
    calls = (hot_calls(shop), *list_calls(admin_client, templates["orchestrated"]))
    before = costs(*calls)
    for pattern, saga_id in templates.items():
        copy(saga_id, sagas // 2, pattern)
    after = costs(*calls)
    say(f"\n{sagas} finished sagas: rows read, and ms, before and after")
    for name, now in after.items():
        then = before[name]
        ratio = now.milliseconds / then.milliseconds
        say(
            f"{name:<44} {then.rows:>7} {now.rows:>7} {then.milliseconds:8.2f}"
            f" {now.milliseconds:8.2f} {ratio:6.2f}"
        )
    grown = [name for name, now in after.items() if now.rows > most(name, before[name], share)]
    audited(sagas)
    cleaned(sagas, monkeypatch)
    assert not grown, "these read more, the more there is"


def scaled(sagas: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """With few rows the limits are lower: otherwise no call would reach them."""
    share = min(1.0, sagas / 50_000)
    for module, name in (
        (sql, "MOST_COUNTED"),
        (admin, "MOST_LOOKED_AT"),
        (retention, "AT_ONCE"),
    ):
        monkeypatch.setattr(module, name, int(getattr(module, name) * share))
    return share


def most(name: str, before: Cost, share: float) -> float:
    """Rows that it may read among any number of sagas. A list counts 10,000, and reads as many for
    its filters; a cleaner looks at the first batch of a table (each in an index, too).
    """
    if name.startswith("/"):
        return 2 * before.rows + 1_000 + 35_000 * share
    return 4 * retention.AT_ONCE + 500 if name.startswith("cleaner") else 2 * before.rows + 1_000


def template(shop: Shop, pattern: str) -> str:
    """A completed checkout with all its rows in every table; its id."""
    saga_id = str(uuid.uuid4())
    shop.completed(saga_id, pattern=pattern)
    cart, old = str(uuid.uuid4()), f"cart of {saga_id}"
    row = Cart.objects.get(pk=old)
    Cart.objects.create(id=cart, user_id=row.user_id, status=row.status)
    row.items.update(cart_id=cart)
    for service, table, column in (
        ("carrito", "carrito_checkout", "cart_id"),
        ("carrito", "carrito_order", "cart_id"),
        ("inventario", "inventario_reservation", "subject"),
        ("pagos", "pagos_payment", "subject"),
        (f"saga_{PLACE[pattern]}", f"saga_{PLACE[pattern]}_saga", "subject"),
    ):
        run(service, f"UPDATE {table} SET {column} = %s WHERE {column} = %s", cart, old)
    for service, table in (
        ("carrito", "carrito_checkout"),
        (f"saga_{PLACE[pattern]}", f"saga_{PLACE[pattern]}_saga"),
    ):
        run(
            service,
            f"UPDATE {table} SET context = replace(context::text, %s, %s)::jsonb"
            " WHERE saga_id = %s",
            old,
            cart,
            saga_id,
        )
    row.delete()
    remembered(saga_id, pattern)
    run("carrito", "UPDATE carrito_idempotencykey SET key = %s WHERE saga_id = %s", cart, saga_id)
    return saga_id


PLACE = {"orchestrated": "orchestrator", "choreographed": "choreography"}


def remembered(saga_id: str, pattern: str) -> None:
    """Writes the rows that a coordinator keeps of the saga; choreographed, also its sent events."""
    now, saga = timezone.now(), SAGAS["checkout"]
    if pattern == "orchestrated":
        steps = [to_builtins(step) for step in saga.steps]
        definition = orchestrator.Definition.objects.create(
            digest="x", name="checkout", steps=steps
        )
        orchestrator.Saga.objects.filter(pk=saga_id).update(definition=definition)
        orchestrator.SagaStep.objects.bulk_create(
            orchestrator.SagaStep(
                saga_id=saga_id,
                position=position,
                name=step.name,
                status="completed",
                started_at=now,
                finished_at=now,
            )
            for position, step in enumerate(saga.steps)
            if position
        )
        return
    choreography.Saga.objects.filter(pk=saga_id).update(phase=2)
    for step in saga.steps:
        choreography.SagaEvent.objects.create(
            saga_id=saga_id,
            event_type=step.done,
            event_id=str(uuid.uuid4()),
            cause_id="",
            occurred_at=now,
            seen_at=now,
            data={},
        )
        apps.get_model(step.service, "outboxentry")._default_manager.create(
            event_id=str(uuid.uuid4()),
            event_type=f"checkout.{step.done}",
            saga_id=saga_id,
            body="{}" * 400,
            sent_at=now,
        )


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
OFFSET = 1_000
"""Between the numbers of two copies' rows; those of the templates are smaller."""
NAMED = {"carrito_cart": "id", "carrito_cartitem": "cart_id"}
"""Tables that name the cart and not the saga."""


def copy(saga_id: str, count: int, pattern: str) -> None:
    """Makes that many copies, which ended one after the other in the last 30 days: the same rows,
    with new numbers and new random beginnings of their ids.
    """
    cart = Checkout.objects.get(pk=saga_id).cart_id
    first = 1 if pattern == "orchestrated" else 2
    for service in WITH_DATABASE:
        for model in apps.get_app_config(service).get_models():
            table = model._meta.db_table
            names = [field.column for field in model._meta.concrete_fields if field.column]
            if table == "inventario_reservationline":
                where, value = "reservation_id = %s", Reservation.objects.get(saga_id=saga_id).pk
            elif table in NAMED:
                where, value = f"{NAMED[table]} = %s", cart
            elif "saga_id" in names:
                where, value = "saga_id = %s", saga_id
            else:
                continue
            for row in run(service, f"SELECT {_texts(names)} FROM {table} WHERE {where}", value):
                _copy(service, table, dict(zip(names, row, strict=True)), model, first, count)
            if "id" in names and model._meta.pk.get_internal_type() == "BigAutoField":
                run(
                    service,
                    f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}) + 1)",
                )
    bought = {"sold": F("sold") + 2 * count, "initial": F("initial") + 2 * count}
    Product.objects.update(**bought)


def _texts(names: list[str]) -> str:
    return ", ".join(f'"{name}"::text' for name in names)


def _copy(service, table, row, model, first, count) -> None:
    kinds = {field.column: field for field in model._meta.concrete_fields}
    values = [_value(kinds[name], name, value) for name, value in row.items()]
    columns = ", ".join(f'"{name}"' for name in row)
    run(
        service,
        f"""
        INSERT INTO {table} ({columns}) SELECT {", ".join(values)} FROM (
            SELECT n, lpad(to_hex(mod((n * 2 + {first}) * 2654435761, 4294967296)), 8, '0') AS hex,
                   interval '30 days' * ({count} - n) / {count} AS ago
            FROM generate_series(1, {count}::bigint) AS n) AS made
        """.replace("%", "%%"),
    )


def _value(field, name: str, value: str | None) -> str:
    """SQL for a copy's value of this column."""
    if value is None:
        return "NULL"
    kind = field.db_type(connections[field.model._meta.app_label])
    if isinstance(field, DateTimeField):
        return f"'{value}'::timestamptz - ago"
    if name in ("id", "reservation_id") and kind.startswith("bigint"):
        return f"{value} + 1000000 + n * {OFFSET}"
    text = "'" + value.replace("'", "''") + "'"
    text = UUID.sub(r"' || hex || '\1", text)
    return f"({text})::{kind.partition(' GENERATED')[0]}"


def run(service: str, statement: str, *values: object) -> list[tuple]:
    return sql.execute(service=service, sql=statement, values=values)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def analyze() -> None:
    for service in WITH_DATABASE:
        run(service, "VACUUM ANALYZE")


def hot_calls(shop: Shop) -> Calls:
    """The operations of every saga, and the polls of every second."""
    runner, _ = store.renew(runner_id=None, host="here", pid=1)
    context = shop.context(Checkout.objects.first().pk)
    patterns = ROUTES[0].patterns
    chores = {
        f"cleaner: {what.table}": retention.Deleting(service=service, what=what).clean
        for service in ("inventario", "saga_orchestrator")
        for what in apps.get_app_config(service).kept()
    }
    return {
        "a checkout, orchestrated": lambda: shop.completed(str(uuid.uuid4())),
        "a checkout, choreographed": lambda: shop.completed(
            str(uuid.uuid4()), pattern="choreographed"
        ),
        "20 sagas: start, claim, record to the end": lambda: run_to_its_end(runner, context),
        "runner: claim, none due": lambda: store.claim(runner_id=runner, limit=200),
        "runner: lease": lambda: store.renew(runner_id=runner, host="here", pid=1),
        "relay: unsent": lambda: outbox.unsent(service="inventario", limit=500),
        "relay: postponed": lambda: outbox.due(service="inventario", limit=500),
        "owner: not handed over": lambda: OWNER.sagas.not_handed_over(patterns=patterns, limit=200),
        "owner: stalls": lambda: owner_doors.stalls(owner=OWNER, limit=5),
        "waiters: ended": lambda: OWNER.sagas.ended_among([context.saga_id]),
        "decisions: overdue": lambda: decisions.overdue(service="pagos"),
        "pagos: whom to ask": lambda: payments.claim_to_ask(limit=50, lease=1.0),
        "inventario: reservations overdue": lambda: stock.due(limit=100, but_not=[]),
        "watchdog: look": lambda: watchdog.look(now=timezone.now()),
        "dashboard: figures": figures._look,
        "lights: orchestrated": lambda: queries.stalls(limit=5),
        "lights: choreographed": lambda: watched.stalls(limit=5),
        "lights: outbox": lambda: standing.outbox(service="inventario"),
        "cleaner: closing": lambda: Closing(owner=OWNER).clean(),
        **chores,
    }


def run_to_its_end(runner: int, context: Context) -> None:
    contexts = [replace(context, saga_id=f"hot-{uuid.uuid4()}") for _ in range(20)]
    store.start(saga=SAGAS["checkout"], contexts=contexts, seconds=60)
    while claimed := store.claim(runner_id=runner, limit=20):
        answer = Done({"order_id": "x", "payment_id": "y"})
        store.record(
            transitions=[
                (saga, engine.after(progress=saga.progress, answer=answer, draw=0.0))
                for saga in claimed
            ]
        )


def list_calls(person: Client, saga_id: str) -> tuple[Calls, Calls]:
    """The lists of the API, and the pages of the admin."""
    lists = [
        "/saga/transactions",
        "/saga/transactions?status=parked",
        "/saga/transactions?status=completed&saga=checkout",
        "/saga/transactions?waiting=true",
        f"/saga/{saga_id}",
        "/saga/choreography/status",
        "/saga/choreography/status?status=parked",
        "/saga/choreography/status?status=running",
        f"/carrito/accepted/{saga_id}",
        "/carrito/messages/parked",
    ]
    looked_at = [
        *(f"/admin/{page}/" for page in ADMIN),
        "/admin/saga_orchestrator/saga/?status__exact=parked",
        f"/admin/saga_orchestrator/saga/?q={saga_id[:20]}",
        f"/admin/pagos/barrierentry/?q={saga_id[:20]}",
        "/dashboard/sagas",
        "/dashboard/sagas?status=open",
        f"/dashboard/sagas?q={saga_id[:20]}",
        f"/dashboard/sagas/{saga_id}",
    ]
    return (
        {path: partial(shown, Client(), path) for path in lists},
        {path: partial(shown, person, path) for path in looked_at},
    )


def shown(client: Client, path: str) -> None:
    answered = client.get(path)
    assert answered.status_code == 200, (path, answered.content[:500])


@contextmanager
def as_dashboard() -> Iterator[None]:
    """Within the block connections plan as those of the dashboard's process."""
    for service in WITH_DATABASE:
        for name in (*databases.planning(service=""), "enable_sort", "enable_bitmapscan"):
            run(service, f"SET {name} = on")
        for name, way in databases.planning(service="dashboard").items():
            run(service, f"SET {name} = {way}")
    try:
        yield
    finally:
        connections.close_all()


def costs(hot: Calls, lists: Calls, of_admin: Calls) -> dict[str, Cost]:
    analyze()
    measured = {name: cost(call) for name, call in (hot | lists).items()}
    with as_dashboard():
        return measured | {name: cost(call) for name, call in of_admin.items()}


def cost(call: Callable[[], object]) -> Cost:
    call()
    with ExitStack() as open_now:
        for service in (*WITH_DATABASE, "default"):
            open_now.enter_context(transaction.atomic(using=service))
        start = {service: read_so_far(service) for service in WITH_DATABASE}
        call()
        rows = sum(read_so_far(service) - start[service] for service in WITH_DATABASE)
    times = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        call()
        times.append((time.perf_counter() - begun) * 1000)
        if sum(times) > MOST_MILLISECONDS:
            break
    return Cost(rows, median(times))


def read_so_far(service: str) -> int:
    """Rows of tables, and entries of indexes, that this transaction has read."""
    ((count,),) = run(
        service,
        "SELECT sum(pg_stat_get_xact_tuples_returned(oid))::bigint FROM pg_class"
        " WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace",
    )
    return count or 0


def audited(sagas: int) -> None:
    for table in ("saga", "sagastep"):
        run("saga_orchestrator", f"DELETE FROM saga_orchestrator_{table} WHERE saga_id ~ '^hot-'")
    broker = connect(f"memory://{uuid.uuid4()}")
    begun = time.perf_counter()
    report = checking.check(broker=broker)
    seconds = time.perf_counter() - begun
    say(f"audit: {seconds:.1f} s, {sagas / seconds:.0f} sagas/s; {report.groups[4].counted}")
    broker.close()
    assert report.is_clean, report.as_text()


def cleaned(sagas: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closes the older half, and deletes sent events."""
    monkeypatch.setattr(settings, "KEEP_SECONDS", 15 * 24 * 3600.0)
    monkeypatch.setattr(Closing, "_clients", Doors())
    counts, seconds, longest = emptied(Closing(owner=OWNER))
    closed = counts["sagas_closed"]
    say(f"closed: {closed} sagas, {closed / seconds:.0f}/s; longest batch {longest:.0f} ms")
    assert closed > 0.4 * sagas
    for service in WITH_WORKER:
        for what in apps.get_app_config(service).kept():
            counts, seconds, longest = emptied(retention.Deleting(service=service, what=what))
            if deleted := sum(counts.values()):
                say(f"{what.table}: {deleted} rows, {deleted / seconds:.0f}/s; {longest:.0f} ms")
    assert not OutboxEntry.objects.filter(sent_at__lt=timezone.now() - timedelta(days=1)).exists()
    audited(sagas)


def emptied(chore: retention.Chore) -> tuple[Counter[str], float, float]:
    """The number of deleted rows, the seconds it took, and its longest batch, in milliseconds."""
    counts: Counter[str] = Counter()
    seconds = longest = 0.0
    is_more = True
    while is_more:
        begun = time.perf_counter()
        deleted, is_more = chore.clean()
        took = time.perf_counter() - begun
        seconds, longest = seconds + took, max(longest, took * 1000)
        counts.update(deleted)
    return counts, seconds, longest
