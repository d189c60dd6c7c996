"""The checkout as a DBOS workflow of six steps; DBOS's system tables are in the rival's database.

Steps are DBOS's cheapest form. The transactions of a datasource would be exactly once, but cost
another read, another check of the workflow's owner and a second record of the result.
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
    """With DBOS's defaults, also for its pools; `executor_id` distinguishes its processes."""

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
