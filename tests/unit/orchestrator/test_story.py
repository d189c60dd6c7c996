"""The page that tells the pattern's story tells the truth."""

from contracts import sagas
from saga_orchestrator import checkout

TOLD = {
    sagas.RESERVE: ("inventario", "reserve", "unreserve"),
    sagas.CHARGE: ("pagos", "charge", "refund"),
    sagas.CREATE_ORDER: ("carrito", "create the order", "cancel the order"),
    sagas.COMMIT: ("inventario", "commit", ""),
    sagas.CONFIRM_ORDER: ("carrito", "confirm the order", ""),
}


def test_page_tells_the_steps_of_the_saga_in_order():
    lines = [line.split() for line in checkout.__doc__.splitlines() if "tell " in line]
    services = [line[1].rstrip(":") for line in lines]
    assert services == [step.service for step in sagas.CHECKOUT.steps[1:]]
    assert [step.name for step in sagas.CHECKOUT.steps[1:]] == list(TOLD)


def test_page_tells_what_each_service_is_told():
    lines = [line for line in checkout.__doc__.splitlines() if line.startswith("    tell ")]
    for line, (service, do, undo) in zip(lines, TOLD.values(), strict=True):
        assert service in line
        assert do in line
        assert undo in line


def test_page_marks_the_pivot():
    (line,) = [line for line in checkout.__doc__.splitlines() if "the pivot:" in line]
    assert "commit" in line
