"""The page: its chapters in order, the verdict first."""

from collections.abc import Sequence
from pathlib import Path

from loadtests.drawing import (
    certainty,
    circumstances,
    costing,
    deciding,
    growing,
    html,
    refusing,
    spending,
    stored,
    timing,
    trying,
    words,
)
from loadtests.drawing.conclusions import Outage
from loadtests.drawing.stored import Run
from loadtests.drawing.style import style
from loadtests.measuring.samples import Sample

PAGE = "report.html"


def draw(*, folder: Path) -> Path:
    """Draws the run that is stored in this folder, beside it. Raises NotARun."""
    path = folder / PAGE
    path.write_text(
        page(
            run=stored.read(folder=folder),
            samples=stored.read_samples(folder=folder),
            outages=stored.read_outage(folder=folder),
        )
    )
    return path


def page(*, run: Run, samples: Sequence[Sample], outages: Sequence[Outage] = ()) -> str:
    """One HTML file that needs no other."""
    chapters = [
        deciding.header(run=run),
        certainty.certainty(run=run),
        timing.latency(run=run, samples=samples),
        spending.waterfall(run=run),
        timing.acceptance(run=run, samples=samples),
        timing.throughput(run=run, samples=samples),
        growing.load(run=run, samples=samples),
        costing.cost(run=run),
        refusing.failures(run=run, samples=samples),
        trying.outage(run=run, samples=samples),
        trying.away(outages=outages),
        trying.hot(run=run, samples=samples),
        circumstances.environment(run=run),
        circumstances.audit(run=run),
        circumstances.method(run=run),
    ]
    saga = run.settings.saga
    return html.document(
        title=f"The same {saga}, side by side: {run.made_at}",
        style=style(),
        body_html=words.of_saga("".join(chapters), saga=saga),
    )
