"""The admin's front page: it begins with the problems of all services."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from dashboard import access, services


def front_page(request: HttpRequest) -> HttpResponse:
    """The admin's index, with `attention`: the problems, since when, and what to do; None for
    people who may not see them.
    """
    may = access.may_watch(request.user)
    found = services.attention(services.health(urls=settings.SERVICE_URLS)) if may else None
    return admin.site.index(request, extra_context={"attention": found})
