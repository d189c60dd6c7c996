"""Runs the windows of a comparison, one after the other, on a shop that is up."""

import csv
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from loadtests import cost, ramp, samples, shopper
from loadtests.cost import Meters
from loadtests.generator import Generator
from loadtests.outcomes import Outcome, Outcomes
from loadtests.plan import Mix, Phase, Window
from loadtests.results import Measured, counts
from loadtests.samples import Sample, percentile
from loadtests.schedule import offsets
from loadtests.supplies import PLENTY, USER, Supplier

ANSWER_SECONDS = 15.0
DRAIN_SECONDS = 30.0

Say = Callable[[str], None]


class Runner:
    """Carries out one window at a time: supply, measure, send, drain, rest, measure, collect."""

    def __init__(
        self,
        *,
        generator: Generator,
        supplier: Supplier,
        outcomes: Outcomes,
        meters: Meters,
        folder: Path,
        say: Say,
    ) -> None:
        self._generator = generator
        self._supplier = supplier
        self._outcomes = outcomes
        self._meters = meters
        self._folder = folder
        self._say = say
        self._plenty = ""
        self._levels: dict[str, list[ramp.Level]] = {}

    def run(self, *, planned: Sequence[Window]) -> list[Measured]:
        """The measured windows, warm-up included.

        Raises NotSupplied, GeneratorFailed, and ValueError where the warm-up completed nothing.
        """
        self._plenty = self._supplier.product(quantity=PLENTY)
        found = []
        for window in planned:
            one = self._measure(self._with_rate(window))
            self._levels.setdefault(window.pattern, []).append(one.level)
            self._say(progress(one, of=len(planned)))
            found.append(one)
        return found

    def _with_rate(self, window: Window) -> Window:
        if window.rate:
            return window
        return replace(window, rate=ramp.next_rate(seen=self._levels[window.pattern]))

    def _measure(self, window: Window) -> Measured:
        requests = self._folder / "requests.jsonl"
        answers = self._folder / "answers.csv"
        self._prepare(window, requests)
        self._outcomes.rest()
        before = self._meters.read()
        report = self._generator.send_window(
            window={
                "requests": str(requests),
                "samples": str(answers),
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
            samples=self._collect(window, answers),
            cost=cost.between(before, after),
            clock_step_ms=report["clock_step_ms"],
            has_rested=has_rested,
        )

    def _prepare(self, window: Window, requests: Path) -> None:
        """Makes the carts of a window and writes the bodies of its checkouts."""
        starts = offsets(
            arrivals=window.arrivals, rate=window.rate, seconds=window.seconds, seed=window.seed
        )
        kinds = kinds_of(mix=window.mix, count=len(starts), seed=window.seed)
        scarce = self._supplier.product(quantity=1) if "scarce" in kinds else ""
        products = [scarce if kind == "scarce" else self._plenty for kind in kinds]
        carts = self._supplier.carts(products=products)
        bodies = [
            shopper.checkout(
                cart_id=cart,
                user_id=USER,
                pattern=window.pattern,
                payment_method=(shopper.DECLINED_CARD if kind == "declined" else shopper.GOOD_CARD),
            )
            for cart, kind in zip(carts, kinds, strict=True)
        ]
        requests.write_bytes(b"\n".join(msgspec.json.encode(body) for body in bodies))

    def _collect(self, window: Window, answers: Path) -> list[Sample]:
        with answers.open(newline="") as file:
            rows = list(csv.DictReader(file))
        known = self._outcomes.of(saga_ids=[row["saga_id"] for row in rows if row["saga_id"]])
        return [sample_of(window=window, row=row, known=known) for row in rows]


def kinds_of(*, mix: Mix, count: int, seed: int) -> list[str]:
    """Which checkout is paid with a declined card and which wants the scarce product: exactly the
    shares of the mix (rounded), in an order that follows from the seed."""
    declined, scarce = round(mix.declined * count), round(mix.scarce * count)
    kinds = ["declined"] * declined + ["scarce"] * scarce
    kinds += ["good"] * (count - len(kinds))
    random.Random(seed).shuffle(kinds)  # noqa: S311 -- an order to repeat, no secret
    return kinds


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
    at = time.strftime("%H:%M:%S")
    line = (
        f"{at} window {window.number:2}/{of} {window.phase:9} {window.pattern:14}"
        f" {window.rate:4.0f}/s for {window.seconds:g} s: {found.completed} of {found.offered}"
        " completed"
    )
    if found.not_accepted:
        wrong = next(s for s in one.samples if s.outcome == samples.NOT_ACCEPTED)
        line += f"; {found.not_accepted} not accepted ({wrong.http_status} {wrong.error[:120]})"
    if window.phase == Phase.FULL:
        return f"{line}, {one.level.completed:.0f}/s"
    if found.completed:
        latencies = [s.latency_ms for s in one.samples if s.outcome == samples.COMPLETED]
        return f"{line}, p50 {percentile(latencies, 0.5):.1f} ms"
    return line
