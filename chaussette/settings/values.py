"""Settings from Python values, for the library: the same names, checks and errors as in a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from chaussette.errors import ConfigError, did_you_mean, nearest
from chaussette.settings.declare import key_names, parse_value, unknown_key
from chaussette.settings.given import Given, is_stream
from chaussette.settings.hooks import read_hook
from chaussette.settings.kinds import LIMIT, show
from chaussette.settings.load import HOOKS
from chaussette.settings.sockets import SocketSettings
from chaussette.settings.watcher import RLIMITS, WatcherSettings

S = TypeVar("S")
_STREAMS = ("stdout_stream", "stderr_stream")


def typed(owner: type[S], values: Mapping[str, Any], **extra: Any) -> S:
    """Settings of a class that has no free keys. Raises ConfigError."""
    names = key_names(owner)
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key not in names:
            raise unknown_key(owner, key)
        found[names[key]] = one_value(owner, names[key], value)
    return owner(**found, **extra)


def one_value(owner: type[Any], name: str, value: Any) -> Any:
    """One setting's value, from a Python value or the text a file would have."""
    if value is None:
        text = ""
    elif isinstance(value, str):
        text = value
    elif isinstance(value, bool | int | float | os.PathLike):
        text = show(os.fspath(value) if isinstance(value, os.PathLike) else value)
    elif isinstance(value, Sequence):
        text = ",".join(str(one) for one in value)
    else:
        raise ConfigError(f"{name} = {value!r}: a {type(value).__name__} cannot be meant")
    return parse_value(owner, name, text)


def socket_from(name: str, values: Mapping[str, Any]) -> SocketSettings:
    """A socket's settings. Raises ConfigError that names the socket."""
    try:
        return typed(SocketSettings, values, name=name.lower())
    except ConfigError as error:
        raise ConfigError(f"socket {name!r}: {error}") from None


def watcher_from(values: Mapping[str, Any], env: Mapping[str, str]) -> WatcherSettings:
    """A watcher's settings from a dictionary of options; `env` is for all watchers.

    `cmd` and `args` may be lists of words; `stdout_stream` and its sister are
    dictionaries. Raises ConfigError that names the watcher.
    """
    given = {key: value for key, value in values.items() if value is not None}
    name = str(given.pop("name", "") or _name_from(given.get("cmd")))
    try:
        return _watcher(name, given, env)
    except ConfigError as error:
        raise ConfigError(f"watcher {name!r}: {error}") from None


def _watcher(name: str, given: dict[str, Any], env: Mapping[str, str]) -> WatcherSettings:
    groups: dict[str, dict[str, Any]] = {
        "stdout_stream": {},
        "stderr_stream": {},
        "hooks": {},
        "rlimits": {},
        "options": {},
    }
    own = given.pop("env", None) or {}
    found: dict[str, Any] = _command(given.pop("cmd", ""), given.pop("args", ""))
    names = key_names(WatcherSettings)
    for key, value in given.items():
        if key in names:
            found[names[key]] = one_value(WatcherSettings, names[key], value)
        else:
            _grouped(key, value, groups)
    if not found["cmd"] and not found.get("argv"):
        raise ConfigError("has no cmd: what shall it run?")
    texts = {str(key): str(value) for key, value in {**env, **own}.items()}
    everything: dict[str, Any] = {**found, **groups, "name": name, "env": texts}
    return WatcherSettings(**everything)


def _command(cmd: Any, args: Any) -> dict[str, Any]:
    """`cmd` and `args`: texts are split later, as in a file; lists are words already."""
    if isinstance(cmd, str) and isinstance(args, str):
        return {"cmd": cmd, "args": args}
    words = shlex.split(cmd) if isinstance(cmd, str) else [_word(one) for one in cmd]
    words += shlex.split(args) if isinstance(args, str) else [_word(one) for one in args]
    return {"cmd": shlex.join(words), "argv": tuple(words)}


def _word(value: Any) -> str:
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _name_from(cmd: Any) -> str:
    words = cmd.split() if isinstance(cmd, str) else [_word(one) for one in cmd or ()]
    return os.path.basename(words[0]) if words else "watcher"


def _grouped(key: str, value: Any, groups: dict[str, dict[str, Any]]) -> None:
    group, _, name = key.partition(".")
    if group in _STREAMS:
        groups[group].update(_stream(key, name, value))
    elif group == "hooks":
        _add_hooks(groups["hooks"], {name: value} if name else value)
    elif key.startswith("rlimit_"):
        _add_limit(groups["rlimits"], key[7:], value)
    elif near := nearest(key, (*key_names(WatcherSettings), *_STREAMS, "hooks", "env")):
        raise ConfigError(f"unknown option {key!r}; did you mean {near!r}?")
    else:
        groups["options"][key] = show(value) if isinstance(value, bool) else str(value)


def _stream(key: str, name: str, value: Any) -> dict[str, Any]:
    if name:
        return {name: _stream_option(key.partition(".")[0], name, value)}
    if isinstance(value, Mapping):
        return {str(one): _stream_option(key, str(one), text) for one, text in value.items()}
    if is_stream(value):
        return {"stream": Given(value)}
    raise ConfigError(
        f"{key} = {value!r}: expected a dictionary such as {{'filename': …}}, or an object that "
        "can be called or written to"
    )


def _stream_option(key: str, name: str, value: Any) -> str:
    if name != "stream" or isinstance(value, Given):
        return value if isinstance(value, str) else show(value)
    if not is_stream(value):
        raise ConfigError(
            f"{key}.stream = {value!r}: expected an object that can be called or written to"
        )
    return Given(value)


def _add_hooks(group: dict[str, Any], hooks: Any) -> None:
    if not isinstance(hooks, Mapping):
        raise ConfigError(f"hooks = {hooks!r}: expected a dictionary of names")
    for name, target in hooks.items():
        if name not in HOOKS:
            raise ConfigError(f"unknown hook {name!r}{did_you_mean(name, HOOKS)}")
        group[name] = _hook(name, target)


def _hook(name: str, target: Any) -> str:
    """A dotted name, a callable, or Circus's pair of one of these and whether failure counts."""
    ignored = False
    if isinstance(target, tuple | list) and len(target) == 2:
        target, ignored = target[0], bool(target[1])
    if isinstance(target, str):
        read_hook(text := f"{target},true" if ignored else target)
        return text
    if not callable(target):
        raise ConfigError(f"hooks.{name} = {target!r}: expected a dotted name or a callable")
    return Given(target, ignored=ignored)


def _add_limit(group: dict[str, Any], name: str, value: Any) -> None:
    if name not in RLIMITS:
        raise ConfigError(f"unknown option {'rlimit_' + name!r}{did_you_mean(name, RLIMITS)}")
    try:
        group[name] = LIMIT.parse(str(value))
    except ValueError:
        raise ConfigError(f"rlimit_{name} = {value!r}: expected {LIMIT.expected}") from None
