"""`manage.py compare` as a user runs it: a whole small comparison, and one that is interrupted."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from loadtests.measuring import samples
from tests.unit.loadtests.builders import stored_run

ROOT = Path(__file__).resolve().parents[3]
PATTERNS = ("orchestrated", "choreographed")
pytestmark = pytest.mark.timeout(900)  # a minute or two on a free machine


def _command(*options: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "manage.py", "compare", *options]


def _environment() -> dict[str, str]:
    """Our environment, without the variables that name the servers of the tests."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("DATABASE_URL") and name != "RABBITMQ_URL"
    }


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[psutil.Process]]:
    """The output of an interrupted comparison, and its processes."""
    log = tmp_path_factory.mktemp("stopped") / "log"
    options = ("--seconds", "3.2", "--seed", "5", "--declined", "0.5", "--steps", "6")
    with log.open("wb") as file:
        command = subprocess.Popen(
            _command(*options), cwd=ROOT, env=_environment(), stdout=file, stderr=file
        )
    with command:
        try:
            _wait_for(lambda: b"\n 6/" in log.read_bytes(), command)
            family = psutil.Process(command.pid).children(recursive=True)
        finally:
            command.send_signal(signal.SIGINT)
        assert command.wait(120) == 130, log.read_text()
    return log.read_text(), family


def _held(folder: Path) -> list[str]:
    """Options with a condition for the run."""
    files = [f"--junit={folder / 'junit.xml'}", f"--markdown={folder / 'gate.md'}"]
    return ["--fail-if", "p95>60s", *files]


@pytest.fixture(scope="module")
def finished(stopped: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The output of the same comparison, resumed to its end, and its JSON."""
    path = tmp_path_factory.mktemp("compare") / "out.json"
    (folder,) = re.findall(r"compare --resume (.+)$", stopped[0], flags=re.MULTILINE)
    ended = subprocess.run(
        _command("--resume", folder, "--json", str(path), *_held(path.parent)),
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    cases = ElementTree.parse(path.with_name("junit.xml")).getroot().findall(".//testcase")  # noqa: S314 -- our own
    assert [case.get("name") for case in cases] == [f"{name}.p95>60s" for name in PATTERNS]
    assert path.with_name("gate.md").read_text().startswith("## Every condition holds (2)")
    return ended.stdout + ended.stderr, json.loads(path.read_bytes())


def test_stopped_comparison_shows_what_it_has(stopped: Any) -> None:
    assert "stopped before its end" in stopped[0]
    assert "audit: clean" in stopped[0]


def test_comparison_goes_on_where_it_was_stopped(finished: Any) -> None:
    output, report = finished
    assert "\n 1/" not in output
    assert [window["window"]["number"] for window in report["windows"]] == list(
        range(1, len(report["windows"]) + 1)
    )
    assert not report["was_stopped"]


def _figures(report: dict[str, Any], phase: str) -> dict[str, Any]:
    return {figure["pattern"]: figure for figure in report["figures"] if figure["phase"] == phase}


def test_every_checkout_of_light_load_completes_in_both_patterns(finished: Any) -> None:
    for pattern in PATTERNS:
        counts = _figures(finished[1], "light")[pattern]["counts"]
        assert counts["offered"] == counts["accepted"] == counts["completed"] > 0


def test_patterns_are_offered_the_same_checkouts_at_light_load(finished: Any) -> None:
    light = _figures(finished[1], "light")
    assert light["orchestrated"]["counts"] == light["choreographed"]["counts"]


def test_failures_are_refused_and_compensated_in_both_patterns(finished: Any) -> None:
    for pattern in PATTERNS:
        counts = _figures(finished[1], "failures")[pattern]["counts"]
        assert counts["compensated"] > 0
        assert counts["completed"] + counts["compensated"] + counts["refused"] == counts["offered"]


def test_outcome_comes_after_acceptance(finished: Any) -> None:
    for figure in _figures(finished[1], "light").values():
        assert 0 < figure["acceptance"]["p50"] < figure["outcome"]["p50"]


def test_cost_is_where_the_pattern_does_its_work(finished: Any) -> None:
    costs = {name: figures["cost"] for name, figures in _figures(finished[1], "full").items()}
    by_http, by_messages = costs["orchestrated"], costs["choreographed"]
    assert by_http["http_calls"] > by_messages["http_calls"]
    assert by_messages["messages"] == pytest.approx(6 + 1, abs=0.5), "an event each step"
    assert by_http["messages"] == pytest.approx(0, abs=0.1)
    assert by_messages["cpu_ms"]["inventario.worker"] > by_http["cpu_ms"]["inventario.worker"]
    assert by_http["cpu_ms"]["inventario.web"] > by_messages["cpu_ms"]["inventario.web"]
    assert all(cost["writes"] > 0 and cost["wal_bytes"] > 0 for cost in costs.values())


def test_screen_names_the_time_and_the_machine(finished: Any) -> None:
    assert "fsync on" in finished[0]
    assert "audit: clean" in finished[0]
    assert all(pattern in finished[0] for pattern in PATTERNS)


def test_report_names_a_folder_with_every_raw_sample(finished: Any) -> None:
    (path,) = re.findall(r"^report: (.+)$", finished[0], flags=re.MULTILINE)
    kept = samples.read(path=Path(path).with_name("samples.csv"), kind=samples.Sample)
    assert len(kept) == sum(window["counts"]["offered"] for window in finished[1]["windows"])
    accepted = [sample.saga_id for sample in kept if sample.saga_id]
    assert len(set(accepted)) == len(accepted)
    assert {sample.http_status for sample in kept if not sample.saga_id} <= {503}, "turned away"


def test_extra_step_is_measured_in_both_patterns(finished: Any) -> None:
    (path,) = re.findall(r"^report: (.+)$", finished[0], flags=re.MULTILINE)
    steps = samples.read(path=Path(path).with_name("steps.csv"), kind=samples.Moments)
    assert {step.pattern for step in steps if step.step == "pad_saga_1"} == set(PATTERNS)
    assert "steps: 6 after the acceptance" in finished[0]


def test_stopped_comparison_leaves_no_process_behind(stopped: Any) -> None:
    _, family = stopped
    assert len(family) > 10
    assert [process for process in family if _lives(process)] == []


def test_saga_of_another_owner_is_compared_on_the_services_that_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    options = ("--saga", "fulfilment", "--seconds", "1.6", "--declined", "0.5", "--seed", "5")
    ended = subprocess.run(
        _command(*options, "--json", str(path)),
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "THE SAME FULFILMENT" in ended.stdout
    assert "audit: clean" in ended.stdout
    report = json.loads(path.read_bytes())
    for pattern in PATTERNS:
        light, failing = (_figures(report, phase)[pattern] for phase in ("light", "failures"))
        assert light["counts"]["offered"] == light["counts"]["completed"] > 0
        assert failing["counts"]["compensated"] > 0
    services = {name.partition(".")[0] for name in light["cost"]["cpu_ms"]}
    assert {"pedidos", "inventario", "pagos", "envios"} < services
    assert not {"carrito", "dashboard"} & services
    steps = {part["step"] for waterfall in report["waterfalls"] for part in waterfall["parts"]}
    assert "schedule_delivery" in steps


@pytest.mark.parametrize(
    ("condition", "status"), [("orchestrated.p95>20ms", 3), ("p95>20parsecs", 2)]
)
def test_exit_status_shows_whether_a_stored_run_meets_a_condition(
    tmp_path: Path, condition: str, status: int
) -> None:
    folder = stored_run(tmp_path / "run")
    ended = subprocess.run(
        _command("--report", str(folder), "--fail-if", condition), cwd=ROOT, check=False
    )
    assert ended.returncode == status


def test_wrong_option_is_refused_before_anything_is_started() -> None:
    ended = subprocess.run(
        _command("--patterns", "orchestrated,nonsense"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "unknown pattern 'nonsense'; choose from orchestrated, choreographed" in ended.stderr


def _lives(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for(condition: Any, command: subprocess.Popen[bytes], within: float = 600.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert command.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.05)
