"""`manage.py compare` without measurements."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from loadtests.running.store import Store
from tests.unit.loadtests.builders import SETTINGS, stored_run, whole_run


def _output(*arguments: str) -> str:
    out = StringIO()
    call_command("compare", *arguments, stdout=out)
    return out.getvalue()


def test_stored_run_is_drawn_again_without_a_stack(tmp_path: Path) -> None:
    folder = stored_run(tmp_path)
    drawn = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    output = _output("--report", str(folder))
    assert (folder / "report.html").read_bytes() == drawn
    assert "p50 at light load\n    choreographed" in output
    assert output.endswith(f"report: {folder / 'report.html'}\n")


def test_folder_that_is_no_run_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is no stored run"):
        _output("--report", str(tmp_path))


def test_two_stored_runs_are_put_side_by_side(tmp_path: Path) -> None:
    first, second = stored_run(tmp_path / "one"), stored_run(tmp_path / "other")
    output = _output("diff", str(first), str(second))
    assert "SAME ENVIRONMENT" in output
    assert "p50 ms, light load\n    orchestrated" in output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["diff", "here", "there"], "here is no stored run"),
        (["diff", "here"], "compare diff A B"),
        (["again"], "compare diff A B"),
    ],
)
def test_diff_of_folders_without_runs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=why):
        _output(*words)


@pytest.mark.parametrize("steps", ["3", "4", "9"])
def test_number_of_steps_that_can_not_be_measured_is_refused_with_the_reason(steps: str) -> None:
    with pytest.raises(CommandError, match=f"{steps} can't be measured: the checkout has 5 steps"):
        _output("--steps", steps)


@pytest.mark.parametrize("workers", ["0", "17", "-1"])
def test_impossible_number_of_workers_is_refused(workers: str) -> None:
    with pytest.raises(CommandError, match=f"{workers} is not 1 to 16"):
        _output("--workers", workers)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--saga", "wedding"), "invalid choice: 'wedding'"),
        (("--saga", "booking"), "a booking waits for people"),
        (("--saga", "shipment", "--steps", "6"), "only a checkout can be padded"),
        (("--saga", "shipment", "--patterns", "monolith"), "does checkouts only, not a shipment"),
    ],
)
def test_options_that_do_not_fit_the_saga_are_refused(options: tuple[str, ...], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        _output(*options)


def test_participant_that_the_saga_does_not_have_is_refused() -> None:
    with pytest.raises(CommandError, match="a shipment needs pedidos, pagos, inventario"):
        call_command("outage", "--saga", "shipment", "--participant", "carrito")


def test_run_of_another_plan_is_not_continued(tmp_path: Path) -> None:
    store = Store(folder=tmp_path / "run")
    store.begin(settings=SETTINGS)
    store.keep(measured=whole_run())
    stored_run(store.folder)
    with pytest.raises(CommandError, match="another version of Dueto began this run"):
        _output("--resume", str(store.folder))
    assert len(store.measured()) == len(whole_run())


def _status(*arguments: str) -> tuple[int, str]:
    """The command's exit status and output."""
    out = StringIO()
    try:
        call_command("compare", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_condition_that_fails_has_a_status_of_its_own_and_is_in_every_file(tmp_path: Path) -> None:
    folder, junit, markdown = stored_run(tmp_path / "run"), tmp_path / "j.xml", tmp_path / "g.md"
    files = (f"--junit={junit}", f"--markdown={markdown}")
    status, output = _status("--report", str(folder), "--fail-if", "p50>20ms", *files)
    assert status == 3
    assert "CONDITIONS: 1 of 2 conditions failed\n  orchestrated.p50>20ms: fails: 22.8" in output
    assert 'failures="1"' in junit.read_text()
    assert "| `orchestrated.p50>20ms` | **fails** |" in markdown.read_text()


def test_conditions_that_hold_change_no_status(tmp_path: Path) -> None:
    folder = str(stored_run(tmp_path))
    status, output = _status("--report", folder, "--fail-if", "p50>1s", "--fail-if", "p50<1ms")
    assert (status, "CONDITIONS: every condition holds (4)" in output) == (0, True)


def test_undecided_condition_is_no_success_and_a_breach_is_no_failure(tmp_path: Path) -> None:
    alone = stored_run(tmp_path / "alone", every=whole_run()[:-1])
    breached = stored_run(tmp_path / "breached", audit="stock is off by 1")
    held = ("--fail-if", "choreographed.undone_p50>1s")
    assert _status("--report", str(alone), *held)[0] == 4
    assert _status("--report", str(breached), *held)[0] == 1


def test_second_of_two_stored_runs_is_held_against_the_first(tmp_path: Path) -> None:
    light = [result for result in whole_run() if result.pattern == "orchestrated"]
    slow = [
        replace(result, samples=[replace(s, ended_at=s.ended_at + 0.1) for s in result.samples])
        for result in light
    ]
    run, slower = stored_run(tmp_path / "run"), stored_run(tmp_path / "slower", every=slow)
    held = ("--fail-if", "orchestrated.p50>1.2x")
    status, output = _status("diff", str(run), str(slower), *held)
    assert status == 3
    assert "fails: 123 ms, 5.39 times the 22.8 ms of the stored" in output
    assert _status("diff", str(slower), str(run), *held)[0] == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--fail-if", "p96>3"), "unknown figure 'p96'; choose from p50, p95, p99"),
        (("--fail-if", "monolith.p95>3"), "it has orchestrated, choreographed"),
        (("--fail-if", "p95>2x"), "--against DIR"),
        (("--fail-if", "p95>2x", "--against", "nowhere"), "nowhere is no stored run"),
        (("--junit", "out.xml"), "name at least one condition"),
        (("--markdown", "no/such/gate.md"), "there is no such folder"),
    ],
)
def test_wrong_condition_is_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=why):
        _output(*options)
    assert list(tmp_path.iterdir()) == []
