"""What was asked of a soak, and what one pattern's round of it came to: plain values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from checker.soak.faults import Made
from checker.soak.ledger import Ledger
from checker.soak.plan import Kind
from checker.soak.recovery import Lasted, Lateness
from checker.soak.shoppers import Asked
from checker.soak.watching import Memory


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`seconds`: of load, a pattern; `rate`: checkouts a second; `every`: seconds from one fault to
    the next, on average."""

    patterns: Sequence[str]
    seconds: float
    rate: float
    seed: int
    kinds: Sequence[Kind]
    every: float


@dataclass(frozen=True, kw_only=True)
class Round:
    """One pattern's. `where`: the servers in words; `heard`, `repeated`: messages; `drained_in`:
    seconds from the end of load and faults until every checkout had ended, infinite if not in time;
    `ended_by_themselves`: what the stack said of processes that nobody had killed."""

    pattern: str
    where: str
    asked: Sequence[Asked]
    made: Sequence[Made]
    heard: int
    repeated: int
    drained_in: float
    ledger: Ledger
    memory: Mapping[str, Memory]
    ended_by_themselves: Sequence[str]
    breaches: Sequence[str]
    is_interrupted: bool

    @property
    def statuses(self) -> Counter[str]:
        """How many checkouts ended how."""
        return Counter(one.status for one in self.ledger.checkouts)

    @property
    def lasted(self) -> list[Lasted]:
        """Every checkout that was asked for, from when it was meant to start to its end."""
        ends = {one.key: one.ended_at for one in self.ledger.checkouts}
        return [
            Lasted(one.intended_at, ends.get(one.wanted.key) or float("inf")) for one in self.asked
        ]

    def recoveries(self) -> dict[Kind, list[float]]:
        """Seconds until the shop had recovered from each fault that was made, by kind."""
        lateness = Lateness(checkouts=self.lasted)
        found: dict[Kind, list[float]] = {}
        for one in self.made:
            if one.is_made:
                seconds = lateness.recovered_in(began_at=one.began_at, ended_at=one.ended_at)
                found.setdefault(one.fault.kind, []).append(seconds)
        return found
