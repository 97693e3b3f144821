"""reloadconfig: the smallest change, all of it or nothing."""

from __future__ import annotations

import socket

import pytest
from arbiter_under_test import (
    SLEEP,
    Arbiters,
    ArbiterUnderTest,
    alive,
    http_get,
    listening,
    watcher,
)

HTTP = """
import os, socket, sys
sock = socket.socket(fileno=int(sys.argv[1]))
sock.setblocking(True)
while True:
    peer = sock.accept()[0]
    peer.recv(1000)
    peer.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + str(os.getpid()).encode())
    peer.close()
"""


def rewrite(arbiter: ArbiterUnderTest, *sections: str, circus: str = "") -> None:
    """Another configuration in the file that the arbiter was started from."""
    head = f"[circus]\nruntime_dir = {arbiter.folder}/run\n{circus}\n"
    arbiter.ini.write_text(head + "\n".join(sections), "utf-8")


def test_only_what_changed_is_touched(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("count", SLEEP, numprocesses=2),
        watcher("patience", SLEEP),
        watcher("command", SLEEP),
        watcher("same", SLEEP),
        watcher("gone", SLEEP),
    )
    before = {
        name: arbiter.settled(name) for name in ("count", "patience", "command", "same", "gone")
    }
    rewrite(
        arbiter,
        watcher("count", SLEEP, numprocesses=3),
        watcher("patience", SLEEP, graceful_timeout=7),
        watcher("command", "sleep 1001"),
        watcher("same", SLEEP),
        watcher("new", SLEEP),
    )
    info = arbiter.must("reloadconfig", waiting=True)["info"]
    assert info["watchers"] == {
        "added": ["new"],
        "removed": ["gone"],
        "changed": {
            "count": ["numprocesses"],
            "patience": ["graceful_timeout"],
            "command": ["cmd"],
        },
    }
    assert info["needs_restart"] == []
    assert arbiter.pids("count")[:2] == before["count"]
    assert len(arbiter.pids("count")) == 3
    assert arbiter.pids("patience") == before["patience"]
    assert arbiter.must("get", name="patience", keys=["graceful_timeout"])["options"] == {
        "graceful_timeout": 7
    }
    assert arbiter.pids("same") == before["same"]
    assert not set(arbiter.pids("command")) & set(before["command"])
    assert not alive(before["gone"][0])
    assert len(arbiter.settled("new")) == 1
    assert sorted(arbiter.must("list")["watchers"]) == [
        "command",
        "count",
        "new",
        "patience",
        "same",
    ]
    assert "internal error" not in arbiter.log


def test_a_file_that_is_wrong_changes_nothing(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP))
    pids = arbiter.settled("w")
    rewrite(
        arbiter,
        watcher("w", "sleep 5", numproceses=2),
        watcher("v", SLEEP, graceful_timeout="soon"),
        watcher("u", SLEEP, working_dir="/no/such/directory"),
    )
    for waiting in (True, False):
        reply = arbiter.ask("reloadconfig", waiting=waiting)
        assert not reply.ok
        assert "did you mean 'numprocesses'" in reply.reason
        assert "graceful_timeout = 'soon'" in reply.reason
    assert arbiter.pids("w") == pids
    assert arbiter.must("list")["watchers"] == ["w"]


def test_a_generation_that_does_not_come_up_is_thrown_away(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP, ready_after=0.3))
    pids = arbiter.settled("w")
    rewrite(arbiter, watcher("w", "sh -c 'exit 3'", ready_after=0.3))
    for _ in range(2):  # the second one tries again, though the file has not changed
        reply = arbiter.ask("reloadconfig", waiting=True)
        assert not reply.ok
        assert "exit code 3" in reply.reason
        assert arbiter.pids("w") == pids
        assert arbiter.must("get", name="w", keys=["cmd"])["options"] == {"cmd": SLEEP}


def test_what_was_counted_by_command_stays(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP))
    arbiter.settled("w")
    arbiter.must("incr", name="w", nb=2, waiting=True)
    rewrite(arbiter, watcher("w", "sleep 1001"))
    arbiter.must("reloadconfig", waiting=True)
    assert len(arbiter.pids("w")) == 3


def test_settings_of_the_arbiter_are_taken_over_or_named(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("w", SLEEP))
    pids = arbiter.settled("w")
    rewrite(arbiter, watcher("w", SLEEP), circus="check_delay = 3\numask = 027")
    info = arbiter.must("reloadconfig", waiting=True)["info"]
    assert info["needs_restart"] == ["[circus] umask"]
    assert arbiter.must("globaloptions")["options"]["check_delay"] == 3
    assert arbiter.pids("w") == pids


def test_a_socket_moves_with_its_users(arbiters: Arbiters) -> None:
    serve = arbiters.script("serve.py", HTTP)
    web = watcher("web", f"{serve} $(circus.sockets.web)", use_sockets=True, ready_after=0.3)
    api = watcher("api", f"{serve} $(circus.sockets.api)", use_sockets=True, ready_after=0.3)
    arbiter = arbiters.ready(listening("web"), listening("api"), web, api)
    before = {name: arbiter.settled(name) for name in ("web", "api")}
    ports = {name: arbiter.port(name) for name in ("web", "api")}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rewrite(
        arbiter,
        listening("web", port=port),
        listening("api", backlog=9),
        listening("extra"),
        web,
        api,
    )
    info = arbiter.must("reloadconfig", waiting=True)["info"]
    assert info["sockets"] == {"added": ["extra"], "removed": [], "changed": ["web", "api"]}
    assert arbiter.port("web") == port
    assert http_get(port)[1].decode() == str(arbiter.pids("web")[0])
    assert arbiter.pids("web") != before["web"]
    with pytest.raises(ConnectionRefusedError):
        http_get(ports["web"])
    # Its backlog was changed where it stands: nobody who listens there noticed.
    assert arbiter.pids("api") == before["api"]
    assert http_get(ports["api"])[1].decode() == str(before["api"][0])
    assert {one["name"] for one in arbiter.must("listsockets")["sockets"]} == {
        "web",
        "api",
        "extra",
    }


def test_a_socket_stays_when_its_user_cannot_move(arbiters: Arbiters) -> None:
    serve = arbiters.script("serve.py", HTTP)
    web = watcher("web", f"{serve} $(circus.sockets.web)", use_sockets=True, ready_after=0.3)
    arbiter = arbiters.ready(listening("web"), web)
    pids, port = arbiter.settled("web"), arbiter.port("web")
    broken = watcher("web", "sh -c 'exit 3' $(circus.sockets.web)", use_sockets=True)
    rewrite(arbiter, listening("web", host="127.0.0.2"), broken)
    assert not arbiter.ask("reloadconfig", waiting=True).ok
    assert arbiter.port("web") == port
    assert arbiter.pids("web") == pids
    assert http_get(port)[1].decode() == str(pids[0])


def test_sockets_go_and_change_their_name(arbiters: Arbiters) -> None:
    serve = arbiters.script("serve.py", HTTP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    web = watcher("web", f"{serve} $(circus.sockets.old)", use_sockets=True, ready_after=0.3)
    arbiter = arbiters.ready(listening("old", port=port), listening("spare"), web)
    pids, spare = arbiter.settled("web"), arbiter.port("spare")
    web = watcher("web", f"{serve} $(circus.sockets.new)", use_sockets=True, ready_after=0.3)
    rewrite(arbiter, listening("new", port=port), web)
    arbiter.must("reloadconfig", waiting=True)
    assert arbiter.pids("web") != pids
    assert http_get(port)[1].decode() == str(arbiter.pids("web")[0])
    with pytest.raises(ConnectionRefusedError):
        http_get(spare)


def test_a_port_that_is_taken_changes_nothing(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(listening("web"), watcher("w", SLEEP))
    pids, port = arbiter.settled("w"), arbiter.port("web")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        rewrite(arbiter, listening("web", port=taken.getsockname()[1]), watcher("w", "sleep 7"))
        reply = arbiter.ask("reloadconfig")
    assert not reply.ok
    assert "cannot listen" in reply.reason
    assert arbiter.port("web") == port
    assert arbiter.pids("w") == pids
