"""Chapters on what a result stands on: where it was made, the audit, method and limits."""

import json

from loadtests.drawing import html
from loadtests.drawing.stored import Run

LIMITS = (
    "Everything, the load generator too, shares one machine: a hop between services costs CPU, but"
    " hardly any waiting. On real networks every hop costs more.",
    "One web and one worker process a service. More of them is another experiment.",
    "Tables are new and small at the beginning of a run.",
    "Differences that are smaller than an interval is wide: run longer, on a quiet machine.",
)


def environment(*, run: Run) -> str:
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
        table.replace("<table>", '<table class="facts">', 1),
        name="environment",
        title="Made on",
    )


def audit(*, run: Run) -> str:
    """What the audit checked, and what makes the result doubtful."""
    said = (
        "After all of it the services' own tables were checked, and everything was right."
        if run.audit.is_clean
        else "The audit found that something was wrong, so there is no result."
    )
    checked = [f"{one['title']} ({one['counted']})" for one in _groups(run)]
    stopped = ["The run was stopped before its end: this is of the windows until then."]
    reasons = [*stopped * run.was_stopped, *run.doubts]
    doubts = (
        "<h3>Beware</h3>" + html.points(reasons)
        if reasons
        else html.paragraph("Nothing was found that makes these figures doubtful.")
    )
    return html.section(
        html.paragraph(said),
        html.points(checked) if checked else html.paragraph(run.audit.said),
        doubts,
        name="audit",
        title="Is it right?",
    )


def method(*, run: Run) -> str:
    """How it was measured in a few sentences, and what it can't tell."""
    return html.section(
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
            "The whole method is in docs/benchmarks.md. Beside this page: report.json (every"
            " figure) and samples.csv (every checkout).",
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
