"""Commands that are no question to the endpoint: listen, and one that is gone."""

from __future__ import annotations

from typing import ClassVar

from chaussette.control.api import Answer, Control, Properties
from chaussette.control.command import Command
from chaussette.control.levels import Level
from chaussette.control.protocol import Request
from chaussette.errors import BadMessage, ControlError


class Listen(Command):
    """Print events as they come, a line each: `topic: json`.

    Topics are beginnings, such as `watcher.web`; without one, all events are
    printed. The client asks the arbiter where it publishes; --endpoint may also
    be that address itself, as with Circus.
    """

    name = "listen"
    level = Level.READ
    usage = "[topic…]"
    words = (0, 1000)
    listens = True

    def read(self, words: list[str], options: dict[str, str]) -> Properties:
        del options
        return {"topics": words or [""]}

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        del control, request, answer
        raise BadMessage("invalid message: subscribe to the pubsub endpoint (see globaloptions)")


class IPython(Command):
    """There is no shell inside the arbiter; see the error for what to use instead."""

    name = "ipython"
    level = Level.READ
    replies: ClassVar = "always an error"

    def execute(self, control: Control, request: Request, answer: Answer) -> None:
        del control, request, answer
        raise ControlError(
            "a shell inside the arbiter could stop everything it looks after, so there is none: "
            "use `circusctl stats`, `options` and `listen`, or CircusClient of "
            "chaussette.control.client from IPython in a process of your own"
        )
