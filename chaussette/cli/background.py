"""Going to the background, without hiding from the caller that the start failed.

The command that was typed waits until the arbiter is about to start processes,
and ends with 0; where the arbiter ends before that, it has said why on the
terminal, and the command ends with 1.
"""

from __future__ import annotations

import fcntl
import os

_HIGH_FD = 64
"""The descriptors from 3 on belong to the sockets, see arbiter/sockets.py."""


class Background:
    """Forks twice, into a session of its own; the constructor returns only there.

    The directory is kept, and so are the standard streams until `announce`.
    """

    def __init__(self) -> None:
        read, write = os.pipe()
        self._told = fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
        os.close(write)
        if os.fork():
            os.close(self._told)
            os._exit(0 if os.read(read, 1) else 1)
        os.close(read)
        os.setsid()
        if os.fork():
            os._exit(0)

    def announce(self, _: object) -> None:
        """All that can be refused has been accepted: lets the terminal go."""
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(null)
        os.write(self._told, b".")
        os.close(self._told)
