"""What each door takes, gives and refuses, and for whom it is: declared at its view, and read by
all that has to know the doors: the check of who asks (httpapi.identity), the documents, the tests.
One that declares nothing is closed to everybody, and a mistake, which a test finds.

    @door(SHOP, takes=NewCart, gives={201: CartShown}, refuses={409: (OUT_OF_STOCK,)})
    def post(self, request): ...
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from contracts import bounds

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CONVERTED = re.compile(r"<(?:\w+:)?(\w+)>")
_PARTS = re.compile(rf"[.;,] (?=(?:{'|'.join(METHODS)})\b)")
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


class Door(NamedTuple):
    """One method of one path, as documents write it: `/carts/{cart_id}`."""

    method: str
    path: str
    view: Any
    declared: Declared

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    @property
    def what(self) -> str:
        """What it is for, on one line: the first paragraph of the view's docstring; where that has
        a sentence for each method (`GET lists. POST adds a courier.`), this one's.
        """
        own = self.declared.what or _doc_of(self.view)
        line = " ".join(own.partition("\n\n")[0].split())
        said = [part for part in _PARTS.split(line) if part.startswith(self.method)]
        said = [part[len(self.method) :].lstrip(": ").removesuffix(".") for part in said]
        return ". ".join(part[:1].upper() + part[1:] for part in said) or line.removesuffix(".")


def all_in(urls: Iterable[Any], *, but: Sequence[str] = ()) -> list[Door]:
    """Every door of a URL configuration (of Django's patterns), in its order; of two at one place
    the first, which answers there; pages and views of Django's own are none. `but`: where paths
    begin that are no door's. Those that declare nothing are not among them: see `silent_in`.
    """
    return [
        Door(method, where, view, declaring(view, where))
        for method, where, view, declaring in _methods(urls, but)
        if declaring
    ]


def silent_in(urls: Iterable[Any], *, but: Sequence[str] = ()) -> list[str]:
    """Those that declare nothing: `POST /carts`. There should be none."""
    found = _methods(urls, but)
    return [f"{method} {where}" for method, where, _, declaring in found if not declaring]


def _methods(
    urls: Iterable[Any], but: Sequence[str]
) -> Iterator[tuple[str, str, Any, Declaring | None]]:
    first: dict[str, Any] = {}
    for path, view in _views(urls, "/"):
        if path.startswith(tuple(but)) or _is_page(view):
            continue
        where = _CONVERTED.sub(r"{\1}", path)
        if first.setdefault(_CONVERTED.sub("{}", path), view) is view:
            for method, declaring in _declarations(view):
                yield method, where, view, declaring


def _views(urls: Iterable[Any], below: str) -> Iterator[tuple[str, Any]]:
    for pattern in urls:
        path = below + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _views(pattern.url_patterns, path)
        else:
            yield path, view_of(pattern.callback)


def view_of(callback: Any) -> Any:
    """The class behind what a path calls; a function is its own."""
    return getattr(callback, "view_class", getattr(callback, "cls", callback))


def _declarations(view: Any) -> Iterator[tuple[str, Declaring | None]]:
    if not isinstance(view, type):
        yield "GET", getattr(view, "declared", None)
        return
    for method in METHODS:
        if hasattr(view, method.lower()):
            yield method, getattr(getattr(view, method.lower()), "declared", None)


@cache
def of_view(callback: Any, route: str) -> Mapping[str, Declared | None] | None:
    """What the view of a path declares, by method; None: it is a page, and no door. `route`: the
    path as its URL pattern has it.
    """
    view = view_of(callback)
    if _is_page(view):
        return None
    where = "/" + _CONVERTED.sub(r"{\1}", route)
    return {
        method: declaring(view, where) if declaring else None
        for method, declaring in _declarations(view)
    }


def _is_page(view: Any) -> bool:
    return getattr(view, "is_page", False) or view.__module__.startswith("django.")


def _doc_of(view: Any) -> str:
    classes = [base for base in getattr(view, "__mro__", (view,)) if base.__module__ not in _BARE]
    said = (inspect.cleandoc(base.__doc__) for base in classes if base.__doc__)
    return next(said, "")


_BARE = ("django.views.generic.base", "rest_framework.views", "builtins")
