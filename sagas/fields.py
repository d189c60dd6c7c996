"""The column of an id that is text."""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class TextId(models.CharField):  # type: ignore[type-arg]  # no type arguments at runtime
    """Up to 64 characters with the collation "C": compared byte by byte, as in Python.

    Named to the database by the type's long name, or Django would add a second index to each one
    that is indexed, for LIKE; with this collation the first one serves LIKE too.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("max_length", 64)
        options.setdefault("db_collation", "C")
        super().__init__(*args, **options)

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return f"character varying({self.max_length})"
