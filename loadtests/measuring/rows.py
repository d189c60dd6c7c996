"""Dataclasses as lines of CSV, under a header with the names of their fields."""

import csv
from collections.abc import Collection, Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def append(*, path: Path, kind: type[Any], every: Iterable[Any], times: Collection[str]) -> None:
    """To what is there; with a header line where there is nothing yet.

    `times`: fields that are seconds since 1970, written to the microsecond.
    """
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        if is_new:
            writer.writeheader()
        for one in every:
            row = asdict(one)
            writer.writerow({**row, **{name: f"{row[name]:.6f}" for name in times}})


def read(*, path: Path, kind: type[T]) -> list[T]:
    """What `append` has written. Raises OSError, TypeError, ValueError or KeyError."""
    types: dict[str, Any] = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    with path.open(newline="") as file:
        return [
            kind(**{name: types[name](value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]
