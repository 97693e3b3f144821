"""The server's side of keys: who is let in, and what each may do.

libzmq asks for each connection by CURVE on a socket of the context (ZAP,
rfc.zeromq.org/spec/27). It is answered in the arbiter's loop: no thread, no wait.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from chaussette.control.keys import Allowed, ClientKey, KeyStore, new_pair, write_client_key
from chaussette.control.levels import Level
from chaussette.errors import NotAllowed

log = logging.getLogger("chaussette.arbiter.control")
HANDSHAKE_MS = 5000
_DOMAIN = b"chaussette"
_LONGEST_REQUEST = 7
_PLACE = "inproc://zeromq.zap.01"


class Guard:
    """Lets clients in by the keys of a directory.

    `fd` is to be watched, and `answer` to be called when it is readable.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], store: KeyStore) -> None:
        self._store = store
        self._own: dict[str, Allowed] = {}
        self._admitted: set[str] = set()
        self._told: list[str] = []
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_PLACE)
        self.fd = int(self.socket.getsockopt(zmq.FD))
        self._tell_faults()

    def secure(self, socket: Any) -> None:
        """Makes a zmq socket that is not bound yet ask for keys."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._store.secret.encode())
        socket.setsockopt(zmq.ZAP_DOMAIN, _DOMAIN)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)

    def answer(self) -> None:
        """Answers what libzmq asks; it reads until nothing is left."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            at = frames.index(b"") + 1 if b"" in frames else 0
            self._judge(frames[:at], frames[at:])

    def client(self, public: str) -> Allowed:
        """Who has that key, as the files say now. Raises NotAllowed."""
        found = self._find(public)
        if found is None:
            raise NotAllowed("this key has been revoked")
        return found

    def issue(self, path: Path, name: str) -> None:
        """Writes a key for processes of the arbiter's own; it is known to this guard only."""
        public, secret = new_pair()
        write_client_key(path, ClientKey(public, secret, self._store.public, name))
        self._own[public] = Allowed(name, public, Level.CONFIGURE)

    def forget_revoked(self) -> bool:
        """Whether somebody who was let in would not be any more; asked once, it is forgotten."""
        gone = {one for one in self._admitted if self._find(one) is None}
        self._admitted -= gone
        return bool(gone)

    def close(self) -> None:
        """Closes the socket; nobody is let in any more."""
        self.socket.close(0)

    def _find(self, public: str) -> Allowed | None:
        found = self._own.get(public) or self._store.allowed().get(public)
        self._tell_faults()
        return found

    def _judge(self, envelope: list[bytes], asked: list[bytes]) -> None:
        """Frames are version, request, domain, address, identity, mechanism, key."""
        if len(asked) < 2:
            return
        public = ""
        if len(asked) == _LONGEST_REQUEST and asked[5] == b"CURVE" and len(asked[6]) == 32:
            public = z85.encode(asked[6]).decode()
        client = self._find(public)
        address = asked[3].decode("ascii", "replace") if len(asked) > 3 else ""
        if client is None:
            log.warning("a client at %.60r has a key that is not allowed", address)
            answer = [b"400", b"not allowed", b"", b""]
        else:
            log.info("client %s (%s) at %.60r", client.name, client.level, address)
            self._admitted.add(public)
            answer = [b"200", b"", public.encode(), b""]
        self.socket.send_multipart([*envelope, *asked[:2], *answer])

    def _tell_faults(self) -> None:
        """Each fault once: an allow-list that cannot be read lets nobody in silently."""
        for fault in self._store.faults:
            if fault not in self._told:
                log.warning("%s; this client is not let in", fault)
        self._told = list(self._store.faults)
