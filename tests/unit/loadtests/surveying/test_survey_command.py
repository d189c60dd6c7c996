"""`manage.py survey` without measurements: wrong options start nothing."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from loadtests.surveying import survey
from loadtests.surveying.survey import STACK, new_folder, run, settings_in
from tests.unit.loadtests.choosing.surveyed import survey as surveyed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--stacks", "4:0"), "4:0: a stack is STEPS:MS \\(like 5:20\\), with 5 to 8 steps"),
        (("--stacks", "5:51"), "5:51: a stack is STEPS:MS"),
        (("--held-out", "6"), "6: a stack is STEPS:MS"),
        (("--stacks", ""), "--stacks: name at least one"),
        (("--stacks", "5:0", "--held-out", "5:0"), "5:0 is named twice"),
        (("--loads", "ten"), "--loads ten: numbers with commas between them"),
        (("--loads", "0"), "--loads 0: out of range"),
        (("--refusals", "1.5"), "--refusals 1.5: out of range"),
        (("--patterns", "monolith"), "unknown pattern 'monolith'"),
        (("--resume", "nowhere"), "nowhere has no survey to resume"),
    ],
)
def test_wrong_option_is_refused_before_anything_is_started(options, message) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("survey", *options)


def test_survey_continues_without_the_complete_stacks(tmp_path: Path, monkeypatch) -> None:
    """All stacks are complete, so none is started."""
    monkeypatch.setattr(survey, "SURVEYS", tmp_path)
    made = surveyed()
    folder = new_folder(settings=made.settings)
    for stack in made.stacks:
        (folder / stack.spot.name).mkdir()
        (folder / stack.spot.name / STACK).write_bytes(survey.msgspec.json.encode(stack))
    assert settings_in(folder=folder).spots == list(made.settings.spots)
    finished = run(settings=settings_in(folder=folder), folder=folder, say=pytest.fail)
    assert not finished.was_stopped
    assert [stack.spot for stack in finished.survey.stacks] == list(made.settings.spots)
    assert finished.path.exists()
