"""Runs the windows of a comparison, one after the other, on a shop that is up."""

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loadtests import cost, ramp, samples
from loadtests.cost import Cost, Meters
from loadtests.generator import Generator
from loadtests.outcomes import Outcome, Outcomes
from loadtests.plan import Phase, Window
from loadtests.results import Measured, counts
from loadtests.samples import Sample, percentile
from loadtests.workload import Workload

ANSWER_SECONDS = 15.0
DRAIN_SECONDS = 30.0
AT_REST_SECONDS = 3.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """All windows, the warm-up among them, and what the shop uses when nobody shops."""

    measured: Sequence[Measured]
    at_rest: Cost


class Runner:
    """Carries out one window at a time: supply, measure, send, drain, rest, measure, collect."""

    def __init__(
        self,
        *,
        generator: Generator,
        workload: Workload,
        outcomes: Outcomes,
        meters: Meters,
        folder: Path,
        say: Say,
    ) -> None:
        """`folder`: for the files that the generator reads and writes."""
        self._generator = generator
        self._workload = workload
        self._outcomes = outcomes
        self._meters = meters
        self._requests = folder / "requests.jsonl"
        self._answers = folder / "answers.csv"
        self._say = say
        self._levels: dict[str, list[ramp.Level]] = {}

    def run(self, *, planned: Sequence[Window]) -> Run:
        """Raises NotSupplied, GeneratorFailed, NotMeasured."""
        found = []
        at_rest = self._measure_rest()
        for window in planned:
            one = self._measure(self._with_rate(window))
            self._levels.setdefault(window.pattern, []).append(one.level)
            self._say(progress(one, of=len(planned)))
            found.append(one)
        return Run(measured=found, at_rest=at_rest)

    def _with_rate(self, window: Window) -> Window:
        if window.rate:
            return window
        return replace(window, rate=ramp.next_rate(seen=self._levels[window.pattern]))

    def _measure_rest(self) -> Cost:
        self._outcomes.rest()
        before = self._meters.read()
        time.sleep(AT_REST_SECONDS)
        return cost.between(before, self._meters.read())

    def _measure(self, window: Window) -> Measured:
        self._requests.write_bytes(b"\n".join(self._workload.requests(window=window)))
        before = self._meters.read()
        report = self._generator.send_window(
            window={
                "requests": str(self._requests),
                "samples": str(self._answers),
                "row": f"checkout {window.pattern}",
                "arrivals": window.arrivals.value,
                "rate": window.rate,
                "seconds": window.seconds,
                "seed": window.seed,
                "patience": ANSWER_SECONDS,
            }
        )
        self._outcomes.drain(within=DRAIN_SECONDS)
        has_rested = self._outcomes.rest()
        after = self._meters.read()
        return Measured(
            window=window,
            samples=self._collect(window),
            cost=cost.between(before, after),
            clock_step_ms=report["clock_step_ms"],
            has_rested=has_rested,
        )

    def _collect(self, window: Window) -> list[Sample]:
        with self._answers.open(newline="") as file:
            rows = list(csv.DictReader(file))
        known = self._outcomes.of(saga_ids=[row["saga_id"] for row in rows if row["saga_id"]])
        return [sample_of(window=window, row=row, known=known) for row in rows]


def sample_of(*, window: Window, row: Mapping[str, str], known: Mapping[str, Outcome]) -> Sample:
    """A line of the generator, and what carrito's row says of it."""
    outcome = known.get(row["saga_id"])
    return Sample(
        window=window.number,
        phase=window.phase.value,
        pattern=window.pattern,
        intended_at=float(row["intended_at"]),
        sent_at=float(row["sent_at"]),
        answered_at=float(row["answered_at"]),
        http_status=int(row["status"]),
        saga_id=row["saga_id"],
        outcome=_outcome(int(row["status"]), outcome),
        ended_at=outcome.ended_at if outcome else 0.0,
        error=row["error"],
    )


def _outcome(status: int, found: Outcome | None) -> str:
    if status != samples.ACCEPTED:
        return samples.NOT_ACCEPTED
    return found.status if found and found.ended_at else samples.UNFINISHED


def progress(one: Measured, *, of: int) -> str:
    """One line for whoever waits."""
    window, found = one.window, counts(one.samples)
    line = (
        f"window {window.number:2}/{of} {window.phase:8} {window.pattern:13}"
        f" {window.rate:4.0f}/s for {window.seconds:g} s: {found.completed}/{found.offered}"
        " completed"
    )
    if window.phase == Phase.FULL:
        line += f", {one.level.completed:.0f}/s"
    elif found.completed:
        latencies = [s.latency_ms for s in one.samples if s.outcome == samples.COMPLETED]
        line += f", p50 {percentile(latencies, 0.5):.1f} ms"
    if found.not_accepted:
        wrong = next(s for s in one.samples if s.outcome == samples.NOT_ACCEPTED)
        line += f"; {found.not_accepted} not accepted ({wrong.http_status} {wrong.error[:120]})"
    return line
