"""Builders of samples, windows and whole comparisons."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from catalogue import SAGAS
from loadtests.evaluating.comparison import Comparison, compare
from loadtests.evaluating.results import Audit, Measured
from loadtests.load import plan
from loadtests.load.plan import RunSettings
from loadtests.load.windows import Arrivals, Mix, Window, WindowPhase
from loadtests.measuring import samples
from loadtests.measuring.cost import GENERATOR, Cost
from loadtests.measuring.samples import Moments, Sample
from loadtests.running.store import Store

EPOCH = 1_700_000_000.0
THREE = ("orchestrated", "choreographed", "orchestrated_messaging")

SETTINGS = RunSettings(
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
    *,
    phase: WindowPhase = WindowPhase.LIGHT,
    pattern: str = "orchestrated",
    rate: float = 25,
    number: int = 1,
) -> Window:
    return Window(
        number=number,
        block=number,
        phase=phase,
        pattern=pattern,
        arrivals=Arrivals.CONSTANT,
        rate=rate,
        seconds=1 if phase is WindowPhase.FULL else 2,
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
    taken = [
        sample(intended=n / of.rate, latency=latency) for n, latency in enumerate(latencies)
    ] + (more or [])
    taken = [
        replace(taken_sample, window=of.number, phase=of.phase.value, pattern=of.pattern)
        for taken_sample in taken
    ]
    return Measured(
        window=of, samples=taken, cost=costs or cost(), clock_step_ms=0.0, has_rested=True
    )


def comparison(
    *, every: list[Measured], audit: str = "", settings: RunSettings = SETTINGS
) -> Comparison:
    """`audit`: its output about a breach; empty if it was clean."""
    return compare(
        measured=every,
        at_rest=cost(seconds=3, shop_ms=120),
        settings=settings,
        environment={"machine": "a toaster, 2 cores", "broker": "RabbitMQ 3.10.8; quorum queues"},
        audit=Audit(is_clean=not audit, output=audit),
        made_at="2026-01-02T03:04:05+00:00",
        seconds_taken=150,
        cores=2,
    )


def whole_run() -> list[Measured]:
    """Light, full and failure windows of both patterns; choreographed is twice as fast."""
    every = []
    for pattern, latency in (("orchestrated", 0.020), ("choreographed", 0.010)):
        for number in range(8):
            near = [latency + (n + number) / 10_000 for n in range(50)]
            every.append(measured(of=window(pattern=pattern, number=number), latencies=near))
            # 100/s are offered over a second; what is not done by then takes as long again.
            late = [latency * 100] * 100
            full = window(phase=WindowPhase.FULL, pattern=pattern, rate=100, number=number)
            every.append(measured(of=full, latencies=late))
        undone = [sample(latency=0.03, outcome=samples.COMPENSATED)] * 3
        refused = [sample(latency=0.01, outcome=samples.FAILED)]
        failing = window(phase=WindowPhase.FAILURES, pattern=pattern)
        every.append(measured(of=failing, latencies=[latency] * 6, more=undone + refused))
    return every


def full_run(*, patterns: Sequence[str] = THREE) -> list[Measured]:
    """A full run with all phases; each pattern is a fifth slower than the one before."""
    chance = random.Random(7)
    settings = replace(SETTINGS, patterns=patterns, is_full=True, seconds=6)
    every = []
    for planned in plan.windows(settings):
        slower = 1.2 ** patterns.index(planned.pattern)
        knee = 300 / slower
        rate = planned.rate or max(round(knee * (planned.share or 1.3)), 5)
        spent = [
            chance.lognormvariate(-3.9, 0.35) * slower * (1 + max(rate / knee - 0.3, 0) ** 3)
            for _ in range(int(rate * planned.seconds))
        ]
        starts = [n / rate for n in range(len(spent))]
        if planned.pause_seconds:
            until = planned.seconds / 4 + planned.pause_seconds
            held = [start >= planned.seconds / 4 and start < until for start in starts]
            spent = [
                latency + (until - start) * is_held
                for latency, start, is_held in zip(spent, starts, held, strict=True)
            ]
        window_of = replace(planned, rate=rate)
        result = measured(of=window_of, latencies=spent)
        if planned.phase is WindowPhase.LIGHT:
            result = replace(
                result, moments=tuple(m for s in result.samples[:20] for m in moments(of=s))
            )
        every.append(result)
    return every


def moments(*, of: Sample) -> list[Moments]:
    """The steps of this checkout, all equally long, half of it service time."""
    names = [step.name for step in SAGAS["checkout"].steps]
    length = (of.ended_at - of.intended_at) / len(names)
    return [
        Moments(
            window=of.window,
            pattern=of.pattern,
            saga_id=f"{of.pattern} {of.intended_at}",
            step=name,
            asked_at=of.intended_at + length * place,
            picked_up_at=of.intended_at + length * (place + 0.3),
            decided_at=of.intended_at + length * (place + (0.8 if place + 1 < len(names) else 1)),
            attempts=1,
        )
        for place, name in enumerate(names)
    ]


def stored_run(
    folder: Path,
    *,
    every: list[Measured] | None = None,
    audit: str = "",
    settings: RunSettings = SETTINGS,
) -> Path:
    """The folder of a finished run, with its page."""
    folder.mkdir(exist_ok=True)
    windows = every or whole_run()
    compared = comparison(every=windows, audit=audit, settings=settings)
    Store(folder=folder).show(comparison=compared, measured=windows)
    return folder
