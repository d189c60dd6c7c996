"""The HTTP doors of operations: for one command, or a list of commands.

Sagas use `/steps/<operation>[/undo|/block]` (`doors`), with commands that name their saga and step.
The other doors (`StepView`, on the users' own paths) are for calls by hand: they refuse to do or
undo steps that belong to a saga.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, TypedDict

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from contracts import bounds, refusals
from contracts.bounds import MOST_IN_A_BATCH, Reason, field_and_message
from contracts.doors import Declared, declared, door_by
from contracts.outcomes import Busy, Done, Outcome, Refused, Waiting
from contracts.patterns import CONDUCTORS
from contracts.saga import ANSWERS, SAGAS, Answers, Command, Direction, find_step
from httpapi import problems
from httpapi.json import answer, decode
from participant import failpoints, operations
from participant.executing import execute, execute_apart
from participant.operations import Operation


class PlainView(View):
    """A plain Django view with the errors of all other views, without the REST framework's
    negotiation.
    """

    @classmethod
    def as_view(cls, **options: Any) -> Callable[..., HttpResponseBase]:
        return csrf_exempt(super().as_view(**options))  # no cookies are read here

    def dispatch(self, request: HttpRequest, *args: Any, **path: str) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **path)
        except Exception as error:
            answered = problems.handle(error, {})
            if answered is None:
                raise
            return answered


class StepView(PlainView):
    """POST a command by hand: 200 with the result, 202 if the step waits for a decision, or 409
    with the refusal's code, also if the saga id belongs to a real saga.

    POST a list of commands: 207 with an outcome for each, in order, all in one transaction; a
    command whose row another transaction holds is `busy`, and does not delay the others.
    A repeated saga id and step gets the first outcome again.

    `aliases`: other names of fields, for users.
    """

    operation: Operation
    aliases: Mapping[str, str] = MappingProxyType({})
    is_of_sagas = False

    @door_by(lambda view, path: _declared(view, path))
    def post(self, request: HttpRequest, **path: str) -> HttpResponse:
        commands, is_batch = self._commands(self.read(request), path)
        if len(commands) > MOST_IN_A_BATCH:
            raise problems.wrong_field("body", f"at most {MOST_IN_A_BATCH} commands in one list")
        outcomes = self._outcomes(commands, is_batch)
        failpoints.reach("steps.before_reply", self.operation)
        return answer(outcomes, status=207) if is_batch else _single(outcomes[0])

    def _outcomes(self, commands: Sequence[Command], is_batch: bool) -> Sequence[Outcome | Busy]:
        if is_batch:
            return execute_apart(operation=self.operation, commands=commands)
        return [result.outcome for result in execute(operation=self.operation, commands=commands)]

    def read(self, request: HttpRequest) -> bytes:
        """The body, as JSON; a view may be more lenient than its command's type."""
        return request.body

    def saga_of(self, **path: str) -> str | None:
        """The saga that a path names by another id (an order's, say); None if there is none."""
        raise NotImplementedError

    def _commands(self, body: bytes, path: dict[str, str]) -> tuple[Sequence[Command], bool]:
        if path:
            return [self._by_hand(self._fields_of_path(body, path))], False
        given = decode(body) if body.strip() else {}
        if not isinstance(given, list):
            return [self._by_hand(given)], False
        if len(given) > MOST_IN_A_BATCH:
            raise problems.wrong_field("body", f"at most {MOST_IN_A_BATCH} commands in one list")
        return [self._by_hand(item, at=f"[{at}].") for at, item in enumerate(given)], True

    def _by_hand(self, fields: Any, *, at: str = "") -> Command:
        """A command of no saga, whatever its fields say. `at`: its position in the body."""
        if not isinstance(fields, dict):
            raise problems.wrong_field(at.rstrip(".") or "body", "an object, or a list of them")
        named = {self.aliases.get(name, name): value for name, value in fields.items()}
        try:
            return msgspec.convert({**named, "saga": "", "step": ""}, self.operation.command)
        except msgspec.ValidationError as error:
            field, message = field_and_message(error)
            as_sent = {own: sent for sent, own in self.aliases.items()}
            raise problems.wrong_field(f"{at}{as_sent.get(field, field)}", message) from error

    def _fields_of_path(self, body: bytes, path: dict[str, str]) -> dict[str, Any]:
        fields = decode(body) if body.strip() else {}
        if not isinstance(fields, dict):
            raise problems.wrong_field("body", "an object, or nothing")
        saga_id = self.saga_of(**path)
        if saga_id is None:
            raise problems.unknown(*next(iter(path.items())))
        if fields.setdefault("saga_id", saga_id) != saga_id:
            raise problems.wrong_field("saga_id", f"this belongs to saga {saga_id}")
        return fields


class SagaStepView(StepView):
    """POST a saga's commands. 400 for a command that does not name its saga and step."""

    is_of_sagas = True

    def _commands(self, body: bytes, path: dict[str, str]) -> tuple[Sequence[Command], bool]:
        is_batch = body.lstrip().startswith(b"[")
        kind = self.operation.command
        commands = (
            decode(body, type=list[kind])  # type: ignore[valid-type]
            if is_batch
            else [decode(body or b"{}", type=kind)]
        )
        if not all(command.saga and command.step for command in commands):
            raise problems.wrong_field("saga", "required, with the name of the step in `step`")
        for command in commands:
            self._check_step(command)
        return commands, is_batch

    def _check_step(self, command: Command) -> None:
        """Refuses a step that the saga's definition gives to another operation. A step that is not
        in the definition may be of a saga that started with another version of it.
        """
        step = find_step(command.saga, command.step)
        if step and step.operation != self.operation.full_name:
            raise problems.wrong_field("step", f"{command.step} is done by {step.operation}")


def doors(module: ModuleType) -> list[URLPattern]:
    """The sagas' paths to the operations that a service's module declares; of an acceptance only
    its undo.
    """
    accepting = {saga.steps[0].operation for saga in SAGAS.values()}
    return [
        path(
            f"steps/{operation.service}.{action}" + _BELOW[direction],
            made(SagaStepView, operation=operation),
        )
        for (action, direction), operation in operations.all_in(module).items()
        if direction is Direction.UNDO or f"{operation.service}.{action}" not in accepting
    ]


def made(view: type[View], **options: Any) -> Callable[..., HttpResponseBase]:
    """A view of this class with these attributes, for a path."""
    found: type[View] = type(view.__name__, (view,), options)
    return found.as_view()


class NothingToUndo(TypedDict):
    """The step had not happened, and never will."""

    nothing_to_undo: bool


def _declared(view: type[StepView], path: str) -> Declared:
    """The operation's command and answers; on a path that names the saga, the body may be empty."""
    operation = view.operation
    answers = ANSWERS.get(operation.full_name, Answers())
    always = [refusals.UNREADABLE]
    if not view.is_of_sagas:
        always.append(refusals.PART_OF_A_SAGA)
    gives: dict[int, Any] = {200: answers.done, 207: list[Outcome | Busy]}
    refuses = [*answers.refuses, refusals.ABORTED, *always]  # a block: the step's stored outcome
    if operation.direction is Direction.UNDO:
        gives[200], refuses = (answers.undone, NothingToUndo), always
    elif operation.direction is Direction.DO and operation.decide:
        gives[202] = Waiting
    takes: Any = (operation.command, list[operation.command])  # type: ignore[name-defined]
    if "{" in path:
        gives.pop(207)
        takes = Reasoned
    return declared(
        callers=CONDUCTORS,
        takes=takes,
        gives=gives,
        refuses={409: refuses},
        most_bytes=bounds.MOST_BYTES,
        what=f"{operation.name}: {_summary(operation, view.aliases)}",
    )


class Reasoned(msgspec.Struct, frozen=True):
    """The reason, which is stored and shown. The body may be empty."""

    reason: Reason = ""


def _summary(operation: Operation, aliases: Mapping[str, str]) -> str:
    """The first paragraph of its docstring (for a block, of the operation that it blocks), and its
    aliases.
    """
    run = operation.doing.run if operation.direction is Direction.BLOCK else operation.run
    first = (inspect.getdoc(run) or "").partition("\n\n")[0]
    named = [f" `{theirs}` is an alias of `{ours}`." for theirs, ours in aliases.items()]
    return first + "".join(named)


_BELOW = {Direction.DO: "", Direction.UNDO: "/undo", Direction.BLOCK: "/block"}


def _single(outcome: Outcome | Busy) -> HttpResponse:
    if isinstance(outcome, Done):
        return answer(outcome.data)
    if isinstance(outcome, Waiting):
        return answer(outcome, status=202)
    if isinstance(outcome, Refused):
        raise problems.refusal(outcome)
    raise problems.busy()
