"""A business of its own on Dueto's kit: three services and both coordinators."""

import logging
import os

import catalogue  # noqa: F401 -- it registers the business's sagas
import httpapi
from participant.databases import databases_of

logging.basicConfig(level="INFO")
SERVICES = ["trips", "hotel", "flight", "saga_orchestrator", "saga_choreography"]
SERVICE = os.environ.get("DUETO_SERVICE", "")
SERVICE_URLS = dict.fromkeys(SERVICES, os.environ.get("TRIP_URL", "http://127.0.0.1:8000"))
BROKER_URL = os.environ["DATABASE_URL"]
DATABASES = databases_of(services=SERVICES)
DATABASE_ROUTERS = ["participant.databases.ServiceRouter"]
INSTALLED_APPS = ["messaging", "coordination", *SERVICES]
MIDDLEWARE = ["httpapi.middleware.RequestContext"]
REST_FRAMEWORK = httpapi.REST_FRAMEWORK
ROOT_URLCONF = "urls"
AUTH = "demo"
ALLOWED_HOSTS = ["127.0.0.1"]
SECRET_KEY = os.environ.get("DUETO_SECRET_KEY", "of this example alone")
