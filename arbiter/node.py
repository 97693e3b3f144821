"""What this arbiter is called among others."""

from __future__ import annotations

import os


def node_name(prefix: str | None) -> str:
    """`prefix@host`, or the host's name alone, as Circus has it.

    The name is what the machine calls itself: a look into the DNS could hold up
    the start, and nobody connects to it.
    """
    host = os.uname().nodename
    return f"{prefix}@{host}" if prefix else host
