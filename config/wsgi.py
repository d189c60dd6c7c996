"""The WSGI entry of every web process; DUETO_SERVICE says which service it is."""

import os
from functools import partial

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
if not os.environ.get("DUETO_SECRET_KEY"):
    raise ImproperlyConfigured(
        "DUETO_SECRET_KEY is not set: give every web process the same long random string"
        " (`manage.py up` makes one by itself)."
    )
_django = get_wsgi_application()

from coordination import admission  # noqa: E402 -- these need the settings
from httpapi import waiting  # noqa: E402 -- the same
from httpapi.middleware import Gateway  # noqa: E402 -- the same
from participant import failpoints, tracing  # noqa: E402 -- the same

_is_shut = partial(admission.is_shut, os.environ.get("DUETO_SERVICE", ""))
application = Gateway(_django, is_shut=_is_shut)
waiting.stop_on_signal()
tracing.start(service=os.environ.get("DUETO_SERVICE") or "dueto")
failpoints.listen(process=f"{os.environ.get('DUETO_SERVICE')}.web")
