"""The sagas as data: which steps, in which order, who does them, and what undoes each.

A saga is rows: adding one, or a step to one, needs no change in the engine.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from contracts import commands, requests
from contracts.commands import Command
from contracts.extras import EXTRAS, Extra


class StepClass(StrEnum):
    """Garcia-Molina and Salem, Sagas (1987); Richardson, Microservices Patterns (2018), ch. 4."""

    COMPENSABLE = "compensable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `do`, `undo`, `block`: paths at the service; `*_request`: the same by message.

    `block` asks that a pivot may not take effect any more, and learns whether it already has.
    `seconds`: how long one call of it may take; after that it is in doubt, and tried again. A
    request waits longer for its reply, for the sake of the queues in between.
    """

    name: str
    service: str
    step_class: StepClass
    do: str
    do_command: str
    undo: str = ""
    undo_command: str = "Undo"
    block: str = ""
    seconds: float = 5.0
    do_request: str = ""
    undo_request: str = ""
    block_request: str = ""

    @property
    def requests(self) -> list[str]:
        """What can be asked of it by message."""
        return [one for one in (self.do_request, self.undo_request, self.block_request) if one]


class Saga(msgspec.Struct, frozen=True, kw_only=True):
    """A saga: its name and its steps in order. Step 0 is the acceptance, done before it starts."""

    name: str
    steps: list[Step]


def command_type(*, name: str) -> type[Command]:
    """The class of a command by its name in `contracts.commands`. Raises KeyError if unknown."""
    found: type[Command] = vars(commands)[name]
    return found


ACCEPT = "accept_checkout"
RESERVE = "reserve_inventory"
CHARGE = "process_payment"
CREATE_ORDER = "create_order"
COMMIT = "commit_inventory"
CONFIRM_ORDER = "confirm_order"

_STEPS = [
    Step(
        name=ACCEPT,
        service="carrito",
        step_class=StepClass.COMPENSABLE,
        do="/checkout/saga",
        do_command="Command",
        undo="/carts/unlock",
        undo_command="Unlock",
        undo_request=requests.CART_UNLOCK,
    ),
    Step(
        name=RESERVE,
        service="inventario",
        step_class=StepClass.COMPENSABLE,
        do="/api/products/reserve",
        do_command="Reserve",
        undo="/api/products/unreserve",
        do_request=requests.INVENTORY_RESERVE,
        undo_request=requests.INVENTORY_UNRESERVE,
    ),
    Step(
        name=CHARGE,
        service="pagos",
        step_class=StepClass.COMPENSABLE,
        do="/api/v1/payments/saga",
        do_command="Charge",
        undo="/api/v1/payments/saga/refund",
        do_request=requests.PAYMENT,
        undo_request=requests.PAYMENT_REFUND,
    ),
    Step(
        name=CREATE_ORDER,
        service="carrito",
        step_class=StepClass.COMPENSABLE,
        do="/orders",
        do_command="Command",
        undo="/orders/cancel",
        do_request=requests.ORDER_CREATE,
        undo_request=requests.ORDER_CANCEL,
    ),
    Step(
        name=COMMIT,
        service="inventario",
        step_class=StepClass.PIVOT,
        do="/api/products/commit",
        do_command="Command",
        undo="/api/products/restore",
        block="/api/products/commit/block",
        do_request=requests.INVENTORY_COMMIT,
        undo_request=requests.INVENTORY_RESTORE,
        block_request=requests.INVENTORY_COMMIT_BLOCK,
    ),
    Step(
        name=CONFIRM_ORDER,
        service="carrito",
        step_class=StepClass.RETRIABLE,
        do="/orders/confirm",
        do_command="Command",
        do_request=requests.ORDER_CONFIRM,
    ),
]
OWN_STEPS = len(_STEPS) - 1
"""Of the checkout, after the acceptance."""


def checkout(*, extras: Sequence[Extra]) -> Saga:
    """The checkout; with these extra steps before its last one, in a comparison."""
    *before, last = _STEPS
    return Saga(name="checkout", steps=[*before, *(_extra_step(one) for one in extras), last])


def _extra_step(extra: Extra) -> Step:
    return Step(
        name=extra.name,
        service=extra.service,
        step_class=StepClass.RETRIABLE,
        do=extra.path,
        do_command="Command",
        do_request=extra.request,
    )


CHECKOUT = checkout(extras=EXTRAS)

BY_NAME = {CHECKOUT.name: CHECKOUT}
REQUESTS = frozenset(
    request for saga in BY_NAME.values() for step in saga.steps for request in step.requests
)
REPLIES = frozenset(requests.reply_to(request=one) for one in REQUESTS)
