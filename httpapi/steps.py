"""The HTTP door into an operation: one command, or a list of them."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from contracts.bounds import MOST_IN_A_BATCH
from contracts.commands import Command
from contracts.outcomes import Busy, Done, Outcome, Refused
from httpapi import problems
from httpapi.json import answer, decode
from sagas import points
from sagas.operations import Operation
from sagas.performing import perform, perform_apart


class StepView(View):
    """POST a command: 200 with what was done, or 409 with the refusal's code.

    POST a list of commands: 207 with an outcome for each, in order, all in one transaction; where
    somebody else holds a row of one, that one is `busy` and the others are not held up.
    The same saga and step again: the first outcome again.

    A plain Django view: every step of every orchestrated saga comes through here, and needs none
    of the REST framework's negotiation.
    """

    operation: Operation

    @classmethod
    def as_view(cls, **options: Any) -> Callable[..., HttpResponseBase]:
        return csrf_exempt(super().as_view(**options))  # no cookies are read here

    def dispatch(self, request: HttpRequest, *args: Any, **path: str) -> HttpResponseBase:
        try:
            if request.method != "POST":
                raise problems.method_not_allowed(request.method or "", allowed="POST")
            return self.post(request, **path)
        except Exception as error:
            found = problems.handle(error, {})
            if found is None:
                raise
            return found

    def post(self, request: HttpRequest, **path: str) -> HttpResponse:
        commands, is_batch = self._commands(self.read(request), path)
        if len(commands) > MOST_IN_A_BATCH:
            raise problems.wrong_field("body", f"at most {MOST_IN_A_BATCH} commands in one list")
        outcomes = self._outcomes(commands, is_batch)
        points.reach("steps.before_reply", self.operation)
        return answer(outcomes, status=207) if is_batch else _single(outcomes[0])

    def _outcomes(self, commands: Sequence[Command], is_batch: bool) -> Sequence[Outcome | Busy]:
        if is_batch:
            return perform_apart(operation=self.operation, commands=commands)
        return [one.outcome for one in perform(operation=self.operation, commands=commands)]

    def read(self, request: HttpRequest) -> bytes:
        """The body, as JSON; a view may be more lenient than its command's type."""
        return request.body

    def saga_of(self, **path: str) -> str | None:
        """The saga that a path names by another id (an order's, say); None if there is none."""
        raise NotImplementedError

    def _commands(self, body: bytes, path: dict[str, str]) -> tuple[Sequence[Command], bool]:
        if path:
            return [self._command_of_path(body, path)], False
        if body.lstrip().startswith(b"["):
            return decode(body, type=list[self.operation.command]), True  # type: ignore[name-defined]
        return [decode(body or b"{}", type=self.operation.command)], False

    def _command_of_path(self, body: bytes, path: dict[str, str]) -> Command:
        fields = decode(body) if body.strip() else {}
        if not isinstance(fields, dict):
            raise problems.wrong_field("body", "an object, or nothing")
        saga_id = self.saga_of(**path)
        if saga_id is None:
            raise problems.unknown(*next(iter(path.items())))
        if fields.setdefault("saga_id", saga_id) != saga_id:
            raise problems.wrong_field("saga_id", f"this belongs to saga {saga_id}")
        return msgspec.convert(fields, self.operation.command)


def _single(outcome: Outcome | Busy) -> HttpResponse:
    if isinstance(outcome, Done):
        return answer(outcome.data)
    if isinstance(outcome, Refused):
        raise problems.refusal(outcome)
    raise problems.busy()
