"""`--use-reloader` with real files, and applications that come by PasteDeploy or the Python API."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

WITHOUT_WATCHFILES = """
import sys
sys.modules["watchfiles"] = None
from chaussette.cli.chaussette import main
sys.exit(main())
"""
PAGE = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "1")])
    return [b"{0}"]
"""
MAKE_SERVER = """
import sys, threading
from chaussette.server import make_server
import demo
server = make_server(demo.application, host="127.0.0.1", port=0, backend="wsgiref")
print(f"on http://127.0.0.1:{server.server_address[1]} (pid 0)", file=sys.stderr, flush=True)
thread = threading.Thread(target=server.serve_forever)
thread.start()
demo.wait_at_the_gate()
server.shutdown()
thread.join()
server.server_close()
"""
SERVE_PASTE = """
import sys
from chaussette.paste import serve_paste
import demo
keys = dict(pair.split("=") for pair in sys.argv[1:])
serve_paste(demo.application, {"__file__": "site.ini"}, **keys)
"""


@pytest.mark.parametrize("command", [("-m", "chaussette"), ("-c", WITHOUT_WATCHFILES)])
def test_an_edit_restarts_and_a_mistake_waits(
    start: Any, tmp_path: Path, listening: socket.socket, http_get: Any, command: tuple[str, ...]
) -> None:
    page, fd, port = tmp_path / "page.py", listening.fileno(), listening.getsockname()[1]
    page.write_text(PAGE.format(1))
    argv = ("--use-reloader", "--fd", str(fd), "--backend", "wsgiref", "page")
    parent = start(*argv, command=command, fds=(fd,))
    parent.wait_ready()
    assert http_get(port) == b"1"
    page.write_text(PAGE.format(2))
    parent.wait_said("page.py changed: restarting")
    parent.wait_ready()
    page.write_text("1 / 0\n")
    said = parent.wait_said("the worker ended (exit code 3); waiting for a change")
    assert said.count("ZeroDivisionError") == 2  # in the first line, and in the traceback
    page.write_text(PAGE.format(3))
    parent.wait_ready()
    assert http_get(port) == b"3"
    parent.signal(signal.SIGINT)
    assert parent.wait_exit() == 0


def test_a_module_that_is_imported_is_watched(
    start: Any, tmp_path: Path, listening: socket.socket, http_get: Any
) -> None:
    library = tmp_path / "library" / "deep"
    library.mkdir(parents=True)
    (library / "inner.py").write_text(PAGE.format(1))
    fd = listening.fileno()
    argv = ("--use-reloader", "--fd", str(fd), "--python-path", "library", "deep.inner")
    parent = start(*argv, "--backend", "wsgiref", fds=(fd,))
    parent.wait_ready()
    parent.wait_said("serving")
    (library / "inner.py").write_text(PAGE.format(2))
    parent.wait_said("inner.py changed")
    parent.wait_ready()
    assert http_get(listening.getsockname()[1]) == b"2"
    assert parent.stop() == 0


INI = """
[app:main]
paste.app_factory = shop:make
word = main

[app:blog]
paste.app_factory = shop:make
word = blog
"""
SHOP = """
def make(global_conf, word):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "4")])
        return [word.encode()]
    return application
"""


@pytest.mark.parametrize(("spec", "body"), [("site.ini", b"main"), ("site.ini#blog", b"blog")])
def test_a_paste_application_is_served(
    start: Any, tmp_path: Path, listening: socket.socket, http_get: Any, spec: str, body: bytes
) -> None:
    pytest.importorskip("paste.deploy")
    (tmp_path / "site.ini").write_text(INI)
    (tmp_path / "shop.py").write_text(SHOP)
    fd = listening.fileno()
    worker = start("--fd", str(fd), "--backend", "wsgiref", f"paste:{spec}", fds=(fd,))
    worker.wait_ready()
    assert http_get(listening.getsockname()[1]) == body


def test_paste_s_mistakes_are_explained(start: Any, tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(INI)
    absent = start("--check", "paste:none.ini")
    assert absent.wait_exit() == 4
    assert "there is no file" in absent.everything()
    nameless = start("--check", "paste:site.ini#shop")
    assert nameless.wait_exit() == 4
    without = start("--check", "paste:site.ini", command=("-c", WITHOUT_PASTE))
    assert without.wait_exit() == 1
    assert "pip install 'chaussette[paste]'" in without.everything()


WITHOUT_PASTE = WITHOUT_WATCHFILES.replace("watchfiles", "paste")


def test_paste_s_server_runner_takes_texts(start: Any, http_get: Any) -> None:
    worker = start("host=127.0.0.1", "port=0", "backend=wsgiref", command=("-c", SERVE_PASTE))
    worker.wait_ready()
    line = worker.wait_said("(pid ")
    assert "serving paste:site.ini (wsgi) with wsgiref" in line
    assert http_get(int(line.split("127.0.0.1:")[1].split(" ")[0])) == b"hello"
    assert worker.stop() == 0


def test_a_wrong_key_of_paste_is_an_error(start: Any) -> None:
    worker = start("bakend=wsgiref", command=("-c", SERVE_PASTE))
    assert worker.wait_exit() == 1
    assert "unknown key 'bakend'; did you mean 'backend'?" in worker.everything()


def test_the_python_api_serves_until_shut_down(start: Any, http_get: Any, gate: Any) -> None:
    program = start(command=("-c", MAKE_SERVER), environ={"GATE": gate.name})
    line = program.wait_said("(pid 0)")
    assert http_get(int(line.split("127.0.0.1:")[1].split(" ")[0])) == b"hello"
    gate.wait_arrival()
    gate.open()
    assert program.wait_exit() == 0
