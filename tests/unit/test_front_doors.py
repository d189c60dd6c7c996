"""What a user meets first: `manage.py help`, `make`, and their answers to a mistake."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stack import rabbitmq
from tests.architecture.tree import ROOT

OURS = ("up", "down", "status", "audit", "compare", "choose", "sagas", "soak", "outage", "survey")


def _run(*command: str, at: Path = ROOT) -> tuple[int, str]:
    """Exit code and output, without the variables of a surrounding make."""
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        command, cwd=at, capture_output=True, text=True, check=False, env=environment
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def clone(tmp_path):
    """A Makefile whose tools only say that they were called; `ruff check` finds something."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements").mkdir()
    for name in ("run", "dev"):
        (tmp_path / f"requirements/{name}.txt").touch()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("python", "ruff", "lint-imports", "hadolint", "check-jsonschema"):
        tool = tmp_path / ".venv/bin" / name
        tool.write_text(f'#!/bin/sh\necho "called: {name} $*"\n[ "{name} $1" != "ruff check" ]\n')
        tool.chmod(0o755)
    for name in (".installed", ".installed-tools"):
        (tmp_path / ".venv" / name).touch()
    return tmp_path


def test_help_has_our_commands_with_what_they_do_before_those_of_django():
    code, output = _run(sys.executable, "manage.py", "help")
    ours, _, others = output.partition("Commands of Django")
    assert code == 0
    assert re.search(r"\bmigrate\b", others)
    for name in OURS:
        assert re.search(rf"^  {name} +[A-Z]\w+", ours, re.MULTILINE), name
    assert all(len(line) < 80 for line in output.splitlines())


def test_help_of_a_command_has_its_own_options_before_those_of_all():
    _, output = _run(sys.executable, "manage.py", "compare", "--help")
    assert 0 < output.index("  --patterns") < output.index("  --version")


@pytest.mark.parametrize("arguments", [["--version"], ["version"], ["compare", "--version"]])
def test_version_is_that_of_dueto_and_names_the_commit(arguments):
    _, output = _run(sys.executable, "manage.py", *arguments)
    _, commit = _run("git", "rev-parse", "--short", "HEAD")
    number = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert output.strip() == f"Dueto {number[1]} (commit {commit.strip()})"


def test_variable_unknown_to_make_is_refused(clone):
    code, output = _run("make", "compare", "PATERNS=orchestrated", at=clone)
    assert code != 0
    assert "unknown variable PATERNS; known are " in output
    assert "called" not in output


@pytest.mark.parametrize(("value", "is_full"), [("1", True), ("0", False), ("no", False)])
def test_zero_and_no_mean_no(clone, value, is_full):
    code, output = _run("make", "compare", f"FULL={value}", at=clone)
    assert code == 0
    assert ("--full" in output) == is_full


def test_check_runs_every_tool_and_names_those_that_failed(clone):
    code, output = _run("make", "check", at=clone)
    called = re.findall(r"called: (\S+)", output)
    assert called == ["ruff", "ruff", "python", "lint-imports", "hadolint", "check-jsonschema"]
    assert output.partition("failed")[2].splitlines()[1:2] == ["  ruff check ."]
    assert code != 0


def test_missing_python_is_refused_by_its_name(clone):
    shutil.rmtree(clone / ".venv")
    code, output = _run("make", "setup", "PYTHON=/nope", at=clone)
    assert code != 0
    assert "/nope is no Python 3.11 or newer" in output
    assert "make setup PYTHON=/path/to/python3" in output


def test_python_that_is_not_the_one_of_the_environment_is_refused(clone):
    code, output = _run("make", "setup", "PYTHON=/nope", at=clone)
    assert code != 0
    assert ".venv exists already, with called: python --version, and not with /nope" in output
    assert ".venv is ready" not in output


@pytest.mark.parametrize("named", [[], ["PYTHON=.venv/bin/python"]])
def test_setup_says_with_which_python_the_environment_is_ready(clone, named):
    code, output = _run("make", "setup", *named, at=clone)
    assert (code, output) == (0, ".venv is ready, with called: python --version\n")


def test_tools_are_installed_only_for_what_needs_them(clone):
    (clone / ".venv/.installed-tools").unlink()
    assert "dev.txt" not in _run("make", "compare", at=clone)[1]
    assert "--require-hashes -r requirements/dev.txt" in _run("make", "test", at=clone)[1]


def test_ci_runs_the_phases_and_says_how_long_each_took(clone):
    needed = ("promtool", "curl", "jq", "/usr/bin/chromium", "/usr/sbin/nginx")
    tools = all(map(shutil.which, needed))
    has_venv = not _run("python3", "-c", "import ensurepip")[0]
    if not (rabbitmq.is_installed() and tools and has_venv):
        pytest.skip("it would install what is missing")
    (clone / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", clone / ".ci/run")
    code, output = _run(".ci/run", at=clone)
    assert "called: ruff format" in output
    assert re.search(r"^setup +0:\d\d\ncheck +0:\d\d  failed \(2\)\ntotal +0:\d\d$", output, re.M)
    assert "=== test" not in output, "no tests of code that does not pass the check"
    assert code != 0
