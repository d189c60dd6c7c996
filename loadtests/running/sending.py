"""One window's checkouts on their way: written down, sent by the generator, and collected."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loadtests.load.generator import Generator
from loadtests.load.windows import Window
from loadtests.load.workload import Workload
from loadtests.measuring import samples
from loadtests.measuring.outcomes import Outcome, Outcomes
from loadtests.measuring.samples import Sample

ANSWER_SECONDS = 15.0


class Sender:
    """Writes, sends, collects, in this order; between the last two the caller drains."""

    def __init__(
        self, *, generator: Generator, workload: Workload, outcomes: Outcomes, folder: Path
    ) -> None:
        """`generator`: that is ready; `folder`: for the files that it reads and writes."""
        self.scheduling = generator.scheduling
        """How the kernel runs the generator, in words."""
        self._generator = generator
        self._workload = workload
        self._outcomes = outcomes
        self._requests = folder / "requests.jsonl"
        self._answers = folder / "answers.csv"

    def write(self, *, window: Window) -> None:
        """Supplies the window with carts and products. Raises NotSupplied."""
        self._requests.write_bytes(b"\n".join(self._workload.requests(window=window)))

    def send(self, *, window: Window) -> dict[str, Any]:
        """What the generator says at the window's end (see arrivals.run_window). Raises
        GeneratorFailed."""
        return self._generator.send_window(
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

    def stop(self) -> None:
        """Sends no more, in the middle of a window too: what is not answered yet is given up."""
        self._generator.close()

    def collect(self, *, window: Window) -> list[Sample]:
        """What came of each, as far as carrito's rows say it now."""
        with self._answers.open(newline="") as file:
            rows = list(csv.DictReader(file))
        known = self._outcomes.of(saga_ids=[row["saga_id"] for row in rows if row["saga_id"]])
        return [_sample(window, row, known) for row in rows]


def _sample(window: Window, row: Mapping[str, str], known: Mapping[str, Outcome]) -> Sample:
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
