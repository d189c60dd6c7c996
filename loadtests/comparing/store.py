"""The folder of a run: what was asked for, its windows, and its outage.

`settings.json`, the windows that have ended (running/kept.py) and, of a full run, `outage.json`. A
run that was stopped is shown from these, and goes on from them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from loadtests.comparing.plan import Settings
from loadtests.running.kept import Kept, NotStored

SETTINGS, OUTAGE = "settings.json", "outage.json"


class Store(Kept):
    """The folder of one run."""

    def begin(self, *, settings: Settings) -> None:
        """Writes down what was asked for; makes the folder."""
        self.folder.mkdir(parents=True)
        (self.folder / SETTINGS).write_bytes(msgspec.json.encode(settings))

    def has_outage(self) -> bool:
        return (self.folder / OUTAGE).exists()

    def keep_outage(self, *, figures: Mapping[str, Any]) -> None:
        """Beside the windows, to be drawn with them."""
        (self.folder / OUTAGE).write_bytes(msgspec.json.format(msgspec.json.encode(figures)))

    def settings(self) -> Settings:
        """Raises NotStored."""
        try:
            return msgspec.json.decode((self.folder / SETTINGS).read_bytes(), type=Settings)
        except (OSError, msgspec.MsgspecError) as error:
            raise NotStored(f"{self.folder} holds no run that could be read: {error}") from error
