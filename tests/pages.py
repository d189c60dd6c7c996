"""Sagas that only a test knows, put into the catalogue while it runs."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from catalogue import SAGAS
from contracts.saga import Saga


@contextmanager
def with_pages(*pages: Saga) -> Iterator[None]:
    """Within the block the catalogue has these pages too, or in place of those of the same name.

    Everybody sees them who looks there, whatever was imported before. What was made before (a
    coordinator's REACTIONS) stays as it was: a test makes its own.
    """
    (catalogue,) = gc.get_referents(SAGAS)  # the one dictionary that everybody's SAGAS shows
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
    """What modules that read the catalogue have kept of it."""
    for module in list(sys.modules.values()):
        if vars(module).get("SAGAS") is SAGAS:
            for kept in list(vars(module).values()):
                if hasattr(kept, "cache_clear"):
                    kept.cache_clear()
