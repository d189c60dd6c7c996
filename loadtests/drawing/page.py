"""The page: its chapters in order, the verdict first; last, what the result stands on."""

import json
from collections.abc import Sequence
from pathlib import Path

from loadtests.drawing import (
    cost,
    faults,
    headline,
    html,
    latency,
    load,
    refusals,
    stored,
    throughput,
    verdicts,
    waterfall,
    words,
)
from loadtests.drawing.stored import Run
from loadtests.measuring.samples import Sample
from loadtests.outages import Outage

PAGE = "report.html"
LIMITS = (
    "Everything, the load generator too, shares one machine: a hop between services costs CPU, but"
    " hardly any waiting. On real networks every hop costs more.",
    "One web and one worker process a service. More of them is another experiment.",
    "Tables are new and small at the beginning of a run.",
    "Differences that are smaller than an interval is wide: run longer, on a quiet machine.",
)


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
        headline.header(run=run),
        verdicts.certainty(run=run),
        latency.latency(run=run, samples=samples),
        waterfall.waterfall(run=run),
        latency.acceptance(run=run, samples=samples),
        throughput.throughput(run=run, samples=samples),
        load.load(run=run, samples=samples),
        cost.cost(run=run),
        refusals.failures(run=run, samples=samples),
        faults.outage(run=run, samples=samples),
        faults.away(outages=outages),
        latency.hot(run=run, samples=samples),
        _environment(run),
        _audit(run),
        _method(run),
    ]
    saga = run.settings.saga
    return html.document(
        title=f"The same {saga}, side by side: {run.made_at}",
        body_html=words.of_saga("".join(chapters), saga=saga),
    )


def _environment(run: Run) -> str:
    """Machine, versions, durability, and the settings of the run."""
    facts = [[name, fact] for name, fact in run.environment.items()]
    settings = run.settings
    facts.append(
        [
            "run",
            f"seed {settings.seed}; {settings.seconds:g} timed seconds a pattern, in windows of"
            f" both in random order; {len(run.windows)} windows",
        ]
    )
    table = html.table(heads=["", ""], rows=facts, caption="The same for every pattern.")
    return html.section(
        "",
        table.replace("<table>", '<table class="facts">', 1),
        name="environment",
        title="Made on",
    )


def _audit(run: Run) -> str:
    """What the audit checked, and what makes the result doubtful."""
    said = (
        "After all of it the services' own tables were checked, and everything was right."
        if run.audit.is_clean
        else "The audit found that something was wrong, so there is no result."
    )
    checked = [f"{group['title']} ({group['counted']})" for group in _groups(run)]
    stopped = ["The run was stopped before its end: this is of the windows until then."]
    reasons = [*stopped * run.was_stopped, *run.doubts]
    doubts = (
        "<h3>Beware</h3>" + html.points(reasons)
        if reasons
        else html.paragraph("Nothing was found that makes these figures doubtful.")
    )
    return html.section(
        said,
        html.points(checked) if checked else html.paragraph(run.audit.said),
        doubts,
        name="audit",
        title="Is it right?",
    )


def _method(run: Run) -> str:
    """How it was measured in a few sentences, and what it can't tell."""
    return html.section(
        "",
        html.points(
            [
                "Checkouts are sent at moments that were fixed beforehand, whether or not earlier"
                " ones were answered (open loop). A slow shop is seen as slow.",
                "The patterns alternate in short windows on one running stack, in random order,"
                " with the same arrival times; each window is drained before the next.",
                "Percentiles are exact, from the samples themselves. A checkout that did not"
                " complete counts as infinitely late.",
                "Costs are read before and after a window, when nothing moves.",
            ]
        ),
        "<h3>What it can't tell</h3>",
        html.points(LIMITS),
        html.paragraph(
            "The whole method is in docs/explanation/benchmarks.md. Beside this page: report.json"
            " (every figure) and samples.csv (every checkout).",
            kind="soft",
        ),
        name="method",
        title="How it was measured",
    )


def _groups(run: Run) -> list[dict[str, str]]:
    """The audit's groups of checks, where it said them as JSON."""
    try:
        said = json.loads(run.audit.said)
    except ValueError:
        return []
    return list(said.get("groups", [])) if isinstance(said, dict) else []
