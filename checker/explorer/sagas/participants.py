"""Participants made from a saga's definition: a step here only leaves a row.

The barrier, the messages and the coordinators around them are real. Scripted are the step that
refuses, and a scarce resource that sagas compete for: one unit a saga, so that exactly as many may
complete as there are units. A step waits for the person that its definition names, and for the card
network if its service calls one.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

from catalogue import SAGAS, services
from catalogue.commands import COMMANDS
from catalogue.services import Role
from checker.explorer.sagas.scenarios import Scenario, results_of
from contracts import projection
from contracts.outcomes import Done, Outcome, Refused, Waiting
from contracts.saga import Command, Direction, Step, Undo
from messaging.handlers import Reaction
from messaging.reactions import to_operations
from participant.operations import YES, Operation, Verdict, asks

Effect = tuple[str, str, Direction]
"""A saga's id, the step, and whether it was done or undone."""
REFUSED = Refused("scripted", "This scenario refuses it.")
SOLD_OUT = Refused("none_left", "Another saga has the last one.")
DECLINED = Refused("declined", "It was decided so, or nobody has decided in time.")
CARD_NETWORK = "card_network"
CARD_SECONDS = 300.0
"""Until a step is overdue that waits for the card network."""


class Word(NamedTuple):
    """The verdict on a step that waited: yes, no, overdue, withdrawn."""

    saga_id: str
    step: str
    decided_by: str
    word: str


class Ledger(Protocol):
    """All effects, verdicts, and the free units. Written in the open transaction."""

    def lock_units(self, *, service: str) -> int:
        """The free units, locked; 0 at a service that has none."""

    def set_units(self, *, service: str, units: int) -> None: ...

    def add(self, *, service: str, effects: Sequence[Effect]) -> None: ...

    def decided(self, *, service: str, words: Sequence[Word]) -> None: ...

    def effects(self) -> Mapping[Effect, Sequence[float]]:
        """The times of each effect, in seconds: one time, if all is well."""

    def words(self) -> Sequence[Word]:
        """All verdicts, in their order."""

    def units(self, *, service: str) -> int: ...


class ScriptedParticipants:
    """Every operation that the catalogue names. `scenario`: the current one."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._ledger = ledger
        self.scenario: Scenario
        self.operations = {
            (name, direction): self._operation(name, direction)
            for name in {step.operation for saga in SAGAS.values() for step in saga.steps}
            for direction in Direction
        }
        self._modules: dict[str, SimpleNamespace] = {}
        self.steps = {
            (saga.name, step.name): step for saga in SAGAS.values() for step in saga.steps
        }
        self._results = {
            (saga.name, step.name): results_of(saga=saga, step=step)
            for saga in SAGAS.values()
            for step in saga.steps
        }

    def reactions(self, *, service: str) -> list[Reaction]:
        """The reactions of a service, as its app would register them."""
        declared = {
            (operation.action, operation.direction): operation
            for operation in self.operations.values()
            if operation.service == service
        }
        return to_operations(service=service, declared=declared)

    def module(self, name: str) -> SimpleNamespace:
        """Replaces a module such as `inventario.operations`, by its name."""
        service = name.partition(".")[0]
        if service not in self._modules:
            declared = {
                f"{operation.direction}_{operation.action}": operation
                for operation in self.operations.values()
                if operation.service == service
            }
            self._modules[service] = SimpleNamespace(**declared)
        return self._modules[service]

    def paths(self) -> dict[str, Operation]:
        """The operation of each path of the sagas' steps, of all services."""
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
            **self._waits(name, direction),
        )

    def _waits(self, name: str, direction: Direction) -> dict[str, Any]:
        """The operation's fields for decisions, if one of its steps waits."""
        service = name.partition(".")[0]
        if not any(waits_for(step) for step in _steps_of(name)):
            return {}
        if direction is Direction.DO:
            return {"decide": partial(self._decide, service)}
        return {"reverses": self._operation(name, Direction.DO)}

    def _do(self, service: str, commands: Sequence[Command]) -> list[Outcome]:
        """Commands that wait for no decision are done at once."""
        waiting = {
            at: asked for at, command in enumerate(commands) if (asked := self._asked(command))
        }
        now = [command for at, command in enumerate(commands) if at not in waiting]
        outcomes = iter(self._take(service, now) if now else [])
        return [waiting.get(at) or next(outcomes) for at in range(len(commands))]

    def _asked(self, command: Command) -> Waiting | None:
        """The first wait of its step, if it waits at all."""
        who = waits_for(self.steps[command.saga, command.step])
        if who[:1] == (CARD_NETWORK,):
            return _asks_the_network(command)
        return asks(command=command) if who else None

    def _decide(self, service: str, verdicts: Sequence[Verdict]) -> list[Outcome]:
        """A step is done after the yes of its last decider."""
        self._ledger.decided(
            service=service,
            words=[
                Word(
                    verdict.command.saga_id, verdict.command.step, verdict.decided_by, verdict.word
                )
                for verdict in verdicts
            ],
        )
        taken = [
            verdict.command
            for verdict in verdicts
            if verdict.word == YES and self._is_last(verdict)
        ]
        outcomes = iter(self._take(service, taken))
        return [
            DECLINED
            if verdict.word != YES
            else next(outcomes)
            if self._is_last(verdict)
            else _asks_the_network(verdict.command)
            for verdict in verdicts
        ]

    def _is_last(self, verdict: Verdict) -> bool:
        command = verdict.command
        return verdict.decided_by == waits_for(self.steps[command.saga, command.step])[-1]

    def _take(self, service: str, commands: Sequence[Command]) -> list[Outcome]:
        """Lock, decide, write."""
        free = self._ledger.lock_units(service=service)
        outcomes: list[Outcome] = []
        left = free
        for command in commands:
            outcome = self._decided(command, left)
            left -= isinstance(outcome, Done) and command.step == self.scenario.scarce
            outcomes.append(outcome)
        done = [
            (command.saga_id, command.step, Direction.DO)
            for command, outcome in zip(commands, outcomes, strict=True)
            if isinstance(outcome, Done)
        ]
        self._write(service, done, left, free)
        return outcomes

    def _decided(self, command: Command, free: int) -> Outcome:
        if self.scenario.refused.get(command.saga_id) == command.step and not self._asked(command):
            return REFUSED
        if command.step == self.scenario.scarce and free <= 0:
            return SOLD_OUT
        return Done(self._results[command.saga, command.step])

    def _undo(self, service: str, commands: Sequence[Command]) -> list[Outcome]:
        free = self._ledger.lock_units(service=service)
        freed = sum(command.step == self.scenario.scarce for command in commands)
        undone = [(command.saga_id, command.step, Direction.UNDO) for command in commands]
        self._write(service, undone, free + freed, free)
        return [Done({}) for _ in commands]

    def _write(self, service: str, effects: Sequence[Effect], left: int, free: int) -> None:
        self._ledger.add(service=service, effects=effects)
        if left != free:
            self._ledger.set_units(service=service, units=left)


def waits_for(step: Step) -> tuple[str, ...]:
    """The deciders of the step, one after the other: a person, the card network, both or none."""
    person = (step.decided_by,) if step.decided_by else ()
    return (*person, CARD_NETWORK) if _asks_one(step.service) else person


@cache
def _asks_one(service: str) -> bool:
    asked = services.BY_NAME[service].asks
    return any(services.BY_NAME[service].role is Role.EXTERNAL for service in asked)


def _steps_of(operation: str) -> Iterator[Step]:
    for saga in SAGAS.values():
        yield from (step for step in saga.steps[1:] if step.operation == operation)


def _asks_the_network(command: Command) -> Waiting:
    return asks(command=command, decided_by=CARD_NETWORK, seconds=CARD_SECONDS)
