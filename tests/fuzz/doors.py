"""All doors, from the URL configuration: a new one is included automatically."""

import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote

from django.urls import URLPattern, URLResolver, get_resolver

from httpapi import health
from httpapi.steps import StepView

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"]
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


class Door(NamedTuple):
    """A path with its parameters (`carts/<str:cart_id>`), and the view behind it."""

    path: str
    view: Any

    @property
    def is_step(self) -> bool:
        return isinstance(self.view, type) and issubclass(self.view, StepView)

    @property
    def methods(self) -> list[str]:
        """Its methods, except those that every view has."""
        own = [method for method in METHODS[:5] if hasattr(self.view, method.lower())]
        return own or ["GET"]

    def filled(self, random: Random, known: Mapping[str, list[Any]]) -> str:
        """A path of this door. `known`: values by the name of a parameter, `` for any."""

        def pick(match: re.Match[str]) -> str:
            fitting = known.get(match[1]) or known[""]
            value = random.choice(fitting if random.random() < 0.75 else known[""])
            return quote(str(value), safe="", errors="surrogatepass")

        return f"/{_PARAMETER.sub(pick, self.path)}"


OF_ONE_SERVICE = {str(urlpattern.pattern) for urlpattern in health.urlpatterns} - {"health/live"}
"""Doors that report on this process's only service: here a process has all services."""


def all_doors() -> list[Door]:
    """The doors of all services, without the admin's."""
    doors = _doors(get_resolver().url_patterns, "")
    return [door for door in doors if door.path and door.path not in OF_ONE_SERVICE]


def _doors(patterns: Any, prefix: str) -> Iterator[Door]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if path.startswith("admin/"):
            continue
        if isinstance(pattern, URLResolver):
            yield from _doors(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            view = pattern.callback
            yield Door(path, getattr(view, "view_class", getattr(view, "cls", view)))
