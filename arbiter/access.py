"""Who may command an arbiter: keys, the owner of the endpoints, and what is warned of."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator

import zmq

from chaussette.arbiter.arbiter import Arbiter
from chaussette.arbiter.followers import Followers
from chaussette.arbiter.loop import Loop
from chaussette.arbiter.publisher import Publisher
from chaussette.arbiter.runtime import OWN_KEY, RuntimeDir
from chaussette.arbiter.users import look_up_owner
from chaussette.control.doors import Doors
from chaussette.errors import SocketError
from chaussette.settings.arbiter import ArbiterSettings

log = logging.getLogger("chaussette.arbiter.control")
RETRY = 0.05
"""Seconds until an address that is still being let go of is bound again."""


def open_doors(settings: ArbiterSettings, runtime: RuntimeDir, arbiter: Arbiter) -> Doors:
    """What the arbiter's endpoints are bound by. Raises ConfigError."""
    owner = look_up_owner(settings.endpoint_owner) if settings.endpoint_owner else None
    doors = Doors(zmq.Context(), settings.keys_dir, owner.uid if owner else None)
    if owner is not None and owner.gid is not None and owner.uid not in (None, os.geteuid()):
        runtime.admit(owner.gid)
    for warning in warnings(settings):
        log.warning("%s", warning)
    arbiter.factory.variables["client_key"] = ""
    if doors.guard is not None:
        arbiter.loop.watch(doors.guard.fd, doors.guard.answer)
        arbiter.loop.soon(doors.guard.answer)
        own = runtime.path / OWN_KEY
        doors.guard.issue(own, "a plugin of this arbiter")
        arbiter.factory.variables["client_key"] = str(own)
    return doors


def warnings(settings: ArbiterSettings) -> Iterator[str]:
    """What is open to other users of this machine."""
    if settings.keys_dir is not None:
        return
    if (settings.endpoint or "").startswith("tcp://"):
        yield (
            f"endpoint {settings.endpoint}: every user of this machine can command this arbiter; "
            "use ipc://, or keys (circusctl help keys)"
        )


def renewer(
    doors: Doors, publisher: Publisher, followers: Followers, loop: Loop
) -> Callable[[], None]:
    """What is to be called when keys may have been revoked: who has none hears nothing more.

    The control endpoint asks for each command; who has subscribed is not asked
    again, so all connections are ended, and come back if they may.
    """

    def renew() -> None:
        try:
            publisher.renew()
        except SocketError as error:
            log.debug("%s", error)
            loop.after(RETRY, renew)

    def keys_changed() -> None:
        if doors.guard is not None and doors.guard.forget_revoked():
            log.info("a key has been revoked: subscribers have to connect again")
            followers.close()
            if doors.asks_for_key(publisher.address):
                renew()

    return keys_changed
