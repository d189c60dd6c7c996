"""Sagas for one test, added to the catalogue while it runs."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from catalogue import SAGAS
from contracts.saga import Saga


@contextmanager
def with_sagas(*sagas: Saga) -> Iterator[None]:
    """Within the block the catalogue has these sagas too, or in place of those of the same name.

    All modules see them, also modules that were imported before. Objects that were made from the
    catalogue before (a coordinator's REACTIONS) stay unchanged: a test makes its own.
    """
    (catalogue,) = gc.get_referents(SAGAS)  # the one dictionary behind every module's SAGAS
    before = dict(catalogue)
    catalogue.update((saga.name, saga) for saga in sagas)
    _forget_projections()
    try:
        yield
    finally:
        catalogue.clear()
        catalogue.update(before)
        _forget_projections()


def _forget_projections() -> None:
    """Clears the caches of modules that read the catalogue."""
    for module in list(sys.modules.values()):
        if vars(module).get("SAGAS") is SAGAS:
            for kept in list(vars(module).values()):
                if hasattr(kept, "cache_clear"):
                    kept.cache_clear()
