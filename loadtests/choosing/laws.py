"""The laws of the model: how each figure depends on steps, hop, refusals and load.

Everything in the shop is batched, and batches never wait to fill: what arrives while a batch is in
flight is in the next one. With `load` arrivals per second and a batch that takes `cycle` seconds,
1 + load x cycle / (1 - u) checkouts share its fixed work, where u is the load as a share of the
pattern's capacity: queues make batches grow without bound. So a checkout costs

    own + shared / (1 + load x cycle / (1 - u)),   own and shared linear in the number of steps,

and only its own part if the pattern is saturated. A hop makes the cycle longer, and so the batches
fuller. A checkout with a declined card is undone after its second step, whatever the number of
steps; it costs a multiple of a checkout that completes in five steps.

Latency is the work of all steps, slowed by the load's queue, plus each way of a message or call
over the hop, plus, for each step that meets a batch in flight, half the time of that batch there
and back (a lane of the orchestrator and a relay wait for an answer).
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
    """An input outside the range of the model; the text has the range."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """`hop_ms`: one way, between services, and between services and broker. `refusals`: share of
    declined cards, 0 to 1. `load`: checkouts per second."""

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
            f"load: {load:g} is not above 0 and at most {MOST_LOAD:g} checkouts per second"
        )
    return Situation(steps=steps, hop_ms=hop_ms, refusals=refusals, load=load)


WAYS_A_STEP = {"orchestrated": 2, "choreographed": 2, "orchestrated_messaging": 4}
"""The one-way hops of a step, by the protocols. Orchestrated: a call and its answer. Choreographed:
an event to the broker and on to the service. Over messages: a request and a reply, two hops each.
"""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`start`: a guess of the right size, where the fit begins."""

    name: str
    unit: str
    start: float


@dataclass(frozen=True, kw_only=True)
class Law:
    """The law of a figure. `value`: from the parameters' values, the situation, and the load as a
    share of the pattern's capacity there (0 to 1)."""

    unit: str
    parameters: Sequence[Parameter]
    value: Callable[[Values, Situation, float], float]


def _batches(start: float, unit: str) -> list[Parameter]:
    return [
        Parameter(name="own work", unit=unit, start=start / 20),
        Parameter(name="own work per step", unit=unit, start=start / 40),
        Parameter(name="shared work", unit=unit, start=start / 4),
        Parameter(name="shared work per step", unit=unit, start=start / 8),
        Parameter(name="cycle of a batch", unit="s", start=0.01),
        Parameter(name="longer per ms of hop", unit="s", start=0.001),
        Parameter(name="declined, as a multiple of five steps", unit="", start=1.0),
    ]


def _single(start: float, unit: str) -> list[Parameter]:
    return [
        Parameter(name="besides the steps", unit=unit, start=start),
        Parameter(name="per step", unit=unit, start=start),
        Parameter(name="declined", unit=unit, start=start * OWN_STEPS),
    ]


def shared(values: Values, at: Situation, use: float) -> float:
    """Batched work per checkout."""
    own, own_step, fixed, fixed_step, cycle, longer, declined = values
    room = max(1.0 - use, 0.0)
    share = room / (room + at.load * (cycle + longer * at.hop_ms)) if room else 0.0

    def with_steps(steps: float) -> float:
        return own + own_step * steps + (fixed + fixed_step * steps) * share

    completed = (1 - at.refusals) * with_steps(at.steps)
    return completed + at.refusals * declined * with_steps(OWN_STEPS)


def single(values: Values, at: Situation, use: float) -> float:
    """Work per checkout that does not depend on batches."""
    fixed, step, declined = values
    return (1 - at.refusals) * (fixed + step * at.steps) + at.refusals * declined


def latency(*, a_step: int) -> Callable[[Values, Situation, float], float]:
    """Of checkouts that complete, in ms. `a_step`: the one-way hops of a step."""

    def value(values: Values, at: Situation, use: float) -> float:
        fixed, step, queue, waiting, beside = values
        work = (fixed + step * at.steps) * (1 + queue * use / max(1 - use, LEAST_ROOM))
        busy = at.load * 2 * at.hop_ms / 1000
        waits = waiting * at.steps * busy / (1 + busy)
        return work + at.hop_ms * (beside + a_step * at.steps + waits)

    return value


def capacity(values: Values, at: Situation, use: float) -> float:
    """Checkouts per second at saturation: own work, and hops that batches wait for."""
    fixed, step, longer = values
    return 1000 / ((fixed + step * at.steps) * (1 + longer * at.hop_ms))


CPU = Law(unit="ms per checkout", parameters=_batches(30, "ms"), value=shared)
HTTP_CALLS = Law(unit="per checkout", parameters=_batches(6, ""), value=shared)
WRITES = Law(unit="transactions per checkout", parameters=_batches(12, ""), value=shared)
MESSAGES = Law(unit="per checkout", parameters=_single(1, ""), value=single)
WAL = Law(unit="kB per checkout", parameters=_single(4, "kB"), value=single)
LATENCY = {
    pattern: Law(
        unit="ms",
        parameters=[
            Parameter(name="work besides the steps", unit="ms", start=3.0),
            Parameter(name="work per step", unit="ms", start=3.0),
            Parameter(name="slower by load, times u / (1 - u)", unit="", start=0.3),
            Parameter(name="waits for a batch, per step, at most", unit="hops", start=1.0),
            Parameter(name="hops besides the steps", unit="", start=2.0),
        ],
        value=latency(a_step=a_step),
    )
    for pattern, a_step in WAYS_A_STEP.items()
}
CAPACITY = Law(
    unit="checkouts per second",
    parameters=[
        Parameter(name="besides the steps", unit="ms", start=0.5),
        Parameter(name="per step", unit="ms", start=0.4),
        Parameter(name="more per ms of hop", unit="", start=0.001),
    ],
    value=capacity,
)
