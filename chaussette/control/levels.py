"""What a client may do: look, operate, or decide what is run."""

from __future__ import annotations

import enum

from chaussette.errors import ConfigError, did_you_mean


class Level(enum.IntEnum):
    """The class of a client and of a command; each includes those before it."""

    READ = 1
    """Looks: states, options (secrets masked), statistics, events, output."""
    OPERATE = 2
    """Starts, stops, signals and counts what is configured."""
    CONFIGURE = 3
    """Decides what is run, and so may run anything as the arbiter's user."""

    def __str__(self) -> str:
        return self.name.lower()


def read_level(text: str) -> Level:
    """The class of that name. Raises ConfigError."""
    names = {str(level): level for level in Level}
    try:
        return names[text.lower()]
    except KeyError:
        raise ConfigError(
            f"class {text!r}: expected {', '.join(names)}{did_you_mean(text.lower(), names)}"
        ) from None
