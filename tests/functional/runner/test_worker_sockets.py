"""Real workers on inherited and on own sockets, and what is said of wrong ones."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WSGIREF = ("--backend", "wsgiref")
AS_FD_3 = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
pid = {"own": str(os.getpid()), "other": "1"}.get(sys.argv[2])
environ = {**os.environ, "LISTEN_FDS": "1", **({"LISTEN_PID": pid} if pid else {})}
os.execve(sys.executable, [sys.executable, "-m", "chaussette", *sys.argv[3:]], environ)
"""


def own_port(worker: Any) -> int:
    line = worker.wait_said("(pid ")
    return int(line.split("http://")[1].split(" ")[0].rpartition(":")[2])


def test_an_inherited_socket_is_served(start: Any, listening: socket.socket, http_get: Any) -> None:
    fd = listening.fileno()
    worker = start("--fd", str(fd), *WSGIREF, "demo", fds=(fd,))
    worker.wait_ready()
    assert http_get(listening.getsockname()[1]) == b"hello"
    assert os.readlink(f"/proc/{worker.process.pid}/fd/{fd}").startswith("socket:")
    worker.signal(signal.SIGTERM)
    worker.wait_told("STOPPING")
    assert worker.wait_exit() == 0
    line = worker.everything()
    assert (
        f"serving demo (wsgi) with wsgiref on http://127.0.0.1:{listening.getsockname()[1]}" in line
    )


def test_accepted_connections_do_not_wait_for_nagle(start: Any, listening: socket.socket) -> None:
    worker = start("--fd", str(listening.fileno()), *WSGIREF, fds=(listening.fileno(),))
    worker.wait_ready()
    assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_port_0_is_reported_and_ipv6_works(start: Any, http_get: Any) -> None:
    worker = start("-b", "[::1]:0", *WSGIREF, "demo")
    worker.wait_ready()
    assert http_get(own_port(worker), host="::1") == b"hello"


def test_two_binds_are_both_served(start: Any, http_get: Any) -> None:
    worker = start("-b", "127.0.0.1:0", "-b", "127.0.0.1:0", *WSGIREF, "demo")
    worker.wait_ready()
    line = worker.wait_said("(pid ")
    ports = [
        int(part.split("/")[0].split(",")[0].split(" ")[0]) for part in line.split("127.0.0.1:")[1:]
    ]
    assert [http_get(port) for port in ports] == [b"hello", b"hello"]


@pytest.mark.parametrize("flags", [("-b", "unix:web.sock"), ("--host", "unix:web.sock")])
def test_a_unix_socket_is_made_and_removed(
    start: Any, tmp_path: Path, http_get_unix: Any, flags: tuple[str, ...]
) -> None:
    path = tmp_path / "web.sock"
    worker = start(*flags, *WSGIREF, "demo")
    worker.wait_ready()
    assert http_get_unix(str(path)) == b"hello"
    assert worker.stop() == 0
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(start: Any, tmp_path: Path, http_get_unix: Any) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "web.sock"))
    worker = start("-b", "unix:web.sock", *WSGIREF, "demo")
    worker.wait_ready()
    assert http_get_unix(str(tmp_path / "web.sock")) == b"hello"


def refused(start: Any, *argv: str, **options: Any) -> str:
    """Standard error of a worker that must end with 1."""
    worker = start(*argv, *WSGIREF, **options)
    assert worker.wait_exit() == 1
    return str(worker.everything())


def test_a_unix_socket_in_use_is_left_alone(start: Any, tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert "cannot listen on unix:web.sock: the address is in use" in refused(
            start, "-b", "unix:web.sock"
        )
    path.unlink()
    path.write_text("precious")
    assert "something that is no socket" in refused(start, "-b", "unix:web.sock")
    assert path.read_text() == "precious"


def test_a_port_in_use_is_named(start: Any, listening: socket.socket) -> None:
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    assert f"cannot listen on {address}: the address is in use" in refused(start, "-b", address)


def test_workers_share_a_port_when_told_to(start: Any, http_get: Any) -> None:
    first = start("--reuse-port", "-b", "127.0.0.1:0", *WSGIREF, "demo")
    first.wait_ready()
    port = own_port(first)
    second = start("--reuse-port", "-b", f"127.0.0.1:{port}", *WSGIREF, "demo")
    second.wait_ready()
    assert first.stop() == 0
    assert http_get(port) == b"hello"


@pytest.mark.parametrize("pid", ["own", "absent"])
def test_a_passed_socket_is_served(
    start: Any, listening: socket.socket, http_get: Any, pid: str
) -> None:
    fd = listening.fileno()
    worker = start(str(fd), pid, *WSGIREF, "demo", command=("-c", AS_FD_3), fds=(fd,))
    worker.wait_ready()
    assert http_get(listening.getsockname()[1]) == b"hello"


def test_a_socket_passed_to_another_is_not_taken(start: Any, listening: socket.socket) -> None:
    fd = listening.fileno()
    argv = (str(fd), "other", *WSGIREF, "--check", "demo")
    worker = start(*argv, command=("-c", AS_FD_3), fds=(fd,))
    assert worker.wait_exit() == 0


def a_file(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    yield fd
    os.close(fd)


def a_directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def a_pipe(_: Path) -> Iterator[int]:
    ends = os.pipe()
    yield ends[0]
    for fd in ends:
        os.close(fd)


def udp(_: Path) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        yield made.fileno()


def connected(_: Path) -> Iterator[int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as made,
    ):
        yield made.fileno()


def pair(_: Path) -> Iterator[int]:
    left, right = socket.socketpair()
    with left, right:
        yield left.fileno()


def bound_only(_: Path) -> Iterator[int]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        yield made.fileno()


def unix_datagram(tmp_path: Path) -> Iterator[int]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "datagram"))
        yield made.fileno()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (a_file, "is a file ("),
        (a_directory, "is a directory ("),
        (a_pipe, "is a pipe ("),
        (udp, "is a UDP socket"),
        (connected, "is a connected socket (to 127.0.0.1:"),
        (pair, "is a connected socket (to unix:"),
        (bound_only, "on which listen() was not called"),
        (unix_datagram, "is a unix datagram socket"),
    ],
)
def test_a_wrong_descriptor_is_named_for_what_it_is(
    start: Any, tmp_path: Path, make: Callable[[Path], Iterator[int]], words: str
) -> None:
    for fd in make(tmp_path):
        text = refused(start, "--fd", str(fd), fds=(fd,))
        assert f"fd {fd} " in text and words in text
        assert "Traceback" not in text


def test_a_descriptor_that_is_not_open_is_said_to_be(start: Any) -> None:
    assert "fd 97 is not open" in refused(start, "--fd", "97")
