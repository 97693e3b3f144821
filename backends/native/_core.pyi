from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

class Server:
    """An HTTP/1.1 server for one application. It owns connections, not listening sockets."""

    def __init__(
        self,
        app: Callable[..., Any],
        on_error: Callable[[BaseException, dict[str, Any] | None], None],
        listeners: list[tuple[int, bool, dict[str, Any]]],
        options: dict[str, Any],
        slot: memoryview,
        lanes: int,
    ) -> None:
        """`listeners`: descriptor, whether it is a unix socket, the environ's template.

        `options` is what options.options_of returns, for ASGI with `loop` (asyncio's),
        `state` (lifespan's) and `on_finished` (called when the drain is over) added;
        `slot` eight words of a scoreboard; `lanes` how many threads will call `run`. Raises
        ValueError for a text that is malformed, KeyError for an option that is missing, OSError.
        """

    def open(self, queue_read: int = -1, queue_write: int = -1, /) -> None:
        """Begins to accept. With the two ends of a handover.Queue, connections that wait
        behind a long call of the application go to siblings. Raises OSError."""

    def visit(self) -> None:
        """Handles what is ready and returns; where another loop watches `fileno`."""

    def fileno(self) -> int:
        """The epoll descriptor: readable when a visit is due."""

    def run(self, lane: int, /) -> None:
        """Serves until the server is finished; each lane in a thread of its own."""

    def stop(self) -> None:
        """Begins the drain. May be called at any time, in a signal handler, too."""

    def cut(self) -> list[Any]:
        """Ends what is under way, for ASGI: clients are gone; the tasks, which are cancelled."""

    def greenlets(self) -> list[Any]:
        """The greenlets that are at work on requests, where requests run in greenlets."""

    def close(self) -> None:
        """Closes all connections; no lane may be running."""

    def reopen_log(self, path: str, /) -> None:
        """Opens the access log anew, for rotation. Raises OSError; the old one stays then."""

class Input:
    """wsgi.input of one request (PEP 3333)."""

    def read(self, size: int | None = -1, /) -> bytes: ...
    def readline(self, size: int | None = -1, /) -> bytes: ...
    def readlines(self, hint: int | None = -1, /) -> list[bytes]: ...
    def __iter__(self) -> Iterator[bytes]: ...

class FileWrapper:
    """wsgi.file_wrapper: blocks of a file, which goes out by sendfile(2) where it can."""

    def __init__(self, filelike: BinaryIO, blksize: int = 8192) -> None: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...
