"""saga_temporal hears no message: its steps are calls, and its doors tell it of decisions."""

from messaging.reactions import Reaction

REACTIONS: list[Reaction] = []
