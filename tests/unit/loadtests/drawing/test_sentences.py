"""A decision in words: one interval, the same wherever it is shown."""

from dataclasses import replace

import pytest

from loadtests.drawing import headline, plot, verdicts
from loadtests.evaluating.verdicts import Conclusion, FigureVerdict, Interval

DIFFERS = FigureVerdict(
    figure="p50 at light load",
    unit="ms",
    first="orchestrated",
    second="choreographed",
    decision=Conclusion.DIFFERS,
    better="orchestrated",
    difference=Interval(estimate=3.0, low=-0.5, high=6.5),
    ratio=Interval(estimate=1.25, low=1.1, high=1.6),
)
OTHER_WAY = replace(
    DIFFERS, better="choreographed", ratio=Interval(estimate=0.9, low=0.85, high=0.97)
)
MORE_IS_BETTER = replace(
    OTHER_WAY, figure="completed/s at full load", better="orchestrated", lower_is_better=False
)


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (DIFFERS, "orchestrated takes 20 % less time than choreographed [9 % to 38 %]"),
        (OTHER_WAY, "choreographed takes 10 % less time than orchestrated [3 % to 15 %]"),
        (
            MORE_IS_BETTER,
            "orchestrated completes 11 % more than choreographed [3 % to 18 %]",
        ),
        (
            replace(MORE_IS_BETTER, ratio=Interval(estimate=0.03, low=0.025, high=0.04)),
            "orchestrated completes 33.3 times as many as choreographed [25.0 to 40.0]",
        ),
        (
            replace(DIFFERS, decision=Conclusion.SAME, better=""),
            "choreographed and orchestrated differ by less than 5 % [+10 % to +60 %]",
        ),
        (
            replace(DIFFERS, decision=Conclusion.UNDECIDED, better=""),
            "choreographed against orchestrated [+10 % to +60 %]: not decided",
        ),
        (
            replace(DIFFERS, decision=Conclusion.UNDECIDED, better="", ratio=None, why="too few"),
            "orchestrated and choreographed: not decided (too few)",
        ),
    ],
)
def test_decision_has_one_interval(verdict: FigureVerdict, sentence: str) -> None:
    assert verdicts.sentence(verdict).replace("\u202f", " ") == sentence


@pytest.mark.parametrize("verdict", [DIFFERS, OTHER_WAY, MORE_IS_BETTER])
def test_chart_shows_the_interval_that_the_sentence_names(verdict: FigureVerdict) -> None:
    drawn = headline.chart(found=[verdict], width=760)
    assert verdict.lead is not None
    assert verdict.lead.low < verdict.lead.estimate < verdict.lead.high
    assert verdicts.sentence(verdict) in drawn.description
    # The dot stands where the estimate is on an axis that ends a tenth beyond the interval.
    side = -1 if verdict.better == verdict.first else 1
    end = max(verdict.lead.high * 1.1, headline.LEAST)
    place = plot.Linear(low=-end, high=end, start=10, end=750)(side * verdict.lead.estimate)
    assert any(f'cx="{place:.2f}"'.replace('00"', "") in element for element in drawn.elements)
