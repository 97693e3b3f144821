"""What is wrong with an arbiter's endpoints, and with who may use them; asked before it starts."""

from __future__ import annotations

from collections.abc import Iterator

from chaussette.arbiter.users import look_up_owner
from chaussette.control.keys import KeyStore
from chaussette.control.places import is_public_tcp
from chaussette.errors import ConfigError
from chaussette.settings.arbiter import ArbiterSettings


def faults_of_access(settings: ArbiterSettings) -> Iterator[str]:
    """What is wrong with the endpoints, and with who may use them, in a line each."""
    for name in ("endpoint", "pubsub_endpoint", "stats_endpoint", "output_endpoint"):
        address = getattr(settings, name)
        if address is None:
            continue
        if not address.startswith(("ipc://", "tcp://")):
            yield f"{name} = {address!r}: expected ipc://PATH or tcp://HOST:PORT"
        elif address.startswith("ipc://@"):
            yield (
                f"{name} {address} is open to every user of this machine, because an abstract "
                "socket has no file whose mode could keep them out: use ipc://PATH"
            )
        elif is_public_tcp(address) and settings.keys_dir is None:
            yield (
                f"{name} {address} is open to other machines, and whoever reaches it can run "
                "commands: make keys with `circusctl keys init --dir DIR` and set keys_dir = DIR, "
                "or use ipc://, or tcp://127.0.0.1 behind an ssh tunnel"
            )
    for check in (_check_keys, _check_owner):
        try:
            check(settings)
        except ConfigError as error:
            yield str(error)


def _check_keys(settings: ArbiterSettings) -> None:
    if settings.keys_dir is not None:
        store = KeyStore(settings.keys_dir)
        store.allowed()
        if store.faults:
            raise ConfigError("; ".join(store.faults))


def _check_owner(settings: ArbiterSettings) -> None:
    if settings.endpoint_owner is not None:
        look_up_owner(settings.endpoint_owner)
