"""All services in one web process; each may also have its own (SERVICE_URLS)."""

from django.conf import settings
from django.urls import include, path
from flight import operations as flight
from hotel import operations as hotel
from trips import operations as trips
from trips import views

from coordination import closing
from httpapi.steps import doors

urlpatterns = [
    path("", include("httpapi.health")),
    path("trips", views.TripsView.as_view()),
    *views.OWNER_URLS,
    *(door for module in (trips, hotel, flight) for door in doors(module)),
    *(door for service in settings.SERVICES for door in closing.urls(service=service)),
    path("", include("saga_choreography.urls")),
    path("", include("saga_orchestrator.urls")),
]
handler404 = "httpapi.problems.not_found"
handler500 = "httpapi.problems.server_error"
