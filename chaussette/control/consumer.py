"""Events as they come: a subscriber to an arbiter's pubsub endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import zmq

from chaussette.control.closing import Closing
from chaussette.control.curve import Credentials, Handshakes
from chaussette.control.tunnel import Tunnel


class CircusConsumer(Closing):
    """Iterates over (topic, message), both bytes, as Circus's class of that name does.

    `topics` are beginnings of topics; `[""]` gets all. `endpoint` is where events
    are published (see `globaloptions`), `credentials` have the key where it asks for
    one. Iteration ends with `stop`, or raises KeyRefused.
    """

    def __init__(
        self,
        topics: Iterable[str | bytes],
        context: Any = None,
        endpoint: str = "tcp://127.0.0.1:5556",
        ssh_server: str | None = None,
        timeout: float = 1.0,
        *,
        credentials: Credentials | None = None,
    ) -> None:
        self.topics = list(topics)
        self.timeout = timeout
        self.keep_context = context is not None
        self._own = not self.keep_context
        self._tunnel = Tunnel(ssh_server, endpoint) if ssh_server else None
        self.endpoint = self._tunnel.endpoint if self._tunnel else endpoint
        self.context = context or zmq.Context()
        self.pubsub_socket = self.context.socket(zmq.SUB)
        self.pubsub_socket.setsockopt(zmq.LINGER, 0)
        for topic in self.topics:
            self.pubsub_socket.setsockopt(
                zmq.SUBSCRIBE, topic.encode() if isinstance(topic, str) else topic
            )
        self._handshakes: Handshakes | None = None
        try:
            if (credentials or Credentials()).arm(self.pubsub_socket, self.endpoint):
                self._handshakes = Handshakes(self.pubsub_socket, self.endpoint)
            self.pubsub_socket.connect(self.endpoint)
        except BaseException:
            self.stop()
            raise

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self.iter_messages()

    def iter_messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Yields (topic, message) until the consumer is stopped."""
        with self:
            while not self.pubsub_socket.closed:
                self._wait()
                frames = self.pubsub_socket.recv_multipart()
                if len(frames) == 2:
                    yield frames[0], frames[1]

    def _wait(self) -> None:
        """Until there is a message. Raises KeyRefused where the key is not let in."""
        if self._handshakes is None:
            return
        poller = zmq.Poller()
        poller.register(self.pubsub_socket, zmq.POLLIN)
        poller.register(self._handshakes.monitor, zmq.POLLIN)
        while self.pubsub_socket not in dict(poller.poll()):
            self._handshakes.check()

    def stop(self) -> None:
        """Closes the connection."""
        if self._handshakes is not None:
            self._handshakes.close()
            self._handshakes = None
        self.pubsub_socket.close(0)
        self._end()
