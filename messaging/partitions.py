"""The partitions of a service's outbox, by hash of the saga id, shared among its relays.

A relay has a partition while its session holds the partition's advisory lock, in the service's own
database: nothing is configured, and the partitions of a process that died are free with its
connection. Each relay also holds a shared lock, by which relays are counted. It takes free
partitions up to an even share, and gives up partitions that another relay lacks. A relay that
stands still (a paused process) keeps its session; the other relays end the session once it has
issued no statement for `worker.LEAD_SECONDS`.

Locks of a session, and NOTIFY after one is given up, need a permanent session: behind PgBouncer
workers need its session mode.
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
"""Wakes relays when another has given partitions up."""
LOOK_SECONDS = 1.0
_PRESENT = PARTITIONS
"""The number of the lock that all relays share."""


class Share:
    """The partitions of one relay; for the thread whose connection holds their locks.

    `mine`: as of the last query. All methods raise DatabaseError or InterfaceError if the
    connection broke; then the relay holds no partition any more.
    """

    def __init__(self, *, service: str, on_released: Callable[[], None]) -> None:
        """`on_released`: called from any thread when another relay has given partitions up."""
        self.mine: frozenset[int] = frozenset()
        self._service = service
        self._key = f"dueto {service} relay"
        self._look_at = 0.0
        self._is_present = False
        self._free: frozenset[int] = frozenset()
        self._on_released = on_released

    @property
    def is_all(self) -> bool:
        """Whether this relay has all partitions."""
        return self.mine == ALL_PARTITIONS

    def set(self) -> None:
        """A wake-up: another relay has given partitions up. May be called from any thread."""
        self._look_at = 0.0
        self._on_released()

    def is_due(self) -> bool:
        """Whether the next query of the locks is due."""
        return time.monotonic() >= self._look_at

    def to_give_up(self) -> frozenset[int]:
        """Queries the locks; takes the free partitions of this relay's share. Returns partitions
        that another relay lacks: `give_up` has to follow, once none of their messages is in
        transit.
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
        # A partition that is free at two queries in a row is taken also beyond the share: the relay
        # that should take it may stand still.
        left, self._free = free & self._free, free
        if len(own) > min(map(len, others), default=PARTITIONS):
            wanted = 0
        # At random: relays that start at once would all try the first partitions.
        taken = random.sample(sorted(free), min(wanted, len(free)))
        if left or taken:
            self._take([*left.union(taken)])
        # Only from the partitions it had before: those just taken have waited long enough.
        return frozenset(random.sample(sorted(own), surplus))

    def give_up(self, numbers: Collection[int]) -> None:
        """Gives these partitions up, and wakes the other relays."""
        self.mine -= frozenset(numbers)
        self._execute(
            "SELECT pg_advisory_unlock(hashtext(%s), number) FROM unnest(%s::int[]) AS number",
            [sorted(numbers)],
        )
        wakeups.notify_at_once(service=self._service, channel=CHANNEL)

    def leave(self) -> None:
        """Gives all partitions up, and is no longer counted."""
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
        """The partitions of this relay, and of each other relay."""
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
    """How many more partitions a relay takes if they are free, and how many it gives up, if it has
    `own` and the other relays have `others` each.
    """
    even = -(-PARTITIONS // (1 + len(others)))
    least = min(others, default=own)
    surplus = max(own - even, 1 if own - least > 1 else 0)
    return max(even - own, 0), surplus
