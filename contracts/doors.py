"""What each door takes, gives and refuses, and for whom it is: declared at its view, and read from
there by all that has to know the doors (contracts.declared_doors). One that declares nothing is
closed to everybody, and a mistake, which a test finds.

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
    """What a person may, as a token says it; a door asks for one of several."""

    PUBLIC = "public"
    """Nobody is asked who they are."""
    SHOP = "shop"
    """What is one's own: carts, orders, payments, sagas."""
    CATALOGUE_WRITE = "catalogue:write"
    PAYMENTS_READ = "payments:read"
    """Of a merchant, and its own ones alone."""
    PAYMENTS_WRITE = "payments:write"
    OPS_READ = "ops:read"
    OPS_ACT = "ops:act"


PUBLIC, SHOP, CATALOGUE_WRITE, PAYMENTS_READ, PAYMENTS_WRITE, OPS_READ, OPS_ACT = Scope


_MERCHANTS = {CATALOGUE_WRITE, PAYMENTS_READ, PAYMENTS_WRITE}


class Audience(StrEnum):
    """Who calls a door; of several the one who may least."""

    SHOPPER = "shopper"
    MERCHANT = "merchant"
    OPERATOR = "operator"
    SERVICE = "service"
    ANYONE = "anyone"


class Text(NamedTuple):
    """An answer that is no JSON."""

    media_type: str


class Declared(NamedTuple):
    """`scopes`: of these a person needs one. `callers`: the services that may call it; of each
    other one it is refused. `takes`: the type of the body, or of the query of a GET or a DELETE;
    several: any of them. `gives`: by status, the type of the answer, or several; None: no body.
    `refuses`: by status, the codes that are this door's own. `headers`: those of the request that
    mean something here. `example`: of what it takes, where values as usual would be refused
    together. `what`: what it is for, where the docstring of its view does not say. `most_bytes`: of
    a body that is a list; another one has at most bounds.MOST_BYTES_OF_ONE.
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
    """For people with one of these scopes, and for these services: further fields of Declared."""
    return Declared(frozenset(scopes), frozenset(callers), **fields)


def door(*scopes: Scope, callers: Iterable[str] = (), **fields: Any) -> Callable[[View], View]:
    """Declares it of a view's method, or of a view that is a function: as `declared`."""
    found = declared(*scopes, callers=callers, **fields)
    return door_by(lambda view, path: found)


def door_by(declaring: Declaring) -> Callable[[View], View]:
    """The same, where it depends on the view's class (its operation, say) and the path: both are
    given.
    """

    def declare(view: View) -> View:
        view.declared = declaring  # type: ignore[attr-defined] # a function may have any
        return view

    return declare


def page(view: View) -> View:
    """Marks a page that people look at behind a login: no door of the API."""
    view.is_page = True  # type: ignore[attr-defined] # as above
    return view
