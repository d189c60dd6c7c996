"""The admin's front page: first of all what needs attention, in every service."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from dashboard import access, services


def front_page(request: HttpRequest) -> HttpResponse:
    """The admin's index, with `attention`: what stands, since when, and what to do; None for who
    may not see it.
    """
    may = access.may_watch(request.user)
    found = services.attention(services.health(urls=settings.SERVICE_URLS)) if may else None
    return admin.site.index(request, extra_context={"attention": found})
