"""The sagas, a page each. To add one, add a module here with its `SAGA`; tell nobody else.

Read `checkout` first; `manage.py sagas show checkout` prints what follows from it.
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from contracts.saga import Saga


def _found() -> Mapping[str, Saga]:
    """Raises ValueError where two pages have a name."""
    sagas: dict[str, Saga] = {}
    for module in iter_modules(__path__):
        saga: Saga = import_module(f"{__name__}.{module.name}").SAGA
        if sagas.setdefault(saga.name, saga) is not saga:
            raise ValueError(f"two pages of the catalogue have a saga {saga.name!r}")
    return MappingProxyType(sagas)


SAGAS = _found()
"""Every saga by its name."""
