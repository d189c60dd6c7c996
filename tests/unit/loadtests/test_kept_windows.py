from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.evaluating.results import Measured
from loadtests.measuring.samples import Moments
from loadtests.running.store import NoStoredRun, Store, whole_blocks
from tests.unit.loadtests.builders import EPOCH, SETTINGS, measured, sample, window


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(folder=tmp_path / "run")
    made.begin(settings=SETTINGS)
    return made


def _window(number: int, pattern: str = "orchestrated", block: int = 1) -> Measured:
    result = measured(of=window(pattern=pattern), latencies=[0.02, 0.03])
    return replace(
        result,
        window=replace(result.window, number=number, block=block),
        samples=[replace(taken, window=number) for taken in result.samples],
        clock_step_ms=0.25,
        moments=(
            Moments(
                window=number,
                pattern=pattern,
                saga_id="a-saga",
                step="accept_checkout",
                asked_at=EPOCH,
                picked_up_at=EPOCH + 0.25,
                decided_at=EPOCH + 0.5,
                attempts=1,
            ),
        ),
    )


def test_run_is_read_back_as_it_was_kept(store: Store) -> None:
    kept = [_window(1), _window(2, "choreographed")]
    for result in kept:
        store.add(result)
    assert store.measured() == kept
    assert store.settings() == replace(SETTINGS, patterns=list(SETTINGS.patterns))


def test_run_continues_with_as_many_steps_as_it_was_begun_with(tmp_path: Path) -> None:
    longer = Store(folder=tmp_path / "longer")
    longer.begin(settings=replace(SETTINGS, steps=8))
    assert longer.settings().extra_steps == 3


def test_run_from_before_extra_steps_has_none(store: Store) -> None:
    path = store.folder / "settings.json"
    path.write_text(path.read_text().replace('"steps":5', '"other":5'))
    assert store.settings().extra_steps == 0


def test_run_without_windows_is_a_run(store: Store) -> None:
    assert store.measured() == []


def test_window_that_was_cut_off_counts_for_nothing(store: Store) -> None:
    store.add(_window(1))
    samples = store.folder / "samples.csv"
    store.add(_window(2))
    lines = (store.folder / "windows.jsonl").read_bytes().splitlines()
    (store.folder / "windows.jsonl").write_bytes(lines[0] + b"\n")
    assert samples.read_text().count("\n2,") == 2
    assert [result.window.number for result in store.measured()] == [1]


def test_discarded_windows_are_gone_with_their_samples(store: Store) -> None:
    for number in (1, 2):
        store.add(_window(number))
    store.keep(measured=store.measured()[:1])
    assert [result.window.number for result in store.measured()] == [1]
    assert "\n2," not in (store.folder / "samples.csv").read_text()


def test_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoStoredRun, match="has no run"):
        Store(folder=tmp_path).settings()


def test_broken_line_is_refused_and_named(store: Store) -> None:
    (store.folder / "windows.jsonl").write_bytes(b"{}\n")
    with pytest.raises(NoStoredRun, match=r"windows\.jsonl"):
        store.measured()


def test_block_without_all_of_its_patterns_is_incomplete() -> None:
    every = [_window(1), _window(2, "choreographed"), _window(3, block=2)]
    kept = whole_blocks(measured=every, patterns=("orchestrated", "choreographed"))
    assert [result.window.number for result in kept] == [1, 2]


def test_samples_of_an_unfinished_checkout_are_read_back(store: Store) -> None:
    result = measured(of=window(), latencies=[0.02], more=[sample(ended=False)])
    store.add(result)
    assert store.measured()[0].samples == result.samples
