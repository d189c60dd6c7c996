"""A saga that is added to the catalogue is explored in every pattern without further code; if its
operations do not exist yet, the check reports that, and no command breaks.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.patterns import PATTERNS

DEFINITIONS = Path(__file__).parents[1] / "checker" / "definitions"
ROOT = Path(__file__).resolve().parents[3]
_WITH_DEFINITIONS = """
import importlib.util, logging, os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
spec = importlib.util.find_spec("catalogue")
spec.submodule_search_locations.append("DEFINITIONS")
catalogue = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(catalogue)
import django
django.setup()
logging.disable(logging.CRITICAL)
"""
_EXPLORED = """
from checker.explorer.exploring import Explorer
from checker.explorer.sagas.environments import in_memory
with in_memory() as made:
    environments = {name: made[name] for name in made if name.startswith("PATTERN/loan/")}
    explored = Explorer(environments=environments, schedules=600, seed=1).explore()
print(len(environments), len(explored.keys), explored.failure)
"""
_CHECKED = """
from django.core.management import call_command
call_command("sagas", "check", "--saga", "SAGA")
"""
_NAMED = """
from django.core.management import call_command
call_command("sagas", "explore")
"""


def run(script: str, *, definitions: Path = DEFINITIONS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WITH_DEFINITIONS.replace("DEFINITIONS", str(definitions)) + script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("pattern", PATTERNS)
def test_new_saga_is_explored_and_its_results_travel(pattern):
    """Without the bill's amount no payment could be requested: its message would be postponed."""
    ended = run(_EXPLORED.replace("PATTERN", pattern))
    assert ended.stdout.split() == ["4", "600", "None"], ended.stdout + ended.stderr


def test_operations_that_no_service_declares_are_reported_one_by_one():
    ended = run(_CHECKED.replace("SAGA", "loan"))
    assert ended.returncode == 1, ended.stderr
    for operation in ("do carrito.lend", "do pagos.bill", "do inventario.hand_out"):
        assert f"does not declare {operation}" in ended.stdout
    assert "its first step is carrito.lend, which accepts nothing" in ended.stdout
    assert "carrito has no path /loans" in ended.stdout
    assert "pagos's worker can't be made: a saga's definition needs" in ended.stdout


def test_service_that_can_not_start_is_reported_for_its_other_sagas():
    ended = run(_CHECKED.replace("SAGA", "fulfilment"))
    assert ended.returncode == 1, ended.stderr
    assert "pagos's worker can't be made" in ended.stdout


def test_service_that_is_not_registered_is_reported_before_anything_is_explored(tmp_path):
    loan = (DEFINITIONS / "loan.py").read_text().replace("pagos.bill", "loyalty.bill")
    (tmp_path / "loan.py").write_text(loan)
    ended = run(_NAMED, definitions=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == (
        "can't be explored: no service loyalty (catalogue/services.py): see manage.py sagas check\n"
    )
