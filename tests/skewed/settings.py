"""For DJANGO_SETTINGS_MODULE of the processes of a stack."""

from config.settings import *  # noqa: F403 -- all of them, and one app more
from config.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "tests.skewed.apps.SkewedConfig"]
