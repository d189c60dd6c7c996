"""`manage.py compare` where it measures nothing."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from loadtests.running.store import Store
from tests.unit.loadtests.builders import SETTINGS, stored_run, whole_run


def _said(*arguments: str) -> str:
    out = StringIO()
    call_command("compare", *arguments, stdout=out)
    return out.getvalue()


def test_stored_run_is_drawn_again_without_a_stack(tmp_path: Path) -> None:
    folder = stored_run(tmp_path)
    drawn = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    said = _said("--report", str(folder))
    assert (folder / "report.html").read_bytes() == drawn
    assert "p50 at light load\n    choreographed" in said
    assert said.endswith(f"report: {folder / 'report.html'}\n")


def test_folder_that_is_no_run_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is no stored run"):
        _said("--report", str(tmp_path))


def test_two_stored_runs_are_put_side_by_side(tmp_path: Path) -> None:
    one, other = stored_run(tmp_path / "one"), stored_run(tmp_path / "other")
    said = _said("diff", str(one), str(other))
    assert "MADE ON the same" in said
    assert "p50 ms, light load\n    orchestrated" in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["diff", "here", "there"], "here is no stored run"),
        (["diff", "here"], "compare diff A B"),
        (["again"], "compare diff A B"),
    ],
)
def test_diff_of_what_are_no_runs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=why):
        _said(*words)


@pytest.mark.parametrize("steps", ["3", "4", "9"])
def test_number_of_steps_that_can_not_be_measured_is_refused_with_the_reason(steps: str) -> None:
    with pytest.raises(CommandError, match=f"{steps} can't be measured: the checkout has 5 steps"):
        _said("--steps", steps)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--saga", "wedding"), "invalid choice: 'wedding'"),
        (("--saga", "booking"), "a booking waits for people"),
        (("--saga", "shipment", "--steps", "6"), "only a checkout can be made longer"),
        (("--saga", "shipment", "--patterns", "monolith"), "does checkouts only, no shipment"),
    ],
)
def test_what_another_saga_can_not_be_is_refused(options: tuple[str, ...], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        _said(*options)


def test_participant_that_the_saga_has_not_is_refused() -> None:
    with pytest.raises(CommandError, match="of a shipment there are pedidos, pagos, inventario"):
        call_command("outage", "--saga", "shipment", "--participant", "carrito")


def test_run_of_another_plan_is_not_gone_on_with(tmp_path: Path) -> None:
    store = Store(folder=tmp_path / "run")
    store.begin(settings=SETTINGS)
    store.keep(measured=whole_run())
    stored_run(store.folder)
    with pytest.raises(CommandError, match="another version of Dueto began it"):
        _said("--resume", str(store.folder))
    assert len(store.measured()) == len(whole_run())
