"""The base class and its loop, against endpoints of the test's own."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from arbiter_under_test import BOUND

from chaussette.arbiter.plugins import CircusPlugin, PeriodicCallback
from chaussette.errors import NotAnswered


class Recorder(CircusPlugin):
    """Puts what happens to it into a queue."""

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self.seen: queue.Queue[Any] = queue.Queue()

    def handle_recv(self, data: tuple[bytes, bytes]) -> None:
        self.seen.put(self.split_data(data))

    def handle_stop(self) -> None:
        self.seen.put("stopped")


class Endpoints:
    """A control and a pubsub endpoint that answer what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.context = zmq.Context()
        self.control, self.pubsub = f"ipc://{folder}/c", f"ipc://{folder}/p"
        self.open()

    def open(self) -> None:
        self.router = self.context.socket(zmq.ROUTER)
        self.publisher = self.context.socket(zmq.XPUB)
        for one, address in ((self.router, self.control), (self.publisher, self.pubsub)):
            one.setsockopt(zmq.LINGER, 0)
            one.setsockopt(zmq.RCVTIMEO, int(BOUND * 1000))
            one.bind(address)

    def publish(self, topic: str) -> None:
        self.publisher.send_multipart([topic.encode(), b"{}"])

    def request(self) -> tuple[bytes, dict[str, Any]]:
        identity, frame = self.router.recv_multipart()
        return identity, json.loads(frame)

    def close(self) -> None:
        self.router.close()
        self.publisher.close()


@pytest.fixture
def endpoints(folder: Path) -> Iterator[Endpoints]:
    made = Endpoints(folder)
    yield made
    made.close()
    made.context.term()


@pytest.fixture
def plugin(endpoints: Endpoints) -> Iterator[Recorder]:
    """A plugin that runs in a thread, and hears."""
    made = Recorder(endpoints.control, endpoints.pubsub, 5.0)
    ready = threading.Event()
    thread = threading.Thread(target=made.start, args=(ready.set,))
    thread.start()
    assert endpoints.publisher.recv() == b"\x01watcher."
    assert ready.wait(BOUND)
    yield made
    made.stop()
    thread.join(BOUND)
    assert not thread.is_alive()
    assert made.seen.get(timeout=BOUND) == "stopped"


def test_hears_again_after_the_arbiter_was_replaced(endpoints: Endpoints, plugin: Recorder) -> None:
    endpoints.publish("watcher.a.b.spawn")
    assert plugin.seen.get(timeout=BOUND) == ("a.b", "spawn", b"{}")
    endpoints.close()
    endpoints.open()
    assert endpoints.publisher.recv() == b"\x01watcher."  # it has subscribed again
    endpoints.publish("watcher.x.reap")
    assert plugin.seen.get(timeout=BOUND) == ("x", "reap", b"{}")


def test_calls_are_matched_to_their_replies(endpoints: Endpoints, plugin: Recorder) -> None:
    plugin.loop.add_callback(lambda: plugin.seen.put(plugin.call("status", name="web")))
    identity, request = endpoints.request()
    assert (request["command"], request["properties"]) == ("status", {"name": "web"})
    for reply_id in ("another", request["id"]):
        answer = {"id": reply_id, "status": "active", "time": 1.0}
        endpoints.router.send_multipart([identity, json.dumps(answer).encode()])
    assert plugin.seen.get(timeout=BOUND)["id"] == request["id"]
    plugin.loop.add_callback(lambda: plugin.cast("incr", name="web"))
    _, request = endpoints.request()
    assert request["msg_type"] == "cast"


def test_a_call_without_an_answer(plugin: Recorder) -> None:
    plugin.call_timeout = 0.05

    def call() -> None:
        with pytest.raises(NotAnswered):
            plugin.call("status")
        plugin.seen.put("not answered")

    plugin.loop.add_callback(call)
    assert plugin.seen.get(timeout=BOUND) == "not answered"


def test_ends_in_the_middle_of_a_call(endpoints: Endpoints, plugin: Recorder) -> None:
    plugin.call_timeout = 1000
    plugin.loop.add_callback(lambda: plugin.call("status"))
    endpoints.request()  # and nobody answers; the fixture sees that it ends


def test_periods(plugin: Recorder) -> None:
    def begin() -> None:
        period = plugin.period(lambda: (plugin.seen.put("tick"), 1 / 0), 0.01)
        other = PeriodicCallback(lambda: (plugin.seen.put("tock"), other.stop()), 10, plugin.loop)
        other.start()
        plugin.loop.call_later(0.1, period.stop)
        plugin.loop.call_later(0.15, plugin.seen.put, "over")

    plugin.loop.add_callback(begin)
    seen = list(iter(lambda: plugin.seen.get(timeout=BOUND), "over"))
    assert seen.count("tick") > 1  # also after it has failed
    assert seen.count("tock") == 1
