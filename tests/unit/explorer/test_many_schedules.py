"""The whole of it: a hundred thousand different schedules, over all patterns, without a breach."""

import re
import sys

import pytest

from tests.unit.explorer.conftest import SCHEDULES


@pytest.mark.slow
@pytest.mark.timeout(1_200)  # a minute on two free cores; a busy machine must not fail it
def test_hundred_thousand_schedules_break_nothing(exploration, capsys):
    said, _ = exploration.communicate()
    with capsys.disabled():
        sys.stdout.write(f"\n{said}")
    assert exploration.returncode == 0
    assert said.splitlines()[-1] == "0 breaches"
    (different,) = re.findall(r"^(\d+) different schedules", said, re.MULTILINE)
    assert int(different) >= SCHEDULES
    levels = re.findall(r"^  \w+/\w+/\w+ +(\d+)$", said, re.MULTILINE)
    assert levels
    assert all(int(level) >= 1 for level in levels)
