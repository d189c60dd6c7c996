"""The URLs of this process's service; without DUETO_SERVICE, of all services."""

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from catalogue.services import WITH_DATABASE, WITH_WORKER
from coordination import closing
from httpapi.health import about
from httpapi.metrics import metrics
from messaging import views as failed

served = [settings.SERVICE] if settings.SERVICE in WITH_DATABASE else []
if not settings.SERVICE:
    # /saga/choreography/... must be tried before the orchestrator's /saga/<saga_id>/...
    served = sorted(name for name in WITH_DATABASE if name in settings.SERVICE_URLS)

urlpatterns = [
    path("", include("httpapi.health")),
    path("", include("httpapi.docs")),
    path("metrics", metrics),
]
if settings.MONOLITH and "carrito" in served:
    urlpatterns += [path("", include("loadtests.floor"))]
for service in served:
    if service in WITH_WORKER:
        urlpatterns += apps.get_app_config(service).urls()
    urlpatterns += [path("", include(f"{service}.urls"))]
for service in [name for name in served if name in WITH_WORKER]:
    # Each service has the same paths here: in a process of all services, below its name.
    below = "" if settings.SERVICE else f"{service}/"
    urlpatterns += [path(below, include(failed.urls(service=service)))]
    urlpatterns += closing.urls(service=service)
if settings.SERVICE in WITH_DATABASE:
    urlpatterns += [path("", about)]
if settings.HAS_ADMIN:
    from config.front_page import front_page  # which needs the apps of the admin

    admin.site.site_header = "Dueto"
    admin.site.site_title = "Dueto"
    admin.site.index_template = "admin/front_page.html"
    admin.site.index_title = "The shop, and its sagas in both patterns"
    urlpatterns += [
        path("admin/", admin.site.admin_view(front_page)),
        path("admin/", admin.site.urls),
        path("", include("accounts.urls")),
        path("", include("dashboard.urls")),
    ]

handler400 = "httpapi.problems.bad_request"
handler404 = "httpapi.problems.not_found"
handler500 = "httpapi.problems.server_error"
