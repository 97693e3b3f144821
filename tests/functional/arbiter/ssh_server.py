"""An ssh server of the tests' own on loopback, and an ssh that knows it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, Running


@pytest.fixture
def sshd(folder: Path) -> Iterator[tuple[int, Path]]:
    """An ssh server of this user on loopback, with keys that are thrown away."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("ssh") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no sshd or ssh here")
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True, timeout=BOUND)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin yes\nAllowStreamLocalForwarding yes\n"
    )
    server = Running([str(program), "-D", "-e", "-f", str(folder / "sshd_config")], folder)
    try:
        server.wait("Server listening on")
        yield port, folder / "user"
    finally:
        server.close()


def ssh_on_path(folder: Path) -> str:
    """A PATH with the ssh there is, but for who is known: no file of the user is touched."""
    (folder / "bin").mkdir()
    options = (
        "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    )
    wrapper = folder / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    wrapper.chmod(0o755)
    return f"{folder}/bin:{os.environ['PATH']}"
