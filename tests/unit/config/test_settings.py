"""Settings that come from the environment, read as a process reads them."""

import os
import subprocess
import sys

from config.settings import BASE_DIR

_BEHIND_TLS = {
    "DUETO_TRUSTED_ORIGINS": "https://shop.example",
    "DUETO_PROXY_TLS_HEADER": "X-Forwarded-Proto",
    "DUETO_FORWARDED_HOST": "1",
    "DUETO_ALLOWED_HOSTS": "shop.example",
}
_LOCATION = """
import django
django.setup()
from django.test import RequestFactory
request = RequestFactory().get(
    "/", HTTP_HOST="10.0.0.7", HTTP_X_FORWARDED_PROTO="https", HTTP_X_FORWARDED_HOST="shop.example"
)
from django.conf import settings
print(settings.CSRF_TRUSTED_ORIGINS, request.build_absolute_uri("/saga/1"))
"""


def location(**environment: str) -> str:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("DUETO_")}
    made = subprocess.run(
        [sys.executable, "-c", _LOCATION],
        env={**usual, "DJANGO_SETTINGS_MODULE": "config.settings", **environment},
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    return made.stdout or made.stderr


def test_behind_a_proxy_that_speaks_tls_the_location_does_too():
    assert location(**_BEHIND_TLS).split("] ") == [
        "['https://shop.example'",
        "https://shop.example/saga/1\n",
    ]


def test_headers_of_a_proxy_mean_nothing_where_none_was_named():
    """The control: without the settings any client could send these headers."""
    assert location(DUETO_ALLOWED_HOSTS="10.0.0.7").strip() == "[] http://10.0.0.7/saga/1"
