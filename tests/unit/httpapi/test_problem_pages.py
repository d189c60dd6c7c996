"""The answer of a page, which is no door of the API, after a fault."""

import pytest
from django.db import OperationalError, ProgrammingError
from django.test import RequestFactory

from httpapi import problems


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("terminating connection due to administrator command"), 503),
        (ProgrammingError("no such column"), 500),
        (KeyError("a bug"), 500),
    ],
)
def test_page_distinguishes_a_database_that_is_away_from_a_bug(error, status):
    try:
        raise error
    except type(error):
        answer = problems.server_error(RequestFactory().get("/admin/"))
    assert answer.status_code == status
