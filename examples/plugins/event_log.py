"""Writes every event of the arbiter to a file, which is rotated when it has grown.

After the `FileStream` plugin that a Circus user has published, written anew. Its
code is a plugin for Circus's own base class: nothing but the import differs
(`from circus.plugins import CircusPlugin`), and it runs under either.

    [plugin:events]
    use = event_log.EventLog
    filename = events.log
    max_bytes = 1000000
    backup_count = 3
    only = reap, spawn
"""

import json
import os

from chaussette.arbiter.plugins import CircusPlugin


class EventLog(CircusPlugin):
    """One line of JSON for each event: watcher, event, and what came with it."""

    name = "event_log"

    def __init__(self, *args, **config):
        super().__init__(*args, **config)
        self.filename = config["filename"]
        self.max_bytes = int(config.get("max_bytes", 0))
        self.backup_count = int(config.get("backup_count", 0))
        self.only = {word.strip() for word in config.get("only", "").split(",") if word.strip()}
        self.file = None

    def handle_init(self):
        self.file = open(self.filename, "a")  # noqa: PTH123, SIM115

    def handle_stop(self):
        self.file.close()

    def handle_recv(self, data):
        watcher, action, message = self.split_data(data)
        if self.only and action not in self.only:
            return
        event = {"watcher": watcher, "event": action, **self.load_message(message)}
        line = json.dumps(event) + "\n"
        if self.max_bytes and self.file.tell() + len(line) > self.max_bytes:
            self.rotate()
        self.file.write(line)
        self.file.flush()
        if action == "reap" and self.config.get("say_status"):
            reply = self.call("status", name=watcher)
            self.file.write(json.dumps({"watcher": watcher, "status": reply.get("status")}) + "\n")
            self.file.flush()

    def rotate(self):
        self.file.close()
        for number in range(self.backup_count, 0, -1):
            older = f"{self.filename}.{number - 1}" if number > 1 else self.filename
            if os.path.exists(older):
                os.replace(older, f"{self.filename}.{number}")
        mode = "a" if self.backup_count else "w"
        self.file = open(self.filename, mode)  # noqa: PTH123, SIM115
