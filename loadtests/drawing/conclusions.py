"""What a stored run concludes: decisions with their intervals, knees, and where the time goes."""

import msgspec

from loadtests.evaluating.scalability import Law


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    estimate: float
    low: float
    high: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided of a figure between two patterns: see evaluating.verdicts.

    `difference`: second less first, in `unit`. `ratio`: second over first.
    """

    figure: str
    unit: str = ""
    first: str = ""
    second: str = ""
    decision: str = "undecided"
    better: str = ""
    lower_is_better: bool = True
    values: dict[str, float | None] = {}
    difference: Interval | None = None
    ratio: Interval | None = None
    confidence: float = 0.0
    blocks: int = 0
    why: str = ""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A load, offered a second, and whether it could go on for good: see evaluating.knee."""

    offered: float
    p50_ms: float
    p99_ms: float
    is_sustained: bool
    in_flight: float = 0.0
    lag_p99_ms: float | None = None


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Of a knee, a second. `low`: 0 where perhaps nothing could go on for good; `high`: None where
    perhaps all that was tried could."""

    low: float
    high: float | None


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """`knee`: a second; None where nothing could go on for good.

    `knee_between`: its interval; None in a run from before there was one, whose knee is the last
    level before the first that most windows did not sustain.
    """

    pattern: str
    knee: float | None = None
    knee_between: Bounds | None = None
    levels: list[Level] = []
    law: Law | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Mean milliseconds of one kind of time at one step, and after how many they begin."""

    step: str
    kind: str
    start: float
    ms: float


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    pattern: str
    sagas: int
    mean_ms: float
    parts: list[Part]


class Down(msgspec.Struct, frozen=True, kw_only=True):
    participant: str
    seconds: float
    calls: int


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: seconds after the participant went; before that, negative."""

    at: int
    backlog: int


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """One pattern through an outage: see outages.backlog."""

    pattern: str
    down: Down
    offered: int
    accepted: int
    refused: int
    ended: int
    unfinished: int
    most_backlog: int
    drain_seconds: float
    course: list[Second]
