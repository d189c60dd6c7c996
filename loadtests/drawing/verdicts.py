"""Decisions between two patterns in words that need no statistics, and the chapter on how sure
they are: every one with its interval.
"""

from collections.abc import Sequence
from html import escape

from loadtests.drawing import html, plot, words
from loadtests.drawing.plot import LINE, Drawing, Frame, Linear
from loadtests.drawing.stored import Run, Verdict
from loadtests.evaluating.verdicts import SMALLEST_OF_INTEREST, Decision, Interval

ROW = 42.0
LEAST, MOST = 0.1, 2.0
"""The chart's axis ends at this share at least, and at this at most."""


def sentence(verdict: Verdict) -> str:
    """One of three: better by so much; no difference of interest; not enough data."""
    if verdict.ratio is None or verdict.difference is None:
        return f"Not enough data to decide: {verdict.why or 'run longer'}."
    if verdict.decision == Decision.DIFFERS:
        return _differs(verdict, verdict.ratio, verdict.difference)
    between = f"{words.signed(verdict.ratio.low - 1)} to {words.signed(verdict.ratio.high - 1)}"
    against = f"{words.name_of(verdict.second)} against {words.name_of(verdict.first)}: {between}"
    if verdict.decision == Decision.SAME:
        return f"No difference larger than {words.share(SMALLEST_OF_INTEREST)} ({against})."
    return f"Not enough data to decide: run longer ({against})."


def short(verdict: Verdict) -> str:
    """The same on about a line."""
    ratio = verdict.ratio
    if ratio is None:
        return f"not enough data ({verdict.why or 'run longer'})"
    if verdict.decision == Decision.DIFFERS:
        found = advantage(verdict, ratio)
        word = "less" if verdict.lower_is_better else "more"
        return (
            f"{words.short_name_of(verdict.better)} {words.share(found.estimate)} {word} than"
            f" {words.short_name_of(other_of(verdict))}"
            f" [{words.share(found.low)} to {words.share(found.high)}]"
        )
    between = f"{words.signed(ratio.low - 1)} to {words.signed(ratio.high - 1)}"
    if verdict.decision == Decision.SAME:
        return f"no difference larger than {words.share(SMALLEST_OF_INTEREST)} ({between})"
    return f"not enough data ({between}): run longer"


def best(found: list[Verdict]) -> str:
    """The pattern that is better than every other by a decision; empty where none is."""
    patterns = {name for one in found for name in (one.first, one.second)} - {""}
    wins = [one.better for one in found if one.better]
    return next(
        (pattern for pattern in sorted(patterns) if wins.count(pattern) == len(patterns) - 1), ""
    )


def worst(found: list[Verdict]) -> str:
    """The pattern, of three or more, that every other is better than; empty where none is."""
    patterns = {name for one in found for name in (one.first, one.second)} - {""}
    losses = [other_of(one) for one in found if one.better]
    lost = (pattern for pattern in sorted(patterns) if losses.count(pattern) == len(patterns) - 1)
    return next(lost, "") if len(patterns) > 2 else ""


def other_of(verdict: Verdict) -> str:
    """The one of the two that is not better."""
    return verdict.first if verdict.better == verdict.second else verdict.second


def advantage(verdict: Verdict, ratio: Interval) -> Interval:
    """By how much the better one's figure is lower (or higher, where more is better), as a share
    of the other's."""
    seen = ratio if verdict.better == verdict.second else inverse(ratio)
    sign = -1 if verdict.lower_is_better else 1
    bounds = sorted(sign * (one - 1) for one in (seen.low, seen.high))
    return Interval(estimate=sign * (seen.estimate - 1), low=bounds[0], high=bounds[1])


def inverse(ratio: Interval) -> Interval:
    """The ratio the other way round."""
    return Interval(estimate=1 / ratio.estimate, low=1 / ratio.high, high=1 / ratio.low)


def _differs(verdict: Verdict, ratio: Interval, difference: Interval) -> str:
    share = advantage(verdict, ratio)
    sign = 1 if difference.estimate > 0 else -1
    gaps = sorted(sign * one for one in (difference.low, difference.high))
    word = "less" if verdict.lower_is_better else "more"
    return (
        f"{words.sentence_name_of(verdict.better)}: {words.number(abs(difference.estimate))}"
        f" {verdict.unit} {word} than {words.name_of(other_of(verdict))}"
        f" [{words.number(gaps[0])} to {words.number(gaps[1])}],"
        f" that is {words.share(share.estimate)}"
        f" [{words.share(share.low)} to {words.share(share.high)}]."
    )


def certainty(*, run: Run) -> str:
    """Every decision with its bounds, a chart for each pair of patterns that has any.

    What holds for every chart is said once, above them.
    """
    pairs: dict[tuple[str, str], list[Verdict]] = {}
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
        f"The dot is the estimate, the bar its interval: {sure} each, so that all of a run hold"
        " together. A bar that crosses the middle decides nothing. From the differences within"
        " pairs of windows, by bootstrap.",
        *drawn,
        name="decided",
        title="How certain is this?",
    )


def _pair(place: int, first: str, second: str, found: Sequence[Verdict]) -> str:
    title = f"{words.sentence_name_of(first)} and {words.name_of(second)}"
    head = f"<h3>{escape(title)}</h3>"
    if all(one.ratio is None for one in found):
        sentences = dict.fromkeys(sentence(one) for one in found)
        return head + "".join(html.paragraph(one) for one in sentences)
    return head + html.figure(
        lambda width: chart(found=found, width=width),
        name=f"decided-{place}",
        title=f"{title}: which is better, by how much",
        says=f"From {_pairs(found)} pairs of windows.",
        table_html=html.table(
            heads=["", words.name_of(first), words.name_of(second), ""],
            rows=[_cells(one) for one in found],
            caption="Means over the windows, and what follows",
        ),
    )


def _pairs(found: Sequence[Verdict]) -> str:
    """How many a figure has: `8 to 12` where not all have as many."""
    counts = sorted({one.blocks for one in found})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _cells(one: Verdict) -> list[str]:
    named = f"{one.figure}, {one.unit}" if one.unit else one.figure
    values = [words.number(one.values.get(pattern)) for pattern in (one.first, one.second)]
    return [named, *values, sentence(one)]


def chart(*, found: Sequence[Verdict], width: float) -> Drawing:
    """One pair of patterns: a row a figure; left of the middle the first is better, right of it
    the second. `found` must not be empty."""
    first, second = found[0].first, found[0].second
    frame = Frame(width=width, height=ROW * len(found) + 74, left=10, right=10, top=26)
    seen = [interval for one in found if (interval := _seen(one))]
    furthest = max((max(abs(one.low), abs(one.high)) for one in seen), default=LEAST)
    end = min(max(furthest * 1.1, LEAST), MOST)
    across = frame.across(low=-end, high=end)
    left, right = (
        f"← {words.short_name_of(first)} better",
        f"{words.short_name_of(second)} better →",
    )
    marks = [(words.signed(abs(one))[1:], across(one)) for one in across.ticks(most=6)]
    drawn = [
        frame.band(across(-SMALLEST_OF_INTEREST), across(SMALLEST_OF_INTEREST)),
        plot.line((across(0), frame.top), (across(0), frame.floor), kind="axis"),
        frame.marked(marks, unit="better by (grey: under 5 %, too small to matter)"),
        plot.text(left, 0, 14, kind=f"name {words.colour_of(first)}"),
        plot.text(right, width, 14, anchor="end", kind=f"name {words.colour_of(second)}"),
    ]
    drawn += [_row(one, frame.top + ROW * place, across) for place, one in enumerate(found)]
    said = " ".join(f"{one.figure}: {sentence(one)}" for one in found)
    return Drawing(height=frame.height, elements=drawn, said=said)


def _row(one: Verdict, top: float, across: Linear) -> str:
    named = plot.text(one.figure, across.start, top + LINE, kind="mark")
    seen = _seen(one)
    if seen is None:
        return named + plot.text("no interval", across.end, top + LINE, anchor="end", kind="mark")
    kind = words.colour_of(one.better) if one.better else "s3"
    middle = top + LINE + 13
    low, high = (across(seen.low), middle), (across(seen.high), middle)
    return (
        named
        + plot.line(low, high, kind=f"bounds {kind}")
        + plot.dot(across(seen.estimate), middle, radius=5, kind=f"fill {kind}")
    )


def _seen(one: Verdict) -> Interval | None:
    """The second's advantage as a share: to the right of 0 the second is better."""
    if one.ratio is None:
        return None
    ratio = inverse(one.ratio) if one.lower_is_better else one.ratio
    return Interval(estimate=ratio.estimate - 1, low=ratio.low - 1, high=ratio.high - 1)
