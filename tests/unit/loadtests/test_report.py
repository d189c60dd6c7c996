import json
from pathlib import Path

from loadtests.measuring import samples
from loadtests.measuring.samples import read
from loadtests.running.store import Store, as_json
from tests.unit.loadtests.builders import comparison, measured, sample, whole_run, window


def test_json_has_every_figure_and_null_for_what_never_came() -> None:
    stuck = measured(of=window(), latencies=[0.02], more=[sample(ended=False)] * 499)
    report = json.loads(as_json(comparison(every=[*whole_run(), stuck])))
    light = next(figure for figure in report["figures"] if figure["phase"] == "light")
    assert light["outcome"]["p99"] is None
    assert light["counts"]["unfinished"] == 499
    assert report["settings"]["seed"] == 11
    assert report["audit"]["is_clean"] is True


def test_report_has_the_raw_samples_beside_it(tmp_path: Path) -> None:
    every = whole_run()
    path = Store(folder=tmp_path).show(comparison=comparison(every=every), measured=every)
    kept = read(path=tmp_path / "samples.csv", kind=samples.Sample)
    assert len(kept) == sum(len(result.samples) for result in every)
    assert {each.outcome for each in kept} >= {samples.COMPLETED, samples.COMPENSATED}
    assert "How long a checkout takes" in path.read_text()
