"""The commands themselves; importing this fills the table. Names and replies are Circus's."""

from chaussette.control.command import COMMANDS
from chaussette.control.commands import (
    changes,
    facts,
    listening,
    reads,
    signals,
    tuning,
)

__all__ = ["COMMANDS", "changes", "facts", "listening", "reads", "signals", "tuning"]
