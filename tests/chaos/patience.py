"""The shop as one who knows that its database may just be restarting."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg

from tests.checkout.shop import Shop, eventually

T = TypeVar("T")
AWAY = 503


class PatientShop(Shop):
    """Looks again while the database is away, and asks again where nothing was done for that."""

    def call(
        self, method: str, service: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        def ask() -> tuple[int, Any] | None:
            answer = super(PatientShop, self).call(method, service, path, body, **headers)
            return None if answer[0] == AWAY else answer

        return tuple(eventually(ask, seconds=60, what=f"{method} {path} is no 503"))  # type: ignore[return-value]

    def rows(self, alias: str, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        look = super().rows
        return patiently(lambda: look(alias, statement, values))

    def write(self, alias: str, statement: str, values: Sequence[Any] | None = None) -> None:
        """Straight into a service's database: time that passes, a fault that comes and goes."""

        def write() -> None:
            with psycopg.connect(self.stack.database_urls[alias]) as connection:
                connection.execute(statement, values)  # type: ignore[arg-type]

        patiently(write)


def patiently(act: Callable[[], T]) -> T:
    """What it gives, once the database takes connections."""
    got: list[T] = []

    def attempt() -> bool:
        try:
            got.append(act())
        except psycopg.OperationalError:
            return False
        return True

    eventually(attempt, seconds=60, what="the database is there")
    return got[0]
