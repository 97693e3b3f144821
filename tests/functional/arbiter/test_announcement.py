"""What the arbiter itself says to whoever started it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def test_ready_is_said_once_the_processes_are(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    worker = tmp_path / "worker.py"
    worker.write_text(
        f"from chaussette.notify import Notifier; open({str(gate)!r}).read(); "
        "Notifier().ready(); import signal; signal.pause()\n"
    )
    ini = tmp_path / "stack.ini"
    ini.write_text(
        f"[circus]\nruntime_dir = {tmp_path}/rt\n[socket:s]\nhost = 127.0.0.1\nport = 0\n"
        f"[watcher:w]\ncmd = {sys.executable} {worker}\ncopy_env = True\nuse_sockets = True\n"
        "readiness = notify\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(tmp_path / "notify"))
        inbox.settimeout(20)
        env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        daemon = subprocess.Popen(
            [sys.executable, "-m", "chaussette.cli.circusd", str(ini)],
            env=env,
            stderr=subprocess.PIPE,
        )
        try:
            # Opening it for writing ends when the process reads: it runs, and is not ready.
            with gate.open("w"):
                inbox.setblocking(False)
                try:
                    early = inbox.recv(4096)
                except BlockingIOError:
                    early = b""
                assert early == b""
            inbox.settimeout(20)
            assert b"READY=1" in inbox.recv(4096)
        finally:
            daemon.terminate()
            daemon.communicate(timeout=20)
        assert daemon.returncode == 0
