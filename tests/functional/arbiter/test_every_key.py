"""One file with every key that Circus 0.19 reads or documents, and an arbiter that runs it."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, Arbiters

FILE = """
endpoint_owner = {user}
pubsub_endpoint = ipc://{folder}/events.sock
stats_endpoint = ipc://{folder}/stats.sock
multicast_endpoint = udp://237.219.251.97:12027
statsd = True
statsd_close_outputs = True
check_delay = 5
umask = 027
pidfile = {folder}/pid
loglevel = info
logoutput = -
fqdn_prefix = node1
warmup_delay = 0
include = more.ini
include_dir = conf.d
debug = False
debug_gc = True
httpd = True
httpd_host = localhost
httpd_port = 8080
httpd_close_outputs = False
stream_backend = thread
ssh_server = nobody@nowhere
proc_name = mine
[watcher:w]
cmd = sleep
args = $(circus.env.seconds)
numprocesses = 1
warmup_delay = 0
executable = /bin/sleep
shell = False
shell_args = -e
working_dir = /tmp
uid = {user}
gid = {group}
copy_env = True
copy_path = True
virtualenv = {folder}
virtualenv_py_ver = 3.11
autostart = True
respawn = True
max_retry = 6
retry_in = 7
graceful_timeout = 3
stop_signal = INT
stop_children = True
send_hup = True
priority = 4
singleton = True
use_sockets = True
on_demand = False
max_age = 1000
max_age_variance = 40
rlimit_nofile = 500
rlimit_core =
stdout_stream.class = FileStream
stdout_stream.filename = {folder}/out.log
stdout_stream.max_bytes = 1000
stdout_stream.backup_count = 2
stdout_stream.time_format = %Y
stderr_stream.class = TimedRotatingFileStream
stderr_stream.filename = {folder}/err.log
stderr_stream.rotate_when = H
stderr_stream.rotate_interval = 1
stderr_stream.utc = True
stderr_stream.backup_count = 1
stdin_socket = tcp
close_child_stdin = False
close_child_stdout = False
close_child_stderr = False
hooks.before_start = os.path.expanduser,true
check_flapping = True
use_papa = True
my_option = 5
ready_after = 0.05
[socket:tcp]
host = localhost
port = 0
family = AF_INET
type = SOCK_STREAM
proto = tcp
backlog = 100
so_reuseport = True
blocking = True
use_papa = True
[socket:datagram]
host = 127.0.0.1
port = 0
type = SOCK_DGRAM
[socket:six]
host = ::1
port = 0
family = AF_INET6
[socket:unix]
path = {folder}/unix.sock
umask = 077
replace = True
[env]
SECONDS = 1000
[env:w,other*]
OWN = $HOME-$(circus.env.seconds)
[plugin:flapping]
use = circus.plugins.flapping.Flapping
window = 2
priority = 5
"""
SAID = (
    "multicast_endpoint debug_gc httpd stream_backend ssh_server proc_name retry_in use_papa"
).split()
"""What has no effect, and one line in the log each."""
EXPECTED = {
    "args": "1000", "max_retry": 6, "graceful_timeout": 3, "stop_signal": 2,
    "stop_children": True, "send_hup": True, "priority": 4, "singleton": True,
    "use_sockets": True, "max_age": 1000, "max_age_variance": 40, "rlimit_nofile": 500,
    "stdin_socket": "tcp", "my_option": "5", "close_child_stdin": False,
}  # fmt: skip


def test_every_key_of_circus_is_taken(arbiters: Arbiters, folder: Path) -> None:
    user, group = _name(os.getuid(), "passwd"), _name(os.getgid(), "group")
    (folder / "more.ini").write_text("[watcher:more]\ncmd = sleep 1000\nautostart = False\n")
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "x.ini").write_text("[watcher:x]\ncmd = sleep 1000\nautostart = False\n")
    arbiter = arbiters.ready(
        circus=FILE.format(folder=folder, user=user, group=group), environ={"HOME": "/home/me"}
    )
    (pid,) = arbiter.settled("w")
    arbiter.wait("w: started process")
    for key in SAID:
        assert f" {key} has no effect" in arbiter.log, key
    assert "keeps my_option for its hooks and plugins" in arbiter.log

    options = arbiter.must("options", name="w")["options"]
    assert {key: options[key] for key in EXPECTED} == EXPECTED
    assert set(arbiter.must("list")["watchers"]) >= {"w", "more", "x", "plugin:flapping"}
    assert arbiter.must("globaloptions")["options"]["pidfile"] == f"{folder}/pid"
    assert (folder / "pid").read_text().strip() == str(arbiter.pid)

    process = Path(f"/proc/{pid}")
    # With limits, a short step of ours comes before the program.
    deadline = time.monotonic() + BOUND
    while process.joinpath("cmdline").read_bytes() != b"sleep\0" + b"1000\0":
        assert time.monotonic() < deadline, process.joinpath("cmdline").read_bytes()
        arbiter.must("status")
    words = process.joinpath("environ").read_bytes().split(b"\0")
    environ = dict(one.split(b"=", 1) for one in words if one)
    assert environ[b"OWN"] == b"/home/me-1000"
    assert environ[b"VIRTUAL_ENV"] == str(folder).encode()
    assert os.readlink(process / "cwd") == "/tmp"
    assert "socket:" in os.readlink(process / "fd" / "0")
    assert "Umask:\t0027" in process.joinpath("status").read_text()
    assert "Max open files            500" in process.joinpath("limits").read_text()
    assert (folder / "unix.sock").stat().st_mode & 0o777 == 0o700
    sockets = {one["name"]: one for one in arbiter.must("listsockets")["sockets"]}
    assert sockets["tcp"]["backlog"] == 100
    assert set(sockets) == {"tcp", "datagram", "six", "unix"}
    with socket.create_connection(("127.0.0.1", sockets["tcp"]["port"]), timeout=5):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="SO_BINDTODEVICE needs CAP_NET_RAW")
def test_interface(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(circus="[socket:s]\nhost = 127.0.0.1\nport = 0\ninterface = lo")
    fd = os.pidfd_open(arbiter.pid)
    (one,) = arbiter.must("listsockets")["sockets"]
    try:
        held = _take(fd, one["fd"])
        with held:
            name = held.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        assert name.rstrip(b"\0") == b"lo"
    finally:
        os.close(fd)


def _take(pidfd: int, fd: int) -> socket.socket:
    """A descriptor of another process; see pidfd_getfd(2)."""
    import ctypes

    got = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, fd, 0)
    assert got >= 0, os.strerror(ctypes.get_errno())
    return socket.socket(fileno=got)


def _name(number: int, table: str) -> str:
    lines = Path(f"/etc/{table}").read_text().splitlines()
    return next(
        words[0] for words in (line.split(":") for line in lines) if words[2] == str(number)
    )
