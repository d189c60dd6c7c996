"""What stands in for the SQL is called as the SQL is."""

import inspect

import pytest

from checker.explorer.sagas.memory.installed import Memory, functions

FUNCTIONS = [(getattr(module, name), stand_in) for module, name, stand_in in functions(Memory())]


@pytest.mark.parametrize(
    ("real", "stand_in"), FUNCTIONS, ids=lambda one: f"{one.__module__}.{one.__name__}"
)
def test_stand_in_takes_what_the_real_one_takes(real, stand_in):
    wanted, found = inspect.signature(real).parameters, inspect.signature(stand_in).parameters
    assert list(found) == list(wanted)
    assert [one.kind for one in found.values()] == [one.kind for one in wanted.values()]
