"""The server is down, or has lost its data; calls to it are repeated; the code has changed."""

import asyncio
import os
import threading
from typing import Any

import pytest
from django.conf import settings
from temporalio.client import Client
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from contracts.patterns import TEMPORAL
from coordination import engine
from saga_temporal.courier import Courier
from saga_temporal.worker import TemporalComponent
from saga_temporal.workflow import SagaWorkflow
from stack import temporal
from tests.sagas.test_endings import completed, settled_state
from tests.sagas.test_purchasing import SAGA, courier, decide, waiting
from tests.waiting import eventually


@pytest.fixture
def waits(shop):
    """The ids of an order and of its payment, which waits for the customer."""
    order, payment = waiting(shop, TEMPORAL, courier(shop))
    eventually(
        lambda: shop.state(order, TEMPORAL).get("waiting"),
        what="the coordinator shows that it waits",
    )
    return order, payment


@pytest.fixture
def ended(shop):
    """The ids of a completed checkout, and of one whose card was declined."""
    product = shop.product(quantity=2)
    sagas = [
        shop.check_out(shop.cart(product=product), TEMPORAL, method=card)[1]["saga_id"]
        for card in ("credit_card", "card_declined")
    ]
    for saga, status in zip(sagas, ("completed", "compensated"), strict=True):
        shop.state_when(saga, TEMPORAL, status)
    return sagas


def replay(address: str, saga_id: str) -> None:
    """Raises if today's code does not fit the saga's history."""

    async def run() -> None:
        client = await Client.connect(address)
        history = await client.get_workflow_handle(saga_id).fetch_history()
        runner = UnsandboxedWorkflowRunner()
        replayer = Replayer(workflows=[SagaWorkflow], workflow_runner=runner, build_id="test")
        await replayer.replay_workflow(history)

    asyncio.run(run())


def lose_all(stack: Any) -> None:
    """Deletes the server's data."""
    stack.stop_process(temporal.NAME)
    for file in stack.folder.path.glob("temporal.db*"):
        os.unlink(file)
    stack.restart(temporal.NAME)


def address(stack: Any) -> str:
    return str(stack.environment[temporal.VARIABLE])


def test_saga_is_replayed_from_its_history(stack, ended):
    for saga in ended:
        replay(address(stack), saga)


def test_history_that_the_code_does_not_fit_is_noticed(stack, ended, monkeypatch):
    """The control of the test before: here the engine decides otherwise."""
    monkeypatch.setattr(
        engine, "after", lambda *, progress, answer, draw: engine.retry(progress=progress)
    )
    with pytest.raises(NondeterminismError):
        replay(address(stack), ended[0])


def test_server_that_is_away_is_waited_for(shop, stack):
    product = shop.product(quantity=1)
    stack.stop_process(temporal.NAME)
    saga = shop.check_out(shop.cart(product=product), TEMPORAL)[1]["saga_id"]
    shop.state_when(saga, TEMPORAL, "pending")
    stack.restart(temporal.NAME)
    assert shop.ended(saga, seconds=60)["status"] == "completed"


def test_worker_that_can_not_begin_reports_it_and_tries_again(stack, monkeypatch):
    """The worker is connected; its first call fails, as this namespace does not exist."""

    async def send_nothing(self: Courier) -> bool:
        return False

    monkeypatch.setattr(Courier, "send_all", send_nothing)
    monkeypatch.setitem(settings.TEMPORAL, "address", address(stack))
    monkeypatch.setitem(settings.TEMPORAL, "namespace", "nowhere")
    component, stop = TemporalComponent(), threading.Event()
    running = threading.Thread(target=component.run, args=[stop], daemon=True)
    running.start()
    for _ in range(2):
        eventually(component.complaints, what="it reports that")
        eventually(lambda: not component.complaints(), what="it has tried again")
    stop.set()
    running.join(20)
    assert not running.is_alive()


def test_saga_and_decision_that_are_sent_twice_count_once(shop, stack, waits):
    order, payment = waits
    begin_again = "UPDATE saga_temporal_saga SET begun_at = NULL WHERE saga_id = %s RETURNING 1"
    assert shop.rows("saga_temporal", begin_again, [order])
    assert decide(shop, payment, "confirm")[0] == 200
    settled_state(shop, SAGA, order, TEMPORAL, completed(SAGA))
    is_begun = "SELECT 1 FROM saga_temporal_saga WHERE saga_id = %s AND begun_at IS NOT NULL"
    eventually(
        lambda: shop.rows("saga_temporal", is_begun, [order]), what="the saga is marked again"
    )
    replay(address(stack), order)


def test_saga_that_the_server_has_lost_is_begun_from_its_row_and_undone(shop, stack, waits):
    order, _ = waits
    lose_all(stack)
    assert shop.compensate(order, TEMPORAL, reason="its server lost it")[0] == 202
    state = eventually(
        lambda: (shown := shop.state(order, TEMPORAL))["status"] == "compensated" and shown,
        seconds=90,
        what="it is undone",
    )
    assert state["failure"]["code"] == "stopped"


@pytest.mark.timeout(240)
def test_saga_that_the_server_has_lost_goes_on_by_itself(shop, stack):
    product = shop.product(quantity=1)
    stack.stop_process("pagos.web")
    saga = shop.check_out(shop.cart(product=product), TEMPORAL)[1]["saga_id"]
    eventually(
        lambda: shop.state(saga, TEMPORAL)["current_step"] == "process_payment",
        what="it is at the service that is away",
    )
    lose_all(stack)
    stack.restart("pagos.web")
    assert shop.ended(saga, seconds=180)["status"] == "completed"
