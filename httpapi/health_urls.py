from django.urls import path

from httpapi import health

urlpatterns = [
    path("health", health.health),
    path("health/live", health.live),
    path("health/ready", health.ready),
]
