"""Reservas alone: in a process of all services another's /decisions would answer."""

from django.apps import apps
from django.urls import include, path

urlpatterns = [*apps.get_app_config("reservas").urls(), path("", include("reservas.urls"))]
