import pytest

from catalogue.commands import Commit, Item, Reserve
from contracts.saga import Undo
from inventario import operations
from inventario.models import Product
from participant.executing import execute


@pytest.fixture
def product():
    """Makes products, each with so many available."""
    made = []

    def make(available: int = 10, **fields) -> Product:
        made.append(None)
        named = {"name": f"product {len(made)}", "sku": f"sku-{len(made)}", "price": "9.95"}
        return Product.objects.create(**(named | fields), initial=available, available=available)

    return make


@pytest.fixture
def shop():
    return Shop()


class Shop:
    """The operations, each for one saga; they return the outcome."""

    def reserve(self, saga_id: str, lines: dict, *, step: str = "", user_id: str = ""):
        items = [Item(str(getattr(key, "pk", key)), quantity) for key, quantity in lines.items()]
        command = Reserve(saga_id=saga_id, step=step, subject="c", items=items, user_id=user_id)
        return self._do(operations.reserve, command)

    def unreserve(self, saga_id: str, *, step: str = ""):
        return self._do(operations.unreserve, Undo(saga_id=saga_id, step=step))

    def commit(self, saga_id: str):
        return self._do(operations.commit, Commit(saga_id=saga_id))

    def restore(self, saga_id: str):
        return self._do(operations.restore, Undo(saga_id=saga_id))

    def _do(self, operation, command):
        return execute(operation=operation, commands=[command])[0].outcome
