"""Listening sockets: how they are bound, who inherits them, and when nothing is started."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, SLEEP, Arbiters, Ended, http_get, listening, watcher

SHOW = """
import os
for fd in sorted(os.listdir('/proc/self/fd'), key=int):
    try:
        print('fd', fd, os.readlink(f'/proc/self/fd/{fd}'))
    except OSError:
        pass
print('env', {k: v for k, v in sorted(os.environ.items()) if k.startswith('LISTEN')})
print('pid', os.getpid(), flush=True)
import signal
signal.pause()
"""
SERVE = """
import os, socket, sys
sock = socket.socket(fileno=int(sys.argv[1]))
sock.setblocking(True)
print('serving', flush=True)
while True:
    got, _ = sock.accept()
    nodelay = got.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) if got.family != 1 else 9
    body = f'{os.getpid()} {nodelay} {sys.argv[2:]}'.encode()
    got.recv(65536)
    got.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n' + body)
    got.close()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_tcp_on_a_free_port_that_is_reported(arbiters: Arbiters, host: str) -> None:
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    serve = arbiters.script("serve.py", SERVE)
    arbiter = arbiters.ready(
        listening("web", host=host, port=0),
        watcher("w", f"{serve} $(circus.sockets.web)", use_sockets=True),
    )
    shown = "[::1]" if host == "::1" else "127.0.0.1"
    assert arbiter.port("web") != 0
    arbiter.wait(re.escape(f"http://{shown}:{arbiter.port('web')}"))
    arbiter.wait("^serving")
    status, body = http_get(arbiter.port("web"), host=host)
    assert status == 200
    assert body.split()[1] != b"0", "accepted connections inherit TCP_NODELAY"


def test_backlog_and_no_rebinding_on_reload(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(listening("web", backlog=7), watcher("w", SLEEP, use_sockets=True))
    arbiter.settled("w")
    port = arbiter.port("web")
    before = _listeners(port)
    assert before[1] == 7
    arbiter.must("reload", waiting=True)
    arbiter.must("restart", waiting=True)
    assert _listeners(port) == before


def _listeners(port: int) -> tuple[str, int]:
    """Inode and backlog of the one that listens on the port, from ss(8) or /proc."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    (row,) = [one for one in rows if one[1].endswith(f":{port:04X}") and one[3] == "0A"]
    text = subprocess.run(["ss", "-ltn"], capture_output=True, text=True, check=True).stdout
    (line,) = [one for one in text.splitlines() if f":{port} " in one]
    return row[9], int(line.split()[2])


def test_only_those_who_ask_inherit_and_only_sockets(arbiters: Arbiters) -> None:
    show = arbiters.script("show.py", SHOW)
    arbiter = arbiters.ready(
        listening("web"),
        listening("admin"),
        watcher("all", show, use_sockets=True),
        watcher("one", show, use_sockets=True, sockets="web", autostart=False),
        watcher("none", show, autostart=False),
    )
    fds = {one["name"]: one["fd"] for one in arbiter.must("listsockets")["sockets"]}
    assert fds == {"web": 3, "admin": 4}
    for name, expected, environment in (
        ("all", [3, 4], "{'LISTEN_FDNAMES': 'web:admin', 'LISTEN_FDS': '2'}"),
        ("one", [3], "{'LISTEN_FDNAMES': 'web', 'LISTEN_FDS': '1'}"),
        ("none", [], "{}"),
    ):
        arbiter.must("start", name=name)
        said = arbiter.wait(r"(?s)(fd 0.*?)^env (.*?)$\n^pid (\d+)")
        opened = re.findall(r"^fd (\d+) (\S+)", said[1], re.M)
        sockets = [int(fd) for fd, what in opened if what.startswith("socket:")]
        others = [what for fd, what in opened if int(fd) > 2 and not what.startswith("socket:")]
        assert sockets == expected, name
        # The directory that was being listed; Python's own files are closed by then.
        assert all(what.startswith("/proc/") for what in others), others
        assert said[2] == environment


def test_listen_pid_where_a_program_insists(arbiters: Arbiters) -> None:
    show = arbiters.script("show.py", SHOW)
    arbiter = arbiters.ready(
        listening("web"), watcher("w", show, use_sockets=True, listen_pid=True)
    )
    said = arbiter.wait(r"(?s)env (.*?)$\n^pid (\d+)")
    assert f"'LISTEN_PID': '{said[2]}'" in said[1]
    assert arbiter.settled("w") == [int(said[2])]


def test_a_choice_of_sockets_is_put_where_listen_fds_counts_from(arbiters: Arbiters) -> None:
    """The program insists on sd_listen_fds(3), and its sockets are not the first ones."""
    show = arbiters.script("show.py", SHOW)
    arbiter = arbiters.ready(
        *(listening(name) for name in ("web", "admin", "api", "more")),
        watcher(
            "w",
            f"{show} $(circus.sockets.api)",
            use_sockets=True,
            sockets="more, api",
            listen_pid=True,
        ),
    )
    said = arbiter.wait(r"(?s)(fd 0.*?)^env (.*?)$\n^pid (\d+)")
    sockets = {
        int(fd): int(inode)
        for fd, inode in re.findall(r"^fd (\d+) socket:\[(\d+)\]", said[1], re.M)
    }
    assert "'LISTEN_FDNAMES': 'api:more', 'LISTEN_FDS': '2'" in said[2]
    assert f"'LISTEN_PID': '{said[3]}'" in said[2]
    fds = {one["name"]: one["fd"] for one in arbiter.must("listsockets")["sockets"]}
    own = {name: os.stat(f"/proc/{arbiter.pid}/fd/{fd}").st_ino for name, fd in fds.items()}
    assert sockets == {3: own["api"], 4: own["more"]}
    words = Path(f"/proc/{said[3]}/cmdline").read_bytes().split(b"\0")
    assert words[-2] == b"3", "the command's variable is the number in the process"


def test_a_choice_of_sockets_that_cannot_be_announced_is_said(arbiters: Arbiters) -> None:
    show = arbiters.script("show.py", SHOW)
    arbiter = arbiters.ready(
        listening("web"),
        listening("admin"),
        watcher("w", show, use_sockets=True, sockets="admin", numprocesses=2),
        watcher("named", f"{show} $(circus.sockets.admin)", use_sockets=True, sockets="admin"),
    )
    arbiter.wait(
        r"w: LISTEN_FDS is not set, because its sockets \(admin at 4\) .*listen_pid = True"
    )
    arbiter.settled("w", "named")
    assert arbiter.log.count("LISTEN_FDS is not set") == 1


def test_stdin_socket(arbiters: Arbiters) -> None:
    serve = arbiters.script("serve.py", SERVE)
    arbiter = arbiters.ready(listening("web"), watcher("w", f"{serve} 0", stdin_socket="web"))
    arbiter.wait("^serving")
    assert http_get(arbiter.port("web"))[0] == 200


def test_so_reuseport_gives_each_process_its_own(arbiters: Arbiters) -> None:
    serve = arbiters.script("serve.py", SERVE)
    arbiter = arbiters.ready(
        listening("web", so_reuseport=True),
        watcher("w", f"{serve} $(circus.sockets.web)", use_sockets=True, numprocesses=2),
    )
    for _ in range(2):
        arbiter.wait("^serving")
    arbiter.settled("w")
    port = arbiter.port("web")
    answered = {http_get(port)[1].split()[0] for _ in range(60)}
    assert len(answered) == 2


def test_two_on_demand_watchers_and_the_right_one_starts(arbiters: Arbiters) -> None:
    serve = arbiters.script("serve.py", SERVE)
    arbiter = arbiters.ready(
        listening("a"),
        listening("b"),
        *(
            watcher(
                name,
                f"{serve} $(circus.sockets.{name}) {name}",
                use_sockets=True,
                on_demand=True,
                priority=priority,
            )
            for name, priority in (("a", 9), ("b", 1))
        ),
    )
    assert arbiter.must("numprocesses")["numprocesses"] == 0
    assert b"['b']" in http_get(arbiter.port("b"))[1]
    assert (len(arbiter.pids("a")), len(arbiter.pids("b"))) == (0, 1)
    assert b"['a']" in http_get(arbiter.port("a"))[1]


def test_a_unix_socket(arbiters: Arbiters, folder: Path) -> None:
    path = folder / "web.sock"
    serve = arbiters.script("serve.py", SERVE)
    arbiter = arbiters.ready(
        listening("web", path=path, mode="0660", owner="nobody:nogroup"),
        listening("masked", path=folder / "masked.sock", umask="077"),
        watcher("w", f"{serve} $(circus.sockets.web)", use_sockets=True),
    )
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert stat.S_IMODE((folder / "masked.sock").stat().st_mode) == 0o700
    if os.geteuid() == 0:
        assert pwd.getpwuid(found.st_uid).pw_name == "nobody"
    arbiter.wait("^serving")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(BOUND)
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 200")
    arbiter.must("quit")
    assert arbiter.wait_end() == 0
    assert not path.exists()


def test_a_stale_socket_file_is_replaced(arbiters: Arbiters, folder: Path) -> None:
    path = folder / "web.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    arbiter = arbiters.ready(listening("web", path=path), watcher("w", SLEEP))
    arbiter.must("quit")
    assert arbiter.wait_end() == 0


@pytest.mark.parametrize("there", ["listener", "file", "unreplaced"])
def test_what_is_not_stale_is_left_alone(arbiters: Arbiters, folder: Path, there: str) -> None:
    path = folder / "web.sock"
    with contextlib.ExitStack() as stack:
        if there == "file":
            path.write_text("precious")
        else:
            old = stack.enter_context(socket.socket(socket.AF_UNIX))
            old.bind(str(path))
            if there == "listener":
                old.listen()
        arbiter = arbiters(
            listening("web", path=path, replace=there != "unreplaced"), watcher("w", SLEEP)
        )
        assert arbiter.wait_end() == 1
    assert path.exists()
    assert "[socket:web]" in arbiter.log
    assert str(path) in arbiter.log
    assert "started process" not in arbiter.log


def test_an_address_in_use_stops_everything(arbiters: Arbiters, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arbiter = arbiters(
            listening("first", path=folder / "first.sock"),
            listening("web", port=taken.getsockname()[1]),
            watcher("w", SLEEP),
        )
        assert arbiter.wait_end() == 1
    assert "cannot listen on 127.0.0.1:" in arbiter.log
    assert "Address already in use" in arbiter.log
    assert "started process" not in arbiter.log
    assert not (folder / "first.sock").exists()


@pytest.mark.parametrize("named", [True, False])
def test_sockets_from_systemd(arbiters: Arbiters, named: bool) -> None:
    """Taken by name, or by address; kept where they are, and handed on."""
    show, serve = arbiters.script("show.py", SHOW), arbiters.script("serve.py", SERVE)
    wrapper = arbiters.script(
        "wrapper.py",
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        + ("os.environ['LISTEN_FDNAMES'] = 'web'\n" if named else "")
        + "os.execv(sys.argv[2], sys.argv[2:])\n",
    )
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        given.listen()
        port = given.getsockname()[1]
        given.set_inheritable(True)
        arbiter = arbiters.ready(
            listening("web", port=9 if named else port),
            listening("other"),
            watcher("w", f"{serve} $(circus.sockets.web)", use_sockets=True),
            watcher("show", show, use_sockets=True),
            prefix=[*wrapper.split(), str(given.fileno())],
            pass_fds=[given.fileno()],
        )
        assert arbiter.port("web") == port
        assert http_get(port)[0] == 200
        arbiter.wait("^env .*'LISTEN_FDNAMES': 'web:other', 'LISTEN_FDS': '2'")


def test_a_closed_standard_input_is_no_place_for_a_socket(arbiters: Arbiters) -> None:
    wrapper = arbiters.script(
        "closed.py", "import os, sys\nos.close(0)\nos.execv(sys.argv[1], sys.argv[1:])\n"
    )
    arbiter = arbiters.ready(listening("web"), watcher("w", SLEEP), prefix=wrapper.split())
    assert arbiter.must("listsockets")["sockets"][0]["fd"] == 3


def test_a_killed_web_worker_costs_no_connection(arbiters: Arbiters) -> None:
    """They wait in the queue of the socket, which the arbiter holds."""
    serve = arbiters.script("serve.py", SERVE)
    arbiter = arbiters.ready(
        listening("web"), watcher("w", f"{serve} $(circus.sockets.web)", use_sockets=True)
    )
    arbiter.wait("^serving")
    for _ in range(3):
        (pid,) = arbiter.settled("w")
        end = Ended(pid)
        os.kill(pid, signal.SIGKILL)
        end.wait()
        assert http_get(arbiter.port("web"))[0] == 200
        arbiter.wait(f"process {pid} has ended")
