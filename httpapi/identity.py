"""Who asks, as views see it: `httpapi.authentication` has noted it with the request."""

from typing import Any, NamedTuple

from contracts.doors import PUBLIC, Scope
from httpapi.problems import Problem, wrong_field

DEMO = "demo"
"""The other mode, `required`, is that of a project that says nothing."""


class Principal(NamedTuple):
    """Who asks. `sub`: the person, as their rows name them (`user_id`). `merchant`: whose payments
    they see, of a merchant. `service`: of a service its name, and else nothing. `via`: what asks in
    a person's name: the API's own callers, the dashboard, or a command.
    """

    sub: str = ""
    scopes: frozenset[str] = frozenset()
    merchant: str = ""
    service: str = ""
    jti: str = ""
    via: str = "api"

    @property
    def is_demo(self) -> bool:
        return self is EVERYBODY

    def named(self, said: object = None, *, field: str, otherwise: str | None = None) -> str:
        """Who asks, where a body may say so, too: a person is who their token says, a service
        names the person for whom it asks, and in the mode `demo` it is who is said (`otherwise`,
        where nobody is). Raises Problem: 403 where a person names somebody else, 400 where nobody
        is named who has to be.
        """
        told = "" if said is None else str(said)
        if self.is_demo:
            if not told and otherwise is None:
                raise wrong_field(field, "required")
            return told or otherwise or ""
        if self.service:
            return told or self.sub
        if told not in ("", self.sub):
            detail = f"{field}: your token says who you are, and you are somebody else."
            raise Problem(status=403, code="forbidden", detail=detail)
        return self.sub


EVERYBODY = Principal(sub="demo", scopes=frozenset(Scope) - {PUBLIC})
"""Who comes without a token in the mode `demo`: whatever there is, is theirs."""
NOBODY = Principal()
"""Who comes without a token to a public door."""


def of(request: Any) -> Principal:
    """Who asks."""
    found: Principal = request.principal
    return found


def owner(request: Any) -> str | None:
    """Whose rows alone this request may see, or change; None: all."""
    found: str | None = request.owner
    return found
