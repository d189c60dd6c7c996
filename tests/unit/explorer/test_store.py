"""The tables in memory have the features of PostgreSQL that the shop relies on, and the same
signatures as the SQL functions.
"""

import inspect
from contextlib import suppress

import pytest

from checker.explorer.sagas.memory import Tables, functions
from checker.explorer.store import MemoryStore, WouldWait


class Fault(Exception):
    pass


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_rolled_back_rows_were_never_there(store):
    table = store.table("t")
    store.write(table, "old", 1)
    with suppress(Fault), store.atomic(using="any"):
        store.write(table, "old", 2)
        store.write(table, "new", 3)
        store.delete(table, "old")
        raise Fault
    assert table == {"old": 1}


def test_committed_rows_stay(store):
    table = store.table("t")
    with store.atomic(using="any"):
        store.write(table, "new", 3)
    assert table == {"new": 3}


def test_key_is_taken_once(store):
    table = store.table("t")
    assert store.insert_if_free(table, "key", 1)
    assert not store.insert_if_free(table, "key", 2)
    assert table == {"key": 1}


def test_suspended_transaction_is_out_of_sight_and_comes_back(store):
    table = store.table("t")
    store.write(table, "row", 1)
    with store.atomic(using="any"):
        store.write(table, "row", 2)
        store.write(table, "own", 9)
        with store.suspended():
            assert table == {"row": 1}
            store.write(table, "other", 5)
        assert table == {"row": 2, "own": 9, "other": 5}


@pytest.mark.parametrize("key", ["written", "locked", "inserted"])
def test_rows_of_a_suspended_transaction_are_waited_for(store, key):
    table = store.table("t")
    store.write(table, "written", 1)
    store.write(table, "locked", 1)
    with store.atomic(using="any"):
        store.write(table, "written", 2)
        store.lock(table, "locked")
        store.insert_if_free(table, "inserted", 1)
        with store.suspended(), pytest.raises(WouldWait):
            store.insert_if_free(table, key, 3)
        with store.suspended():
            assert store.is_held(table, key)
    assert not store.is_held(table, key)


def test_both_transactions_are_kept_when_the_inner_one_commits_first(store):
    table = store.table("t")
    with store.atomic(using="any"):
        store.write(table, "outer", 1)
        with store.suspended(), store.atomic(using="any"):
            store.write(table, "inner", 2)
    assert table == {"outer": 1, "inner": 2}


def test_rolled_back_outer_transaction_leaves_the_inner_one_alone(store):
    table = store.table("t")
    with suppress(Fault), store.atomic(using="any"):
        store.write(table, "outer", 1)
        with store.suspended(), store.atomic(using="any"):
            store.write(table, "inner", 2)
        raise Fault
    assert table == {"inner": 2}


FUNCTIONS = [(getattr(module, name), stand_in) for module, name, stand_in in functions(Tables())]


@pytest.mark.parametrize(
    ("real", "stand_in"),
    FUNCTIONS,
    ids=lambda function: f"{function.__module__}.{function.__name__}",
)
def test_replacement_has_the_signature_of_the_real_function(real, stand_in):
    wanted, given = inspect.signature(real).parameters, inspect.signature(stand_in).parameters
    assert list(given) == list(wanted)
    assert [parameter.kind for parameter in given.values()] == [
        parameter.kind for parameter in wanted.values()
    ]
