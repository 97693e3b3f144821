"""PyPI's circusd with two watchers, for tests of the wire."""

from __future__ import annotations

import time
from pathlib import Path

from arbiter_under_test import BOUND, SLEEP, Running

from chaussette.control.client import Client


class Theirs(Running):
    """It runs `web` twice and `job` once; `options` are further lines of [circus]."""

    def __init__(self, folder: Path, python: Path, options: str = "") -> None:
        self.endpoint, self.pubsub = f"ipc://{folder}/ctl", f"ipc://{folder}/pub"
        (folder / "circus.ini").write_text(
            f"[circus]\nendpoint = {self.endpoint}\npubsub_endpoint = {self.pubsub}\n{options}\n"
            f"[watcher:web]\ncmd = {SLEEP}\nnumprocesses = 2\n[watcher:job]\ncmd = {SLEEP}\n"
        )
        argv = [str(python), "-W", "ignore", "-m", "circus.circusd", "circus.ini"]
        super().__init__(argv, folder, {"PYTHONPATH": ""})

    def wait_active(self) -> None:
        """It refuses commands while it starts; each look is one question and its answer."""
        self.wait("Arbiter now waiting for commands")
        deadline = time.monotonic() + BOUND
        with Client(self.endpoint, BOUND) as client:
            while set(client.call("status").fields["statuses"].values()) != {"active"}:
                assert time.monotonic() < deadline
