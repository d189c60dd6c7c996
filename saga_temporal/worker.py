"""Temporal's worker, and the courier, as a component of the service's worker process.

The package `temporalio` is imported only by this module and those that it imports, when a worker
starts: everything else works without it.
"""

import asyncio
import hashlib
import inspect
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from contracts.states import Complaint
from coordination.participants import Participants
from messaging import wakeups
from messaging.worker import Backoff
from participant import sql
from saga_temporal import store

try:
    from temporalio.client import Client, TLSConfig
    from temporalio.service import RPCError
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker
except ImportError as error:
    raise ImproperlyConfigured(
        "DUETO_TEMPORAL is 1, and the package temporalio is not installed: run `make temporal`,"
        " or pip install --require-hashes -r requirements/temporal.txt"
    ) from error

from saga_temporal import workflow
from saga_temporal.activities import Activities
from saga_temporal.courier import Courier
from saga_temporal.workflow import QUEUE, SagaWorkflow

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""How often the courier looks without a wake-up, for what a crash left."""
CALLS_AT_ONCE = 20
WORKFLOWS_CACHED = 2000
STICKY = timedelta(seconds=3)
"""How long Temporal waits for the worker that has a workflow in memory before any gets it."""
DRAIN = timedelta(seconds=5)
"""How long activities may go on after their worker is stopped."""
BUILD = hashlib.sha256(inspect.getsource(workflow).encode()).hexdigest()[:16]
"""Temporal shows it beside a worker's work. Without it the SDK compiles every module of the process
to make one: seconds of CPU at each start.
"""
CONNECT_SECONDS = 5.0


class TemporalComponent:
    """A component of saga_temporal's worker."""

    name = "temporal"

    def __init__(self) -> None:
        self._participants = Participants(urls=settings.SERVICE_URLS)
        self._backoff = Backoff(longest=5.0)
        self._complaint: Complaint | None = None
        self._courier: Courier | None = None
        self._courier_threads = ThreadPoolExecutor(1, thread_name_prefix="courier")

    def counters(self) -> dict[str, int]:
        courier = self._courier
        own = {"sagas_begun": courier.begun, "asked": courier.sent} if courier else {}
        return {**own, **self._participants.counters(), "temporal_up": int(not self._complaint)}

    def complaints(self) -> list[Complaint]:
        """Whether Temporal can't be reached, and why."""
        return [self._complaint] if self._complaint else []

    def run(self, stop: threading.Event) -> None:
        """Runs until `stop` is set; waits for a server that is away."""
        while not stop.is_set():
            try:
                asyncio.run(self._run(stop))
            except Exception as error:  # noqa: BLE001 -- the outermost loop: no fault ends it
                self._complain(error)
                stop.wait(self._backoff.pause())
        self._participants.close()

    async def _run(self, stop: threading.Event) -> None:
        client = await _connected()
        woken = _Flag()
        threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="activity")
        activities = Activities(participants=self._participants, threads=threads)
        worker = Worker(
            client,
            task_queue=QUEUE,
            workflows=[SagaWorkflow],
            activities=[activities.call, activities.write],
            max_concurrent_activities=CALLS_AT_ONCE,
            max_cached_workflows=WORKFLOWS_CACHED,
            sticky_queue_schedule_to_start_timeout=STICKY,
            graceful_shutdown_timeout=DRAIN,
            # The workflow is pure by the linter's rule (.importlinter), and the sandbox costs CPU.
            workflow_runner=UnsandboxedWorkflowRunner(),
            build_id=BUILD,
        )
        self._courier = Courier(client=client, threads=self._courier_threads)
        with wakeups.listening(service=store.SERVICE, channel=store.CHANNEL, flag=woken):
            async with worker:
                while not stop.is_set():
                    await self._send(self._courier, woken, stop)

    async def _send(self, courier: Courier, woken: "_Flag", stop: threading.Event) -> None:
        woken.clear()
        try:
            is_more = await courier.send_all()
            self._backoff.went_well()
            self._complaint = None
        except Exception as error:  # noqa: BLE001 -- as above: a fault of Temporal or the database
            is_more = False
            self._complain(error)
        if not (is_more or stop.is_set()):
            await woken.wait(SWEEP_SECONDS)

    def _complain(self, error: Exception) -> None:
        log.warning("Temporal at %s: %r", settings.TEMPORAL["address"], error)
        why = error.message if isinstance(error, RPCError) else sql.category(error)
        self._complaint = Complaint(
            what=f"sagas can't be sent to Temporal at {settings.TEMPORAL['address']}: {why}"[:500],
            since=self._complaint.since if self._complaint else datetime.now(UTC),
            do="Check Temporal's server and the TEMPORAL_ settings; they then go on by themselves.",
        )


class _Flag:
    """A flag that other threads set, and the event loop waits for."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()

    def set(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)

    def clear(self) -> None:
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return


async def _connected() -> Client:
    """Raises RuntimeError if no server answers."""
    given = settings.TEMPORAL
    tls: bool | TLSConfig = bool(given["tls"])
    if given["ca"] or given["certificate"]:
        tls = TLSConfig(
            server_root_ca_cert=_read(given["ca"]),
            client_cert=_read(given["certificate"]),
            client_private_key=_read(given["key"]),
        )
    return await asyncio.wait_for(
        Client.connect(
            given["address"],
            namespace=given["namespace"],
            api_key=given["api_key"] or None,
            tls=tls,
        ),
        CONNECT_SECONDS,
    )


def _read(path: str) -> bytes | None:
    if not path:
        return None
    with open(path, "rb") as file:
        return file.read()
