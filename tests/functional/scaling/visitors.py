"""HTTP clients that ask one thing after the other, and say what went wrong."""

from __future__ import annotations

import http.client
import threading
from types import TracebackType

from arbiter_under_test import BOUND


class Visitors:
    """So many clients, each in a thread, while the context is open; every second one keeps
    its connection."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._leave = threading.Event()
        self._threads = [
            threading.Thread(target=self._visit, args=(index % 2 == 0,)) for index in range(count)
        ]
        self._answered = threading.Condition()
        self._answers = 0
        self.lost: list[str] = []

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join(BOUND)

    def wait_answers(self, count: int) -> None:
        """Blocks until there are so many more answers."""
        with self._answered:
            enough = self._answers + count
            assert self._answered.wait_for(lambda: self._answers >= enough, BOUND), self.lost

    def _visit(self, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=BOUND)
        while not self._leave.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
                continue
            if (answer.status, body) != (200, b"ok"):
                self.lost.append(f"{answer.status} {body!r}")
            with self._answered:
                self._answers += 1
                self._answered.notify_all()
            if not keep:
                connection.close()
        connection.close()
