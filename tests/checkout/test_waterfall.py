"""The waterfall shows a slow service's delay at its own step, in every pattern."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from catalogue import services
from catalogue.checkout import SAGA
from contracts.patterns import PATTERNS
from loadtests.evaluating.waterfall import HAND_OVER, TimeKind, Waterfall, waterfalls
from loadtests.measuring.samples import ACCEPTED, COMPLETED, Sample
from loadtests.measuring.timeline import Timeline
from loadtests.shop import shop_of
from tests.waiting import eventually

SLOWER = 0.5
"""Seconds: far more than a busy machine takes by chance."""
EACH = 2

SLOW = f"""
    CREATE FUNCTION slow_card_network() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep({SLOWER}); RETURN NULL; END $$;
    CREATE TRIGGER slow_card_network BEFORE INSERT ON pagos_payment
    FOR EACH STATEMENT EXECUTE FUNCTION slow_card_network();
"""
AS_BEFORE = "DROP FUNCTION slow_card_network CASCADE"


@pytest.fixture(scope="module")
def timeline(stack) -> Iterator[Timeline]:
    reading = Timeline(shop=shop_of(stack=stack))
    yield reading
    reading.close()


@pytest.fixture(scope="module")
def usual(shop, timeline) -> dict[str, Waterfall]:
    return {pattern: measured(shop, timeline, pattern) for pattern in PATTERNS}


@pytest.fixture(scope="module")
def slow(shop, timeline, usual) -> dict[str, Waterfall]:
    """The same while the database delays every charge."""
    with charging_slowly(shop):
        return {pattern: measured(shop, timeline, pattern) for pattern in PATTERNS}


@contextmanager
def charging_slowly(shop) -> Iterator[None]:
    with psycopg.connect(shop.stack.superuser_urls["pagos"], autocommit=True) as connection:
        connection.execute(SLOW)
        try:
            yield
        finally:
            connection.execute(AS_BEFORE)


def measured(shop, timeline: Timeline, pattern: str) -> Waterfall:
    """The mean of a few checkouts, one after the other."""
    samples = [checked_out(shop, pattern) for _ in range(EACH)]
    eventually(lambda: all_sent(shop), what="every message is marked as sent")
    (waterfall,) = waterfalls(moments=timeline.of(samples=samples))
    return waterfall


def checked_out(shop, pattern: str) -> Sample:
    cart = shop.cart(product=shop.product(quantity=1))
    intended = time.time()
    _, accepted = shop.check_out(cart, pattern)
    answered = time.time()
    saga_id = accepted["saga_id"]
    assert shop.ended(saga_id)["status"] == COMPLETED
    ((ended,),) = shop.rows(
        "carrito",
        "SELECT extract(epoch FROM ended_at)::float8 FROM carrito_checkout WHERE saga_id = %s",
        [saga_id],
    )
    return Sample(
        window=1,
        phase="light",
        pattern=pattern,
        intended_at=intended,
        sent_at=intended,
        answered_at=answered,
        http_status=ACCEPTED,
        saga_id=saga_id,
        outcome=COMPLETED,
        ended_at=ended,
        error="",
    )


def all_sent(shop) -> bool:
    return not any(
        shop.rows(service, f"SELECT 1 FROM {service}_outboxentry WHERE sent_at IS NULL")
        for service in services.WITH_WORKER
    )


def spent(waterfall: Waterfall) -> dict[tuple[str, TimeKind], float]:
    return {(part.step, part.kind): part.ms / 1000 for part in waterfall.parts}


def test_every_step_was_seen_in_its_order(usual, pattern):
    steps = list(dict.fromkeys(part.step for part in usual[pattern].parts))
    accept, *others = [step.name for step in SAGA.steps]
    assert steps == [accept, HAND_OVER, *others]
    assert usual[pattern].sagas == EACH


def test_parts_are_times_and_add_up_to_the_latency(usual, pattern):
    waterfall = usual[pattern]
    assert min(part.ms for part in waterfall.parts) >= 0
    assert sum(part.ms for part in waterfall.parts) == pytest.approx(waterfall.mean_ms, abs=0.01)


def test_slow_charge_is_service_time_of_the_charge(usual, slow, pattern):
    before, after = spent(usual[pattern]), spent(slow[pattern])
    grown = {part: seconds - before.get(part, 0.0) for part, seconds in after.items()}
    assert grown.pop(("process_payment", TimeKind.SERVICE)) == pytest.approx(SLOWER, abs=SLOWER / 4)
    assert max(grown.values()) < SLOWER / 2
