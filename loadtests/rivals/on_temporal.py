"""The checkout as a Temporal workflow of six activities, on the development server.

The worker runs its workflows without the sandbox, which costs CPU; activities are synchronous, in
threads, as the SDK's documentation recommends for a blocking driver.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from loadtests.rivals.saga import CONNECTIONS, STEPS, Checkout, ConnectionPool

QUEUE = "checkout"
OPEN_SECONDS = 60.0
STEP_SECONDS = timedelta(seconds=30)


class Steps:
    """The activities, on the rival's tables."""

    def __init__(self, *, tables: ConnectionPool) -> None:
        self._tables = tables

    @activity.defn
    def take(self, step: str, checkout: dict) -> dict:  # type: ignore[type-arg]
        return dict(self._tables.take(step, checkout))


@workflow.defn
class CheckOut:
    @workflow.run
    async def run(self, checkout: dict) -> None:  # type: ignore[type-arg]
        for step in STEPS:
            checkout = await workflow.execute_activity_method(
                Steps.take, args=[step, checkout], start_to_close_timeout=STEP_SECONDS
            )


class Engine:
    """Client and worker in one process, on one connection."""

    def __init__(self, *, database: str, server: str) -> None:
        self._steps = Steps(tables=ConnectionPool(url=database))
        self._server = server

    async def open(self) -> None:
        """Raises RuntimeError if the server does not answer in time."""
        self._client = await self._connected()
        self._worker = Worker(
            self._client,
            task_queue=QUEUE,
            workflows=[CheckOut],
            activities=[self._steps.take],
            activity_executor=ThreadPoolExecutor(CONNECTIONS),
            max_concurrent_activities=CONNECTIONS,
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        self._running = asyncio.create_task(self._worker.run())

    async def _connected(self) -> Client:
        deadline = asyncio.get_running_loop().time() + OPEN_SECONDS
        while True:
            try:
                client = await Client.connect(self._server)
                await client.count_workflows()
            except RuntimeError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)
            else:
                return client

    async def start(self, asked: Checkout) -> None:
        await self._client.start_workflow(
            CheckOut.run,
            dict(asked),
            id=asked["saga_id"],
            task_queue=QUEUE,
            # The worker is in this process, and gets the first task with the server's answer.
            request_eager_start=True,
        )

    async def running(self) -> int:
        """Of all processes."""
        found = await self._client.count_workflows("ExecutionStatus = 'Running'")
        return int(found.count)
