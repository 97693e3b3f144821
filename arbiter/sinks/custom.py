"""Output into somebody's own class, which runs in a process of its own.

The class is application code: the arbiter never imports it. Each class with its
options gets a stream host, fed through a pipe by a thread of its own, so a class
that hangs holds up nobody; what does not fit into the queue is dropped and
counted. A host that ends is started anew, at most once a second.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Hashable, Mapping
from pathlib import Path

from chaussette.arbiter.sinks.base import Origin, write_all

HOST = str(Path(__file__).with_name("stream_host.py"))
HEADER = struct.Struct("<BII")
"""1 for stderr, the pid, and the length of what follows; the same as in stream_host.py."""
RESTART_DELAY = 1.0
END_TIMEOUT = 2.0


class HostedSink:
    """One stream host."""

    waits = 0.0
    plain = False

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        self.name = name
        self._options = dict(options)
        self.lane: Hashable = ("host", name, *sorted(self._options.items()))
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0

    def write(self, data: bytes, origin: Origin) -> None:
        """Hands it to the host. Raises OSError when there is none that takes it."""
        fd = self._pipe()
        head = HEADER.pack(origin.channel == "stderr", origin.pid, len(data))
        try:
            write_all(fd, head + data)
        except OSError:
            self.close()
            raise OSError(errno.EPIPE, f"the stream host of {self.name} has ended") from None

    def reopen(self) -> None:
        """Nothing to reopen: the class is told nothing by Circus either."""

    def close(self) -> None:
        """Ends the host, which takes what is in the pipe first; kills one that does not end."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(process.pid)
            try:
                select.select([pidfd], [], [], END_TIMEOUT)
            finally:
                os.close(pidfd)
        process.kill()
        process.wait()

    def _pipe(self) -> int:
        if self._process is None:
            if time.monotonic() < self._not_before:
                raise OSError(errno.EPIPE, f"the stream host of {self.name} does not run")
            self._not_before = time.monotonic() + RESTART_DELAY
            # -P: the first place for modules is not this package's directory.
            self._process = subprocess.Popen(
                [sys.executable, "-P", HOST, self.name, json.dumps(self._options)],
                stdin=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        return self._process.stdin.fileno()
