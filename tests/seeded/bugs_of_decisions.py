"""Bugs in how a step that waits is decided: each in the code that the explorer plays."""

from itertools import count

from checker.explorer.sagas.calls import CardDesk
from checker.explorer.sagas.memory import MemoryBarrier
from checker.explorer.store import MemoryStore
from contracts.outcomes import Waiting
from coordination import decisions as doors
from coordination.decision_components import Overdue
from participant import decisions, executing
from participant.barrier import key_of


def withdrawal_leaves_it_open(patch) -> None:
    """An undo, or a block, of a step that waits does not close its row."""
    patch.setattr(MemoryBarrier, "withdraw", lambda self, operation, keys: set())


def verdict_counts_again(patch) -> None:
    """Nothing checks whether the step still waits."""

    def lock(self, *, operation, keys):
        rows = self._table(operation)
        return {
            key: ((key, "do"), Waiting(asked.decided_by))
            for key, asked in decisions._read(operation, keys).items()
            if (key, "do") in rows
        }

    def give(*, service, given, **_):
        asked = decisions.find(service=service, saga_id=given.saga_id, step=given.step)
        return doors.decide(service=service, action=asked.action, given=[given])

    patch.setattr(MemoryBarrier, "lock_waiting", lock)
    patch.setattr(doors, "give", give)


def sweep_waits_for_no_lock(patch) -> None:
    """The sweep ends an overdue step by an earlier read, even while it is decided."""
    decide, wait_for = Overdue._decide, MemoryStore._wait_for
    sweeping = []

    def sweep(self, action, group):
        sweeping.append(action)
        try:
            decide(self, action, group)
        finally:
            sweeping.clear()

    patch.setattr(Overdue, "_decide", sweep)
    patch.setattr(
        MemoryStore,
        "_wait_for",
        lambda self, table, key: None if sweeping else wait_for(self, table, key),
    )


def asked_after_the_commit(patch) -> None:
    """The step waits, and its decision is written in a separate transaction."""
    pursued = executing._pursued
    kept = []

    def run(operation, commands, cause):
        if not commands:
            return {}
        ran = dict(zip(commands, operation.run([*commands.values()]), strict=True))
        outcomes = decisions.reckoned(operation=operation, outcomes=ran)
        causes = {key: cause(command) for key, command in commands.items()} if cause else {}
        kept.append((operation, commands, outcomes, causes))
        return outcomes

    def ask_first(operation, executed, *, came_by_message):
        fresh = {key_of(operation, execution.command) for execution in executed if execution.fresh}
        for asked, commands, outcomes, causes in [kept.pop() for _ in kept[:]]:
            if asked is operation and fresh & commands.keys() and operation.decide:
                with executing.transaction.atomic(using=operation.service):
                    decisions.ask(
                        operation=operation, commands=commands, outcomes=outcomes, cause=causes
                    )
        return pursued(operation, executed, came_by_message=came_by_message)

    patch.setattr(executing, "_run", run)
    patch.setattr(executing, "_pursued", ask_first)


def another_key_each_time(patch) -> None:
    """The card network is called again with another key."""
    tries = count()
    patch.setattr(CardDesk, "_key_of", lambda self, key: f"{key} {next(tries)}")
