"""Every chart, with unusual data: labels stay inside and don't overlap, numbers are finite."""

import math
import re
from collections.abc import Callable
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue import SAGAS
from loadtests.drawing import (
    bars,
    faults,
    headline,
    html,
    latency,
    load,
    plot,
    refusals,
    throughput,
    waterfall,
)
from loadtests.drawing.plot import Drawing
from loadtests.evaluating.knee import Bounds, Level
from loadtests.evaluating.verdicts import FigureVerdict, Interval
from loadtests.evaluating.waterfall import Span, TimeKind, Waterfall

WIDTHS = st.sampled_from([html.WIDE, html.NARROW])
STEPS = [step.name for step in SAGAS["checkout"].steps]
PATTERNS = ("orchestrated", "choreographed", "orchestrated_messaging", "monolith")
AMOUNT = st.floats(min_value=0, max_value=1e7)
RATE = st.floats(min_value=0, max_value=99_000)
LATENCY = st.one_of(st.floats(min_value=0, max_value=99_000), st.just(math.inf))


def by_pattern(of: st.SearchStrategy) -> st.SearchStrategy:
    """The same for one to all patterns."""
    return st.integers(min_value=1, max_value=len(PATTERNS)).flatmap(
        lambda count: st.fixed_dictionaries(dict.fromkeys(PATTERNS[:count], of))
    )


def verdict(
    ratio: tuple[float, float, float], *, figure: str = "p50 at light load"
) -> FigureVerdict:
    low, estimate, high = sorted(ratio)
    return FigureVerdict(
        figure=figure,
        unit="ms",
        first="orchestrated",
        second="choreographed",
        ratio=Interval(estimate=estimate, low=low, high=high),
        difference=Interval(estimate=estimate - 1, low=low - 1, high=high - 1),
    )


def holds(chart: Drawing, width: float) -> None:
    """It is a picture with a title; its labels are inside, and don't overlap."""
    drawn = picture(chart, width)
    root = Xml.fromstring(drawn)  # noqa: S314 -- our own
    _, _, across, down = map(float, root.attrib["viewBox"].split())
    assert across == width
    assert not re.search(r"\bnan\b|\binf\b", drawn.lower().replace("info", ""))
    assert root[0].tag.endswith("title")
    assert root[0].text
    assert root[1].tag.endswith("desc")
    boxes = [_box(element) for element in root.iter() if element.tag.endswith("}text")]
    for left, right, top, bottom, words in boxes:
        assert left >= -1, words
        assert right <= across + 1, words
        assert top >= -1, words
        assert bottom <= down + 1, words
    for place, box in enumerate(boxes):
        assert not [other for other in boxes[:place] if _meet(box, other)], box


def picture(chart: Drawing, width: float = 760) -> str:
    return plot.picture(chart, width=width, name="a", title="<script>")


def _box(element: Xml.Element) -> tuple[float, float, float, float, str]:
    words, attributes = element.text or "", element.attrib
    # Real letters are narrower than what the charts leave room for: 0.9 of it is the widest seen.
    wide = plot.width_of(words, bold="name" in attributes.get("class", "")) * 0.9
    x, y, anchor = float(attributes["x"]), float(attributes["y"]), attributes["text-anchor"]
    left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return left, left + wide, y - 9, y + 3, words


def _meet(box: tuple, other: tuple) -> bool:
    return box[0] < other[1] and other[0] < box[1] and box[2] < other[3] and other[2] < box[3]


@settings(max_examples=40)
@given(
    windows=by_pattern(st.lists(st.lists(LATENCY, max_size=40), min_size=1, max_size=3)),
    width=WIDTHS,
)
def test_percentiles_hold_for_any_latencies(windows, width) -> None:
    holds(latency.chart(found=windows, width=width), width)


@settings(max_examples=40)
@given(
    courses=by_pattern(st.lists(st.lists(RATE, max_size=12), max_size=3)),
    width=WIDTHS,
)
def test_throughput_holds_for_any_course(courses, width) -> None:
    drawn = throughput.chart(courses=courses, bin_seconds=0.5, seconds=3, width=width)
    holds(drawn, width)


@settings(max_examples=40)
@given(amounts=st.lists(st.lists(AMOUNT, min_size=1, max_size=8), min_size=1, max_size=4), w=WIDTHS)
def test_stacks_hold_for_any_amounts(amounts, w) -> None:
    every = [
        bars.StackedBar(
            pattern="orchestrated_messaging",
            description="12.3 ms",
            parts=[
                bars.Segment(label="PostgreSQL", short="9", amount=amount, kind=f"p{place}")
                for place, amount in enumerate(parts)
            ],
        )
        for parts in amounts
    ]
    holds(bars.stacks(every=every, unit="CPU ms", width=w), w)


@settings(max_examples=40)
@given(amounts=by_pattern(AMOUNT), width=WIDTHS)
def test_pairs_hold_for_any_amounts(amounts, width) -> None:
    rows = {"write-ahead log, kB": amounts, "transactions that wrote": amounts}
    holds(bars.pairs(rows=rows, width=width), width)


@settings(max_examples=40)
@given(windows=by_pattern(st.lists(LATENCY, max_size=20)), width=WIDTHS)
def test_dots_hold_for_any_latencies(windows, width) -> None:
    holds(refusals.dots(found=windows, unit="ms", width=width), width)


@settings(max_examples=40)
@given(
    ratios=st.lists(
        st.tuples(*[st.floats(min_value=1e-3, max_value=1e3)] * 3), min_size=1, max_size=8
    ),
    width=WIDTHS,
)
def test_intervals_hold_for_any_ratio(ratios, width) -> None:
    verdicts = [verdict(ratio) for ratio in ratios]
    holds(headline.chart(found=verdicts, width=width), width)


@settings(max_examples=40)
@given(
    amounts=by_pattern(st.lists(st.floats(min_value=0, max_value=9_999), min_size=14, max_size=14)),
    width=WIDTHS,
)
def test_waterfalls_hold_for_any_times(amounts, width) -> None:
    waterfalls = [
        Waterfall(
            pattern=pattern,
            sagas=2400,
            mean_ms=sum(every),
            parts=[
                Span(
                    step=(*STEPS, "hand_over")[place // 2],
                    kind=(TimeKind.WAIT, TimeKind.SERVICE)[place % 2],
                    start=sum(every[:place]),
                    ms=ms,
                )
                for place, ms in enumerate(every)
            ],
        )
        for pattern, every in amounts.items()
    ]
    holds(waterfall.chart(found=waterfalls, width=width), width)


LOAD = st.builds(
    Level,
    offered=st.floats(min_value=0.1, max_value=9_000),
    p50_ms=st.floats(min_value=0, max_value=99_000),
    p99_ms=st.floats(min_value=0, max_value=99_000),
    is_sustained=st.booleans(),
    completed=st.just(1.0),
    in_flight=st.just(1.0),
    lag_p99_ms=st.just(1.0),
)
CURVE = st.lists(
    st.tuples(st.floats(min_value=0.1, max_value=9_000), st.floats(min_value=0, max_value=99_000)),
    max_size=6,
)


KNEE = st.builds(
    load.Knee,
    load=st.floats(min_value=1, max_value=9_000),
    between=st.none()
    | st.builds(
        Bounds,
        low=st.floats(min_value=0, max_value=9_000),
        high=st.none() | st.floats(min_value=1, max_value=9_000),
    ),
)


@settings(max_examples=40)
@given(
    levels=by_pattern(st.lists(LOAD, min_size=1, max_size=6)),
    knees=by_pattern(KNEE),
    laws=by_pattern(CURVE),
    width=WIDTHS,
)
def test_levels_hold_for_any_loads(levels, knees, laws, width) -> None:
    drawn = load.chart(found=levels, knees=knees, laws=laws, width=width)
    holds(drawn, width)


@settings(max_examples=40)
@given(
    courses=by_pattern(
        st.lists(
            st.builds(
                faults.Backlog,
                seconds=st.floats(min_value=0.1, max_value=900),
                waiting=st.lists(st.integers(min_value=0, max_value=90_000), max_size=161),
            ),
            max_size=3,
        )
    ),
    width=WIDTHS,
)
def test_backlogs_hold_for_any_course(courses, width) -> None:
    holds(faults.chart(found=courses, pause=(3, 8), width=width), width)


def test_line_of_percentiles_never_falls() -> None:
    drawn = latency.chart(found={"orchestrated": [[5.0, 1.0, 9.0, 7.0, 30.0, 2.0]]}, width=760)
    lines = re.findall(r'd="M([^"]+)" class="line', picture(drawn))
    places = [tuple(map(float, point.split())) for point in lines[0].split("L")]
    assert places == sorted(places, key=lambda place: (place[0], -place[1]))
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)


def test_line_ends_where_checkouts_never_ended() -> None:
    drawn = latency.chart(found={"orchestrated": [[1.0] * 5 + [math.inf] * 5]}, width=760)
    (line,) = re.findall(r'd="M([^"]+)" class="line', picture(drawn))
    furthest = max(float(point.split()[0]) for point in line.split("L"))
    assert furthest < 760 / 2


def test_dot_of_an_interval_is_on_the_side_of_the_better_one() -> None:
    def place(ratio: float) -> float:
        drawn = headline.chart(found=[verdict((ratio - 0.01, ratio, ratio + 0.01))], width=760)
        return float(re.findall(r'<circle cx="([\d.]+)"', picture(drawn))[0])

    assert place(0.8) > 380 > place(1.2)


def test_words_are_escaped_wherever_they_come_from() -> None:
    drawn = picture(bars.pairs(rows={"<b>&": {"<i>": 1.0}}, width=760))
    assert not [tag for tag in ("<b>", "<i>", "<script>") if tag in drawn]
    root = Xml.fromstring(drawn)  # noqa: S314 -- our own
    assert root[0].text == "<script>"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_value_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="drawn"):
        plot.line((0.0, value), (1.0, 1.0), kind="grid")


def test_picture_of_nothing_is_a_picture() -> None:
    empty: dict[str, list] = {"orchestrated": []}
    charts: list[Callable[[], Drawing]] = [
        lambda: latency.chart(found=empty, width=370),
        lambda: refusals.dots(found=empty, unit="ms", width=370),
        lambda: throughput.chart(courses=empty, bin_seconds=1, seconds=3, width=370),
    ]
    for chart in charts:
        holds(chart(), 370)
