"""Sagas that only a test defines, put into the catalogue while it runs."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from catalogue import SAGAS
from contracts.saga import Saga


@contextmanager
def with_pages(*pages: Saga) -> Iterator[None]:
    """Within the block the catalogue also has these sagas, which replace those of the same name,
    for all modules, whatever was imported before. Objects made before (a coordinator's REACTIONS)
    stay unchanged: a test makes its own.
    """
    (catalogue,) = gc.get_referents(SAGAS)  # the dictionary behind all references to SAGAS
    before = dict(catalogue)
    catalogue.update((page.name, page) for page in pages)
    _forget_projections()
    try:
        yield
    finally:
        catalogue.clear()
        catalogue.update(before)
        _forget_projections()


def _forget_projections() -> None:
    """The caches of modules that read the catalogue."""
    for module in list(sys.modules.values()):
        if vars(module).get("SAGAS") is SAGAS:
            for kept in list(vars(module).values()):
                if hasattr(kept, "cache_clear"):
                    kept.cache_clear()
