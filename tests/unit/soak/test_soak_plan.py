"""The faults of a soak: from the seed alone, each kind early, none beyond the load."""

import pytest

from loadtests.faults import plan
from loadtests.faults.plan import FaultKind

SERVICES = ("carrito", "inventario", "pagos", "saga_orchestrator", "saga_choreography")
TARGETS = plan.targets(services=SERVICES)


def planned(*, seconds=600.0, seed="1", kinds=tuple(FaultKind), every=4.0):
    return plan.faults(kinds=kinds, services=SERVICES, seconds=seconds, every=every, seed=seed)


def test_same_seed_plans_the_same_faults():
    assert planned(seed="a") == planned(seed="a")
    assert planned(seed="a") != planned(seed="b")


def test_short_soak_has_each_kind_and_both_restarts():
    begin = planned(seconds=60.0)[: len(TARGETS) + 1]
    made = {(fault.kind, fault.target) for fault in begin}
    assert {kind for kind, _ in made} == set(TARGETS)
    assert {(FaultKind.RESTART, "postgres"), (FaultKind.RESTART, "rabbitmq")} <= made


def test_long_soak_makes_every_kind_on_every_target():
    made = {(fault.kind, fault.target) for fault in planned()}
    assert made == {(kind, target) for kind, targets in TARGETS.items() for target in targets}


@pytest.mark.parametrize("seconds", [5.0, 20.0, 600.0])
def test_no_fault_lasts_longer_than_the_load(seconds):
    assert all(
        fault.at > 0 and fault.at + fault.seconds < seconds for fault in planned(seconds=seconds)
    )


def test_faults_come_as_often_as_asked():
    assert len(planned(every=4.0)) == pytest.approx(150, abs=15)


def test_only_the_kinds_asked_for_are_made():
    kinds = {fault.kind for fault in planned(kinds=[FaultKind.CUT, FaultKind.DUPLICATE])}
    assert kinds == {FaultKind.CUT}


def test_duplicates_alone_are_no_fault_of_a_moment():
    assert planned(kinds=[FaultKind.DUPLICATE]) == []
