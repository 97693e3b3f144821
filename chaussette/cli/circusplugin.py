"""The command `circus-plugin`: runs one plugin, named by its class.

The plugin's options come as `--config k:v:::k:v` (Circus's way), or as JSON
from a descriptor or the environment, where no shell and no list of processes
sees them.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chaussette.arbiter.plugins import CircusPlugin
from chaussette.cli.clientlog import set_up_logging
from chaussette.control.client import ENVIRONMENT
from chaussette.control.curve import CLIENT_KEY
from chaussette.control.places import default_endpoint, default_runtime_dir
from chaussette.errors import ChaussetteError, ConfigError, did_you_mean
from chaussette.notify import Notifier
from chaussette.settings import flagparser
from chaussette.settings.plugins import CONFIG, our_name
from chaussette.settings.server import LOG_LEVELS
from chaussette.version import __version__

if TYPE_CHECKING:
    import argparse

_FLAGS = {
    "--endpoint": ("ADDRESS", f"The arbiter's control endpoint. [{ENVIRONMENT}, or the default]"),
    "--pubsub": ("ADDRESS", "The arbiter's pubsub endpoint. [events.sock beside the default]"),
    "--config": ("K:V:::K:V", f"The plugin's options; else JSON in {CONFIG}."),
    "--config-fd": ("N", "Read the plugin's options, as JSON, from a descriptor."),
    "--check-delay": ("SECONDS", "The arbiter's check_delay, for plugins that ask. [5]"),
    "--log-level": ("LEVEL", f"One of {', '.join(LOG_LEVELS)}. [info]"),
    "--log-output": ("FILE", "Where to log; -: standard error. [-]"),
    "--client-key": ("FILE", "This plugin's key, where the endpoints ask for one."),
    "--ssh": ("USER@HOST", "Reach the endpoints through ssh."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code of the process."""
    try:
        parser = make_parser()
        namespace, words = parser.read(sys.argv[1:] if argv is None else argv)
        if namespace.help or namespace.version:
            print(parser.format_help() if namespace.help else f"circus-plugin {__version__}")  # noqa: T201
            return 0
        if len(words) != 1:
            raise ConfigError("expected one class, such as mypackage.plugins.MyPlugin")
        return _run(namespace, words[0])
    except ChaussetteError as error:
        print(f"circus-plugin: error: {error}", file=sys.stderr)  # noqa: T201
        Notifier().boot_error(str(error))
        return error.exit_code


def make_parser() -> flagparser.FlagParser:
    """The parser with every flag of the command."""
    parser = flagparser.FlagParser(
        prog="circus-plugin",
        usage="circus-plugin [flags] PACKAGE.MODULE.CLASS",
        description="Runs one plugin beside a running circusd.",
    )
    for flag, (metavar, text) in _FLAGS.items():
        parser.add_argument(flag, metavar=metavar, help=text)
    parser.add_argument("--version", action="store_true", help="Print the version.")
    parser.add_argument("-h", "--help", action="store_true", help="Print this text.")
    return parser


def read_config(namespace: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """The plugin's options. Raises ConfigError."""
    if namespace.config is not None:
        return split_config(namespace.config)
    if namespace.config_fd is not None:
        try:
            with open(int(namespace.config_fd), encoding="utf-8") as source:  # noqa: PTH123
                return _from_json(source.read(), "--config-fd")
        except (OSError, ValueError) as error:
            raise ConfigError(f"--config-fd {namespace.config_fd}: {error}") from None
    return _from_json(environ.get(CONFIG, "{}"), CONFIG)


def split_config(text: str) -> dict[str, str]:
    """Circus's `k:v:::k:v`. Raises ConfigError."""
    config: dict[str, str] = {}
    for part in text.split(":::"):
        key, colon, value = part.partition(":")
        if not colon and part.strip():
            raise ConfigError(f"--config: {part!r} is not key:value")
        if colon:
            config[key.strip()] = value.strip()
    return config


def load_class(name: str) -> type[Any]:
    """The class of that dotted name, Circus's plugins being ours. Raises ConfigError."""
    path = our_name(name)
    module_name, _, class_name = path.replace(":", ".").rpartition(".")
    if not module_name:
        raise ConfigError(f"{name!r} is not a dotted name such as mypackage.plugins.MyPlugin")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{name}: no module {error.name!r}") from None
        raise ConfigError(f"{name}: its module needs {error.name!r}, which is missing") from None
    except Exception:  # noqa: BLE001 - the message says all
        # The wall of a plugin's code: the traceback is the message.
        raise ConfigError(f"{name}: cannot be imported\n{traceback.format_exc()}") from None
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise ConfigError(
            f"{name}: module {module_name} has no class {class_name!r}"
            + did_you_mean(class_name, [one for one in vars(module) if one[:1].isupper()])
        )
    return found


def _run(namespace: argparse.Namespace, name: str) -> int:
    set_up_logging(namespace.log_level or "info", namespace.log_output or "-")
    config = read_config(namespace, os.environ)
    os.environ.pop(CONFIG, None)  # what the plugin starts shall not know it
    owner = load_class(name)
    endpoint = namespace.endpoint or os.environ.get(ENVIRONMENT) or default_endpoint()
    pubsub = namespace.pubsub or f"ipc://{default_runtime_dir()}/events.sock"
    log = logging.getLogger("chaussette.plugin")
    if namespace.client_key is not None:
        os.environ[CLIENT_KEY] = namespace.client_key
    notifier = Notifier()
    with contextlib.ExitStack() as tunnels:
        if namespace.ssh is not None:
            from chaussette.control.tunnel import Tunnel  # only where it is asked for

            endpoint = tunnels.enter_context(Tunnel(namespace.ssh, endpoint)).endpoint
            pubsub = tunnels.enter_context(Tunnel(namespace.ssh, pubsub)).endpoint
        plugin = owner(endpoint, pubsub, _seconds(namespace.check_delay), namespace.ssh, **config)
        log.info("plugin %s of %s", name, endpoint)
        _start(plugin, notifier)
    notifier.stopping()
    log.info("plugin %s has ended", name)
    return 0


def _start(plugin: Any, notifier: Notifier) -> None:
    """Runs a plugin; one that inherits from Circus's own class says by itself when it ends."""
    if isinstance(plugin, CircusPlugin):
        plugin.start(notifier.ready)
    else:
        notifier.ready()
        plugin.start()


def _seconds(text: str | None) -> float:
    try:
        return float(text or 5)
    except ValueError:
        raise ConfigError(f"--check-delay {text!r}: expected a number") from None


def _from_json(text: str, place: str) -> dict[str, str]:
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{place}: not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{place}: not a JSON object")
    return {str(key): str(value) for key, value in config.items()}


if __name__ == "__main__":
    sys.exit(main())
