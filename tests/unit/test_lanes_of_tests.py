"""The lanes of `make test` and of `make prove`."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.lanes import ON_TEMPORAL, beside, lanes

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = [sys.executable, "-c", "import signal; signal.pause()"]
ALL_ENDLESS = f"from tests.lanes import beside; beside({ENDLESS}, {ENDLESS}, {ENDLESS})"

WAITS = """
import fcntl, os
from tests import lanes

with open({gate!r}, "w"), open(os.environ[lanes.BUSY]) as busy:
    try:
        fcntl.flock(busy, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        {note}("busy ")
lanes.wait_for_quiet()
{note}("end")
"""


def _ends_with(status: int, output: str = "") -> list[str]:
    return [sys.executable, "-c", f"print({output!r}); raise SystemExit({status})"]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [((0, 0, 0), 0), ((3, 0, 0), 3), ((0, 4, 0), 4), ((0, 0, 5), 5), ((3, 4, 5), 3)],
)
def test_failure_of_any_lane_is_the_failure_of_all(
    statuses: tuple[int, ...], expected: int
) -> None:
    assert beside(*(_ends_with(status) for status in statuses)) == expected


def test_output_of_one_lane_follows_that_of_the_other(capfd: pytest.CaptureFixture[str]) -> None:
    beside(*(_ends_with(0, word) for word in ("first", "second", "third")))
    output = capfd.readouterr().out
    assert output.startswith("first\n")
    assert output.index("second\n") < output.index("third\n")


def test_last_lane_may_wait_until_the_others_are_over(tmp_path: Path) -> None:
    """The slow one goes on only once the last has looked whether others run."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    os.mkfifo(gate)
    note = f"open({str(log)!r}, 'a').write"
    slow = [sys.executable, "-c", f"open({str(gate)!r}).read(); {note}('slow ')"]
    waits = [sys.executable, "-c", WAITS.format(gate=str(gate), note=note)]
    assert beside(_ends_with(0), slow, waits) == 0
    assert log.read_text() == "busy slow end"


def test_each_test_is_in_one_lane_of_test_or_of_prove() -> None:
    """The lane of Temporal has some of them once more."""
    every = [lane for is_proof in (False, True) for lane in lanes(is_proof=is_proof)]
    chosen = [lane for lane in every if lane != [*ON_TEMPORAL]]
    assert len(chosen) == len(every) - 1
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    assert files
    assert not [name for name in files if sum(_is_in(name, lane) for lane in chosen) != 1]


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_all_lanes_end_however_their_parent_does(end: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ALL_ENDLESS], cwd=ROOT)
    try:
        lanes = _children(of=psutil.Process(parent.pid), count=3)
    finally:
        getattr(parent, end)()
        parent.wait()
    _, alive = psutil.wait_procs(lanes, timeout=20)
    assert alive == []


def _is_in(name: str, lane: list[str]) -> bool:
    """Whether pytest, given these arguments, runs a test file."""
    folders = [argument for argument in lane if not argument.startswith("--")] or ["tests"]
    ignored = [
        argument.removeprefix("--ignore=") for argument in lane if argument.startswith("--ignore=")
    ]
    return any(f"{name}/".startswith(f"{folder}/") for folder in folders) and not any(
        f"{name}/".startswith(f"{argument}/") for argument in ignored
    )


def _children(*, of: psutil.Process, count: int) -> list[psutil.Process]:
    """As soon as there are so many, and each runs what it was started for."""
    while True:
        children = of.children()
        if len(children) == count and all(
            "signal.pause()" in " ".join(child.cmdline()) for child in children
        ):
            return children
        assert of.is_running()
