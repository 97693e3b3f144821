"""A tunnel to another machine's endpoint by the program `ssh`.

It asks for no password by itself, and reads no key: ssh does, as it is configured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

from chaussette.errors import ControlError

OPEN_TIMEOUT = 60.0


class Tunnel:
    """While it is open, `endpoint` leads to `remote` on the server `user@host[:port]`.

    Raises ControlError with ssh's own words when it cannot be opened.
    """

    def __init__(self, server: str, remote: str, keyfile: str | None = None) -> None:
        program = shutil.which("ssh")
        if program is None:
            raise ControlError("--ssh needs the program ssh, and there is none on PATH")
        self._folder = tempfile.TemporaryDirectory(prefix="ctl-")
        local = os.path.join(self._folder.name, "endpoint.sock")
        self.endpoint = f"ipc://{local}"
        host, _, port = server.rpartition(":") if ":" in server else (server, "", "")
        if not host or host.startswith("-") or (port and not port.isdecimal()):
            self._folder.cleanup()
            raise ControlError(f"--ssh {server!r}: expected USER@HOST[:PORT]")
        # A master connection goes to the background once the tunnel is open, and
        # can be told to end: nothing has to be waited for by guessing.
        self._control = [program, "-S", os.path.join(self._folder.name, "master")]
        self._where = [*(["-p", port] if port else []), "--", host]
        command = [*self._control, "-M", "-f", "-N", "-T", "-o", "ExitOnForwardFailure=yes"]
        command += ["-o", "ControlPersist=no", "-L", f"{local}:{_target(remote)}"]
        command += ["-i", keyfile] if keyfile else []
        self._open([*command, *self._where])

    def close(self) -> None:
        """Ends it."""
        subprocess.run(
            [*self._control, "-O", "exit", *self._where],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=OPEN_TIMEOUT,
            check=False,
        )
        self._folder.cleanup()

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, command: list[str]) -> None:
        # Its errors go to a file: the part in the background would keep a pipe open.
        with tempfile.TemporaryFile() as errors:
            try:
                done = subprocess.run(
                    command,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    timeout=OPEN_TIMEOUT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                self._folder.cleanup()
                raise ControlError(f"ssh was not there within {OPEN_TIMEOUT:g}s") from None
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip()
        if done.returncode:
            self._folder.cleanup()
            raise ControlError(f"ssh: {said or f'exit code {done.returncode}'}")


def _target(remote: str) -> str:
    kind, _, place = remote.partition("://")
    if kind not in ("ipc", "tcp") or place.startswith("@"):
        raise ControlError(f"{remote} cannot be reached through ssh: expected ipc:// or tcp://")
    return place
