"""The services that orders need, in one process."""

from django.apps import apps
from django.urls import include, path

urlpatterns = [
    url
    for service in ("pedidos", "inventario", "pagos", "envios", "saga_choreography")
    for url in (*apps.get_app_config(service).urls(), path("", include(f"{service}.urls")))
]
