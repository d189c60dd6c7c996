"""What must hold for one saga beyond what holds for any: in each service's own rows, what completed
and what did not. A module a saga, found by its name, with `breaches`; none where nothing is to add.
"""

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from loadtests.audit.evidence import Evidence, Finding


@cache
def own_rule(saga: str) -> Callable[[Evidence], Iterator[Finding]] | None:
    """The rule of this saga's own, if there is one."""
    module = f"{__name__}.{saga}"
    if not find_spec(module):
        return None
    found: Callable[[Evidence], Iterator[Finding]] = import_module(module).breaches
    return found
