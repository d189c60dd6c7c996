"""What all tests share."""

import hypothesis
import pytest
from django.conf import settings

from messaging import doorbell

# How long an example takes is the machine's affair, all the more beside other tests.
hypothesis.settings.register_profile("dueto", deadline=None)
hypothesis.settings.load_profile("dueto")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-faults",
        action="store_true",
        help="tests/chaos: every process at every point, killed, cut off, without its database",
    )
    parser.addoption(
        "--fuzz", type=int, default=300, help="tests/fuzz: how many requests, and messages"
    )
    parser.addoption("--fuzz-seed", type=int, default=0, help="tests/fuzz: the same ones again")


def pytest_configure() -> None:
    # The live server's threads outlive a test; their connections must not.
    for database in settings.DATABASES.values():
        database["CONN_MAX_AGE"] = 0


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    """Also ends our threads' connections, so that the test databases can be dropped."""
    yield
    doorbell.close()
