"""The page: its chapters in order, the verdict first, environment, audit and method last."""

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
from loadtests.evaluating.comparison import Comparison
from loadtests.measuring.samples import Sample
from loadtests.outages import Outage

PAGE = "report.html"
LIMITS = (
    "Everything, the load generator included, shares one machine: a call between services costs"
    " CPU, but hardly any waiting. On real networks every call costs more.",
    "Each service has one web and one worker process. More of them is another experiment.",
    "Tables are new and small at the beginning of a run.",
    "It finds no difference smaller than an interval is wide: run longer on a quiet machine.",
)


def draw(*, folder: Path) -> Path:
    """Renders the run stored in this folder, into the same folder. Raises NotARun."""
    path = folder / PAGE
    text = page(
        run=stored.read(folder=folder),
        samples=stored.read_samples(folder=folder),
        outages=stored.read_outage(folder=folder),
    )
    path.unlink(missing_ok=True)
    with path.open("x") as file:  # a link that was planted there is not followed
        file.write(text)
    return path


def page(*, run: Comparison, samples: Sequence[Sample], outages: Sequence[Outage] = ()) -> str:
    """One self-contained HTML file."""
    chapters = [
        headline.header(run=run),
        headline.certainty(run=run),
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
    header, *others = [chapter for chapter in chapters if chapter]
    return html.document(
        title=f"The same {saga}, side by side: {run.made_at}",
        body_html=words.of_saga("".join([header, html.contents(others), *others]), saga=saga),
    )


def _environment(run: Comparison) -> str:
    """Machine, versions, durability, the settings of the run, and how to repeat it."""
    facts = [[name, fact] for name, fact in run.environment.items()]
    settings = run.settings
    facts.append(
        [
            "run",
            f"seed {settings.seed}; {settings.seconds:g} timed seconds per pattern, in alternating"
            f" windows in random order; {len(run.windows)} windows",
        ]
    )
    facts.append(["to repeat it", settings.as_command])
    table = html.table(heads=["", ""], rows=facts, caption="The same for every pattern.")
    return html.section(
        "",
        table.replace("<table>", '<table class="facts">', 1),
        name="environment",
        title="Environment",
    )


def _audit(run: Comparison) -> str:
    """What the audit checked."""
    text = (
        "After the run an audit checked the services' own tables: nothing was lost, duplicated or"
        " left half done."
        if run.audit.is_clean
        else "The audit found a breach, so there is no result."
    )
    checked = [f"{group['title']} ({group['counted']})" for group in _groups(run)]
    nothing = "There are no warnings about these figures."
    return html.section(
        text,
        html.points(checked) if checked else html.paragraph(run.audit.output),
        "" if verdicts.warnings(run=run) else html.paragraph(nothing),
        name="audit",
        title="Correctness",
    )


def _method(run: Comparison) -> str:
    """How it was measured, in a few sentences, and its limitations."""
    return html.section(
        "",
        html.points(
            [
                "Checkouts are sent at moments that were fixed beforehand, whether or not earlier"
                " ones were answered (open loop), so delays of a slow shop are not hidden.",
                "The patterns alternate in short windows on one running stack, in random order,"
                " with the same arrival times; each window is drained before the next.",
                "Percentiles are exact, from the samples themselves. A checkout that did not"
                " complete counts as infinitely late.",
                "Costs are read before and after a window, while the shop is idle.",
            ]
        ),
        "<h3>Limitations</h3>",
        html.points(LIMITS),
        html.paragraph(
            "The whole method is in docs/explanation/benchmarks.md. Beside this page: report.json"
            " (every figure) and samples.csv (every checkout).",
            kind="soft",
        ),
        name="method",
        title="How it was measured",
    )


def _groups(run: Comparison) -> list[dict[str, str]]:
    """The audit's groups of checks, where its output is JSON."""
    try:
        text = json.loads(run.audit.output)
    except ValueError:
        return []
    return list(text.get("groups", [])) if isinstance(text, dict) else []
