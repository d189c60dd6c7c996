"""The first screen: the verdict, warnings, and the answers as tiles; and the chapter on how certain
each decision is.
"""

from collections.abc import Mapping, Sequence
from html import escape

from loadtests.drawing import html, plot, verdicts, words
from loadtests.drawing.plot import LINE, Drawing, Frame, Linear
from loadtests.drawing.verdicts import QUESTIONS, Question
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.verdicts import SMALLEST_OF_INTEREST, FigureVerdict

ROW = 42.0
LEAST, MOST = 0.1, 2.0
"""The chart's axis ends between these shares."""


def header(*, run: Comparison) -> str:
    """Headline, warnings, and the answers as tiles."""
    made = f"{run.made_at[:16].replace('T', ' ')} UTC in {run.seconds_taken:.0f} s"
    patterns = words.listed([words.name_of(pattern) for pattern in run.patterns])
    return "".join(
        [
            "<header>",
            html.paragraph(f"The same checkout, {patterns}. Measured {made}.", kind="eyebrow"),
            f"<h1>{escape(verdicts.headline(run=run))}</h1>",
            _audit(run),
            html.warnings(verdicts.warnings(run=run)),
            html.paragraph(
                "For this load, on this machine: the same saga (one business transaction over"
                " several services, undone step by step if it fails) on the same business code,"
                " coordinated in each of these ways.",
                kind="lead",
            ),
            '<div class="tiles">',
            *[_tile(run, question) for question in QUESTIONS],
            "</div></header>\n",
        ]
    )


def _audit(run: Comparison) -> str:
    kind, description = (
        ("good", "Audit clean") if run.audit.is_clean else ("bad", "Audit: breached")
    )
    return f'<p><span class="badge {kind}">{description}</span></p>'


def _tile(run: Comparison, question: Question) -> str:
    found = {figures.pattern: question.value(figures) for figures in run.of(question.phase)}
    decisions = verdicts.of_question(run=run, question=question)
    sentences = dict.fromkeys(verdicts.sentence(decision) for decision in decisions)
    return (
        f'<div class="tile"><h3>{escape(question.asks)}</h3>'
        f'<div class="soft">{escape(question.explains)}</div>'
        + _bars(found, question.unit)
        + "".join(html.paragraph(f"{words.begun(sentence)}.") for sentence in sentences)
        + "</div>"
    )


def _bars(found: Mapping[str, float | None], unit: str) -> str:
    highest = max([value for value in found.values() if value is not None], default=0.0) or 1.0
    return "".join(
        f'<div class="bar {words.colour_of(pattern)}"><span>{escape(words.short_name_of(pattern))}'
        f'</span><i style="width:{(value or 0.0) / highest * 100:.1f}%"></i>'
        f"<b>{escape(words.with_unit(value, unit))}</b></div>"
        for pattern, value in found.items()
    )


def certainty(*, run: Comparison) -> str:
    """Every decision with its interval, in one chart for each pair of patterns."""
    pairs: dict[tuple[str, str], list[FigureVerdict]] = {}
    for verdict in run.verdicts:
        pairs.setdefault((verdict.first, verdict.second), []).append(verdict)
    drawn = [
        _pair(place, first, second, found)
        for place, ((first, second), found) in enumerate(pairs.items())
    ]
    if not drawn:
        return ""
    sure = words.percent(round(run.verdicts[0].confidence, 4))
    return html.section(
        "The dot is the estimate, the bar its interval: how much less (or more) the better"
        f" pattern needs, as a share of the other's figure; {sure} certain each, 95 % for all of"
        " them together. A bar wholly inside the grey band means that the patterns are alike; a"
        " bar that crosses the middle and leaves the band decides nothing: run longer."
        " From the differences within pairs of windows, by bootstrap.",
        *drawn,
        name="decided",
        title="How certain is this?",
    )


def _pair(place: int, first: str, second: str, found: Sequence[FigureVerdict]) -> str:
    title = f"{words.sentence_name_of(first)} and {words.name_of(second)}"
    head = f"<h3>{escape(title)}</h3>"
    if all(verdict.lead is None for verdict in found):
        sentences = dict.fromkeys(verdicts.sentence(verdict) for verdict in found)
        return head + "".join(html.paragraph(f"{words.begun(sentence)}.") for sentence in sentences)
    return head + html.figure(
        lambda width: chart(found=found, width=width),
        name=f"decided-{place}",
        title=f"{title}: which is better, by how much",
        caption=f"From {_pairs(found)} pairs of windows.",
        table_html=html.table(
            heads=["", words.name_of(first), words.name_of(second), ""],
            rows=[_cells(verdict) for verdict in found],
            caption="Means over the windows, and the decision",
        ),
    )


def _pairs(found: Sequence[FigureVerdict]) -> str:
    """How many pairs a figure has: `8 to 12` where figures differ in that."""
    counts = sorted({verdict.blocks for verdict in found})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _cells(verdict: FigureVerdict) -> list[str]:
    named = f"{verdict.figure}, {verdict.unit}" if verdict.unit else verdict.figure
    values = [
        words.number(verdict.values.get(pattern)) for pattern in (verdict.first, verdict.second)
    ]
    return [named, *values, words.begun(verdicts.sentence(verdict))]


def chart(*, found: Sequence[FigureVerdict], width: float) -> Drawing:
    """One pair of patterns: a row per figure; left of the middle the first is better, right of it
    the second. `found` must not be empty."""
    first, second = found[0].first, found[0].second
    frame = Frame(width=width, height=ROW * len(found) + 74, left=10, right=10, top=26)
    leads = [lead for verdict in found if (lead := verdict.lead)]
    furthest = max((max(abs(ratio.low), abs(ratio.high)) for ratio in leads), default=LEAST)
    end = min(max(furthest * 1.1, LEAST), MOST)
    across = frame.across(low=-end, high=end)
    left, right = (
        f"← {words.short_name_of(first)} better",
        f"{words.short_name_of(second)} better →",
    )
    marks = [(words.signed(abs(tick))[1:], across(tick)) for tick in across.ticks(most=6)]
    drawn = [
        frame.band(across(-SMALLEST_OF_INTEREST), across(SMALLEST_OF_INTEREST)),
        plot.line((across(0), frame.top), (across(0), frame.floor), kind="axis"),
        frame.marked(marks, unit="better by (grey: under 5 %, too small to matter)"),
        plot.text(left, 0, 14, kind=f"name {words.colour_of(first)}"),
        plot.text(right, width, 14, anchor="end", kind=f"name {words.colour_of(second)}"),
    ]
    drawn += [_row(verdict, frame.top + ROW * place, across) for place, verdict in enumerate(found)]
    description = " ".join(f"{verdict.figure}: {verdicts.sentence(verdict)}." for verdict in found)
    return Drawing(height=frame.height, elements=drawn, description=description)


def _row(verdict: FigureVerdict, top: float, across: Linear) -> str:
    named = plot.text(verdict.figure, across.start, top + LINE, kind="mark")
    lead = verdict.lead
    if lead is None:
        return named + plot.text("no interval", across.end, top + LINE, anchor="end", kind="mark")
    side = -1 if verdict.better and verdict.better == verdict.first else 1
    kind = words.colour_of(verdict.better) if verdict.better else "s3"
    low, estimate, high = (across(side * end) for end in (lead.low, lead.estimate, lead.high))
    middle = top + LINE + 13
    return (
        named
        + plot.line((low, middle), (high, middle), kind=f"bounds {kind}")
        + plot.dot(estimate, middle, radius=5, kind=f"fill {kind}")
    )
