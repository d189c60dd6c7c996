"""The report on a run's conditions; its XML is valid JUnit."""

from dataclasses import replace
from math import inf
from xml.etree import ElementTree

import pytest

from loadtests.drawing import gate
from loadtests.evaluating import conditions
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.conditions import Judgement
from stack.folders import MANAGE
from tests.unit.loadtests.builders import comparison, whole_run

CONDITIONS = (
    "p50>20ms",
    "orchestrated.p95>25.09ms",
    "orchestrated.undone_p50<1s",
    "choreographed.p50>0.5x orchestrated",
)


@pytest.fixture(scope="module")
def run() -> Comparison:
    return comparison(every=whole_run())


def held(run: Comparison, *texts: str) -> list[Judgement]:
    every = conditions.expanded(
        conditions=[conditions.condition(text) for text in texts],
        patterns=run.patterns,
        is_full=False,
        against=None,
    )
    return conditions.judge(conditions=every, run=run, against=None)


@pytest.fixture(scope="module")
def every(run: Comparison) -> list[Judgement]:
    return held(run, *CONDITIONS)


def test_sentence_says_what_was_measured_and_how_near_it_was(every: list[Judgement]) -> None:
    first, second, near, undone, relative = map(gate.sentence, every)
    assert first == "fails: 22.8 ms [22.6 to 23.0]"
    assert second == "holds: 12.8 ms [12.6 to 13.0]"
    assert near == "fails, though its interval reaches 24.9 ms: 25.1 ms [24.9 to 25.3]"
    assert undone == "fails: 30.0 ms (no interval)"
    assert relative.startswith("fails: 12.8 ms, 0.56 times the 22.8 ms of orchestrated [0.5")


def test_condition_that_holds_with_an_interval_beyond_the_limit_says_so(run: Comparison) -> None:
    (verdict,) = held(run, "orchestrated.p95>25.2ms")
    assert (
        gate.sentence(verdict) == "holds, but its interval reaches 25.3 ms: 25.1 ms [24.9 to 25.3]"
    )


def test_figure_that_looks_like_its_limit_is_shown_with_more_digits(run: Comparison) -> None:
    (verdict,) = held(run, "orchestrated.p50>22.79ms")
    assert "22.8 ms" not in gate.sentence(replace(verdict, seen=22.7901, interval=None))


def test_counted_figure_is_shown_without_an_interval(run: Comparison) -> None:
    assert gate.sentence(held(run, "orchestrated.unfinished>0")[0]) == "holds: 0"


def test_figure_that_never_came_is_shown_as_never(every: list[Judgement]) -> None:
    for verdict in (every[0], every[-1]):
        assert gate.sentence(replace(verdict, seen=inf, interval=None)) == "fails: never"


def test_terminal_has_the_verdict_first_and_narrow_lines(every: list[Judgement]) -> None:
    text = gate.lines(every=every, warnings=["a cat sat on the keyboard."])
    assert text.startswith("CONDITIONS: 4 of 5 conditions failed\n  warning: a cat")
    assert max(map(len, text.splitlines())) <= 79
    assert text.isascii()


def test_junit_has_a_test_case_a_condition_with_the_figures(
    run: Comparison, every: list[Judgement]
) -> None:
    root = ElementTree.fromstring(gate.junit(every=every, run=run))  # noqa: S314 -- our own
    (suite,) = root.findall("testsuite")
    cases = suite.findall("testcase")
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors")}
    assert counts == {"tests": 5, "failures": 4, "errors": 0}
    assert len(cases) == 5
    assert len(suite.findall("testcase/failure")) == 4
    assert (cases[0].get("classname"), cases[0].get("name")) == (
        "compare.orchestrated",
        "orchestrated.p50>20ms",
    )
    failure = cases[0].find("failure")
    assert failure is not None
    assert failure.get("message") == "fails: 22.8 ms [22.6 to 23.0]"
    assert f"again: {MANAGE} compare --seed 11" in (failure.text or "")
    assert cases[1].findtext("system-out") == "holds: 12.8 ms [12.6 to 13.0]"


def test_undecided_condition_is_an_error_in_junit() -> None:
    run = comparison(every=whole_run(), audit="cart \x00 <b> \ud800 & 7")
    root = ElementTree.fromstring(gate.junit(every=held(run, "p50>20ms"), run=run))  # noqa: S314 -- our own
    errors = root.findall("testsuite/testcase/error")
    assert [error.get("message") for error in errors] == [
        "not decided: the audit found a breach"
    ] * 2
    assert "audit: cart \N{REPLACEMENT CHARACTER} <b>" in (errors[0].text or "")


def test_markdown_has_the_verdict_then_warnings_then_conditions_and_figures(
    run: Comparison, every: list[Judgement]
) -> None:
    doubtful = replace(run, caveats=["a | cat\n<b>sat</b> on *it*."])
    text = gate.markdown(every=every, run=doubtful, warnings=["of the dog."])
    places = [
        text.index(part)
        for part in (
            "## 4 of 5 conditions failed",
            "Choreographed finishes sooner",
            r"- Warning: a \| cat \<b\>sat\</b\> on \*it\*.",
            "- Warning: of the dog.",
            "| `orchestrated.p50>20ms` | **fails** | 22.8 ms",
            "| `p50`: p50 until the outcome, light load | 22.8 ms (22.6 to 23.0) | 12.8 ms",
            "python manage.py compare --seed 11",
        )
    ]
    assert places == sorted(places)


def test_markdown_without_conditions_is_the_result(run: Comparison) -> None:
    text = gate.markdown(every=[], run=run, warnings=[])
    assert text.startswith("## The same checkout, measured\n\nChoreographed finishes sooner")
    assert "condition" not in text


def test_run_that_is_held_against_another_kind_of_run_gives_a_warning(run: Comparison) -> None:
    other = replace(run, environment={**run.environment, "machine": "a kettle, 1 core"})
    assert gate.warnings_of_baseline(run=run, against=run) == []
    (warning,) = gate.warnings_of_baseline(run=run, against=other)
    assert warning.endswith("differs in: machine.")
