"""`manage.py rivals` without the rivals: its plan, figures, report and refusals."""

from contextlib import nullcontext
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.core.management import CommandError, call_command

from catalogue import SAGAS
from loadtests.drawing.screen import WIDTH
from loadtests.evaluating.results import Measured
from loadtests.load.windows import WindowPhase
from loadtests.rivals import beside, measuring, ratios, report, saga
from loadtests.rivals.measuring import ARMS, RivalSettings
from loadtests.rivals.ratios import KINDS, Idle, Result
from loadtests.running.runner import WindowRunner
from stack.console import StackError
from tests.unit.loadtests.builders import cost, measured, window

PATTERNS, RIVALS = ("orchestrated", "choreographed"), ("dbos", "floor")
NOTHING = Idle(own=0, database=0)
MEDIANS = {"orchestrated": 0.02, "choreographed": 0.04, "dbos": 0.04, "floor": 0.01}
"""The latency of a lone checkout; at full load it adds this for each checkout before it."""
IDLE = {**dict.fromkeys(MEDIANS, NOTHING), "orchestrated": Idle(own=7, database=3)}


def _run(blocks: int = 8) -> list[Measured]:
    taken = []
    for place, (arm, median) in enumerate(MEDIANS.items(), start=1):
        for number in range(blocks):
            slower = 1 + (number * place % 5) / 1000
            light = window(pattern=arm, rate=2, number=number)
            near = [median * slower, median * slower * 1.1]
            taken.append(measured(of=light, latencies=near, costs=cost(seconds=4, shop_ms=100)))
            full = window(phase=WindowPhase.FULL, pattern=arm, rate=50, number=100 + number)
            late = [median * slower * n for n in range(1, 51)]
            taken.append(measured(of=full, latencies=late))
    return taken


def _result(every: list[Measured], *, caveats: tuple[str, ...] = ()) -> Result:
    shares: dict[str, Any] = {"patterns": PATTERNS, "rivals": RIVALS, "idle": IDLE}
    return Result(
        made_at="2026-01-02T03:04:05+00:00",
        seconds_taken=100,
        settings={"seconds": 60.0, "seed": 3},
        environment={"machine": "a <toaster>"},
        figures=ratios.figures(measured=every, arms=(*PATTERNS, *RIVALS), idle=IDLE),
        ratios=ratios.ratios(measured=every, **shares),
        caveats=caveats,
        books={},
        windows=(),
        **shares,
    )


def test_rival_takes_the_steps_of_the_definition() -> None:
    steps = [step for step in SAGAS["checkout"].steps if not step.operation.endswith(".pad")]
    assert list(saga.STEPS) == [step.name for step in steps]


def test_each_block_has_every_arm_and_a_burst_that_it_can_drain() -> None:
    planned = measuring.windows(settings=RivalSettings(seconds=20, seed=1))
    for _, block in groupby(planned, key=lambda each: each.block):
        assert sorted(each.pattern for each in block) == sorted(ARMS)
    bursts = {each.pattern: each.rate for each in planned if each.rate > measuring.ALONE_RATE}
    assert bursts["temporal_memory"] < bursts["dbos"] < bursts["orchestrated"]
    timed = [
        each.seconds
        for each in planned
        if each.pattern == "dbos"
        if each.phase != WindowPhase.WARM_UP
    ]
    assert sum(timed) == pytest.approx(20)


def test_cpu_of_a_checkout_leaves_out_the_use_at_rest() -> None:
    by_arm = ratios.figures(measured=_run(), arms=("orchestrated", "dbos"), idle=IDLE)
    # 100 ms in 4 s for two checkouts, of which 10 ms a second would have been used anyway.
    assert by_arm["orchestrated"]["CPU one at a time"] == pytest.approx(30)
    assert by_arm["dbos"]["CPU one at a time"] == pytest.approx(50)


@pytest.mark.parametrize(
    ("pattern", "rival", "figure", "better", "estimate"),
    [
        ("orchestrated", "dbos", "p50", "orchestrated", 0.5),
        ("orchestrated", "floor", "p50", "floor", 2.0),
        ("choreographed", "dbos", "p95", "", 1.0),
        ("orchestrated", "floor", "completed/s", "floor", None),
        ("orchestrated", "dbos", "completed/s", "orchestrated", None),
    ],
)
def test_ratio_is_of_the_pattern_to_the_rival_and_names_the_better(
    pattern: str, rival: str, figure: str, better: str, estimate: float | None
) -> None:
    shares = ratios.ratios(measured=_run(), patterns=[pattern], rivals=[rival], idle=IDLE)
    (share,) = [each for each in shares if each.figure == figure]
    assert share.better == better
    assert share.ratio
    assert share.ratio.low <= share.ratio.estimate <= share.ratio.high
    if estimate:
        assert share.ratio.estimate == pytest.approx(estimate, rel=0.01)


def test_few_windows_have_no_ratio() -> None:
    result = _result(_run(blocks=4))
    assert {ratio.ratio for ratio in result.ratios} == {None}
    assert "not compared with DBOS: only 4 pairs of windows, 8 are needed" in " ".join(
        report.screen(result=result).split()
    )


def test_screen_has_the_verdict_first_and_losses_in_it_and_fits_a_terminal() -> None:
    text = report.screen(result=_result(_run(), caveats=("the host took " + "much " * 40,)))
    lines = text.split("\n")
    assert lines[0].startswith("Orchestrated is ahead of DBOS in p50, p95")
    assert "; behind the floor in p50, p95 and completed/s" in text.replace("\n  ", " ")
    assert max(map(len, lines)) <= WIDTH
    assert "  orchestrated to\n    DBOS            " in text
    assert "0.50 (0.50-0.50)" in text  # p50 to that of DBOS


def test_page_has_every_figure_and_escapes_what_it_is_given() -> None:
    drawn = report.page(result=_result(_run()))
    assert "a &lt;toaster&gt;" in drawn
    for kind in KINDS:
        assert kind.name in drawn


BOOKS = {
    **dict.fromkeys(("checkouts", "completed", "orders", "payments", "charges"), 3),
    **dict.fromkeys(("owed", "paid", "taken"), 120),
    **dict.fromkeys(("sold", "gone", "bought"), 6),
    "reserved": 0,
    "missing": 0,
}


@pytest.mark.parametrize(
    "wrong", [{"charges": 4}, {"paid": 119}, {"sold": 5}, {"reserved": 1}, {"missing": 1}]
)
def test_books_that_do_not_add_up_are_a_breach(wrong: dict[str, int]) -> None:
    assert beside.breaches(books=BOOKS) == []
    ((name, value),) = wrong.items()
    (breach,) = beside.breaches(books={**BOOKS, **wrong})
    assert f"{name} {value}" in breach


def test_checkpoints_are_made_with_a_login_that_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit's login, used for all other reads, may not make one."""
    made: list[str] = []
    monkeypatch.setattr(beside, "make_checkpoint_if_due", lambda *, database: made.append(database))
    monkeypatch.setattr(beside, "load_on", lambda **_: nullcontext(MagicMock()))
    monkeypatch.setattr(beside, "Meters", MagicMock())
    now = measured(of=window(), latencies=[0.02])
    monkeypatch.setattr(WindowRunner, "measure", lambda _, **asked: now)
    on = beside.runner_on(
        stack=MagicMock(superuser_urls={"default": "postgresql://postgres@here/"}),
        shop=MagicMock(databases={"default": "postgresql://dueto_audit@here/"}),
        name="1",
        folder=tmp_path / "shop",
        say=lambda _: None,
        elsewhere={},
    )
    with on as (runner, _):
        runner.run(planned=[window()], known=[], done=lambda _: None)
    assert made == ["postgresql://postgres@here/"]


def test_process_of_a_rival_counts_for_it_alone_and_postgres_for_all() -> None:
    every = {
        "postgres": 1,
        "carrito.web": 2,
        "rival.temporal_memory.1": 3,
        "rival.temporal_sqlite.1": 4,
    }
    assert beside.own_processes(every=every) == {"postgres": 1, "carrito.web": 2}
    own = beside.own_processes(every=every, rival="temporal_memory")
    assert own == {"postgres": 1, "rival.temporal_memory.1": 3}


def test_missing_environment_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"bin/python is missing\): run `make rivals`"):
        beside.require_environment(folder=tmp_path)


def test_run_without_the_environment_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside.require_environment, "__kwdefaults__", {"folder": tmp_path})
    with pytest.raises(CommandError, match="run `make rivals`"):
        call_command("rivals", "--seconds", "20", stdout=StringIO())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--seconds", "4"), "must be from 20 to 3600s, not 4"),
        (("--seconds", "many"), "is not a number"),
        (("--json", "no/such/folder/a.json"), "there is no such folder"),
    ],
)
def test_wrong_options_are_refused(options: tuple[str, ...], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("rivals", *options)
