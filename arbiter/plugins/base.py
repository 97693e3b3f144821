"""`CircusPlugin`: what a plugin inherits from. Its methods are those of Circus's class.

It owns the plugin's connections and its loop. A plugin is run by the command
`circus-plugin`, as a process of the watcher `plugin:NAME`; it knows the arbiter
by its two endpoints only.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any, ClassVar

import zmq

from chaussette.arbiter.plugins.connection import Commands, Events
from chaussette.arbiter.plugins.loop import Period, PluginLoop
from chaussette.errors import ConfigError, NotAnswered
from chaussette.settings.plugins import is_active, read_options

log = logging.getLogger("chaussette.plugin")
CALL_TIMEOUT = 5.0


class CircusPlugin:
    """A process that hears events and may send commands.

    `config` holds the options of the section as texts. A class that sets
    `Options`, a dataclass of `chaussette.settings.declare.setting` fields, gets
    them typed and checked, as `options`.
    """

    name: str = ""
    Options: ClassVar[type[Any] | None] = None
    topics: ClassVar[tuple[str, ...]] = ("watcher.",)
    options: Any

    def __init__(
        self,
        endpoint: str,
        pubsub_endpoint: str,
        check_delay: float = 5.0,
        ssh_server: str | None = None,
        **config: Any,
    ) -> None:
        self.endpoint = endpoint
        self.pubsub_endpoint = pubsub_endpoint
        self.check_delay = check_delay
        self.ssh_server = ssh_server
        self.config = config
        self.call_timeout = CALL_TIMEOUT
        self.running = False
        self.active = is_active(config)
        self.options = read_options(self.Options, config) if self.Options is not None else None
        self.loop = PluginLoop()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._commands: Commands | None = None
        self._events: Events | None = None

    # -- for you to write ---------------------------------------------------

    def handle_init(self) -> None:
        """Called once, before the first event."""

    def handle_stop(self) -> None:
        """Called once, at the end."""

    def handle_recv(self, data: tuple[bytes, bytes]) -> None:
        """Called with each event: its topic and its message, as they came."""

    # -- for you to use -----------------------------------------------------

    def call(self, command: str, **props: Any) -> dict[str, Any]:
        """Sends a command and returns its reply: `{"status": "ok", …}`, or "error" and why.

        Raises NotAnswered after `call_timeout` seconds.
        """
        return self._connection().call(
            command, props, self.call_timeout, lambda: self.loop.stopping
        )

    def cast(self, command: str, **props: Any) -> None:
        """Sends a command and does not wait."""
        self._connection().cast(command, props)

    def period(self, callback: Callable[[], object], seconds: float) -> Period:
        """Calls back every so many seconds; `stop` and `start` of what it returns."""
        period = Period(self.loop, callback, seconds)
        period.start()
        return period

    def full_name(self, topic_name: str) -> str:
        """The name that commands know a watcher by: in topics, a space is `_`."""
        if "_" not in topic_name:
            return topic_name
        names = self.call("list").get("watchers", [])
        fitting = (one for one in names if one.lower().replace(" ", "_") == topic_name)
        return next(fitting, topic_name)

    @staticmethod
    def split_data(data: tuple[bytes | str, Any]) -> tuple[str, str, Any]:
        """An event's watcher, what happened to it, and its message."""
        topic, message = data
        text = topic.decode("utf-8", "replace") if isinstance(topic, bytes) else topic
        name, _, action = text.partition(".")[2].rpartition(".")
        return name, action, message

    @staticmethod
    def load_message(message: bytes | str) -> Any:
        """An event's message, read."""
        return json.loads(message)

    # -- its life -------------------------------------------------------------

    def initialize(self) -> None:
        """Connects to the events; called by `start`, after handle_init."""
        self._events = Events(self.context, self.pubsub_endpoint, self.topics)
        if not self._events.is_connected:
            log.warning("no events from %s so far; waiting for them", self.pubsub_endpoint)
        self.loop.watch(self._events.socket, self._read_events)

    def start(self, ready: Callable[[], object] | None = None) -> None:
        """Runs the plugin until `stop` or a signal; calls `ready` once it hears events."""
        if not self.active:
            raise ConfigError("the plugin is not active")
        self.loop.catch_signals()
        try:
            self.handle_init()
            self.initialize()
            self.running = True
            if ready is not None:
                ready()
            # What came before the socket was watched.
            self.loop.add_callback(self._read_events)
            self.loop.run()
        finally:
            self.running = False
            self._finish()

    def stop(self) -> None:
        """Ends the plugin; may be called from any thread."""
        self.loop.stop()

    # -- details ----------------------------------------------------------------

    def _connection(self) -> Commands:
        if self._commands is None:
            self._commands = Commands(self.context, self.endpoint, self.loop.wake_fd)
        return self._commands

    def _read_events(self) -> None:
        while not self.loop.stopping and self._events is not None:
            data = self._events.read()
            if data is None:
                return
            try:
                self.handle_recv(data)
            except NotAnswered as error:
                log.warning("%s", error)
            except Exception:
                # The wall of a plugin's calls: the traceback goes to the log,
                # and the next event is handled.
                log.exception("handle_recv has failed for %s", data[0].decode("utf-8", "replace"))

    def _finish(self) -> None:
        try:
            self.handle_stop()
        except Exception:
            # The wall of a plugin's calls, once more: it ends either way.
            log.exception("handle_stop has failed")
        for connection in (self._commands, self._events):
            if connection is not None:
                connection.close()
        with contextlib.suppress(zmq.ZMQError):
            self.context.term()
        self.loop.close()
