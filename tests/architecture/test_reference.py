"""The reference agrees with the code."""

import pytest

from tests.architecture import reference
from tests.architecture.tree import name_of


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_page_is_current(name: str) -> None:
    path, text = reference.expected(name)
    message = f"{name_of(path)}: python -m tests.architecture.reference writes it anew"
    assert path.read_text() == text, message


def test_every_variable_of_the_code_is_described() -> None:
    silent = [setting.name for setting in reference.settings() if not setting.meaning]
    assert not silent, "not in .env.example, or without a word about it"


def test_variable_that_the_code_reads_is_found() -> None:
    assert {"DUETO_SAGA_SECONDS", "DUETO_PORT_BASE", "DUETO_EXTRA_STEPS"} <= reference.variables()
