"""The forms of the model: how each figure follows from steps, hop, refusals and load.

Everything in the shop goes in batches that never wait to fill: what comes while a batch is on
its way goes with the next one. With `load` arrivals a second and a batch that takes `cycle`
seconds, 1 + load x cycle / (1 - u) checkouts share its fixed work, where u is the load as a share
of what the pattern can do: a queue makes batches grow without bound. So a checkout pays

    own + shared / (1 + load x cycle / (1 - u)),   own and shared linear in the number of steps,

and its own part alone where the pattern is saturated. A hop makes the cycle longer, and so the
batches fuller. A checkout whose card is declined is undone after its second step, whatever comes
after that; it costs a multiple of one that completes in five steps.

Latency is work and ways: the steps one after the other, slowed by the load's queue, each way of a
message or call over the hop, and, where a batch is on its way already, half its time there and
back (a lane of the orchestrator and a relay wait for their answer) for each step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtests.shop import OWN_STEPS

FEWEST_STEPS, MOST_STEPS = 3, 8
MOST_HOP_MS = 50.0
MOST_LOAD = 5000.0
LEAST_ROOM = 0.02
Values = Sequence[float]


class OutOfRange(ValueError):
    """An input that nothing can be said about; the text has the range."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """`hop_ms`: one way, between services, and between services and broker. `refusals`: share of
    declined cards, 0 to 1. `load`: checkouts a second."""

    steps: float
    hop_ms: float
    refusals: float
    load: float


def situation(*, steps: int, hop_ms: float, refusals: float, load: float) -> Situation:
    """Raises OutOfRange."""
    if not FEWEST_STEPS <= steps <= MOST_STEPS:
        raise OutOfRange(f"steps: {steps} is not from {FEWEST_STEPS} to {MOST_STEPS}")
    if not 0 <= hop_ms <= MOST_HOP_MS:
        raise OutOfRange(f"hop delay: {hop_ms:g} ms is not from 0 to {MOST_HOP_MS:g} ms")
    if not 0 <= refusals <= 1:
        raise OutOfRange(f"refusal rate: {refusals:g} is not a share from 0 to 1")
    if not 0 < load <= MOST_LOAD:
        raise OutOfRange(
            f"load: {load:g} is not above 0 and at most {MOST_LOAD:g} checkouts a second"
        )
    return Situation(steps=steps, hop_ms=hop_ms, refusals=refusals, load=load)


WAYS_A_STEP = {"orchestrated": 2, "choreographed": 2, "orchestrated_messaging": 4}
"""How often a step's path goes over the hop, one way, from the protocols. Orchestrated: its call,
there and back. Choreographed: the message before it, to the broker and on to the service. Over
messages: a request and a reply, two ways each.
"""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`start`: a guess of the right size, from which the fit begins."""

    name: str
    unit: str
    start: float


@dataclass(frozen=True, kw_only=True)
class Law:
    """A figure's form. `value`: from the parameters' values, the situation, and the load as a share
    of what the pattern can do there (0 to 1)."""

    unit: str
    parameters: Sequence[Parameter]
    value: Callable[[Values, Situation, float], float]


def _batches(start: float, unit: str) -> list[Parameter]:
    return [
        Parameter(name="own work", unit=unit, start=start / 20),
        Parameter(name="own work a step", unit=unit, start=start / 40),
        Parameter(name="shared work", unit=unit, start=start / 4),
        Parameter(name="shared work a step", unit=unit, start=start / 8),
        Parameter(name="cycle of a batch", unit="s", start=0.01),
        Parameter(name="longer a ms of hop", unit="s", start=0.001),
        Parameter(name="declined, as a multiple of five steps", unit="", start=1.0),
    ]


def _single(start: float, unit: str) -> list[Parameter]:
    return [
        Parameter(name="beside the steps", unit=unit, start=start),
        Parameter(name="a step", unit=unit, start=start),
        Parameter(name="declined", unit=unit, start=start * OWN_STEPS),
    ]


def shared(values: Values, at: Situation, use: float) -> float:
    """Work that goes in batches, a checkout."""
    own, own_step, fixed, fixed_step, cycle, longer, declined = values
    room = max(1.0 - use, 0.0)
    share = room / (room + at.load * (cycle + longer * at.hop_ms)) if room else 0.0

    def with_steps(steps: float) -> float:
        return own + own_step * steps + (fixed + fixed_step * steps) * share

    completed = (1 - at.refusals) * with_steps(at.steps)
    return completed + at.refusals * declined * with_steps(OWN_STEPS)


def single(values: Values, at: Situation, use: float) -> float:
    """What each checkout needs for itself, however full the batches are."""
    fixed, step, declined = values
    return (1 - at.refusals) * (fixed + step * at.steps) + at.refusals * declined


def latency(*, a_step: int) -> Callable[[Values, Situation, float], float]:
    """Of those that complete, ms, where each step has so many ways over the hop."""

    def value(values: Values, at: Situation, use: float) -> float:
        fixed, step, queue, waiting, beside = values
        work = (fixed + step * at.steps) * (1 + queue * use / max(1 - use, LEAST_ROOM))
        busy = at.load * 2 * at.hop_ms / 1000
        waits = waiting * at.steps * busy / (1 + busy)
        return work + at.hop_ms * (beside + a_step * at.steps + waits)

    return value


def capacity(values: Values, at: Situation, use: float) -> float:
    """Checkouts a second at saturation: work that is their own, and hops that batches wait for."""
    fixed, step, longer = values
    return 1000 / ((fixed + step * at.steps) * (1 + longer * at.hop_ms))


CPU = Law(unit="ms a checkout", parameters=_batches(30, "ms"), value=shared)
HTTP_CALLS = Law(unit="a checkout", parameters=_batches(6, ""), value=shared)
WRITES = Law(unit="transactions a checkout", parameters=_batches(12, ""), value=shared)
MESSAGES = Law(unit="a checkout", parameters=_single(1, ""), value=single)
WAL = Law(unit="kB a checkout", parameters=_single(4, "kB"), value=single)
LATENCY = {
    pattern: Law(
        unit="ms",
        parameters=[
            Parameter(name="work beside the steps", unit="ms", start=3.0),
            Parameter(name="work a step", unit="ms", start=3.0),
            Parameter(name="slower by load, times u / (1 - u)", unit="", start=0.3),
            Parameter(name="waits for a batch, a step, at most", unit="hops", start=1.0),
            Parameter(name="ways beside the steps", unit="", start=2.0),
        ],
        value=latency(a_step=a_step),
    )
    for pattern, a_step in WAYS_A_STEP.items()
}
CAPACITY = Law(
    unit="checkouts a second",
    parameters=[
        Parameter(name="beside the steps", unit="ms", start=0.5),
        Parameter(name="a step", unit="ms", start=0.4),
        Parameter(name="more a ms of hop", unit="", start=0.001),
    ],
    value=capacity,
)
