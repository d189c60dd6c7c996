import re
import sys

import pytest
from django.core.management import call_command

from checker.explorer.commands import replay_line, summary
from checker.explorer.exploring import Explored, FailingSchedule
from tests.lanes import FULL
from tests.unit.explorer.conftest import schedules


def run(capsys, *arguments: str) -> tuple[int | str | None, str]:
    with pytest.raises(SystemExit) as ended:
        call_command("sagas", "explore", *arguments)
    return ended.value.code, capsys.readouterr().out


def test_undisturbed_race_is_printed_step_by_step(capsys):
    status, out = run(capsys, "--replay", "choreographed/checkout/race")
    assert status == 0
    assert "pagos receives inventory.reserved of saga-1" in out
    assert "saga-1 completed/completed: " in out
    assert "saga-2 undone/failed: " in out


def test_faults_are_marked_in_the_story(capsys):
    status, out = run(capsys, "--replay", "choreographed/checkout/one 1:4")
    assert status == 0
    assert re.search(r"1  lost: inventario receives checkout.initiated of saga-1   \[lose\]", out)
    assert "nothing moves, and time passes" in out


@pytest.mark.parametrize(
    ("line", "why"),
    [("nowhere 1:1", "there is no environment"), ("choreographed/checkout/one x", "STEP:OPTION")],
)
def test_wrong_line_is_reported_with_status_2(capsys, line, why):
    status, out = run(capsys, "--replay", line)
    assert status == 2
    assert why in out


@pytest.mark.parametrize(
    ("line", "why"),
    [("99:99", "step 99 was never reached: there were "), ("0:99", "step 0 has no option 99")],
)
def test_deviation_that_does_not_exist_is_reported_with_status_2(capsys, line, why):
    status, out = run(capsys, "--replay", f"choreographed/checkout/one {line}")
    assert status == 2
    assert out.splitlines()[-1].startswith(why)


def test_failure_ends_with_the_line_that_replays_it():
    failure = FailingSchedule(
        environment="choreographed/one", deviations={3: 5, 1: 2}, breaches=["2: charged"]
    )
    lines = summary(explored=Explored(failure=failure), seconds=1.0)
    assert lines[-1] == replay_line(failure)
    assert lines[-1] == "manage.py sagas explore --replay 'choreographed/one 1:2 3:5'"


@pytest.mark.timeout(3_600)  # a minute on two free cores; a busy machine must not fail it
def test_thousands_of_schedules_break_nothing(exploration, capsys, pytestconfig):
    """A whole run: different schedules, over all patterns."""
    output, _ = exploration.communicate()
    with capsys.disabled():
        sys.stdout.write(f"\n{output}")
    assert exploration.returncode == 0
    assert output.splitlines()[-1] == "0 breaches"
    (different,) = re.findall(r"^(\d+) different schedules", output, re.MULTILINE)
    assert int(different) >= schedules(pytestconfig)
    levels = re.findall(r"^  \w+/\w+/\w+ +(\d+)$", output, re.MULTILINE)
    assert levels
    if pytestconfig.getoption(FULL):  # with fewer, not all single deviations are among them
        assert all(int(level) >= 1 for level in levels)
