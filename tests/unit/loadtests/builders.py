"""Samples, windows and whole comparisons, made from few words."""

from loadtests import samples
from loadtests.comparison import Audit, Comparison, compare
from loadtests.cost import GENERATOR, Cost
from loadtests.plan import Mix, Phase, Settings, Window
from loadtests.results import Measured
from loadtests.runner import Run
from loadtests.samples import Sample
from loadtests.schedule import Arrivals

EPOCH = 1_700_000_000.0

SETTINGS = Settings(
    patterns=("orchestrated", "choreographed"),
    seconds=40,
    rate=25,
    declined=0.2,
    scarce=0.1,
    seed=11,
)


def sample(
    *,
    intended: float = 0.0,
    lag: float = 0.0,
    latency: float = 0.0,
    ended: bool = True,
    outcome: str = samples.COMPLETED,
    status: int = 202,
) -> Sample:
    """A checkout; times in seconds, `intended` after EPOCH."""
    intended += EPOCH
    if status != samples.ACCEPTED:
        outcome, ended = samples.NOT_ACCEPTED, False
    elif not ended:
        outcome = samples.UNFINISHED
    return Sample(
        window=1,
        phase="light",
        pattern="orchestrated",
        intended_at=intended,
        sent_at=intended + lag,
        answered_at=intended + lag + 0.002,
        http_status=status,
        saga_id="a-saga" if status == samples.ACCEPTED else "",
        outcome=outcome,
        ended_at=intended + latency if ended else 0.0,
        error="",
    )


def window(
    *, phase: Phase = Phase.LIGHT, pattern: str = "orchestrated", rate: float = 25, number: int = 1
) -> Window:
    return Window(
        number=number,
        phase=phase,
        pattern=pattern,
        arrivals=Arrivals.CONSTANT,
        rate=rate,
        seconds=1 if phase is Phase.FULL else 2,
        seed=1,
        mix=Mix(),
    )


def cost(*, seconds: float = 4, shop_ms: float = 100, generator_ms: float = 10) -> Cost:
    return Cost(
        seconds=seconds,
        cpu_ms={
            "carrito.web": shop_ms / 4,
            "carrito.worker": shop_ms / 4,
            "postgres": shop_ms / 2,
            GENERATOR: generator_ms,
        },
        busy_ms=shop_ms + generator_ms,
        steal_ms=0,
        wal_bytes=50_000,
        writes=60,
        messages=70,
        http_calls=80,
    )


def measured(
    *,
    of: Window,
    latencies: list[float],
    costs: Cost | None = None,
    more: list[Sample] | None = None,
) -> Measured:
    """A window in which every checkout completed, one after each latency (seconds)."""
    found = [
        sample(intended=n / of.rate, latency=latency) for n, latency in enumerate(latencies)
    ] + (more or [])
    return Measured(
        window=of, samples=found, cost=costs or cost(), clock_step_ms=0.0, has_rested=True
    )


def comparison(*, every: list[Measured], audit: str = "") -> Comparison:
    """`audit`: what it said of a breach; empty where it was clean."""
    return compare(
        run=Run(measured=every, at_rest=cost(seconds=3, shop_ms=120)),
        settings=SETTINGS,
        environment={"machine": "a toaster, 2 cores", "broker": "RabbitMQ 3.10.8; quorum queues"},
        audit=Audit(is_clean=not audit, said=audit),
        made_at="2026-01-02T03:04:05+00:00",
        seconds_taken=150,
        cores=2,
    )


def whole_run() -> list[Measured]:
    """Light, full and failure windows of both patterns; choreographed is twice as fast."""
    every = []
    for pattern, latency in (("orchestrated", 0.020), ("choreographed", 0.010)):
        for number in range(4):
            near = [latency + (n + number) / 10_000 for n in range(50)]
            every.append(measured(of=window(pattern=pattern, number=number), latencies=near))
            # 100/s are offered over a second; what is not done by then takes as long again.
            late = [latency * 100] * 100
            full = window(phase=Phase.FULL, pattern=pattern, rate=100, number=number)
            every.append(measured(of=full, latencies=late))
        undone = [sample(latency=0.03, outcome=samples.COMPENSATED)] * 3
        refused = [sample(latency=0.01, outcome=samples.FAILED)]
        failing = window(phase=Phase.FAILURES, pattern=pattern)
        every.append(measured(of=failing, latencies=[latency] * 6, more=undone + refused))
    return every
