"""A watcher's options as JSON has them, and back: what options, get, set and add speak.

Names are the settings' own and Circus's. It changes nothing and asks the system
nothing: settings in, settings out. What cannot be meant is a BadMessage.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chaussette.errors import LONGEST_NAME, BadMessage, ConfigError, did_you_mean
from chaussette.settings.declare import declared, key_names, parse_value
from chaussette.settings.kinds import BOOL, LIMIT, MODE
from chaussette.settings.load import HOOKS
from chaussette.settings.watcher import RLIMITS, WatcherSettings

MASK = "********"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SECRET = re.compile(r"passw|secret|token|credential|private|api_?key|dsn", re.IGNORECASE)
_SECRET_WORD = re.compile(
    r"((?:passw\w*|secret\w*|[\w-]*token|api[_-]?key|private[_-]?key|credentials?|bearer)['\"]?"
    r"(?:[=: ]|: ))(?:'[^']*'?|\"[^\"]*\"?|[^\s'\"]+)|(://[^/\s:@]*:)[^@\s]+(?=@)",
    re.IGNORECASE,
)
_STREAMS = ("stdout_stream", "stderr_stream")
_SETTINGS = declared(WatcherSettings)
NO_EFFECT = {
    "retry_in": "the pause between two tries grows by itself; max_retry limits how many there are",
}
"""What Circus knows, and what is the case here instead; `add` says so and goes on."""
_FIXED = {
    **NO_EFFECT,
    "argv": "set cmd and args instead",
    "name": "a watcher keeps its name; add another one",
}


def is_name(name: str) -> bool:
    """Whether a watcher that a command adds may be called so; a file may use more."""
    return _NAME.fullmatch(name) is not None


def shown(settings: WatcherSettings, numprocesses: int) -> dict[str, object]:
    """All options as JSON values, sorted; what may be a secret is masked."""
    values: dict[str, object] = {
        name: _json(what.kind, getattr(settings, name))
        for name, (what, _) in _SETTINGS.items()
        if name != "argv"
    }
    values["cmd"] = _masked_words(settings.cmd or shlex.join(settings.argv))
    values["args"] = _masked_words(settings.args)
    values["numprocesses"] = numprocesses
    values["env"] = dict.fromkeys(settings.env, MASK)
    values["hooks"] = dict(settings.hooks)
    for channel in _STREAMS:
        values[channel] = _without_secrets(getattr(settings, channel))
        values[f"{channel}_conf"] = values[channel]
    values.update({f"rlimit_{name}": limit for name, limit in settings.rlimits.items()})
    for name, text in settings.options.items():
        values.setdefault(name, text)
    return dict(sorted({**values, **_without_secrets(values)}.items()))


def _without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    """Texts with what may be a secret masked: by the name of the option, or of a part of it."""
    return {
        name: MASK
        if isinstance(text, str) and text and _SECRET.search(name)
        else _masked_words(text)
        if isinstance(text, str)
        else text
        for name, text in values.items()
    }


def typed(key: str, text: str) -> object:
    """The JSON value for a text from a command line, of the type that Circus wants."""
    if key == "env":
        return _pairs(key, text, "=")
    if key == "hooks":
        return _pairs(key, text, ":")
    if key.startswith("rlimit_"):
        try:
            return LIMIT.parse(text)
        except ValueError:
            raise BadMessage(f"{key} = {text!r}: expected {LIMIT.expected}") from None
    name = key_names(WatcherSettings).get(key)
    if name is None:
        return (
            int(text)
            if key.partition(".")[2] in ("max_bytes", "backup_count") and text.isdecimal()
            else text
        )
    value = _parsed(name, text)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return (
        value
        if isinstance(value, bool | int | float) and _SETTINGS[name][0].kind is not MODE
        else text
    )


def changed(settings: WatcherSettings, options: Mapping[str, object]) -> WatcherSettings:
    """The settings with options changed. Raises BadMessage that lists all that is wrong."""
    fields: dict[str, Any] = {}
    errors: list[str] = []
    for key, value in options.items():
        try:
            if len(key) > LONGEST_NAME:
                raise BadMessage(f"an option's name has at most {LONGEST_NAME} characters")
            _change(settings, fields, key, value)
        except (BadMessage, ConfigError) as error:
            errors.append(str(error))
    if "cmd" in fields or "args" in fields:
        fields["argv"] = ()
    if errors:
        raise BadMessage("; ".join(errors))
    return dataclasses.replace(settings, **fields)


def text_of(key: str, value: object, is_mode: bool = False) -> str:
    """A JSON value as it would stand in a file. Raises BadMessage."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and is_mode:
        return f"{value:o}" if value >= 0 else str(value)
    if isinstance(value, int) and abs(value) < 2**63:
        return str(value)
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    if isinstance(value, str):
        return _clean(key, value)
    if isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        words = [_clean(key, str(one)) for one in value]
        return ",".join(words) if key == "sockets" else shlex.join(words)
    raise BadMessage(f"{key}: this is no value that an option can have")


# -- details ------------------------------------------------------------------


def _change(settings: WatcherSettings, fields: dict[str, Any], key: str, value: object) -> None:
    key = key.lower()
    names = key_names(WatcherSettings)
    if key in _FIXED:
        raise BadMessage(f"{key}: {_FIXED[key]}")
    if key in names:
        fields[names[key]] = _parsed(names[key], value)
    elif (group := key.partition(".")[0]) in (*_STREAMS, "hooks"):
        present = fields.get(group, getattr(settings, group))
        fields[group] = _grouped(group, key, value, present)
    elif key in ("env", *(f"{channel}_conf" for channel in _STREAMS)):
        name = key.removesuffix("_conf")
        fields[name] = _texts(key, value, getattr(settings, name))
    elif key.startswith("rlimit_"):
        fields["rlimits"] = _limited(fields.get("rlimits", settings.rlimits), key[7:], value)
    elif key in settings.options:
        present = fields.get("options", settings.options)
        fields["options"] = {**present, key: text_of(key, value)}
    else:
        raise BadMessage(f"unknown key {key!r}{did_you_mean(key, _known(settings))}")


def _known(settings: WatcherSettings) -> Iterable[str]:
    limits = (f"rlimit_{name}" for name in RLIMITS)
    hooks = (f"hooks.{name}" for name in HOOKS)
    return (
        *key_names(WatcherSettings),
        "env",
        "hooks",
        *_STREAMS,
        *limits,
        *hooks,
        *settings.options,
    )


def _parsed(name: str, value: object) -> Any:
    what, default = _SETTINGS[name]
    if value is None:
        if default is not None:
            raise BadMessage(f"{name} = null: expected {what.kind.expected}")
        return None
    if isinstance(value, bool) != (what.kind is BOOL) and not isinstance(value, str):
        raise BadMessage(f"{name} = {str(value)[:40]}: expected {what.kind.expected}")
    try:
        parsed = parse_value(WatcherSettings, name, text_of(name, value, what.kind is MODE))
    except (ConfigError, OverflowError) as error:
        raise BadMessage(str(error)[:400]) from None
    if name == "numprocesses" and parsed > 10_000:
        raise BadMessage(f"numprocesses = {parsed}: at most 10000")
    return parsed


def _grouped(group: str, key: str, value: object, present: Mapping[str, str]) -> Mapping[str, str]:
    """The options of a stream or the hooks, all of them or one (`hooks.NAME`)."""
    name = key.partition(".")[2]
    values = {**present, name: text_of(key, value)} if name else _texts(key, value, {})
    if group == "hooks":
        for hook in values:
            if hook not in HOOKS:
                raise BadMessage(f"unknown hook {hook!r}{did_you_mean(hook, HOOKS)}")
    return values


def _texts(key: str, value: object, present: Mapping[str, str]) -> dict[str, str]:
    """An object of texts; a masked value means that the present one stays."""
    if isinstance(value, str) and key == "env":
        value = _pairs(key, value, "=")
    if not isinstance(value, dict):
        raise BadMessage(f"{key}: expected an object of texts")
    found: dict[str, str] = {}
    for name, one in value.items():
        text = text_of(key, one)
        name = _clean(key, name)
        if not name or "=" in name:
            raise BadMessage(f"{key}: {name!r} cannot be a name")
        found[name] = present[name] if text == MASK and name in present else text
    return found


def _limited(present: Mapping[str, int], name: str, value: object) -> dict[str, int]:
    if name not in RLIMITS:
        raise BadMessage(f"unknown limit rlimit_{name}{did_you_mean(name, RLIMITS)}")
    try:
        limit = LIMIT.parse("" if value is None else text_of(name, value))
    except ValueError:
        raise BadMessage(
            f"rlimit_{name} = {str(value)[:40]!r}: expected {LIMIT.expected}"
        ) from None
    if limit >= 2**63:
        raise BadMessage(f"rlimit_{name}: {limit} is more than the system knows")
    return {**present, name: limit}


def _pairs(key: str, text: str, sign: str) -> dict[str, str]:
    """`A=1,B=2` (env), `name:callable,…` (hooks)."""
    pairs: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, found, value = part.partition(sign)
        if not found:
            raise BadMessage(f"{key} = {text!r}: expected NAME{sign}VALUE, separated by commas")
        pairs[name.strip()] = value.strip()
    return pairs


def _clean(key: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadMessage(f"{key}: this is no text") from None
    if "\0" in text:
        raise BadMessage(f"{key}: a null byte cannot be part of it")
    return text


def _json(kind: object, value: Any) -> object:
    if kind is MODE and value is not None:
        return f"{value:03o}"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _masked_words(text: str) -> str:
    mask: Callable[[re.Match[str]], str] = lambda found: (found[1] or found[2]) + MASK  # noqa: E731
    return _SECRET_WORD.sub(mask, text)
