"""What is urgent is heard between others that take long."""

from __future__ import annotations

import contextlib
import os

from chaussette.arbiter.loop import TURN, Loop


def test_urgent_does_not_wait_for_all_others() -> None:
    now, order = [0.0], []
    loop = Loop(clock=lambda: now[0])
    with contextlib.ExitStack() as stack:
        stack.callback(loop.close)
        pipes = [os.pipe() for _ in range(4)]
        for fd in (fd for pipe in pipes for fd in pipe):
            stack.callback(os.close, fd)
        client = pipes.pop()

        def asked() -> None:
            os.read(client[0], 1)
            order.append("client")

        def slow(fd: int) -> None:
            os.read(fd, 1)
            order.append("other")
            if len(order) == 1:
                os.write(client[1], b"?")
            now[0] += TURN
            if order.count("other") == len(pipes):
                loop.stop()

        loop.watch(client[0], asked, urgent=True)
        for reader, writer in pipes:
            loop.watch(reader, lambda fd=reader: slow(fd))  # type: ignore[misc]
            os.write(writer, b"x")
        loop.run()
    assert order == ["other", "client", "other", "other"]
