"""From an ini file to one typed, checked configuration of a whole stack.

Everything that can be known to be wrong without touching the system is found
here, all of it in one go, each with file, section, line, what was expected and
the nearest known name.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from chaussette.errors import ConfigError, did_you_mean, nearest
from chaussette.settings import plugins, stats, variables
from chaussette.settings.arbiter import ArbiterSettings
from chaussette.settings.declare import key_names, parse_value
from chaussette.settings.hooks import read_hook
from chaussette.settings.ini import Entry, IniFile, Section, read_ini
from chaussette.settings.kinds import LIMIT
from chaussette.settings.sockets import SocketSettings
from chaussette.settings.streams import check_option
from chaussette.settings.watcher import RLIMITS, WatcherSettings

S = TypeVar("S")
_NAME = re.compile(r"[A-Za-z0-9_.: -]{1,64}")
_PREFIXES = ("stdout_stream.", "stderr_stream.", "hooks.", "rlimit_")
HOOKS = (
    "before_start after_start before_spawn after_spawn before_stop after_stop "
    "before_signal after_signal before_reap after_reap extended_stats"
).split()


@dataclass(frozen=True)
class StackConfig:
    """What one arbiter runs. `warnings` are lines for the log, in order."""

    arbiter: ArbiterSettings = field(default_factory=ArbiterSettings)
    sockets: tuple[SocketSettings, ...] = ()
    watchers: tuple[WatcherSettings, ...] = ()
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the arbiter that come from the command line, and not from the files."""

    def watcher(self, name: str) -> WatcherSettings | None:
        """The watcher of that name, or None."""
        return next((one for one in self.watchers if one.name == name), None)


def load_stack(path: str, environ: Mapping[str, str]) -> StackConfig:
    """Reads and checks a file. Raises ConfigError that lists every error found."""
    return _Loader(read_ini(path), environ).load()


def with_overrides(config: StackConfig, overrides: Mapping[str, Any]) -> StackConfig:
    """The configuration with flags of the command line laid over its `[circus]` section."""
    return replace(config, arbiter=replace(config.arbiter, **overrides), overrides=overrides)


_PAPA = "sockets and processes are the arbiter's own, and outlive a reload of the configuration"
NOT_HERE: Mapping[tuple[str, str], str] = {
    ("circus", "stream_backend"): "output is read by the arbiter's loop, and written by threads",
    ("circus", "ssh_server"): "circusctl and circus-plugin have --ssh",
    ("circus", "proc_name"): "the program is called circusd",
    ("circus", "prereload_fn"): "use the hooks of the watcher",
    ("circus", "papa_endpoint"): _PAPA,
    ("watcher", "retry_in"): "the pause between two tries grows by itself; see max_retry",
    ("watcher", "use_papa"): _PAPA,
    ("socket", "use_papa"): _PAPA,
}
"""Keys that Circus, of some version, knows or documents, by kind of section."""


class _Loader:
    """One pass over one ini file; collects errors instead of stopping at the first."""

    def __init__(self, ini: IniFile, environ: Mapping[str, str]) -> None:
        self._ini = ini
        self._environ = environ
        self._errors: list[str] = []
        self._warnings = list(ini.warnings)
        self._common_env = self._read_env()

    def load(self) -> StackConfig:
        arbiter = self._arbiter()
        sockets = tuple(self._socket(section) for section in self._named("socket"))
        watchers = tuple(self._watcher(section) for section in self._named("watcher"))
        sections = {_label(one): one.texts() for one in self._named("plugin")}
        watchers += tuple(self._plugin(section) for section in self._named("plugin"))
        watchers += self._stats(arbiter, watchers)
        self._unknown_sections()
        self._check_references(sockets)
        if self._errors:
            raise ConfigError("\n".join(self._errors))
        return StackConfig(
            arbiter, sockets, watchers, sections, tuple(self._warnings), tuple(self._ini.files)
        )

    # -- sections ---------------------------------------------------------

    def _named(self, kind: str) -> list[Section]:
        sections = [
            section for name, section in self._ini.sections.items() if name.startswith(f"{kind}:")
        ]
        seen: dict[str, Section] = {}
        for section in sections:
            first = seen.setdefault(_label(section).lower(), section)
            if first is not section:
                self._errors.append(
                    f"{section.place}: [{section.name}]: the name is taken by [{first.name}] at "
                    f"{first.place}; names differ in more than case"
                )
            if not _NAME.fullmatch(_label(section)):
                self._errors.append(
                    f"{section.place}: [{section.name}]: a name has 1 to 64 letters, digits, "
                    "spaces or any of _ . : -"
                )
        return sections

    def _arbiter(self) -> ArbiterSettings:
        section = self._ini.sections.get("circus", Section("circus", ""))
        settings = ArbiterSettings(**self._typed(ArbiterSettings, section, self._refuse, {}))
        if stats.implied(settings):
            self._warnings.append(f"{section.place}: [circus] {stats.IMPLIED}")
        return stats.completed(settings)

    def _stats(
        self, arbiter: ArbiterSettings, others: tuple[WatcherSettings, ...]
    ) -> tuple[WatcherSettings, ...]:
        """The watcher of circusd-stats, where it is wanted."""
        if not arbiter.statsd:
            return ()
        if any(one.name.lower() == stats.NAME for one in others):
            self._errors.append(
                f"[watcher:{stats.NAME}]: the name is taken by the process that statsd = True runs"
            )
        return (stats.watcher(arbiter, self._env_for(stats.NAME)),)

    def _socket(self, section: Section) -> SocketSettings:
        values = self._typed(SocketSettings, section, self._refuse, {})
        return SocketSettings(name=_label(section).lower(), **values)

    def _watcher(self, section: Section) -> WatcherSettings:
        name = _label(section)
        env = self._env_for(name)
        groups: dict[str, dict[str, Any]] = {prefix: {} for prefix in (*_PREFIXES, "")}

        def keep(_: Section, entry: Entry) -> None:
            self._free_option(section, entry, groups)

        values = self._typed(WatcherSettings, section, keep, env)
        if not values.get("cmd"):
            self._errors.append(f"{section.place}: [{section.name}] has no cmd: what shall it run?")
        if values.get("on_demand") and not values.get("use_sockets", values.get("stdin_socket")):
            self._errors.append(
                f"{section.place}: [{section.name}] is on_demand, but inherits no socket whose "
                "connections could start it: add `use_sockets = True`"
            )
        if groups[""]:
            self._warnings.append(
                f"{section.place}: [{section.name}] keeps {', '.join(sorted(groups['']))} "
                "for its hooks and plugins"
            )
        for prefix in ("stdout_stream.", "stderr_stream."):
            self._check_stream(section, prefix, groups[prefix])
        return WatcherSettings(
            name=name,
            env=env,
            stdout_stream=groups["stdout_stream."],
            stderr_stream=groups["stderr_stream."],
            hooks=groups["hooks."],
            rlimits=groups["rlimit_"],
            options=groups[""],
            **values,
        )

    def _plugin(self, section: Section) -> WatcherSettings:
        """The watcher that runs a plugin. An option of the plugin is no key of the watcher."""
        label = _label(section)
        if (taken := self._ini.sections.get(f"watcher:plugin:{label}")) is not None:
            self._errors.append(
                f"{section.place}: [{section.name}]: its watcher's name is taken by "
                f"[{taken.name}] at {taken.place}"
            )
        env = self._env_for(f"plugin:{label}")
        visible = variables.environment_values({**self._environ, **self._common_env, **env})
        texts = {key: variables.expand(one.value, visible) for key, one in section.entries.items()}
        groups: dict[str, dict[str, Any]] = {prefix: {} for prefix in (*_PREFIXES, "")}

        def keep(_: Section, entry: Entry) -> None:
            if entry.key.startswith(_PREFIXES):
                self._free_option(section, entry, groups)

        entries = {key: section.entries[key] for key in texts if not plugins.is_option(texts, key)}
        values = self._typed(
            WatcherSettings, Section(section.name, section.place, entries), keep, env
        )
        try:
            plugins.check(texts)
        except ConfigError as error:
            self._errors.append(f"{section.place}: [{section.name}] {error}")
            return WatcherSettings(name=f"plugin:{label}")
        if plugins.our_name(texts.get("use", "")) != texts.get("use", ""):
            self._warnings.append(
                f"{section.place}: [{section.name}] {texts['use']} is "
                f"{plugins.our_name(texts['use'])} here"
            )
        return plugins.watcher(
            label,
            texts,
            env=env,
            stdout_stream=groups["stdout_stream."],
            stderr_stream=groups["stderr_stream."],
            hooks=groups["hooks."],
            rlimits=groups["rlimit_"],
            **values,
        )

    def _unknown_sections(self) -> None:
        kinds = ("circus", "watcher", "socket", "plugin", "env")
        for section in self._ini.sections.values():
            kind, colon, _ = section.name.partition(":")
            if kind in kinds and (colon or kind in ("circus", "env")):
                continue
            if kind in kinds:
                self._errors.append(
                    f"{section.place}: [{section.name}] needs a name: [{kind}:NAME]"
                )
            elif near := nearest(kind, kinds):
                self._errors.append(
                    f"{section.place}: unknown section [{section.name}]; "
                    f"did you mean [{near}{colon}…]?"
                )
            else:
                self._warnings.append(
                    f"{section.place}: section [{section.name}] is none of ours and is left alone"
                )

    # -- entries ----------------------------------------------------------

    def _typed(
        self,
        owner: type[Any],
        section: Section,
        unknown: Callable[[Section, Entry], None],
        env: Mapping[str, str],
    ) -> dict[str, Any]:
        names = key_names(owner)
        visible = variables.environment_values({**self._environ, **self._common_env, **env})
        values: dict[str, Any] = {}
        for entry in section.entries.values():
            if entry.key not in names:
                unknown(section, entry)
                continue
            try:
                text = variables.expand(entry.value, visible)
                values[names[entry.key]] = parse_value(owner, names[entry.key], text)
            except ConfigError as error:
                self._errors.append(f"{entry.place}: [{section.name}] {error}")
        return values

    def _is_theirs(self, section: Section, entry: Entry) -> bool:
        """Whether a key is one of Circus's that cannot mean anything here; that is said."""
        why = NOT_HERE.get((section.name.partition(":")[0], entry.key))
        if why is not None:
            self._warnings.append(
                f"{entry.place}: [{section.name}] {entry.key} has no effect: {why}"
            )
        return why is not None

    def _refuse(self, section: Section, entry: Entry) -> None:
        if self._is_theirs(section, entry):
            return
        owner = ArbiterSettings if section.name == "circus" else SocketSettings
        self._errors.append(
            f"{entry.place}: [{section.name}] unknown key {entry.key!r}"
            + did_you_mean(entry.key, key_names(owner))
        )

    def _free_option(
        self, section: Section, entry: Entry, groups: dict[str, dict[str, Any]]
    ) -> None:
        if self._is_theirs(section, entry):
            return
        value = variables.expand(
            entry.value, variables.environment_values({**self._environ, **self._common_env})
        )
        for prefix in _PREFIXES:
            if entry.key.startswith(prefix):
                self._prefixed(section, entry, prefix, value, groups[prefix])
                return
        try:
            plugins.check_watcher_option(entry.key, value)
        except ConfigError as error:
            self._errors.append(f"{entry.place}: [{section.name}] {error}")
        if near := nearest(entry.key, key_names(WatcherSettings)):
            self._errors.append(
                f"{entry.place}: [{section.name}] unknown key {entry.key!r}; did you mean {near!r}?"
            )
        else:
            groups[""][entry.key] = value

    def _prefixed(
        self, section: Section, entry: Entry, prefix: str, value: str, group: dict[str, Any]
    ) -> None:
        name = entry.key[len(prefix) :]
        known = {"hooks.": HOOKS, "rlimit_": RLIMITS}.get(prefix)
        if known is not None and name not in known:
            self._errors.append(
                f"{entry.place}: [{section.name}] unknown key {entry.key!r}"
                + did_you_mean(name, known)
            )
            return
        try:
            if prefix == "hooks.":
                read_hook(value)
            group[name] = LIMIT.parse(value) if prefix == "rlimit_" else value
        except ConfigError as error:
            self._errors.append(f"{entry.place}: [{section.name}] {entry.key} = {error}")
        except ValueError:
            self._errors.append(
                f"{entry.place}: [{section.name}] {entry.key} = {value!r}: "
                f"expected {LIMIT.expected}"
            )

    def _check_stream(self, section: Section, prefix: str, options: Mapping[str, str]) -> None:
        for key in options:
            entry = section.entries[prefix + key]
            try:
                line = check_option(options, key)
            except ConfigError as error:
                self._errors.append(f"{entry.place}: [{section.name}] {prefix}{error}")
            else:
                if line:
                    self._warnings.append(f"{entry.place}: [{section.name}] {prefix}{line}")

    # -- environment ------------------------------------------------------

    def _read_env(self) -> dict[str, str]:
        return self._env_values(self._ini.sections.get("env", Section("env", "")), {})

    def _env_for(self, watcher: str) -> dict[str, str]:
        env = dict(self._common_env)
        for section in self._ini.sections.values():
            if section.name.startswith("env:"):
                patterns = [part.strip() for part in _label(section).split(",")]
                if any(fnmatch.fnmatch(watcher, pattern) for pattern in patterns):
                    env.update(self._env_values(section, env))
        return env

    def _env_values(self, section: Section, env: Mapping[str, str]) -> dict[str, str]:
        values: dict[str, str] = {}
        for entry in section.entries.values():

            def unset(name: str, entry: Entry = entry) -> None:
                self._warnings.append(f"{entry.place}: ${name} is not set; it becomes empty")

            visible = {**self._environ, **env, **values}
            text = variables.expand_shell(entry.value, self._environ, unset)
            values[entry.key] = variables.expand(text, variables.environment_values(visible))
        return values

    # -- references -------------------------------------------------------

    def _check_references(self, sockets: tuple[SocketSettings, ...]) -> None:
        known = [socket.name for socket in sockets]
        for section in self._ini.sections.values():
            if not section.name.startswith("watcher:"):
                continue
            for key in ("cmd", "args", "stdin_socket", "sockets"):
                if key in section.entries:
                    self._check_entry(section, section.entries[key], known)

    def _check_entry(self, section: Section, entry: Entry, known: list[str]) -> None:
        wanted = [
            name[8:] for name in variables.names_in(entry.value) if name.startswith("sockets.")
        ]
        if entry.key == "stdin_socket":
            wanted = [entry.value.lower()]
        if entry.key == "sockets":
            wanted = [name.strip().lower() for name in entry.value.split(",") if name.strip()]
        for name in wanted:
            if name not in known:
                there = ", ".join(known) or "none"
                self._errors.append(
                    f"{entry.place}: [{section.name}] {entry.key} names socket {name!r}, but "
                    f"there is no [socket:{name}] (sockets: {there}){did_you_mean(name, known)}"
                )
        if wanted and entry.key in ("cmd", "args"):
            self._check_use(section, entry)

    def _check_use(self, section: Section, entry: Entry) -> None:
        use = section.entries.get("use_sockets")
        try:
            used = use is not None and parse_value(WatcherSettings, "use_sockets", use.value)
        except ConfigError:
            return
        if not used:
            self._errors.append(
                f"{entry.place}: [{section.name}] {entry.key} names a socket, but the processes do "
                "not inherit any: add `use_sockets = True`"
            )


def _label(section: Section) -> str:
    return section.name.partition(":")[2].strip()
