"""The doors that views have declared (contracts.doors), read from a view or from a whole URL
configuration: for authorization, the documents and the tests.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from contracts.doors import Declared, Declaring

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CONVERTED = re.compile(r"<(?:\w+:)?(\w+)>")
_PARTS = re.compile(rf"[.;,] (?=(?:{'|'.join(METHODS)})\b)")


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
        """Its purpose, on one line: the first paragraph of the view's docstring; if that has a
        sentence for each method (`GET lists. POST adds a courier.`), the sentence of this method.
        """
        own = self.declared.what or _doc_of(self.view)
        line = " ".join(own.partition("\n\n")[0].split())
        parts = [part for part in _PARTS.split(line) if part.startswith(self.method)]
        parts = [part[len(self.method) :].lstrip(": ").removesuffix(".") for part in parts]
        return ". ".join(part[:1].upper() + part[1:] for part in parts) or line.removesuffix(".")


def all_in(urls: Iterable[Any], *, but: Sequence[str] = ()) -> list[Door]:
    """Every door of a URL configuration (of Django's patterns), in its order. Of two at one path
    it has the first, which answers there. Pages and Django's own views are no doors. `but`: the
    prefixes of paths to leave out. Views that declare nothing are not among them: see `silent_in`.
    """
    return [
        Door(method, where, view, declaring(view, where))
        for method, where, view, declaring in _methods(urls, but)
        if declaring
    ]


def silent_in(urls: Iterable[Any], *, but: Sequence[str] = ()) -> list[str]:
    """The methods that declare nothing: `POST /carts`. There should be none."""
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
    """The class behind the callback of a path; a view that is a function is its own callback."""
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
    """The declarations of a path's view, by method; None if it is a page, and no door. `route`: the
    path as in its URL pattern.
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
    docs = (inspect.cleandoc(base.__doc__) for base in classes if base.__doc__)
    return next(docs, "")


_BARE = ("django.views.generic.base", "rest_framework.views", "builtins")
