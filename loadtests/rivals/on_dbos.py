"""The checkout as a DBOS workflow of six steps, its system tables beside the rival's own.

Steps, not a datasource's transactions: those would be exactly once, and cost another read, another
look at who owns the workflow and a second record of the result; these cost the least that DBOS
can do.
"""

import asyncio
import os

from dbos import DBOS, DBOSConfig, SetWorkflowID

from loadtests.rivals.saga import STEPS, Checkout, ConnectionPool

_tables: ConnectionPool
UNENDED = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED')"


@DBOS.step()
def take(step: str, checkout: Checkout) -> Checkout:
    return _tables.take(step, checkout)


@DBOS.workflow()
def check_out(checkout: Checkout) -> None:
    for step in STEPS:
        checkout = take(step, checkout)


class Engine:
    """As DBOS sets itself up, pools included; `executor_id` tells its processes apart."""

    def __init__(self, *, database: str, server: str) -> None:
        global _tables
        _tables = self._tables = ConnectionPool(url=database)
        config: DBOSConfig = {
            "name": "checkout",
            "system_database_url": database,
            "application_version": "1",
            "executor_id": str(os.getpid()),
            "log_level": "WARNING",
        }
        DBOS(config=config)

    async def open(self) -> None:
        DBOS.launch()

    async def start(self, asked: Checkout) -> None:
        await asyncio.to_thread(self._start, asked)

    @staticmethod
    def _start(asked: Checkout) -> None:
        with SetWorkflowID(asked["saga_id"]):
            DBOS.start_workflow(check_out, asked)

    async def running(self) -> int:
        """Of all processes."""
        with self._tables.lent() as connection:
            ((count,),) = connection.execute(UNENDED).fetchall()
        return int(count)
