"""The windows of a comparison, and their order: both follow from the seed.

Patterns alternate in short windows on the same running stack, in blocks: each block has one window
of each pattern, all with the same arrival times. The order is drawn for every other block, and
reversed for the next (ABBA). So slow changes (fuller tables, a warmer machine, a busy neighbour)
affect all patterns alike.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from loadtests.load import shopper
from loadtests.load.windows import (
    AROUND_SECONDS,
    WARM_UP_BURST_RATE,
    Arrivals,
    Load,
    Mix,
    Window,
    WindowPhase,
    in_blocks,
)
from loadtests.shop import CHECKOUT, OWN_STEPS
from stack.folders import MANAGE

BLOCKS = 12
"""Windows per pattern at light load: an interval is made from them (evaluating/verdicts.py)."""
FULL_BLOCKS = 8
SHORTEST_SECONDS = 0.75
MOST_WARM_UPS = 6
"""Of a full run; once latency is steady the rest is skipped."""
USUAL_SECONDS = 40.0
KNEE_LEAST, KNEE_MOST, KNEE_LOADS, KNEE_SWEEPS = 0.4, 1.25, 24, 3
ZIPF = 0.99
"""The exponent of the Yahoo! Cloud Serving Benchmark (its ZipfianGenerator.ZIPFIAN_CONSTANT; Cooper
et al., Benchmarking Cloud Serving Systems with YCSB, SoCC 2010)."""
FULL_BEFORE = 2
"""Windows of full load before those that are paired with harder ones: they find the rate."""
BEYOND_SHARE = 2.0
"""Of the highest throughput so far."""
LEVEL_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
FULL_SECONDS = 31.5 * 60
"""For all windows of a full run with the time around them: 35 minutes less the start, the audits
and the outage."""
FULL_LIGHT_SECONDS = 4.0


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What the user asked for. `seconds`: timed seconds per pattern, without warm-up; a full run
    has its own lengths, multiplied by `seconds` / 40."""

    patterns: Sequence[str]
    seconds: float = USUAL_SECONDS
    rate: float = 25.0
    declined: float = 0.2
    scarce: float = 0.1
    seed: int
    is_full: bool = False
    hop_ms: float = 0.0
    """One-way delay that is added between services and broker."""
    zipf: float = 0.0
    """Of all windows without a popularity of their own: see Mix."""
    steps: int = OWN_STEPS
    """After the acceptance; padding steps, which change nothing, add to the checkout's own."""
    saga: str = CHECKOUT
    """Which saga is started; one other than the checkout ignores `steps`."""
    workers: int = 1
    """Processes of Locust that share the schedule."""

    @property
    def as_command(self) -> str:
        """The command that repeats the run."""
        options = ["--full"] if self.is_full else []
        options += self._pattern_options()
        for name in ("saga", "seconds", "rate", "declined", "scarce", "zipf", "steps", "workers"):
            value = getattr(self, name)
            if value != getattr(RunSettings, name):
                options.append(f"--{name} {value}".removesuffix(".0"))
        if self.hop_ms:
            options.append(f"--hop {self.hop_ms:g}ms")
        return " ".join([f"{MANAGE} compare", *options, f"--seed {self.seed}"])

    def _pattern_options(self) -> list[str]:
        first, *others = self.patterns
        if not shopper.is_asked(arm=first):
            return [f"--patterns {shopper.pattern_of(arm=first)}", "--auth"]
        if others and shopper.pattern_of(arm=others[0]) == first:
            delay = shopper.delay_ms_of(arm=others[0])
            return [f"--patterns {first}", f"--inject {delay:g}ms" if delay else "--aa"]
        usual = shopper.WITH_CONTROL if self.is_full else shopper.THE_TWO
        return [] if tuple(self.patterns) == usual else [f"--patterns {','.join(self.patterns)}"]

    @property
    def extra_steps(self) -> int:
        return self.steps - OWN_STEPS if self.saga == CHECKOUT else 0


def windows(settings: RunSettings) -> list[Window]:
    """All windows, in order."""
    chance = random.Random(settings.seed)  # noqa: S311 -- an order to repeat, no secret
    loads = _full_run(settings) if settings.is_full else _short_run(settings)
    popular = [_mixed(load, settings) for load in loads]
    return in_blocks(loads=popular, patterns=settings.patterns, chance=chance)


def holds(*, known: Sequence[Window], settings: RunSettings) -> bool:
    """Whether these measured windows are in the plan for these settings; not if another version of
    this module planned them."""
    planned = {
        (window.number, window.phase, window.pattern, window.seed) for window in windows(settings)
    }
    return all(
        (window.number, window.phase, window.pattern, window.seed) in planned for window in known
    )


def _mixed(load: Load, settings: RunSettings) -> Load:
    if load.mix.hot or load.mix.zipf:
        return load
    return replace(load, mix=replace(load.mix, zipf=settings.zipf))


def _warm_up(settings: RunSettings, times: int) -> list[Load]:
    return [
        *[Load(phase=WindowPhase.WARM_UP, rate=settings.rate, seconds=2.0)] * times,
        Load(
            phase=WindowPhase.WARM_UP,
            arrivals=Arrivals.CONSTANT,
            rate=WARM_UP_BURST_RATE,
            seconds=2.0,
        ),
    ]


def _short_run(settings: RunSettings) -> list[Load]:
    """Of the timed seconds, 6 in 10 go to light load, 3 to full load, 1 to failures."""
    return [
        *_warm_up(settings, 1),
        *_split(
            Load(phase=WindowPhase.LIGHT, rate=settings.rate, seconds=settings.seconds * 0.6),
            most=BLOCKS,
        ),
        *_split(
            Load(
                phase=WindowPhase.FULL,
                arrivals=Arrivals.CONSTANT,
                seconds=settings.seconds * 0.3,
            ),
            most=FULL_BLOCKS,
        ),
        _failures(settings, settings.seconds * 0.1),
    ]


def _split(load: Load, *, most: int) -> list[Load]:
    """Into `most` windows, or fewer if they would be shorter than SHORTEST_SECONDS."""
    count = max(1, min(most, int(load.seconds / SHORTEST_SECONDS)))
    return [replace(load, seconds=load.seconds / count)] * count


def _full_run(settings: RunSettings) -> list[Load]:
    """Light load, which most decisions are about, gets all time that the other phases leave."""
    scale = settings.seconds / USUAL_SECONDS
    before, after = _before_light(settings, scale), _after_light(settings, scale)
    light = Load(phase=WindowPhase.LIGHT, rate=settings.rate, seconds=FULL_LIGHT_SECONDS * scale)
    taken = _seconds_of([*before, *after], settings)
    left = (FULL_SECONDS * scale - taken) / _seconds_of([light], settings)
    return [*before, *[light] * max(int(left), BLOCKS), *after]


def knee_shares() -> list[float]:
    """One for each window, in equal ratios.

    In sweeps over the whole range, each with loads between those of the last, so that some slow
    minutes of the machine affect low and high loads alike.
    """
    step = (KNEE_MOST / KNEE_LEAST) ** (1 / (KNEE_LOADS - 1))
    ascending = [KNEE_LEAST * step**place for place in range(KNEE_LOADS)]
    return [share for sweep in range(KNEE_SWEEPS) for share in ascending[sweep::KNEE_SWEEPS]]


def _seconds_of(loads: Sequence[Load], settings: RunSettings) -> float:
    around = [AROUND_SECONDS[load.arrivals] for load in loads]
    return (sum(load.seconds for load in loads) + sum(around)) * len(settings.patterns)


def _before_light(settings: RunSettings, scale: float) -> list[Load]:
    constant = Arrivals.CONSTANT
    return [
        *_warm_up(settings, MOST_WARM_UPS),
        *[Load(phase=WindowPhase.FULL, arrivals=constant, seconds=3 * scale)] * FULL_BEFORE,
        *_pressures(3 * scale),
        *[
            Load(phase=WindowPhase.KNEE, arrivals=constant, share=share, seconds=3 * scale)
            for share in knee_shares()
        ],
    ]


def _pressures(seconds: float) -> list[Load]:
    """Full load and its harder kinds, with the order reversed each time."""
    full = Load(phase=WindowPhase.FULL, arrivals=Arrivals.CONSTANT, seconds=seconds)
    every = [
        full,
        replace(full, phase=WindowPhase.BEYOND, share=BEYOND_SHARE),
        replace(full, phase=WindowPhase.HOT_FULL, mix=Mix(hot=1.0)),
        replace(full, phase=WindowPhase.ZIPF_FULL, mix=Mix(zipf=ZIPF)),
    ]
    return [load for place in range(FULL_BLOCKS) for load in every[:: -1 if place % 2 else 1]]


def _after_light(settings: RunSettings, scale: float) -> list[Load]:
    return [
        *[
            Load(phase=WindowPhase.LEVELS, share=share, seconds=4 * scale)
            for share in LEVEL_SHARES
            for _ in range(2)
        ],
        *[_failures(settings, 4 * scale)] * 4,
        *[Load(phase=WindowPhase.HOT, rate=settings.rate, seconds=3 * scale, mix=Mix(hot=1.0))] * 4,
        *[Load(phase=WindowPhase.ZIPF, rate=settings.rate, seconds=3 * scale, mix=Mix(zipf=ZIPF))]
        * 4,
        *[
            Load(
                phase=WindowPhase.PAUSE,
                rate=settings.rate,
                seconds=12 * scale,
                pause_seconds=5 * scale,
            )
        ]
        * 2,
    ]


def _failures(settings: RunSettings, seconds: float) -> Load:
    mix = Mix(declined=settings.declined, scarce=settings.scarce)
    return Load(phase=WindowPhase.FAILURES, rate=settings.rate, seconds=seconds, mix=mix)
