"""The ASGI HTTP specification, as an application and its clients see it.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from wire_server import HERE, Nest, WireServer, wait_hangup

BACKEND = "native"
MEGABYTE = 1024 * 1024


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """The event loop of this run."""
    name: str = request.param
    if name == "uvloop":
        pytest.importorskip("uvloop")
    return name


@pytest.fixture
def server(nest: Nest, loop: str) -> WireServer:
    """One worker."""
    return serve(nest, loop)


def serve(nest: Nest, loop: str, *args: str, app: str = "app") -> WireServer:
    """A worker on this loop."""
    path = ("--python-path", str(HERE / "without_uvloop")) if loop == "asyncio" else ()
    return nest.serve(BACKEND, f"asgi_apps:{app}", *path, *args)


def test_what_is_no_message(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        response = wire.get("/errors")
        found = json.loads(response.body)
    kinds = [error[0] if error else "" for error in found]
    assert kinds[0] == "RuntimeError", "a body before the head"
    assert kinds[1:5] == ["TypeError"] * 4
    assert kinds[5:7] == ["ValueError"] * 2
    assert kinds[7:9] == ["TypeError"] * 2
    assert all(kinds[9:20]), kinds
    assert kinds[20:22] == ["RuntimeError", "RuntimeError"], "pathsend and a second head"
    assert kinds[22:24] == ["TypeError"] * 2
    assert kinds[24:] == ["FileNotFoundError", "TypeError", "TypeError"]
    assert (response.get("x-first"), response.get("x-second")) == ("1", "1")
    nest.gate.wait('[["RuntimeError", false], ["RuntimeError", false]]')
    nest.gate.wait("http.disconnect")


def test_a_body_comes_as_it_is_sent(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        wire.send(b"POST /parts HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\none")
        nest.gate.wait("http.request one True")
        wire.send(b"two")
        nest.gate.wait("http.request two True")
        wire.send(b"end")
        nest.gate.wait("http.request end False")
        assert wire.read().body == b"all"
        wire.send(b"POST /parts HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"3\r\none\r\n")
        nest.gate.wait("http.request one True")
        wire.send(b"0\r\n\r\n")
        nest.gate.wait("http.request  False")
        assert wire.read().body == b"all"


@pytest.mark.parametrize(
    ("rest", "status"), [(b"zz\r\n", 400), (b"ffffffff\r\n", 413)], ids=["malformed", "too large"]
)
def test_a_body_that_is_none(nest: Nest, loop: str, rest: bytes, status: int) -> None:
    server = serve(nest, loop, "--limit-request-body", "1000")
    with server.connect() as wire:
        wire.send(
            b"POST /parts HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
        )
        nest.gate.wait("http.request one True")
        wire.send(rest)
        nest.gate.wait("http.disconnect  False")
        response = wire.read()
        assert (response.status, response.closes, wire.is_at_end()) == (status, True, True)
    assert server.is_well()
    assert "Traceback" not in server.log()


def test_a_body_that_ends_too_soon(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        wire.send(b"POST /parts HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\none")
        nest.gate.wait("http.request one True")
    nest.gate.wait("http.disconnect  False")
    assert server.is_well()
    server.wait_slot(lambda slot: slot.in_flight == 0)


def test_a_body_that_does_not_come_in_time(nest: Nest, loop: str) -> None:
    server = serve(nest, loop, "--body-timeout", "0.3")
    with server.connect() as wire:
        wire.send(b"POST /parts HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\none")
        nest.gate.wait("http.request one True")
        nest.gate.wait("http.disconnect  False")
        assert wire.read().status == 408


def test_a_client_that_is_not_told_to_go_on_has_time(nest: Nest, loop: str) -> None:
    server = serve(nest, loop, "--body-timeout", "0.2")
    head = b"POST /hold HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    with server.connect() as wire, server.connect() as other:
        wire.send(head)
        gate = nest.gate.wait("holding")
        other.send(b"POST /parts HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\none")
        nest.gate.wait("http.request one True")
        nest.gate.wait("http.disconnect  False")  # one of the same age that was asked
        gate.close()
        assert wire.read_exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"body")
        assert wire.read().body == b"4"


def test_no_continue_inside_a_response(server: WireServer) -> None:
    lines = b"Host: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    with server.connect() as wire:
        wire.send(b"POST /ignore HTTP/1.1\r\n" + lines)
        everything = wire.rest()
    assert everything.startswith(b"HTTP/1.1 200 ") and b"100 Continue" not in everything


def test_an_application_that_does_not_read_bounds_memory(nest: Nest, server: WireServer) -> None:
    size = 50 * MEGABYTE
    with server.connect() as wire:
        assert wire.get("/hello").status == 200
        before = server.memory()
        wire.send(b"POST /hold HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size)
        gate = nest.gate.wait("holding")
        wire.socket.setblocking(False)
        sent, waiting = fill(wire.socket, size)
        assert waiting, "all of it was taken"
        assert server.memory() - before < 3 * MEGABYTE
        assert server.is_well()
        gate.close()
        wire.socket.settimeout(15)
        wire.send(b"x" * (size - sent))
        assert wire.read().body == str(size).encode()


def fill(end: socket.socket, size: int) -> tuple[int, bool]:
    """Sends until nothing more is taken for a moment, or all is."""
    import select

    poll = select.poll()
    poll.register(end, select.POLLOUT)
    sent = 0
    while sent < size:
        if not poll.poll(300):
            return sent, True
        sent += end.send(b"x" * min(65536, size - sent))
    return sent, False


@pytest.mark.parametrize("block", [1000, 65536, 5 * MEGABYTE])
def test_a_slow_reader_bounds_memory(nest: Nest, server: WireServer, block: int) -> None:
    with server.connect() as wire:
        assert wire.get("/hello").status == 200
        before = server.memory()
        wire.ask(f"/flood?{block}")
        nest.gate.wait("begun")
        for _ in range(20):
            assert server.is_well()
        assert server.memory() - before < 2 * block + 4 * MEGABYTE
        assert len(wire.read_exactly(20 * MEGABYTE)) == 20 * MEGABYTE
        assert server.memory() - before < 3 * block + 4 * MEGABYTE
    nest.gate.wait("ClientDisconnected http.disconnect")
    server.wait_slot(lambda slot: slot.in_flight == 0)
    assert "Traceback" not in server.log(), "a client that leaves is no error"


def test_a_reader_that_stops_is_cut_off(nest: Nest, loop: str) -> None:
    server = serve(nest, loop, "--write-timeout", "0.3")
    with server.connect() as wire:
        wire.ask("/flood?65536")
        nest.gate.wait("begun")
        nest.gate.wait("ClientDisconnected http.disconnect")


def test_both_ways_at_once(server: WireServer) -> None:
    size = 400_000
    with server.connect() as wire:
        wire.send(b"POST /echo-stream HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size)
        for at in range(0, size, 40_000):
            wire.send(bytes([at // 40_000]) * 40_000)
        assert wire.read().body == b"".join(bytes([i]) * 40_000 for i in range(10))


def test_all_who_wait_hear_of_the_end(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        wire.ask("/two-receivers")
        assert wire.read_head()[0] == 200
        assert wire.read_chunk() == b"begun"
    nest.gate.wait("http.disconnect http.disconnect")
    server.wait_slot(lambda slot: slot.in_flight == 0)


def test_a_body_is_there_after_its_client_has_gone(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        wire.send(b"POST /late-read HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody")
        gate = nest.gate.wait("late")
        wire.socket.shutdown(socket.SHUT_WR)
        assert server.is_well(), "it has seen the end by now"
        gate.close()
        assert wire.read().body == b"body"


def test_disconnect_while_streaming(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        wire.ask("/sse")
        assert wire.read_head()[0] == 200
        assert wire.read_chunk() == b"data: 1\n\n"
    nest.gate.wait("gone")


def test_files(server: WireServer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 40_000)
    with server.connect() as wire:
        response = wire.get(f"/pathsend?{file}")
        assert response.body == file.read_bytes()
        assert response.get("content-length") == str(file.stat().st_size)
        wire.ask(f"/pathsend?{file}", "HEAD")
        response = wire.read("HEAD")
        assert response.get("content-length") == str(file.stat().st_size)
        assert wire.get("/hello").body == b"hello"


def test_answers_keep_their_order(server: WireServer) -> None:
    names = [f"{'s' if number % 3 else 'n'}{number}" for number in range(60)]
    with server.connect() as wire:
        for name in names:
            wire.send(f"GET /sleep?{name} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        assert [wire.read().body.decode() for _ in names] == names


def test_requests_wait_side_by_side(nest: Nest, server: WireServer) -> None:
    wires = [server.connect() for _ in range(20)]
    for wire in wires:
        wire.ask("/late-read")
    gates = [nest.gate.wait("late") for _ in wires]
    assert server.slot().in_flight == 20
    for gate in gates:
        gate.close()
    assert [wire.read().status for wire in wires] == [200] * 20


def test_what_was_not_read_is_no_request(server: WireServer) -> None:
    with server.connect() as wire:
        wire.ask("/ignore", "POST", b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n")
        assert wire.read().body == b"ignored"
        assert wire.get("/hello").body == b"hello", "all of it had come"
    with server.connect() as wire:
        wire.send(b"POST /ignore HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\nhalf")
        response = wire.read()
        assert (response.body, response.closes) == (b"ignored", True)
        wire.send(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n" * 20)
        assert wire.is_at_end()


def test_work_behind_the_response_is_in_nobodys_way(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        assert wire.get("/background").body == b"answered"
        gate = nest.gate.wait("background")
        assert wire.get("/hello").body == b"hello"
        server.terminate()
        assert wire.is_at_end()
    gate.close()
    nest.gate.wait("done")
    assert server.wait_exit() == 0


def test_tasks_may_outlive_their_request(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        assert wire.get("/outlive").body == b"left"
        nest.gate.wait("left behind").close()
        assert wire.get("/hello").body == b"hello"


@pytest.mark.parametrize("half", ["", "half"])
def test_an_end_without_a_response(server: WireServer, half: str) -> None:
    with server.connect() as wire:
        response = wire.get(f"/nothing?{half}")
        assert response.status == (200 if half else 500)
        assert response.complete is not half and wire.is_at_end()
    assert "ended before its response did" in server.log()
    server.wait_slot(lambda slot: slot.errors == 1 and slot.in_flight == 0)


@pytest.mark.parametrize("kind", ["error", "exit", "cancel"])
@pytest.mark.parametrize("when", ["now", "later", "after"])
def test_exceptions(server: WireServer, kind: str, when: str) -> None:
    with server.connect() as wire:
        response = wire.get(f"/raises?{kind}-{when}")
        assert response.status == (200 if when == "after" else 500)
    assert server.is_well()
    if kind != "cancel":
        server.wait_slot(lambda slot: slot.in_flight == 0)
        assert {"error": "deliberate", "exit": "SystemExit"}[kind] in server.log()


def test_asyncio_is_whole(server: WireServer, loop: str) -> None:
    with server.connect() as wire:
        wire.send(b"GET /asyncio HTTP/1.1\r\nHost: t\r\n\r\n" * 3)
        found = [json.loads(wire.read().body) for _ in range(3)]
    names = [each.pop("name") for each in found]
    assert len(set(names)) == 3 and "renamed" not in names
    assert (
        found
        == [
            {
                "variable": "fresh",
                "in all_tasks": True,
                "awaitable": True,
                "same task": True,
                "variable kept": "mine",
                "child has it": "mine",
                "thread has it": "mine",
                "executor": 1,
                "loop": loop,
                "timeout": True,
                "group": ["cancelled", "raised"],
            }
        ]
        * 3
    )


def test_anyio(server: WireServer) -> None:
    pytest.importorskip("anyio")
    with server.connect() as wire:
        found = json.loads(wire.get("/anyio").body)
    assert found == {"moved on": True, "thread": 1, "receive": True}


def test_send_must_be_awaited(server: WireServer) -> None:
    with server.connect() as wire:
        assert wire.get("/unawaited").body == b"sent"
    assert "send() was never awaited" in server.log()


def test_asgi_2(nest: Nest, loop: str) -> None:
    server = serve(nest, loop, app="Two")
    with server.connect() as wire:
        assert wire.get("/hello").body == b"hello"
        assert wire.get("/sleep?s").body == b"s"


def test_limit_of_requests(nest: Nest, loop: str) -> None:
    server = serve(nest, loop, "--max-requests", "3")
    with server.connect() as wire:
        answers = [wire.get("/sleep?s") for _ in range(3)]
        assert [each.closes for each in answers] == [False, False, True]
    assert server.wait_exit() == 0


def test_a_drain_waits_for_what_is_under_way(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire, server.connect() as idle:
        assert idle.get("/hello").status == 200
        wire.ask("/late-read")
        gate = nest.gate.wait("late")
        server.terminate()
        assert idle.is_at_end()
        gate.close()
        response = wire.read()
        assert (response.status, response.closes) == (200, True)
    assert server.wait_exit() == 0


def test_streams_end_with_the_graceful_timeout(nest: Nest, loop: str) -> None:
    server = serve(nest, loop, "--graceful-timeout", "1", app="living")
    with server.connect() as wire, server.connect() as other:
        wire.ask("/sse")
        assert wire.read_head()[0] == 200
        other.ask("/stuck")
        nest.gate.wait("stuck")
        os.kill(server.process.pid, signal.SIGTERM)
        wait_hangup(other, "the end")
        said = sorted(line(nest) for _ in range(3))
        assert said == ["cancelled", "shutdown", "unstuck"]
    assert server.wait_exit() == 0
    assert "2 requests took longer than the graceful timeout" in server.log()


def line(nest: Nest) -> str:
    """What the application tells next."""
    arrived, _ = nest.gate._socket.accept()
    with arrived, arrived.makefile("rb") as stream:
        return stream.readline().decode().strip()


def test_each_request_has_a_copy_of_the_state(nest: Nest, loop: str) -> None:
    server = serve(nest, loop, app="living")
    with server.connect() as wire:
        for before in ([], [1]):  # a shallow one
            assert json.loads(wire.get("/state").body) == {"started": "yes", "list": before}
    server.terminate()
    nest.gate.wait("shutdown")
    assert server.wait_exit() == 0


def test_a_startup_that_fails(nest: Nest) -> None:
    server = nest.start(BACKEND, "asgi_apps:failing")
    assert server.wait_exit() == 3
    assert "startup failed: no database" in server.log()


def test_a_startup_that_raises_is_told_and_served_without(nest: Nest, loop: str) -> None:
    server = serve(nest, loop, app="raising")
    assert server.is_well()
    assert "in the startup" in server.log()


@pytest.mark.parametrize(
    ("app", "told"), [("unending", "did not end in time"), ("failing_late", "no farewell")]
)
def test_shutdowns_that_fail(nest: Nest, loop: str, app: str, told: str) -> None:
    server = serve(nest, loop, "--graceful-timeout", "1", app=app)
    server.terminate()
    assert server.wait_exit() == 0
    assert told in server.log()


def test_a_loop_that_is_held_is_not_alive(nest: Nest, server: WireServer) -> None:
    with server.connect() as wire:
        wire.ask("/block")
        gate = nest.gate.wait("blocking")
        beat = server.slot().heartbeat_ns
        assert server.slot().in_flight == 1
        gate.close()
        assert wire.read().body == b"passed"
        server.wait_slot(lambda slot: slot.heartbeat_ns > beat and slot.in_flight == 0)


def test_the_access_log(nest: Nest, loop: str, tmp_path: Path) -> None:
    log = tmp_path / "access"
    form = "%(m)s %(U)s %(s)s %(B)s"
    options = ("--access-logfile", str(log), "--access-log-format", form)
    server = serve(nest, loop, *options)
    with server.connect() as wire:
        wire.get("/hello")
        wire.get("/sleep?s")
    with server.connect() as wire:
        wire.get("/raises?error-later")
    with server.connect() as wire:
        wire.ask("/stuck")
        nest.gate.wait("stuck")
    server.terminate()
    server.wait_exit()
    lines = log.read_text().splitlines()
    assert lines[:3] == ["GET /hello 200 5", "GET /sleep 200 1", "GET /raises 500 0"]
