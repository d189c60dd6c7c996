"""A new page is looked at for free: one that nobody knows is explored in every pattern, and one
whose operations are not there yet is told of, and breaks no command.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.patterns import PATTERNS

PAGES = Path(__file__).parents[1] / "checker" / "pages"
ROOT = Path(__file__).resolve().parents[3]
_WITH_PAGES = """
import importlib.util, logging, os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
spec = importlib.util.find_spec("catalogue")
spec.submodule_search_locations.append("PAGES")
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
    environments = {name: one for name, one in made.items() if name.startswith("PATTERN/loan/")}
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


def run(script: str, *, pages: Path = PAGES) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WITH_PAGES.replace("PAGES", str(pages)) + script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("pattern", PATTERNS)
def test_new_saga_is_explored_and_its_results_travel(pattern):
    """Without the bill's amount no payment could be asked for: its message would be set aside."""
    ended = run(_EXPLORED.replace("PATTERN", pattern))
    assert ended.stdout.split() == ["4", "600", "None"], ended.stdout + ended.stderr


def test_operations_that_nobody_declares_are_told_one_by_one():
    ended = run(_CHECKED.replace("SAGA", "loan"))
    assert ended.returncode == 1, ended.stderr
    for operation in ("do carrito.lend", "do pagos.bill", "do inventario.hand_out"):
        assert f"does not declare {operation}" in ended.stdout
    assert "its first step is carrito.lend, which accepts nothing" in ended.stdout
    assert "carrito has no path /loans" in ended.stdout
    assert "pagos's worker can't be made: a saga's definition needs" in ended.stdout


def test_other_sagas_of_a_service_that_can_not_start_are_told_of_it():
    ended = run(_CHECKED.replace("SAGA", "fulfilment"))
    assert ended.returncode == 1, ended.stderr
    assert "pagos's worker can't be made" in ended.stdout


def test_service_that_is_not_registered_is_told_before_anything_is_explored(tmp_path):
    page = (PAGES / "loan.py").read_text().replace("pagos.bill", "loyalty.bill")
    (tmp_path / "loan.py").write_text(page)
    ended = run(_NAMED, pages=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == (
        "can't be explored: no service loyalty (catalogue/services.py): see manage.py sagas check\n"
    )
