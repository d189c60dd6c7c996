from dataclasses import replace
from math import inf

import pytest

from loadtests.evaluating import conditions
from loadtests.evaluating.comparison import Capacity, Comparison
from loadtests.evaluating.conditions import Condition, ConditionState, Judgement
from loadtests.evaluating.knee import Bounds, Level
from loadtests.evaluating.quantities import QUANTITIES
from loadtests.evaluating.results import Measured
from loadtests.load.windows import WindowPhase
from tests.unit.loadtests.builders import comparison, measured, sample, whole_run, window

PATTERNS = ("orchestrated", "choreographed")
NOBODYS_LEVEL = Level(
    offered=1, completed=1, in_flight=1, p50_ms=1, p99_ms=1, is_sustained=False, lag_p99_ms=0
)


@pytest.fixture(scope="module")
def run() -> Comparison:
    """Its p50 is 22.8 ms orchestrated and 12.8 ms choreographed."""
    return comparison(every=whole_run())


def spread(milliseconds: float) -> list[Measured]:
    """Eight windows of one pattern, with this factor between their latencies."""
    return [
        measured(of=window(number=n), latencies=[0.1 + n * milliseconds / 1000] * 50)
        for n in range(8)
    ]


def held(text: str, run: Comparison, against: Comparison | None = None) -> list[Judgement]:
    """The verdicts on one condition, for each of its patterns."""
    every = conditions.expanded(
        conditions=[conditions.condition(text)],
        patterns=run.patterns,
        is_full=True,
        against=against,
    )
    return conditions.judge(conditions=every, run=run, against=against)


def outcomes(text: str, run: Comparison, against: Comparison | None = None) -> dict[str, str]:
    return {
        judgement.condition.pattern: judgement.standing for judgement in held(text, run, against)
    }


@pytest.mark.parametrize(
    ("text", "pattern", "figure", "limit", "is_above"),
    [
        ("p95>300ms", "", "p95", 300, True),
        ("orchestrated.p95 > 0.3s", "orchestrated", "p95", 300, True),
        (" completed/s<100 ", "", "completed/s", 100, False),
        ("completed/s<100/s", "", "completed/s", 100, False),
        ("orchestrated +2ms.cpu>.5", "orchestrated +2ms", "cpu", 0.5, True),
        ("wal>40kB", "", "wal", 40, True),
        ("unfinished>0", "", "unfinished", 0, True),
    ],
)
def test_condition_is_read(
    text: str, pattern: str, figure: str, limit: float, is_above: bool
) -> None:
    condition = conditions.condition(text)
    assert (condition.pattern, condition.figure, condition.limit) == (pattern, figure, limit)
    assert condition.fails_above is is_above
    assert not condition.is_relative


@pytest.mark.parametrize("text", ["p95", "p95=3", "p95>", "p95>-1", "p95>1e400", ">3", "p95>>3"])
def test_text_that_is_no_condition_is_refused_with_the_known_figures(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a condition.*p50, p95, p99.*knee/s"):
        conditions.condition(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("p96>3", "unknown figure 'p96'; choose from p50"),
        ("p95>3kB", "a limit of p95 is written like '1x' or '1' or '1ms' or '1s'"),
        ("unfinished>3ms", "a limit of unfinished is written like"),
        ("p95>3ms orchestrated", "a limit of p95 is written like"),
    ],
)
def test_unknown_figure_and_unit_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        conditions.condition(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("monolith.p95>3", "no pattern 'monolith'; it has orchestrated, choreographed"),
        ("p95>2x monolith", "no pattern 'monolith'"),
        ("knee/s<3", "only a full run"),
        ("hot_p50>3", "only a full run"),
        ("p95>2x", r"--against DIR.*p95>2x PATTERN"),
    ],
)
def test_figure_that_the_run_will_not_measure_is_refused(text: str, why: str) -> None:
    stated = [conditions.condition(text)]
    with pytest.raises(ValueError, match=why):
        conditions.expanded(conditions=stated, patterns=PATTERNS, is_full=False, against=None)


def test_stored_run_that_is_void_or_lacks_the_figure_is_refused(run: Comparison) -> None:
    void = replace(run, caveats=["INVALID: the clock was set"])
    with pytest.raises(ValueError, match="is not valid"):
        held("p50>2x", run, void)
    with pytest.raises(ValueError, match="has not measured this"):
        held("completed/s<0.5x", run, comparison(every=[*spread(1)]))


def test_condition_without_a_pattern_is_for_each_but_the_floor_and_each_once() -> None:
    expanded = conditions.expanded(
        conditions=[conditions.condition(text) for text in ("p95>3", "orchestrated.p95 > 3")],
        patterns=(*PATTERNS, "monolith"),
        is_full=False,
        against=None,
    )
    assert [str(condition) for condition in expanded] == [
        "orchestrated.p95>3",
        "choreographed.p95>3",
    ]


def test_condition_of_no_pattern_is_refused() -> None:
    asked = [conditions.condition("p50>2x orchestrated")]
    with pytest.raises(ValueError, match="no patterns but orchestrated"):
        conditions.expanded(
            conditions=asked, patterns=["orchestrated"], is_full=False, against=None
        )


def test_condition_fails_on_what_was_measured(run: Comparison) -> None:
    assert outcomes("p50>20ms", run) == {"orchestrated": "fails", "choreographed": "holds"}
    assert outcomes("completed/s<40", run) == {"orchestrated": "fails", "choreographed": "holds"}
    assert outcomes("p50>1.5x choreographed", run) == {"orchestrated": "fails"}
    assert outcomes("p50<0.5x orchestrated", run) == {"choreographed": "holds"}


def test_limit_itself_is_allowed(run: Comparison) -> None:
    assert set(outcomes("cpu>1", run).values()) == set(outcomes("cpu<1", run).values()) == {"holds"}


def test_stored_run_is_what_a_ratio_is_of(run: Comparison) -> None:
    slow = comparison(every=spread(0))  # 100 ms
    (judgement,) = held("orchestrated.p50>0.2x", run, slow)
    assert (judgement.standing, judgement.base) == (ConditionState.FAILS, pytest.approx(100))
    assert judgement.seen == pytest.approx(0.228, abs=0.001)


@pytest.mark.parametrize(
    ("text", "standing", "reaches"),
    [
        ("orchestrated.p50>135ms", ConditionState.HOLDS, "above"),
        ("orchestrated.p50>125ms", ConditionState.FAILS, "below"),
        ("orchestrated.p50<125ms", ConditionState.HOLDS, "below"),
        ("orchestrated.p50<135ms", ConditionState.FAILS, "above"),
        ("orchestrated.p50>500ms", ConditionState.HOLDS, ""),
        ("orchestrated.p50>50ms", ConditionState.FAILS, ""),
    ],
)
def test_interval_that_spans_the_limit_is_reported_and_decides_nothing(
    text: str, standing: ConditionState, reaches: str
) -> None:
    (judgement,) = held(text, comparison(every=spread(10)))
    assert judgement.standing == standing
    assert judgement.interval is not None
    end = {"above": judgement.interval.high, "below": judgement.interval.low, "": None}[reaches]
    assert judgement.reaches == end


def test_interval_of_a_ratio_is_as_wide_as_both_make_it() -> None:
    wide, narrow = comparison(every=spread(10)), comparison(every=spread(1))
    (of_both,) = held("orchestrated.p50>9x", wide, wide)
    (of_one,) = held("orchestrated.p50>9x", wide, narrow)
    (alone,) = held("orchestrated.p50>9s", wide)
    intervals = [judgement.interval for judgement in (of_both, of_one, alone)]
    widths = [interval.high / interval.low for interval in intervals]  # type: ignore[union-attr]
    assert widths[0] > widths[1] > widths[2]


def test_few_windows_make_no_interval() -> None:
    (judgement,) = held("orchestrated.p50>1s", comparison(every=spread(10)[:7]))
    assert (judgement.standing, judgement.interval) == (ConditionState.HOLDS, None)


def test_checkouts_that_never_end_are_later_than_any_limit() -> None:
    stuck = measured(of=window(), latencies=[0.02], more=[sample(ended=False)] * 49)
    (judgement,) = held("orchestrated.p95>9999s", comparison(every=[stuck]))
    assert (judgement.standing, judgement.seen) == (ConditionState.FAILS, inf)
    assert outcomes("orchestrated.unfinished>48", comparison(every=[stuck])) == {
        "orchestrated": "fails"
    }


@pytest.mark.parametrize(
    ("text", "standing"),
    [("completed/s<999", "not decided"), ("completed/s<10", "holds"), ("completed/s>10", "fails")],
)
def test_pattern_that_was_never_saturated_is_decided_only_by_what_it_did(
    text: str, standing: str
) -> None:
    full = window(phase=WindowPhase.FULL, rate=100)
    run = comparison(every=[measured(of=full, latencies=[0.001] * 100)])
    assert outcomes(f"orchestrated.{text}", run) == {"orchestrated": standing}


def test_figure_that_is_missing_or_of_a_void_run_is_not_decided(run: Comparison) -> None:
    alone = comparison(every=spread(1))
    breached = comparison(every=whole_run(), audit="stock is off by 1")
    void = replace(run, caveats=["INVALID latencies: the generator itself was late"])
    for text, of in (("undone_p50>1s", alone), ("p50>1s", breached), ("p50>1s", void)):
        assert set(outcomes(text, of).values()) == {"not decided"}


def test_knee_has_the_interval_of_its_search(run: Comparison) -> None:
    knee = Capacity(
        pattern="orchestrated",
        knee=200,
        knee_between=Bounds(low=150, high=None),
        levels=[NOBODYS_LEVEL],
    )
    (judgement,) = held("orchestrated.knee/s<180", replace(run, capacities=[knee]))
    assert (judgement.standing, judgement.reaches) == (ConditionState.HOLDS, 150)
    assert judgement.interval is not None
    assert judgement.interval.high == inf


@pytest.mark.parametrize("figure", QUANTITIES)
def test_every_figure_can_be_held_to_a_limit(figure: str) -> None:
    assert isinstance(conditions.condition(f"{figure}>3"), Condition)
