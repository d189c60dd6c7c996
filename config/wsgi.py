"""The WSGI entry of every web process; DUETO_SERVICE names its service."""

import os
from functools import partial

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_has_key = bool(os.environ.get("DUETO_SECRET_KEY") or os.environ.get("DUETO_SECRET_KEY_FILE"))
_django = get_wsgi_application()
if settings.HAS_ADMIN and not _has_key:
    raise ImproperlyConfigured(
        "DUETO_SECRET_KEY is not set: set it to a long random string, the same at every start; it"
        " signs the dashboard's sessions (`manage.py up` makes one by itself)."
    )

from coordination import admission  # noqa: E402 -- these need the settings
from httpapi import health, serving, waiting  # noqa: E402 -- the same
from httpapi.middleware import Gateway  # noqa: E402 -- the same
from participant import failpoints, sessions, starting, tracing  # noqa: E402 -- the same

starting.require_safe()
sessions.require(alias=health.alias())
_is_shut = partial(admission.is_shut, os.environ.get("DUETO_SERVICE", ""))
application = Gateway(_django, is_shut=_is_shut)
waiting.stop_on_signal(drains=serving.DRAINS)
tracing.start(service=os.environ.get("DUETO_SERVICE") or "dueto")
failpoints.listen(process=f"{os.environ.get('DUETO_SERVICE')}.web")
serving.let_in()
