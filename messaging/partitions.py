"""The partitions of a service's outbox, by hash of the saga id, shared out among its relays.

A relay has a partition while its session holds the partition's advisory lock, in the service's own
database: nothing is configured, and what a process that died had is free with its connection. Each
relay also holds a lock that all of them share, by which they are counted; it takes what is free up
to an even share, and gives up what another one lacks. One that stands still (a paused process)
keeps its session, which is ended once it has issued no statement for `worker.LEAD_SECONDS`.

Locks of a session, and the NOTIFY that tells of one given up, need a connection of their own all
along: behind PgBouncer workers need its session mode.
"""

import logging
import random
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from messaging import wakeups, worker
from messaging.outbox import ALL_PARTITIONS, PARTITIONS
from participant import sql

log = logging.getLogger(__name__)

CHANNEL = "outbox shares"
"""Wakes relays when one of them has given partitions up."""
LOOK_SECONDS = 1.0
_PRESENT = PARTITIONS
"""The number of the lock that all relays share."""


class Share:
    """The partitions of one relay; for the thread whose connection holds their locks.

    `mine`: as of the last look. All methods raise DatabaseError or InterfaceError where the
    connection broke, and then nothing is held any more.
    """

    def __init__(self, *, service: str, on_released: Callable[[], None]) -> None:
        """`on_released`: called when another relay has given something up, from any thread."""
        self.mine: frozenset[int] = frozenset()
        self._service = service
        self._key = f"dueto {service} relay"
        self._look_at = 0.0
        self._is_present = False
        self._free: frozenset[int] = frozenset()
        self._on_released = on_released

    @property
    def is_all(self) -> bool:
        """Whether no other relay sends anything."""
        return self.mine == ALL_PARTITIONS

    def set(self) -> None:
        """A wake-up: another relay has given something up. May be called from any thread."""
        self._look_at = 0.0
        self._on_released()

    def is_due(self) -> bool:
        """Whether it is time to look at who has what."""
        return time.monotonic() >= self._look_at

    def to_give_up(self) -> frozenset[int]:
        """Looks at who has what; takes what is free and due to this relay. Returns what another one
        lacks: `give_up` has to follow, once nothing of it is on its way.
        """
        self._look_at = time.monotonic() + LOOK_SECONDS
        if not self._is_present:
            self._execute("SELECT pg_advisory_lock_shared(hashtext(%s), %s)", [_PRESENT])
            self._is_present = True
        own, others = self._held()
        if others:
            self._end_those_that_stand_still()
        self.mine = own
        wanted, surplus = shares(own=len(own), others=[len(held) for held in others])
        free = ALL_PARTITIONS - own - frozenset().union(*others)
        # What is free at two looks in a row is taken by anybody, also beyond its share: the relay
        # whose share it is may stand still.
        left, self._free = free & self._free, free
        if len(own) > min(map(len, others), default=PARTITIONS):
            wanted = 0
        # At random: relays that start at once would all try the first ones.
        taken = random.sample(sorted(free), min(wanted, len(free)))
        if left or taken:
            self._take([*left.union(taken)])
        # Nothing of what was taken just now: nobody would have sent it meanwhile.
        return frozenset(random.sample(sorted(own), surplus))

    def give_up(self, numbers: Collection[int]) -> None:
        """Others may send what is in these from now on, and are told so."""
        self.mine -= frozenset(numbers)
        self._execute(
            "SELECT pg_advisory_unlock(hashtext(%s), number) FROM unnest(%s::int[]) AS number",
            [sorted(numbers)],
        )
        wakeups.notify_at_once(service=self._service, channel=CHANNEL)

    def leave(self) -> None:
        """Gives all up, and is counted no more."""
        self._execute("SELECT pg_advisory_unlock_shared(hashtext(%s), %s)", [_PRESENT])
        self._is_present = False
        self.give_up(self.mine)

    def _take(self, numbers: Sequence[int]) -> None:
        taken = self._execute(
            "SELECT number FROM (SELECT hashtext(%s) AS key) AS of, unnest(%s::int[]) AS number"
            " WHERE pg_try_advisory_lock(key, number)",
            [list(numbers)],
        )
        self.mine |= frozenset(number for (number,) in taken)

    def _held(self) -> tuple[frozenset[int], list[frozenset[int]]]:
        """What this relay has, and what each other one."""
        rows = self._execute(
            f"""
            SELECT pid = pg_backend_pid(), array_agg(objid::bigint) FROM ({_LOCKS}) AS held
            GROUP BY pid
            """,
            [],
        )
        held = [(is_own, frozenset(numbers) & ALL_PARTITIONS) for is_own, numbers in rows]
        own = frozenset().union(*(numbers for is_own, numbers in held if is_own))
        return own, [numbers for is_own, numbers in held if not is_own]

    def _end_those_that_stand_still(self) -> None:
        ended = self._execute(
            f"""
            SELECT pid, pg_terminate_backend(pid)
            FROM (SELECT DISTINCT pid FROM ({_LOCKS}) AS held) AS held
            JOIN pg_stat_activity AS session USING (pid)
            WHERE pid <> pg_backend_pid()
              AND state_change < clock_timestamp() - make_interval(secs => %s)
            """,
            [worker.LEAD_SECONDS],
        )
        for pid, _ in ended:
            log.warning("a relay of %s stood still: its session %s was ended", self._service, pid)

    def _execute(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return sql.execute(service=self._service, sql=statement, values=[self._key, *values])


_LOCKS = """
    SELECT pid, objid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 2
      AND classid::bigint = (hashtext(%s)::bigint & 4294967295)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def shares(*, own: int, others: Sequence[int]) -> tuple[int, int]:
    """How many more partitions a relay takes where they are free, and how many it gives up, if it
    has `own` and the other relays so many each.
    """
    even = -(-PARTITIONS // (1 + len(others)))
    least = min(others, default=own)
    surplus = max(own - even, 1 if own - least > 1 else 0)
    return max(even - own, 0), surplus
