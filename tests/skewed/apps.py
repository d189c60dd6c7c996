"""Shifts the host's time for every module of the shop."""

import datetime
import importlib
import os
import pkgutil
import sys
import time
from datetime import timedelta
from typing import Any

from django.apps import AppConfig

from catalogue.services import WITH_DATABASE
from tests.skewed import VARIABLE

SHOP = ("participant", "messaging", "httpapi", "coordination", *WITH_DATABASE)
_LEFT_OUT = ("migrations", "management", "admin", "pause_admin", "saga_page", "in_bulk")
"""Those of the admin are for a process that has it."""


class SkewedConfig(AppConfig):
    name = "tests.skewed"

    def ready(self) -> None:
        skew = float(os.environ[VARIABLE])
        for package in SHOP:
            found = importlib.import_module(package)
            for module in pkgutil.walk_packages(found.__path__, f"{package}."):
                if not set(module.name.split(".")) & set(_LEFT_OUT):
                    importlib.import_module(module.name)
        shifted = _shifted(timedelta(seconds=skew))
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in SHOP and vars(module).get("datetime") is datetime.datetime:
                module.datetime = shifted  # type: ignore[attr-defined]
        really = time.time
        time.time = lambda: really() + skew


def _shifted(skew: timedelta) -> type[datetime.datetime]:
    class Alike(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime.datetime)

    class Shifted(datetime.datetime, metaclass=Alike):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return datetime.datetime.now(tz) + skew

    return Shifted
