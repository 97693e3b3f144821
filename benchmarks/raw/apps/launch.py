"""python launch.py SERVER MODULE:APP PORT THREADS: servers that have no command of their own."""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Callable
from typing import Any

HOST = "127.0.0.1"


def bjoern(app: Any, port: int, threads: int) -> None:
    """One thread."""
    del threads
    importlib.import_module("bjoern").run(app, HOST, port)


def fastwsgi(app: Any, port: int, threads: int) -> None:
    """One thread."""
    del threads
    importlib.import_module("fastwsgi").run(wsgi_app=app, host=HOST, port=port)


def meinheld(app: Any, port: int, threads: int) -> None:
    """One thread; its access log is switched off."""
    del threads
    server = importlib.import_module("meinheld").server
    server.set_access_logger(None)
    server.listen((HOST, port))
    server.run(app)


def cheroot(app: Any, port: int, threads: int) -> None:
    """A pool of threads."""
    wsgi = importlib.import_module("cheroot.wsgi")
    wsgi.Server((HOST, port), app, numthreads=threads, request_queue_size=2048).start()


def pywsgi(app: Any, port: int, threads: int) -> None:
    """gevent's own server; its access log is switched off."""
    del threads
    server = importlib.import_module("gevent.pywsgi")
    server.WSGIServer((HOST, port), app, log=None).serve_forever()


def pywsgi_nodelay(app: Any, port: int, threads: int) -> None:
    """The same without its stalls on keep-alive."""
    del threads
    server = importlib.import_module("gevent.pywsgi")
    listener = importlib.import_module("gevent.socket").socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((HOST, port))
    listener.listen(4096)
    server.WSGIServer(listener, app, log=None).serve_forever()


SERVERS: dict[str, Callable[[Any, int, int], None]] = {
    one.__name__: one for one in (bjoern, fastwsgi, meinheld, cheroot, pywsgi, pywsgi_nodelay)
}


def main(name: str, application: str, port: str, threads: str) -> None:
    """Serves until it is ended."""
    module, _, attribute = application.partition(":")
    app = getattr(importlib.import_module(module), attribute)
    SERVERS[name](app, int(port), int(threads))


if __name__ == "__main__":
    main(*sys.argv[1:])
