"""Participants made from a saga's page: whatever it is about, a step here only leaves a row.

The rules, the barrier, the messages and the coordinators around them are the real ones. What is
scripted is which step refuses, and a scarce thing that sagas compete for: one unit a saga, so that
exactly as many may complete as there are units.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from checker.explorer.sagas.scenarios import Scenario, results_of
from contracts import projection
from contracts.catalogue import SAGAS
from contracts.commands import COMMANDS, Command, Undo
from contracts.outcomes import Done, Outcome, Refused
from contracts.saga import Direction
from messaging.reactions import Answer, Reaction, SagaReaction
from participant.operations import Operation

Effect = tuple[str, str, Direction]
"""A saga's id, the step, and whether it was done or undone."""
REFUSED = Refused("scripted", "This scenario refuses it.")
SOLD_OUT = Refused("none_left", "Another saga has the last one.")


class Ledger(Protocol):
    """All effects, and the units that are free. Written in the transaction that is open."""

    def lock_units(self, *, service: str) -> int:
        """The free units, locked; 0 at a service that has none."""

    def set_units(self, *, service: str, units: int) -> None: ...

    def add(self, *, service: str, effects: Sequence[Effect]) -> None: ...

    def effects(self) -> Mapping[Effect, Sequence[float]]:
        """When each took effect, in seconds: once, if all is well."""

    def units(self, *, service: str) -> int: ...


class Participants:
    """Every operation that the catalogue names. `scenario`: what is played now."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._ledger = ledger
        self.scenario: Scenario
        self.operations = {
            (name, direction): self._operation(name, direction)
            for name in {step.operation for saga in SAGAS.values() for step in saga.steps}
            for direction in Direction
        }
        self._results = {
            (saga.name, step.name): results_of(saga=saga, step=step)
            for saga in SAGAS.values()
            for step in saga.steps
        }

    def reactions(self, *, service: str) -> list[Reaction]:
        """All that a service reacts to and answers, as its own `reactions` would be."""
        return [
            SagaReaction(row=row, operation=self.operations[row.step.operation, row.direction])
            for row in projection.of_service(service)
        ] + [
            Answer(call=call, operation=self.operations[call.step.operation, call.direction])
            for call in projection.asked_of(service)
        ]

    def paths(self) -> dict[str, Operation]:
        """What is behind the sagas' own doors, of all services."""
        return {
            projection.path_of(step, direction): self.operations[step.operation, direction]
            for saga in SAGAS.values()
            for step in saga.steps
            for direction in Direction
        }

    def _operation(self, name: str, direction: Direction) -> Operation:
        service, _, action = name.partition(".")
        runs = {Direction.DO: self._do, Direction.UNDO: self._undo, Direction.BLOCK: self._undo}
        return Operation(
            service=service,
            action=action,
            direction=direction,
            command=COMMANDS.get(name, Command) if direction is Direction.DO else Undo,
            run=partial(runs[direction], service),
        )

    def _do(self, service: str, commands: Sequence[Command]) -> list[Outcome]:
        """Lock, decide, write."""
        free = self._ledger.lock_units(service=service)
        outcomes: list[Outcome] = []
        left = free
        for one in commands:
            outcome = self._decided(one, left)
            left -= isinstance(outcome, Done) and one.step == self.scenario.scarce
            outcomes.append(outcome)
        done = [
            (one.saga_id, one.step, Direction.DO)
            for one, outcome in zip(commands, outcomes, strict=True)
            if isinstance(outcome, Done)
        ]
        self._write(service, done, left, free)
        return outcomes

    def _decided(self, command: Command, free: int) -> Outcome:
        if self.scenario.refused.get(command.saga_id) == command.step:
            return REFUSED
        if command.step == self.scenario.scarce and free <= 0:
            return SOLD_OUT
        return Done(self._results[command.saga, command.step])

    def _undo(self, service: str, commands: Sequence[Command]) -> list[Outcome]:
        free = self._ledger.lock_units(service=service)
        freed = sum(one.step == self.scenario.scarce for one in commands)
        undone = [(one.saga_id, one.step, Direction.UNDO) for one in commands]
        self._write(service, undone, free + freed, free)
        return [Done({}) for _ in commands]

    def _write(self, service: str, effects: Sequence[Effect], left: int, free: int) -> None:
        self._ledger.add(service=service, effects=effects)
        if left != free:
            self._ledger.set_units(service=service, units=left)
