"""How soon the loop's thread runs once it is woken, on a machine whose cores are all busy.

A supervisor shares its cores with processes that may use all of them. It needs little
at a time, but soon: a shorter slice (EEVDF, Linux 6.12) gives it an earlier deadline,
and no more of the processor. No privilege is needed, and older kernels ignore it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

SLICE_NS = 100_000
"""The shortest that the kernel takes (sched_setattr(2))."""
RESET_ON_FORK = 0x01
CALLS = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""Numbers of sched_setattr(2), for which the C library has no function before 2.41."""


def shorten_slice() -> bool:
    """Shortens the slice of the calling thread; children and later threads keep the usual one.

    False where that is not possible, or somebody has chosen how this process is
    scheduled: neither a policy nor a priority is changed.
    """
    number = CALLS.get(platform.machine())
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    # Reset on fork would also take from children a priority that is above the usual.
    if number is None or nice < 0 or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
    words = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, RESET_ON_FORK, nice, 0, SLICE_NS, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, words, 0) == 0)
