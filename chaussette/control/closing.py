"""How Circus's client classes end: what is theirs is closed, what was given to them is not."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from chaussette.control.tunnel import Tunnel


class Closing:
    """A client of an endpoint that is used with `with`, or ended with `stop`."""

    context: Any
    _own: bool
    """Whether the ZeroMQ context was made here, and ends with the client."""
    _tunnel: Tunnel | None

    def stop(self) -> None:
        """Closes the connection."""
        raise NotImplementedError

    def _end(self) -> None:
        """Ends what the connection stood on."""
        if self._own:
            self.context.term()
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
