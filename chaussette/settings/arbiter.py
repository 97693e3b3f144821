"""`[circus]`: what one arbiter is told. Keys are Circus's where Circus has one."""

from __future__ import annotations

from dataclasses import dataclass

from chaussette.settings.declare import Change, setting
from chaussette.settings.kinds import (
    BOOL,
    MODE,
    PATH,
    TEXT,
    USER,
    choice,
    integer,
    list_of,
    seconds,
)
from chaussette.settings.server import LOG_LEVELS

OWN_KEY = {"CIRCUSCTL_CLIENT_KEY": "$(circus.client_key)"}
"""The environment by which the arbiter's own clients find the key that it makes for them."""


@dataclass(frozen=True, kw_only=True)
class ArbiterSettings:
    """The settings of the arbiter itself."""

    endpoint: str | None = setting(
        None,
        TEXT,
        "ZeroMQ address of the control endpoint; none: control.sock in the runtime directory.",
        on_change=Change.RESTART,
    )
    pubsub_endpoint: str | None = setting(
        None,
        TEXT,
        "ZeroMQ address on which events are published; none: events.sock in the runtime directory.",
        on_change=Change.RESTART,
    )
    stats_endpoint: str | None = setting(
        None,
        TEXT,
        "ZeroMQ address on which statistics are published; none: stats.sock in the runtime "
        "directory. Setting it turns statsd on.",
        on_change=Change.RESTART,
    )
    output_endpoint: str | None = setting(
        None,
        TEXT,
        "ZeroMQ address on which live output is published (circusctl tail -f); none: output.sock "
        "in the runtime directory.",
        on_change=Change.RESTART,
    )
    keys_dir: str | None = setting(
        None,
        PATH,
        "Directory of keys (circusctl keys init): who connects to a tcp:// endpoint needs one of "
        "its keys. Beyond loopback, tcp:// is refused without it.",
        on_change=Change.RESTART,
    )
    endpoint_owner: str | None = setting(
        None,
        USER,
        "User who owns the ipc endpoints' files. Commands then add and change only watchers "
        "whose uid is that user.",
        on_change=Change.RESTART,
    )
    multicast_endpoint: str | None = setting(
        None,
        TEXT,
        "Circus's discovery address. Nothing listens here: discovery is not offered.",
        on_change=Change.NOTHING,
    )
    runtime_dir: str | None = setting(
        None,
        PATH,
        "Directory of endpoints, lock and state, mode 0700; none: /run/chaussette for root, "
        "else $XDG_RUNTIME_DIR/chaussette.",
        flags=("--runtime-dir",),
        on_change=Change.RESTART,
    )
    statsd: bool = setting(False, BOOL, "Run circusd-stats, which publishes statistics.")
    statsd_close_outputs: bool = setting(
        False, BOOL, "Send the output of circusd-stats to /dev/null."
    )
    check_delay: float = setting(
        5.0,
        seconds(-1.0),
        "Seconds between calls of hooks that poll. Exits are seen at once, whatever it says.",
        on_change=Change.NOTHING,
    )
    umask: int | None = setting(
        None, MODE, "File mode mask of the arbiter and, unless they set one, of all processes."
    )
    pidfile: str | None = setting(
        None,
        PATH,
        "File that holds the arbiter's pid.",
        flags=("--pidfile",),
        on_change=Change.RESTART,
    )
    loglevel: str = setting(
        "info",
        choice(*LOG_LEVELS),
        "How much the arbiter logs.",
        flags=("--log-level",),
        aliases=("log_level",),
        on_change=Change.NOTHING,
    )
    logoutput: str = setting(
        "-",
        TEXT,
        "Where the arbiter logs: a file, - for standard error, syslog for /dev/log, or "
        "syslog://HOST:PORT?FACILITY.",
        flags=("--log-output",),
        aliases=("log_output",),
        on_change=Change.NOTHING,
    )
    loggerconfig: str | None = setting(
        None,
        PATH,
        "Logging configuration file (.ini, .json or .yaml) in place of loglevel and logoutput.",
        flags=("--logger-config",),
        on_change=Change.RESTART,
    )
    fqdn_prefix: str | None = setting(
        None,
        TEXT,
        "Prefix of this node's name: PREFIX@HOST, told by dstats and globaloptions.",
        on_change=Change.RESTART,
    )
    warmup_delay: float = setting(
        0.0, seconds(), "Seconds between the starts of two watchers.", on_change=Change.NOTHING
    )
    include: tuple[str, ...] = setting(
        (), list_of(PATH, " "), "Globs of further files; a key that is set already keeps its value."
    )
    include_dir: tuple[str, ...] = setting(
        (), list_of(PATH, " "), "Directories whose *.ini files are read as further files."
    )
    debug: bool = setting(
        False,
        BOOL,
        "Have plugins and circusd-stats log from level debug on.",
        on_change=Change.RESTART,
    )
    debug_gc: bool = setting(False, BOOL, "Report what the garbage collector cannot free.")
    httpd: bool = setting(False, BOOL, "Run the web console.")
    httpd_host: str = setting("localhost", TEXT, "Host of the web console.")
    httpd_port: int = setting(8080, integer(0, 65535), "Port of the web console.")
    httpd_close_outputs: bool = setting(
        False, BOOL, "Send the output of the web console to /dev/null."
    )
    stop_timeout: float | None = setting(
        None,
        seconds(),
        "Seconds after which a stop of the arbiter kills what is left; "
        "none: each watcher's graceful_timeout.",
        on_change=Change.NOTHING,
    )
