"""The chapter on how sure the answers are: every decision with its interval."""

from collections.abc import Sequence
from html import escape

from loadtests.drawing import html, intervals, verdicts, words
from loadtests.drawing.conclusions import Verdict
from loadtests.drawing.stored import Run


def certainty(*, run: Run) -> str:
    """Every decision with its bounds, a chart for each pair of patterns that has any.

    What holds for every chart is said once, above them.
    """
    pairs: dict[tuple[str, str], list[Verdict]] = {}
    for one in run.verdicts:
        pairs.setdefault((one.first, one.second), []).append(one)
    drawn = [
        _pair(place, first, second, found)
        for place, ((first, second), found) in enumerate(pairs.items())
    ]
    if not drawn:
        return ""
    sure = words.percent(round(run.verdicts[0].confidence, 4))
    return html.section(
        html.paragraph(
            f"The dot is the estimate, the bar its interval: {sure} each, so that all of a run hold"
            " together. A bar that crosses the middle decides nothing. From the differences within"
            " pairs of windows, by bootstrap."
        ),
        *drawn,
        name="decided",
        title="How sure that is",
    )


def _pair(place: int, first: str, second: str, found: Sequence[Verdict]) -> str:
    title = f"{words.sentence_name_of(first)} and {words.name_of(second)}"
    head = f"<h3>{escape(title)}</h3>"
    if all(one.ratio is None for one in found):
        sentences = dict.fromkeys(verdicts.sentence(one) for one in found)
        return head + "".join(html.paragraph(one) for one in sentences)
    return head + html.figure(
        name=f"decided-{place}",
        draw=lambda width, name: intervals.chart(
            found=found, width=width, name=name, title=f"{title}: which is better, by how much"
        ),
        says=f"From {_pairs(found)} pairs of windows.",
        table_html=html.table(
            heads=["", words.name_of(first), words.name_of(second), ""],
            rows=[[_named(one), *_values(one), verdicts.sentence(one)] for one in found],
            caption="Means over the windows, and what follows",
        ),
    )


def _pairs(found: Sequence[Verdict]) -> str:
    """How many a figure has: `8 to 12` where not all have as many."""
    counts = sorted({one.blocks for one in found})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _named(one: Verdict) -> str:
    return f"{one.figure}, {one.unit}" if one.unit else one.figure


def _values(one: Verdict) -> list[str]:
    return [words.number(one.values.get(pattern)) for pattern in (one.first, one.second)]
