"""Waiting for children that nobody started: orphans that the kernel gave to PID 1."""

from __future__ import annotations

import os
from collections.abc import Container


def reap_strangers(ours: Container[int]) -> list[int]:
    """Reaps ended children that are not `ours`; returns those that are.

    waitid(2) with WNOWAIT looks without reaping, and shows the same child until
    it is reaped: the look ends at the first of ours, which the caller reaps
    before it looks again.
    """
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return []
        if found is None:
            return []
        if found.si_pid in ours:
            return [found.si_pid]
        os.waitid(os.P_PID, found.si_pid, os.WEXITED | os.WNOHANG)
