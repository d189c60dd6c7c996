"""The principal of a request, for views: `httpapi.authentication` stores it with the request."""

from typing import Any, NamedTuple

from contracts.doors import PUBLIC, Scope
from httpapi.problems import Problem, wrong_field

DEMO = "demo"
"""The default is the other mode, `required`."""


class Principal(NamedTuple):
    """The caller. `sub`: the person, by their `user_id`. `merchant`: whose payments they see, if
    they are a merchant. `service`: the service's name, or empty. `via`: how a person calls: through
    the API, the dashboard, or a command.
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

    def named(self, given: object = None, *, field: str, otherwise: str | None = None) -> str:
        """The person of a request whose body may name one (`given`): a person is named by their
        token, a service names the person for whom it calls, and in the mode `demo` the body decides
        (`otherwise`: its default). Raises Problem: 403 if a person names another person, 400 if a
        required name is missing.
        """
        name = "" if given is None else str(given)
        if self.is_demo:
            if not name and otherwise is None:
                raise wrong_field(field, "required")
            return name or otherwise or ""
        if self.service:
            return name or self.sub
        if name not in ("", self.sub):
            detail = f"{field}: it is not the person of your token."
            raise Problem(status=403, code="forbidden", detail=detail)
        return self.sub


EVERYBODY = Principal(sub="demo", scopes=frozenset(Scope) - {PUBLIC})
"""The principal of a request without a token in the mode `demo`: it owns all rows."""
NOBODY = Principal()
"""The principal of a request without a token to a public door."""


def of(request: Any) -> Principal:
    found: Principal = request.principal
    return found


def owner(request: Any) -> str | None:
    """The user to whose rows this request is limited; None: not limited."""
    found: str | None = request.owner
    return found
