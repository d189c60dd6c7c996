"""What is expected of a pattern in a situation."""

from dataclasses import dataclass
from math import inf

from loadtests.choosing.figures import (
    CAPACITY,
    CPU,
    HTTP_CALLS,
    MESSAGES,
    P50,
    P95,
    WAL,
    WRITES,
)
from loadtests.choosing.model import Model
from loadtests.choosing.situations import Situation


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """`use`: the load as a share of `capacity`; from 1 on it is more than the pattern can take,
    latency is infinite, and the rest is as if it could.

    `capacity`: checkouts a second. `is_at_least`: it is what the pattern was seen to take, and it
    may take more, because it was never saturated on some of the stacks; so a `use` from 1 on is
    more than it is known to take, and its latency there unknown. `cpu_ms`: a checkout, without
    what the stack uses at rest; `cores`: busy, with it. The others a second.
    """

    pattern: str
    p50_ms: float
    p95_ms: float
    capacity: float
    is_at_least: bool
    use: float
    cpu_ms: float
    cores: float
    messages: float
    http_calls: float
    wal_kb: float
    writes: float

    def of(self, *, figure: str) -> float:
        """One of those that are decided on: p50, p95, CPU."""
        return {P50: self.p50_ms, P95: self.p95_ms, CPU: self.cpu_ms}[figure]


def forecast(*, model: Model, pattern: str, at: Situation) -> Forecast:
    """What the model expects of one pattern."""

    def of(figure: str) -> float:
        return model.predict(figure=figure, pattern=pattern, at=at)

    use = at.load / of(CAPACITY)
    return Forecast(
        pattern=pattern,
        p50_ms=of(P50) if use < 1 else inf,
        p95_ms=max(of(P95), of(P50)) if use < 1 else inf,
        capacity=of(CAPACITY),
        is_at_least=bool(model.never_saturated(pattern=pattern)),
        use=use,
        cpu_ms=of(CPU),
        cores=(model.rest_cpu_ms + at.load * of(CPU)) / 1000,
        messages=at.load * of(MESSAGES),
        http_calls=at.load * of(HTTP_CALLS),
        wal_kb=at.load * of(WAL),
        writes=at.load * of(WRITES),
    )
