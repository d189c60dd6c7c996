"""The services that orders need, in one process."""

from django.urls import include, path

urlpatterns = [
    path("", include(f"{service}.urls"))
    for service in ("pedidos", "inventario", "pagos", "envios", "saga_choreography")
]
