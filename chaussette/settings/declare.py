"""How a setting is declared: once, as a typed field of a Record or a frozen dataclass.

From the field come the ini key, the command line flag, the environment name,
validation, the error message and the row in the reference. Who adds a setting
adds one field and nothing else.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from chaussette.errors import ConfigError, did_you_mean
from chaussette.records import Record
from chaussette.settings.kinds import Kind, show

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any, TypeVar

    S = TypeVar("S")

_KEY = "_chaussette_settings"


class Change(enum.Enum):
    """What a changed value asks of processes that run already."""

    NOTHING = "takes effect at once"
    RELOAD = "processes are replaced, one generation for the other"
    RESTART = "the arbiter must be started anew"


class Setting(Record):
    """What is known of one setting beside its name, type and default."""

    kind: Kind[Any]
    help: str
    flags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    on_change: Change = Change.RELOAD
    needs: str = ""
    group: str = ""
    variables: tuple[str, ...] = ()


def setting(
    default: Any,
    kind: Kind[Any],
    help: str,
    *,
    flags: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    on_change: Change = Change.RELOAD,
    needs: str = "",
    group: str = "",
    variables: tuple[str, ...] = (),
) -> Any:
    """Declares a setting as the default of a field of a Record or a dataclass.

    `flags` are the command line spellings (empty: no flag), `aliases` further
    ini keys that mean the same, `needs` the name of the backend capability
    without which any value but the default is refused, `group` the heading
    under which --help shows the flag, `variables` further names in the
    environment, as they stand, after our own.
    """
    declared = Setting(kind, help, flags, aliases, on_change, needs, group, variables)
    return _Declaration(declared, default)


class _Declaration:
    """What stands in a class body: it tells its class of the setting, and is the default."""

    def __init__(self, setting: Setting, default: Any) -> None:
        self._both = setting, default

    def __set_name__(self, owner: type[Any], name: str) -> None:
        if _KEY not in owner.__dict__:
            setattr(owner, _KEY, {})
        owner.__dict__[_KEY][name] = self._both

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        return self._both[1]


def declared(owner: type[Any]) -> dict[str, tuple[Setting, Any]]:
    """Every setting of a class: name to (declaration, default), in order."""
    found: dict[str, tuple[Setting, Any]] = {}
    for each in reversed(owner.__mro__):
        found.update(each.__dict__.get(_KEY, {}))
    return found


def key_names(owner: Any) -> dict[str, str]:
    """Every spelling of every key of a class, to the field's name."""
    names: dict[str, str] = {}
    for name, (what, _) in declared(owner).items():
        names.update(dict.fromkeys((name, *what.aliases), name))
    return names


def parse_value(owner: Any, name: str, text: str) -> Any:
    """The typed value of one setting.

    Raises ConfigError that says what was expected.
    """
    what, default = declared(owner)[name]
    if default is None and text.strip().lower() in {"", "none"}:
        return None
    try:
        return what.kind.parse(text)
    except ValueError:
        raise ConfigError(
            f"{name} = {text!r}: expected {what.kind.expected}"
            + did_you_mean(text, what.kind.choices)
        ) from None


def build(owner: type[S], values: Mapping[str, str], **extra: Any) -> S:
    """An instance of a settings class from texts; unknown keys are errors."""
    names = key_names(owner)
    typed: dict[str, Any] = {}
    for key, text in values.items():
        if key not in names:
            raise unknown_key(owner, key)
        typed[names[key]] = parse_value(owner, names[key], text)
    return owner(**typed, **extra)


def unknown_key(owner: Any, key: str) -> ConfigError:
    """The error for a key that the class does not have."""
    return ConfigError(f"unknown key {key!r}{did_you_mean(key, key_names(owner))}")


def describe_default(value: Any) -> str:
    """A default as the reference and the help texts show it."""
    return show(value) or "none"
