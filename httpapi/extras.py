"""The extra steps (`contracts.extras`) over HTTP: what a service adds to its paths."""

from django.urls import URLPattern, path

from httpapi.steps import StepView
from sagas.extras import own
from sagas.operations import Operation


def urls(*, service: str) -> list[URLPattern]:
    """A path for each extra step of the service. Usually none."""
    return [
        path(extra.path.removeprefix("/"), _view(operation).as_view())
        for extra, operation in own(service=service)
    ]


def _view(does: Operation) -> type[StepView]:
    class ExtraView(StepView):
        operation = does

    return ExtraView
