"""The hand-over of accepted checkouts waits for a coordinator that is away."""

import pytest

from carrito.operations import OWNER
from coordination.handover import ROUTES
from coordination.sweeping import Sweep
from httpapi.client import Unreachable
from tests.threads import Hurried, InThread

pytestmark = pytest.mark.django_db(transaction=True, databases=["carrito"])
OUTAGE = [0.1, 0.2, 0.4]


def test_second_outage_is_met_as_the_first_was(monkeypatch):
    handover = Sweep(owner=OWNER, route=ROUTES[0])
    stop = Hurried()
    script = iter([*["away"] * 3, "well", *["away"] * 3, "well"])

    def hand_over_once(**_):
        step = next(script, None)
        if step is None:
            stop.set()
        if step == "away":
            raise Unreachable(step)
        return 1

    monkeypatch.setattr(handover, "hand_over_once", hand_over_once)
    monkeypatch.setattr("coordination.sweeping.wait_to_lead", lambda **_: True)
    InThread(lambda: handover.run(stop), service="carrito").result()
    longest = [*OUTAGE, *OUTAGE]
    assert len(stop.pauses) == len(longest)
    assert all(most / 2 <= pause <= most for pause, most in zip(stop.pauses, longest, strict=True))
