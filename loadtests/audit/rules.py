"""The rules of the three layers put together: generic, by service, by saga."""

from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from contracts.catalogue import SAGAS
from contracts.services import PARTICIPANTS
from loadtests.audit import generic, sagas
from loadtests.audit.evidence import Evidence, Finding, Source, page_of
from loadtests.audit.generic import Effect
from loadtests.audit.reading import rows
from loadtests.shop import accepted_table, owners

_STEPS = """
    SELECT DISTINCT saga, step FROM {service}_barrierentry
    WHERE saga <> '' AND (%s::text IS NULL OR saga_id = %s)
"""


class NotAuditable(Exception):
    """There is something that no rule knows of: clean could not be said of it. The text says what
    to do.
    """


class ServiceRules(Protocol):
    """What a module of `services` declares.

    `SOURCES`: its own tables, by saga. `EFFECTS`: what they show of each operation.
    """

    SOURCES: Sequence[Source]
    EFFECTS: Sequence[Effect]

    def breaches(self, saga: Evidence) -> Iterator[Finding]:
        """What is wrong with its rows of this saga."""

    def sums(self) -> Iterator[tuple[int, str, str]]:
        """What is wrong with the service as a whole: group, saga id or nothing, what."""

    def counted(self) -> Iterator[tuple[int, str]]:
        """What it has been looked at for, in words, by group."""


class Rules:
    """All rules. Raises NotAuditable where a participant of the register has none."""

    def __init__(self) -> None:
        self.services: list[ServiceRules] = [_of_service(name) for name in PARTICIPANTS]
        self.sources = [source for one in self.services for source in one.SOURCES]
        self._effects: dict[str, list[Effect]] = {}
        for service in self.services:
            for effect in service.EFFECTS:
                self._effects.setdefault(effect.operation, []).append(effect)

    def breaches(self, saga: Evidence) -> Iterator[Finding]:
        """Every breach of this saga, with the number of its group."""
        if saga.name not in SAGAS:
            yield 6, f"nobody accepted it, but there is {generic.what_there_is(saga)}"
            return
        yield from generic.breaches(saga, self._effects)
        for service in self.services:
            yield from service.breaches(saga)
        if own := sagas.OWN.get(saga.name):
            yield from own(saga)


def check_known(*, saga_id: str | None = None) -> None:
    """Raises NotAuditable where a service has done what no page of the catalogue has, or where
    a saga is none of the catalogue's. `saga_id`: looks at that one alone.
    """
    for service in owners():
        table = accepted_table(service=service)
        for (name,) in rows(service=service, statement=f"SELECT DISTINCT saga FROM {table}"):
            if name not in SAGAS:
                raise NotAuditable(f"{service} has accepted sagas {name!r}, {_NO_PAGE}")
    seen: dict[str, set[str]] = {}
    for service in PARTICIPANTS:
        statement = _STEPS.format(service=service)
        for name, step in rows(service=service, statement=statement, values=[saga_id, saga_id]):
            if name not in SAGAS:
                raise NotAuditable(f"{service} took part in sagas {name!r}, {_NO_PAGE}")
            if step not in {one.name for one in page_of(name).steps if one.service == service}:
                raise NotAuditable(
                    f"{service} has done the step {step!r} of {name}, and that saga's page has no"
                    f" such step there. {_OTHER_PAGE}"
                )
            seen.setdefault(name, set()).add(step)
    for name in SAGAS if saga_id is None else ():
        _check_padding(name, seen.get(name, set()))


def _check_padding(name: str, seen: Collection[str]) -> None:
    """Raises NotAuditable where the page is padded and what has completed was not."""
    page = SAGAS[name]
    pads = {step.name for step in page.steps if step.operation.endswith(".pad")}
    table = accepted_table(service=page.owner)
    completed = f"SELECT 1 FROM {table} WHERE saga = %s AND status = 'completed' LIMIT 1"
    if pads - set(seen) and rows(service=page.owner, statement=completed, values=[name]):
        steps = ", ".join(sorted(pads - set(seen)))
        raise NotAuditable(f"no saga has done {steps} of {name}. {_OTHER_PAGE}")


_OTHER_PAGE = (
    "The audit must know the pages that the sagas ran by: set DUETO_EXTRA_STEPS as it was then, or"
    " check out the version that had these steps."
)
_NO_PAGE = (
    "and the catalogue (contracts/catalogue) has no such page: audit with the version that has it."
)


def _of_service(name: str) -> ServiceRules:
    module = f"{__package__}.services.{name}"
    if find_spec(module) is None:
        raise NotAuditable(
            f"{name} takes part (contracts/services.py), and loadtests/audit/services/{name}.py,"
            " which says what must hold there, is missing: write it."
        )
    found: ServiceRules = import_module(module)
    return found
