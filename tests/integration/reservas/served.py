"""Reservas alone: in a process of all services /decisions is another's."""

from django.apps import apps
from django.urls import include, path

urlpatterns = [*apps.get_app_config("reservas").urls(), path("", include("reservas.urls"))]
