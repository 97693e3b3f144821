"""The program of a stream host: calls one class with output, as Circus does.

    python -P stream_host.py package.module.Class '{"option": "value"}'

Output comes on standard input, in frames (see custom.py); at its end the stream
is closed and the host ends. It knows nothing of the arbiter.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import struct
import sys
import traceback
from typing import Any, BinaryIO

HEADER = struct.Struct("<BII")


def main(name: str, options: str) -> int:
    """Runs until the end of standard input; the exit code."""
    # It ends when the arbiter closes the pipe, not when somebody stops the stack.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.path.insert(0, os.getcwd())
    try:
        stream = load(name)(**json.loads(options))
    except Exception:  # noqa: BLE001
        # The wall of application code: said in the arbiter's own standard error.
        traceback.print_exc()
        return 1
    _call(stream, "open")
    feed(stream, sys.stdin.buffer)
    _call(stream, "close")
    return 0


def load(name: str) -> Any:
    """The class of a dotted name."""
    module, _, attribute = name.replace(":", ".").rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def feed(stream: Any, source: BinaryIO) -> None:
    """Calls the stream with each frame; one that fails is said once for each reason."""
    said: set[str] = set()
    while len(head := source.read(HEADER.size)) == HEADER.size:
        is_stderr, pid, length = HEADER.unpack(head)
        data = source.read(length)
        try:
            stream({"data": data, "pid": pid, "name": "stderr" if is_stderr else "stdout"})
        except Exception as error:  # noqa: BLE001
            # The wall of application code: the output is lost, the stream goes on.
            if repr(error) not in said and len(said) < 100:
                said.add(repr(error))
                traceback.print_exc()


def _call(stream: Any, method: str) -> None:
    try:
        getattr(stream, method, lambda: None)()
    except Exception:  # noqa: BLE001
        # The wall of application code, as above.
        traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
