"""A client's side of keys: which one is used where, and why a connection is not made.

A key is used where an endpoint asks for one. It is demanded, so that nobody in
between can answer in the clear, where it was named (a flag, an argument or
CIRCUSCTL_CLIENT_KEY) for a `tcp://` endpoint, and always beyond loopback.
"""

from __future__ import annotations

import os
from typing import Any

from chaussette.control import zmtp
from chaussette.control.keys import ClientKey, read_client_key
from chaussette.control.places import default_client_key, is_public_tcp
from chaussette.errors import ConfigError, KeyRefused, WantsKey

CLIENT_KEY = "CIRCUSCTL_CLIENT_KEY"
PROBE_TIMEOUT = 2.0
"""Seconds to wait for an endpoint to greet."""


class Credentials:
    """The key of a client, if it has one. Nothing is read before it is needed."""

    def __init__(self, client_key: str | None = None, server_key: str | None = None) -> None:
        self._named = client_key or os.environ.get(CLIENT_KEY)
        self._server = server_key
        self._key: ClientKey | None = None

    def is_demanded(self, endpoint: str) -> bool:
        """Whether nothing but a connection by key will do."""
        if not endpoint.startswith("tcp://"):
            return False
        return bool(self._named or self._server) or (is_public_tcp(endpoint) and self.is_there())

    def is_there(self) -> bool:
        """Whether there is a key."""
        return bool(self._named) or os.path.exists(default_client_key())

    def key(self, endpoint: str) -> ClientKey:
        """The key. Raises WantsKey where there is none, ConfigError for a file that is wrong."""
        if self._key is None:
            if not self.is_there():
                raise WantsKey(
                    f"{endpoint} asks for a key, and there is none: `circusctl keys add NAME` on "
                    f"its machine makes one; give --client-key FILE, set {CLIENT_KEY}, or put it "
                    f"at {default_client_key()}"
                )
            self._key = read_client_key(self._named or default_client_key(), self._server)
        return self._key

    def arm(self, socket: Any, endpoint: str) -> bool:
        """Gives a zmq socket the key before it connects, where one is used; whether it did.

        Raises WantsKey, ConfigError.
        """
        if not self.is_used(endpoint):
            return False
        arm(socket, self.key(endpoint))
        return True

    def is_used(self, endpoint: str) -> bool:
        """Whether a key is to be used; asks the endpoint where that is for it to say."""
        if self.is_demanded(endpoint):
            return True
        if not endpoint.startswith("tcp://") and not self.is_there():
            return False  # only the end of a tunnel might ask
        try:
            return zmtp.asks_for_key(endpoint, PROBE_TIMEOUT)
        except OSError:
            # Nobody is there yet; what stands in a directory of its own asks for none.
            return endpoint.startswith("tcp://") and self.is_there()


def arm(socket: Any, key: ClientKey) -> None:
    """Makes a zmq socket that has not connected yet speak CURVE."""
    import zmq  # where no key is used, nobody needs it

    if not zmq.has("curve"):
        raise ConfigError("libzmq was built without CURVE here: install pyzmq's own wheels")
    socket.setsockopt(zmq.CURVE_SERVERKEY, key.server.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, key.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, key.secret.encode())


class Handshakes:
    """Hears why a zmq socket's connection by key is not made; to be asked before it connects."""

    def __init__(self, socket: Any, endpoint: str) -> None:
        import zmq

        self._socket = socket
        self._endpoint = endpoint
        self._broken = 0
        self.monitor = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        )

    def check(self) -> None:
        """Reads what has come. Raises KeyRefused."""
        import zmq
        from zmq.utils.monitor import parse_monitor_message

        while True:
            try:
                event = parse_monitor_message(self.monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            self.heard(int(event["event"]))

    def heard(self, event: int) -> None:
        """One event. Raises KeyRefused."""
        import zmq

        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise KeyRefused(
                f"{self._endpoint} refuses this key: it was not made there, or was revoked"
            )
        self._broken += 1
        if self._broken > 1:  # once may be an arbiter that was just ending
            raise KeyRefused(
                f"{self._endpoint} does not complete the handshake: is it a circusd with keys, "
                "and the server's key in the client's file (or --server-key) its own?"
            )

    def close(self) -> None:
        """Ends it; the socket itself stays open."""
        self._socket.disable_monitor()
        self.monitor.close(0)
