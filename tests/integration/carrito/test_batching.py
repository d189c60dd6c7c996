"""Concurrent commands are executed in one batch; each gets its own answer."""

import threading
import uuid
from functools import partial

import pytest

from contracts.outcomes import Done, Refused
from contracts.saga import Command
from participant.batching import Batcher
from participant.executing import execute
from participant.operations import does
from tests.threads import InThread, at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["carrito"])

AT_ONCE = 20


class Recorded:
    """An operation that remembers the size of its batches."""

    def __init__(self):
        self.batches = []

    def operation(self):
        @does(service="carrito")
        def run(commands):
            self.batches.append(len(commands))
            if any(command.saga_id.startswith("poison") for command in commands):
                raise ValueError("poison")
            return [
                Refused("no") if command.saga_id.startswith("no") else Done({"of": command.saga_id})
                for command in commands
            ]

        return run


def executed_at_once(batcher, names):
    ids = [f"{name}-{uuid.uuid4()}" for name in names]
    calls = [lambda id_=id_: batcher.execute(command=Command(saga_id=id_)) for id_ in ids]
    return ids, at_once(calls, service="carrito")


def test_single_command_is_executed_at_once():
    recorded = Recorded()
    executed = Batcher(
        service="carrito", execute_batch=partial(execute, operation=recorded.operation())
    ).execute(command=Command(saga_id="a"))
    assert (executed.outcome, executed.fresh) == (Done({"of": "a"}), True)


def test_each_caller_gets_its_own_outcome():
    batcher = Batcher(
        service="carrito", execute_batch=partial(execute, operation=Recorded().operation())
    )
    names = ["yes" if number % 3 else "no" for number in range(AT_ONCE)]
    ids, results = executed_at_once(batcher, names)
    for saga_id, executed in zip(ids, results, strict=True):
        expected = Refused("no") if saga_id.startswith("no") else Done({"of": saga_id})
        assert executed.outcome == expected


def test_fault_of_a_command_is_raised_to_its_caller_only():
    batcher = Batcher(
        service="carrito", execute_batch=partial(execute, operation=Recorded().operation())
    )
    ids, results = executed_at_once(batcher, ["poison", *["yes"] * AT_ONCE])
    assert isinstance(results[0], ValueError)
    assert [result.outcome for result in results[1:]] == [Done({"of": id_}) for id_ in ids[1:]]


def test_waiting_commands_are_executed_together():
    recorded = Recorded()
    operation = recorded.operation()
    waiting = threading.Event()
    held = threading.Event()

    def hold(executed):
        if not held.is_set():
            held.set()
            waiting.wait(10)

    batcher = Batcher(
        service="carrito",
        execute_batch=partial(execute, operation=operation, in_same_transaction=hold),
    )

    def release_when_all_wait():
        held.wait(10)
        while len(batcher._waiting) < AT_ONCE:
            waiting.wait(0.01)
        waiting.set()

    releaser = threading.Thread(target=release_when_all_wait)
    releaser.start()
    first = InThread(lambda: batcher.execute(command=Command(saga_id="first")), service="carrito")
    held.wait(10)
    executed_at_once(batcher, ["yes"] * AT_ONCE)
    first.result()
    releaser.join()
    assert recorded.batches == [1, AT_ONCE]
