"""The WSGI entry of every web process; DUETO_SERVICE says which service it is."""

import os

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from sagas import points

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
if not os.environ.get("DUETO_SECRET_KEY"):
    raise ImproperlyConfigured(
        "DUETO_SECRET_KEY is not set: give every web process the same long random string"
        " (`manage.py up` makes one by itself)."
    )
application = get_wsgi_application()
points.listen(process=f"{os.environ.get('DUETO_SERVICE')}.web")
