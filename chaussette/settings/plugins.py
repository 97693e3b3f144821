"""`[plugin:NAME]`: the options of the plugins that come with the arbiter.

Declared here, and not beside the plugins, so that `circusd` refuses a wrong
option before anything is started, without importing a plugin. A plugin of your
own gets its options as texts (`self.config`), as in Circus, or declares them in
the same way (`Options` of its class).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chaussette.errors import ConfigError, did_you_mean
from chaussette.settings.arbiter import OWN_KEY
from chaussette.settings.declare import build, declared, describe_default, key_names, setting
from chaussette.settings.kinds import BOOL, SIGNAL, SIZE, TEXT, Kind, integer, seconds
from chaussette.settings.watcher import WatcherSettings

PACKAGE = "chaussette.arbiter.plugins"
_CIRCUS = "circus.plugins."
CONFIG = "CHAUSSETTE_PLUGIN_CONFIG"
"""Environment variable that holds a plugin's options, as JSON."""
_STREAMS = ("stdout_stream.", "stderr_stream.")
COMMON = ("use", "name", "active", "priority")
"""Keys of a section that are not the plugin's own options."""


def _number(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise ValueError(text)
    return value


def _port(text: str) -> int:
    return integer(0, 65535).parse(text)


NUMBER: Kind[float] = Kind("NUMBER", "a number, 0 or more", _number)
PERCENT: Kind[float] = Kind("PERCENT", "percent, 0 or more", _number)
SHARE: Kind[float] = Kind("SHARE", "a number above 0, at most 1", _share)
PORT: Kind[int] = Kind("PORT", "a port from 0 to 65535", _port)


@dataclass(frozen=True)
class Memory:
    """An amount of memory: percent of the machine's, or bytes."""

    amount: float
    is_percent: bool

    def __str__(self) -> str:
        return f"{self.amount:g}" if self.is_percent else f"{self.amount:g}B"


def _memory(text: str) -> Memory:
    try:
        return Memory(_number(text), is_percent=True)
    except ValueError:
        return Memory(float(SIZE.parse(text)), is_percent=False)


MEMORY: Kind[Memory] = Kind(
    "PERCENT|SIZE", "percent of the machine's memory, or a size such as 250M", _memory
)


@dataclass(frozen=True, kw_only=True)
class FlappingOptions:
    """Stops a watcher whose processes die again and again, and tries again later."""

    attempts: int = setting(2, integer(1), "Early deaths within `window` that count as flapping.")
    window: float = setting(
        1.0, seconds(), "Seconds. A death is early when the process lived for less than that."
    )
    retry_in: float = setting(7.0, seconds(), "Seconds until the watcher is started again.")
    max_retry: int = setting(
        5, integer(-1), "Starts after which the watcher is given up, and stays stopped; -1: never."
    )
    active: bool = setting(True, BOOL, "Whether to act at all; per watcher, too.")


@dataclass(frozen=True, kw_only=True)
class StatsdOptions:
    """Counts every event: `circus.APP.watcher.NAME.EVENT`."""

    host: str = setting("localhost", TEXT, "Host of the statsd server.")
    port: int = setting(8125, PORT, "UDP port of the statsd server.")
    sample_rate: float = setting(1.0, SHARE, "Share of the counts that is sent.")
    application_name: str = setting("app", TEXT, "APP in the names of what is sent.")


@dataclass(frozen=True, kw_only=True)
class FullStatsOptions(StatsdOptions):
    """Sends gauges of every watcher: processes, CPU and memory (maximum and sum)."""

    loop_rate: float = setting(60.0, seconds(0.01), "Seconds between two looks.")


@dataclass(frozen=True, kw_only=True)
class ResourceOptions(FullStatsOptions):
    """Replaces a process that takes too much CPU or memory, or too little, for too long."""

    watcher: str | None = setting(None, TEXT, "The watcher to look after.", aliases=("service",))
    max_cpu: float = setting(90.0, PERCENT, "CPU of one process that is too much; 0: no limit.")
    min_cpu: float | None = setting(None, PERCENT, "CPU of one process that is too little.")
    max_mem: Memory = setting(  # noqa: RUF009 - it is frozen
        Memory(90.0, True), MEMORY, "Memory of one process that is too much; 0: no limit."
    )
    min_mem: Memory | None = setting(  # noqa: RUF009 - it is frozen
        None, MEMORY, "Memory of one process that is too little."
    )
    health_threshold: float = setting(
        75.0, PERCENT, "Mean of CPU and memory, in percent, that is too much; 0: no limit."
    )
    max_count: int = setting(3, integer(0), "Looks in a row that a process may be over a limit.")
    process_children: bool = setting(
        False, BOOL, "Look after the processes' children, too; an offender gets child_signal."
    )
    child_signal: int = setting(15, SIGNAL, "Signal for a child that offends.")


@dataclass(frozen=True, kw_only=True)
class WatchdogOptions:
    """Ends processes that do not send heartbeats over UDP."""

    loop_rate: float = setting(60.0, seconds(0.01), "Seconds between two looks.")
    watchers_regex: str = setting(".*", TEXT, "Which watchers' processes must send heartbeats.")
    msg_regex: str = setting(
        "^(?P<pid>.*);(?P<timestamp>.*)$", TEXT, "What a heartbeat is; the group `pid` is needed."
    )
    max_count: int = setting(3, integer(1), "Looks that a process may be silent for.")
    ip: str = setting("127.0.0.1", TEXT, "Address to listen at.")
    port: int = setting(1664, PORT, "UDP port to listen at.")
    watchers_stop_signal: int | None = setting(
        None, SIGNAL, "Signal in place of the watcher's stop_signal."
    )
    watchers_graceful_timeout: float | None = setting(
        None, seconds(), "Seconds in place of the watcher's graceful_timeout."
    )


@dataclass(frozen=True, kw_only=True)
class ReloaderOptions:
    """Restarts a watcher when the program or a script that its command names has changed."""

    loop_rate: float = setting(1.0, seconds(0.01), "Seconds between two looks.")


@dataclass(frozen=True, kw_only=True)
class HttpOptions(FullStatsOptions):
    """Fetches a URL, sends the time it took, and may restart a watcher when it fails."""

    application_name: str = setting("http_observer", TEXT, "APP in the names of what is sent.")
    check_url: str = setting("http://localhost/", TEXT, "The URL to fetch.")
    timeout: float = setting(10.0, seconds(), "Seconds the whole answer may take.")
    restart_on_error: str | None = setting(None, TEXT, "Watcher to restart when it fails.")


@dataclass(frozen=True, kw_only=True)
class RedisOptions(FullStatsOptions):
    """Sends a Redis server's figures, and may restart a watcher when it does not answer."""

    application_name: str = setting("redis_observer", TEXT, "APP in the names of what is sent.")
    redis_url: str = setting("redis://localhost:6379/0", TEXT, "The server.")
    timeout: float = setting(5.0, seconds(), "Seconds that an answer may take.")
    restart_on_timeout: str | None = setting(
        None, TEXT, "Watcher to restart when there is no answer."
    )


BUILT_IN: Mapping[str, type[Any]] = {
    "flapping.Flapping": FlappingOptions,
    "statsd.StatsdEmitter": StatsdOptions,
    "statsd.FullStats": FullStatsOptions,
    "resource_watcher.ResourceWatcher": ResourceOptions,
    "watchdog.WatchDog": WatchdogOptions,
    "command_reloader.CommandReloader": ReloaderOptions,
    "http_observer.HttpObserver": HttpOptions,
    "redis_observer.RedisObserver": RedisOptions,
}
"""Dotted names behind PACKAGE to the options that the plugin takes."""


def our_name(use: str) -> str:
    """The dotted name of a plugin; Circus's own plugins are ours by another name."""
    short = use.removeprefix(_CIRCUS) if use.startswith(_CIRCUS) else ""
    short = short.replace("_statsd.", "statsd.")
    return f"{PACKAGE}.{short}" if short in BUILT_IN else use


def options_of(use: str) -> type[Any] | None:
    """The options of a plugin that comes with the arbiter; None for any other."""
    return BUILT_IN.get(our_name(use).removeprefix(f"{PACKAGE}."))


def is_option(config: Mapping[str, str], key: str) -> bool:
    """Whether a key of a section is the plugin's own, although a watcher may have it, too."""
    owner = options_of(config.get("use", ""))
    return owner is not None and key in key_names(owner)


def read_options(owner: type[Any], config: Mapping[str, Any]) -> Any:
    """Typed options from the texts of a section. Raises ConfigError."""
    known = key_names(owner)
    others = {*COMMON, *key_names(WatcherSettings)}
    own = {
        key: str(text) for key, text in config.items() if key in known or not _is_in(key, others)
    }
    return build(owner, own)


def check(config: Mapping[str, str]) -> None:
    """Raises ConfigError for a section that cannot be meant."""
    use = config.get("use", "")
    if not use:
        raise ConfigError("has no `use = package.module.Class`: which plugin shall it run?")
    is_active(config)
    owner = options_of(use)
    if owner is None:
        if (name := our_name(use)).startswith((f"{PACKAGE}.", _CIRCUS)):
            known = [f"{PACKAGE}.{one}" for one in BUILT_IN]
            if ours := did_you_mean(name.replace(_CIRCUS, f"{PACKAGE}."), known):
                raise ConfigError(f"use = {use!r}: there is no such plugin{ours}")
        return
    options = read_options(owner, config)
    if isinstance(options, ResourceOptions) and not options.watcher:
        raise ConfigError("needs `watcher = NAME`: whom shall it look after?")


def check_watcher_option(key: str, text: str) -> None:
    """Raises ConfigError for a watcher's `flapping.x` that flapping does not take."""
    prefix, _, name = key.partition(".")
    if prefix == "flapping":
        try:
            build(FlappingOptions, {name: text})
        except ConfigError as error:
            raise ConfigError(f"flapping: {error}") from None


def watcher(label: str, config: Mapping[str, str], **values: Any) -> WatcherSettings:
    """The singleton watcher that runs a plugin; `values` are settings that the section has.

    The options go through the environment: as words, every user could read
    them, and the endpoints are filled in where the process is started.
    """
    words = (sys.executable, "-m", "chaussette.cli.circusplugin")
    flags = (
        "--endpoint=$(circus.endpoint)",
        "--pubsub=$(circus.pubsub_endpoint)",
        "--check-delay=$(circus.check_delay)",
        "--log-level=$(circus.loglevel)",
    )
    passed = {key: text for key, text in config.items() if not key.startswith(_STREAMS)}
    env = {**OWN_KEY, **values.pop("env", {})}
    env[CONFIG] = json.dumps({"name": label, **passed})
    given: dict[str, Any] = {
        "priority": 1,
        "copy_env": True,
        "copy_path": True,
        "readiness": "notify",
        "heartbeat_timeout": 0.0,
        "cmd": "circus-plugin",
        **values,
    }
    return WatcherSettings(
        **{
            **given,
            "name": f"plugin:{label}",
            "argv": (*words, *flags, config.get("use", "")),
            "env": env,
            "numprocesses": 1,
            "singleton": True,
            "autostart": values.get("autostart", True) and is_active(config),
        }
    )


def is_active(config: Mapping[str, Any]) -> bool:
    """Whether the plugin is to be run at all. Raises ConfigError."""
    text = str(config.get("active", True))
    try:
        return BOOL.parse(text)
    except ValueError:
        raise ConfigError(f"active = {text!r}: expected {BOOL.expected}") from None


def _is_in(key: str, names: set[str]) -> bool:
    return key in names or key.startswith((*_STREAMS, "hooks.", "rlimit_"))


def reference() -> str:
    """The options of all plugins, as Markdown tables."""
    return "\n".join(line for name, owner in BUILT_IN.items() for line in _section(name, owner))


def _section(name: str, owner: type[Any]) -> Iterator[str]:
    yield f"### `{PACKAGE}.{name}`\n"
    yield f"{owner.__doc__}\n"
    yield "| option | value | default | meaning |\n|---|---|---|---|"
    for key, (what, default) in declared(owner).items():
        keys = ", ".join(f"`{one}`" for one in (key, *what.aliases))
        shown = describe_default(default).replace("|", "\\|")
        metavar = what.kind.metavar.replace("|", "\\|")
        yield f"| {keys} | {metavar} | {shown} | {what.help} |"
    yield ""


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - that is its purpose
