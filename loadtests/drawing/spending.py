"""The chapter on where a checkout's time goes."""

from collections.abc import Sequence

from loadtests.drawing import html, waterfalls, words
from loadtests.drawing.conclusions import Waterfall
from loadtests.drawing.stored import Run
from loadtests.drawing.waterfalls import KINDS

MEANINGS = {
    "queue wait": "asked for, until the service begins its transaction",
    "service": "from there until the outcome is stored in it",
    "coordination": "until the next step is asked for: commit, answer, who is next, hand-over",
    "idle": "asked for again, after a fault",
}


def waterfall(*, run: Run) -> str:
    """The mean saga of each pattern; nothing for a run that has none."""
    known = {one.pattern: one for one in run.waterfalls}
    found = [known[pattern] for pattern in run.patterns if pattern in known]
    if not found:
        return ""
    without = [words.name_of(one) for one in run.patterns if one not in known]
    shown = [kind for kind in KINDS if any(waterfalls.total(one, kind=kind) for one in found)]
    return html.section(
        html.paragraph(
            "The mean checkout at light load, step below step, cut the same way in each pattern"
            " and read from the services' own rows. What is coloured fully is work; the rest is"
            " the price of having several services."
            + (f" Not of {words.listed(without)}: no such rows are there." if without else "")
        ),
        html.key([(f"{kind}: {MEANINGS[kind]}", f"kind {KINDS[kind]}") for kind in shown]),
        html.figure(
            name="waterfall",
            draw=lambda width, name: waterfalls.chart(
                found=found, width=width, name=name, title="Where a checkout's time goes"
            ),
            says="Means over a sample of the completed checkouts; the parts add up to their mean"
            " latency, which is higher than the median.",
            table_html="".join(_table(one) for one in found) + _totals(found),
        ),
        name="waterfall",
        title="Where the time goes",
    )


def _table(found: Waterfall) -> str:
    spent = {(part.step, part.kind): part.ms for part in found.parts}
    return html.table(
        heads=["", *KINDS],
        rows=[
            [
                waterfalls.step_name(step),
                *[
                    words.number(spent[step, kind]) if (step, kind) in spent else ""
                    for kind in KINDS
                ],
            ]
            for step in waterfalls.steps_of(found)
        ],
        caption=f"{words.name_of(found.pattern)}: ms of the mean saga",
    )


def _totals(found: Sequence[Waterfall]) -> str:
    return html.table(
        heads=["", *[words.name_of(one.pattern) for one in found]],
        rows=[
            *[
                [kind, *[words.number(waterfalls.total(one, kind=kind)) for one in found]]
                for kind in KINDS
            ],
            ["all of it", *[words.number(one.mean_ms) for one in found]],
        ],
        caption="ms of the mean saga, all steps",
    )
