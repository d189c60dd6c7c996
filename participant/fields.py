"""The columns that the tables of every service have alike."""

import json
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


class LenientJson(json.JSONDecoder):
    """For a JSONField that a person looks at: what Python can't hold (too deep, a number of 5,000
    digits) is shown as its text.
    """

    def decode(self, s: str, *_: Any) -> Any:
        """Raises JSONDecodeError, for which Django gives the text itself."""
        try:
            return super().decode(s)
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(str(error), s[:40], 0) from error


class Json(models.JSONField):
    """A JSONField that is read so. To migrations it is a JSONField as any other."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"decoder": LenientJson} | options)

    def deconstruct(self) -> Any:
        name, _, args, options = super().deconstruct()
        del options["decoder"]
        return name, "django.db.models.JSONField", args, options
