"""The rules of `.importlinter` hold, and each of them notices when it is broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import PACKAGES, ROOT

DAMAGE = [
    ("A tier knows only those below it", "participant/barrier.py", "import messaging.outbox"),
    ("A tier knows only those below it", "coordination/models.py", "import carrito.models"),
    ("services are strangers to each other", "pagos/store.py", "import carrito.models"),
    ("services are strangers to each other", "envios/models.py", "import pedidos.models"),
    ("services are strangers to each other", "dashboard/store.py", "import pagos.models"),
    ("The kit knows no business", "messaging/outbox.py", "import catalogue.refusals"),
    ("The kit knows no business", "saga_choreography/store.py", "import config.settings"),
    ("The shop does not know who runs it", "httpapi/health.py", "import stack.services"),
    ("The shop does not know who runs it", "messaging/components.py", "import checker.protocol"),
    ("The local stack knows the shop as contracts", "stack/ports.py", "import config.settings"),
    ("Load tests and audit see the shop from outside", "loadtests/shop.py", "import pagos.models"),
    ("know neither HTTP nor AMQP", "inventario/store.py", "import httpapi.client"),
    ("know neither HTTP nor AMQP", "envios/operations.py", "import messaging.brokers"),
    ("What travels between services is plain Python", "contracts/bounds.py", "import django.db"),
    ("The engine is a pure function", "coordination/engine.py", "import random"),
    ("One module of the shop knows pika", "messaging/relay.py", "import pika"),
    (
        "Brokers are reached through their port",
        "messaging/components.py",
        "import messaging.brokers.memory",
    ),
    ("The choreography calls no participant", "saga_choreography/views.py", "import urllib3"),
    ("is computed from plain data", "loadtests/evaluating/knee.py", "import psycopg"),
    ("is computed from plain data", "checker/protocol/paths.py", "import pagos.models"),
]
"""A rule (a part of its name), the file that breaks it, and the line that does."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code and its rules, to be damaged."""
    shutil.copy(ROOT / ".importlinter", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=_all_but_python)
    return tmp_path


def test_code_keeps_the_rules() -> None:
    output = _lint(ROOT)
    assert ", 0 broken." in output, output


def test_every_rule_notices_its_damage(copy: Path) -> None:
    for _, name, line in DAMAGE:
        with (copy / name).open("a") as file:
            file.write(f"\n{line}\n")
    summary, _, details = _lint(copy).partition("Broken contracts\n")
    broken = [line for line in summary.splitlines() if " BROKEN" in line]
    for rule, name, _ in DAMAGE:
        assert any(rule in line for line in broken), f"{rule!r} is blind"
        assert name.removesuffix(".py").replace("/", ".") in details, f"{name} is not named"


def _lint(folder: Path) -> str:
    """The output of import-linter, run in a separate process whose Python path begins with
    `folder`.
    """
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache", "--config", ".importlinter"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "PYTHONPATH": str(folder)},
    )
    return done.stdout + done.stderr


def _all_but_python(folder: str, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if name == "__pycache__" or (not name.endswith(".py") and not Path(folder, name).is_dir())
    ]
