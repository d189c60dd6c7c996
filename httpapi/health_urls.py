"""The paths that every service has: what it is, and how it does."""

from django.urls import path

from httpapi import health

urlpatterns = [
    path("health", health.health),
    path("health/live", health.live),
    path("health/ready", health.ready),
    # As some of the services' users call it.
    path("api/v1/health", health.health),
    path("saga/health", health.health),
]
