"""The tests' requirements of the machine."""

import os
import shutil

import pytest


def need(program: str, *, package: str) -> str:
    """The path of a program, by its name or path. The test is skipped where it is not installed,
    and fails in CI, which has everything.
    """
    if path := shutil.which(program):
        return path
    missing = f"{program} is not installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
