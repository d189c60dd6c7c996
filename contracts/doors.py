"""A door is a method of a path: its view declares what it takes, gives and refuses, and who may
call it; `contracts.declared_doors` reads the declarations. A view that declares nothing is closed
to every caller; a test finds such views.

    @door(SHOP, takes=NewCart, gives={201: CartShown}, refuses={409: (OUT_OF_STOCK,)})
    def post(self, request): ...
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from contracts import bounds

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Scope(StrEnum):
    """A right of a person, as tokens contain it; a door requires one of several."""

    PUBLIC = "public"
    """No authentication."""
    SHOP = "shop"
    """The user's own carts, orders, payments and sagas."""
    CATALOGUE_WRITE = "catalogue:write"
    PAYMENTS_READ = "payments:read"
    """The merchant's own payments."""
    PAYMENTS_WRITE = "payments:write"
    OPS_READ = "ops:read"
    OPS_ACT = "ops:act"


PUBLIC, SHOP, CATALOGUE_WRITE, PAYMENTS_READ, PAYMENTS_WRITE, OPS_READ, OPS_ACT = Scope


_MERCHANTS = {CATALOGUE_WRITE, PAYMENTS_READ, PAYMENTS_WRITE}


class Audience(StrEnum):
    """Who calls a door; of several callers the one with the fewest rights."""

    SHOPPER = "shopper"
    MERCHANT = "merchant"
    OPERATOR = "operator"
    SERVICE = "service"
    ANYONE = "anyone"


class Text(NamedTuple):
    """An answer that is not JSON."""

    media_type: str


class Declared(NamedTuple):
    """`scopes`: a person needs one of them. `callers`: the only services that may call the door.
    `takes`: the type of the body, or of the query of a GET or a DELETE; several: any of them.
    `gives`: by status, the type of the answer, or several; None: no body. `refuses`: by status, the
    codes that are this door's own. `headers`: of the request, those that the door reads. `example`:
    of the body, if the usual values would be refused together. `what`: its purpose, if the
    docstring of its view does not give it. `most_bytes`: of a body that is a list; any other body
    has at most bounds.MOST_BYTES_OF_ONE.
    """

    scopes: frozenset[Scope]
    callers: frozenset[str] = frozenset()
    takes: Any = None
    gives: Mapping[int, Any] = _NOTHING
    refuses: Mapping[int, Sequence[str]] = _NOTHING
    headers: Sequence[str] = ()
    example: Any = None
    what: str = ""
    most_bytes: int = bounds.MOST_BYTES_OF_ONE

    @property
    def is_public(self) -> bool:
        return PUBLIC in self.scopes

    @property
    def audience(self) -> Audience:
        if self.is_public:
            return Audience.ANYONE
        if SHOP in self.scopes:
            return Audience.SHOPPER
        if self.scopes & _MERCHANTS:
            return Audience.MERCHANT
        return Audience.OPERATOR if self.scopes else Audience.SERVICE


View = TypeVar("View", bound=Callable[..., Any])
Declaring = Callable[[Any, str], Declared]


def declared(*scopes: Scope, callers: Iterable[str] = (), **fields: Any) -> Declared:
    """A door for people with one of these scopes, and for these services. `fields`: of Declared."""
    return Declared(frozenset(scopes), frozenset(callers), **fields)


def door(*scopes: Scope, callers: Iterable[str] = (), **fields: Any) -> Callable[[View], View]:
    """Declares a door at a view's method, or at a view that is a function: as `declared`."""
    found = declared(*scopes, callers=callers, **fields)
    return door_by(lambda view, path: found)


def door_by(declaring: Declaring) -> Callable[[View], View]:
    """The same, if the declaration depends on the view's class (its operation, say) and the path:
    `declaring` gets both.
    """

    def declare(view: View) -> View:
        view.declared = declaring  # type: ignore[attr-defined] # a function may have any
        return view

    return declare


def page(view: View) -> View:
    """Marks a page that people look at behind a login: no door of the API."""
    view.is_page = True  # type: ignore[attr-defined] # as above
    return view
