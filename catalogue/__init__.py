"""THE SAGAS, a definition each, and what else the shop's services have to agree on.

Read `checkout` first; `manage.py sagas show checkout` prints what follows from it.

To add a saga, add a module here with its `SAGA`; it is found by itself. `commands`: of the
services' operations; `answers`: their results; `refusals`: their codes; `services`: all services.
The kit (`contracts` and the packages on top of it) knows only what is registered below.
"""

from importlib import import_module
from pkgutil import iter_modules

from catalogue.answers import ANSWERS, EXAMPLES
from catalogue.commands import COMMANDS
from contracts.saga import SAGAS, register

__all__ = ["ANSWERS", "COMMANDS", "SAGAS"]

_modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
register(
    sagas=[module.SAGA for module in _modules if hasattr(module, "SAGA")],
    commands=COMMANDS,
    answers=ANSWERS,
    examples=EXAMPLES,
)
