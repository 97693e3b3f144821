"""Which backends there are, which can run here, and which can do what is asked.

Backends are found by the entry points of the group `chaussette.backends`, ours
and other packages' alike, and imported when they are used: a worker pays for
one backend only. Nothing here starts a server or imports a backend's library.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import socket
from collections.abc import Iterable, Iterator, Sequence

from chaussette.application import Interface
from chaussette.backends.base import Backend, Can, Declaration, Requirement
from chaussette.errors import BackendUnavailable, ConfigError, did_you_mean
from chaussette.records import Record
from chaussette.settings.declare import Setting, declared
from chaussette.settings.kinds import show
from chaussette.settings.server import ServerSettings

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    from typing import Any

GROUP = "chaussette.backends"

BUILT_IN = {
    "native": "chaussette.backends.native:NativeBackend",
    "wsgiref": "chaussette.backends.wsgiref:WsgirefBackend",
    "waitress": "chaussette.backends.waitress:WaitressBackend",
    "fastgevent": "chaussette.backends.fastgevent:FastgeventBackend",
    "gevent": "chaussette.backends.gevent:GeventBackend",
    "meinheld": "chaussette.backends.meinheld:MeinheldBackend",
    "bjoern": "chaussette.backends.bjoern:BjoernBackend",
    "eventlet": "chaussette.backends.eventlet:EventletBackend",
    "tornado": "chaussette.backends.tornado:TornadoBackend",
    "uvicorn": "chaussette.backends.uvicorn:UvicornBackend",
    "hypercorn": "chaussette.backends.hypercorn:HypercornBackend",
    "granian": "chaussette.backends.granian:GranianBackend",
}
"""For a checkout whose metadata is not installed; a test compares it with setup.cfg."""

PREFERENCE = {
    Interface.WSGI: ("native", "waitress", "gevent", "wsgiref"),
    Interface.ASGI: ("native", "uvicorn", "granian", "hypercorn"),
}
"""What is taken when nobody says what to take: the first that is installed.

Backends with gaps in their semantics (see their notes) are taken only by name.
"""


class Availability(Record):
    """Whether a backend can run here, and what it says of itself."""

    name: str
    installed: bool
    version: str
    reason: str
    install: str
    declaration: Declaration | None


_registered: dict[str, type[Backend]] = {}


def register(name: str, backend: type[Backend]) -> None:
    """Adds a backend without an entry point; a name that is taken is replaced."""
    _registered[name] = backend


@functools.cache
def _entry_points() -> dict[str, str]:
    """Name to `module:class`; read once, because the disk is searched for it."""
    from importlib.metadata import entry_points  # 4 MB that a worker with one of ours saves

    found = {point.name: point.value for point in entry_points(group=GROUP)}
    return {**found, **BUILT_IN}


def names() -> list[str]:
    """Every backend there is, whether or not its library is installed."""
    return sorted({*_entry_points(), *_registered})


def get(name: str) -> type[Backend]:
    """The class of a backend whose library is here.

    Raises ConfigError for an unknown name, BackendUnavailable for one that
    cannot run here; its message says what to install.
    """
    backend = _load(name)
    requirement = backend.declaration.requirement
    if requirement and not _is_installed(requirement):
        raise BackendUnavailable(f"{_missing(name, requirement)}; {_installed_here()}")
    return backend


def declaration(name: str) -> Declaration:
    """What a backend says of itself, installed or not. Raises ConfigError for an unknown name."""
    return _load(name).declaration


def _load(name: str) -> type[Backend]:
    if name in _registered:
        return _registered[name]
    place = BUILT_IN.get(name) or _entry_points().get(name)
    if place is None:
        known = ", ".join(names())
        raise ConfigError(
            f"no backend is called {name!r}{did_you_mean(name, names())}; known: {known}"
        )
    module, _, attribute = place.partition(":")
    try:
        backend: type[Backend] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BackendUnavailable(f"backend {name!r} cannot be imported: {error}") from error
    return backend


def _is_installed(requirement: Requirement) -> bool:
    return importlib.util.find_spec(requirement.module) is not None


def _missing(name: str, requirement: Requirement) -> str:
    return (
        f"backend {name!r} needs the package {requirement.distribution}, which is not installed: "
        f"{requirement.install}"
    )


def _installed_here() -> str:
    return f"backends that can run here: {', '.join(each.name for each in available())}"


def probe(name: str) -> Availability:
    """What is known of a backend without importing its library.

    Raises ConfigError for an unknown name.
    """
    try:
        declaration = _load(name).declaration
    except BackendUnavailable as error:
        return Availability(name, False, "", str(error), "", None)
    requirement = declaration.requirement
    if requirement is None:
        return Availability(name, True, "", "", "", declaration)
    if not _is_installed(requirement):
        reason = _missing(name, requirement)
        return Availability(name, False, "", reason, requirement.install, declaration)
    version = _version(requirement.distribution)
    return Availability(name, True, version, "", requirement.install, declaration)


def _version(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # see _entry_points

    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def available() -> list[Availability]:
    """The backends that can run here."""
    return [each for each in map(probe, names()) if each.installed]


def default_for(interface: Interface) -> str:
    """The best backend here for an interface; BackendUnavailable when there is none."""
    for name in PREFERENCE[interface]:
        requirement = _load(name).declaration.requirement
        if requirement is None or _is_installed(requirement):
            return name
    best = PREFERENCE[interface][0]
    raise BackendUnavailable(
        f"no backend for {interface.value.upper()} applications is installed: "
        f"{probe(best).install} installs {best}"
    )


def check(
    name: str, settings: ServerSettings, interface: Interface, sockets: Sequence[socket.socket]
) -> None:
    """Refuses what this backend could only ignore.

    Raises ConfigError that names the setting, the backend's reason, and the
    installed backends that can.
    """
    declaration = get(name).declaration
    for wanted, what in _wishes(settings, interface, sockets):
        if not declaration.offers(wanted, interface):
            raise ConfigError(_refusal(name, declaration, wanted, what, interface))
    if settings.keyfile and not settings.certfile:
        raise ConfigError("--keyfile is given without --certfile: TLS needs the certificate, too")
    if settings.max_requests_jitter and not settings.max_requests:
        raise ConfigError("--max-requests-jitter is given without --max-requests: nothing to vary")


def _wishes(
    settings: ServerSettings, interface: Interface, sockets: Sequence[socket.socket]
) -> Iterator[tuple[Can, str]]:
    """Each capability that is needed, with the words for who needs it."""
    yield Can[interface.name], f"an {interface.value.upper()} application"
    for field, (setting, default) in declared(ServerSettings).items():
        value = getattr(settings, field)
        if setting.needs and value != default:
            yield Can[setting.needs], _spelling(field, setting, value)
    families = {each.family for each in sockets}
    if socket.AF_UNIX in families:
        yield Can.UNIX_SOCKET, "a unix socket"
    if families - {socket.AF_UNIX}:
        yield Can.TCP, "a TCP socket"
    if len(sockets) > 1:
        yield Can.MANY_SOCKETS, f"listening on {len(sockets)} sockets"


def _spelling(field: str, setting: Setting, value: Any) -> str:
    flag = next((each for each in setting.flags if each.startswith("--")), field)
    return f"{flag} {show(value)}"


def _refusal(
    name: str, declaration: Declaration, wanted: Can, what: str, interface: Interface
) -> str:
    reason = declaration.reason(wanted)
    others = ", ".join(_able(wanted, interface)) or "none that is installed"
    return f"{what}: not possible with the backend {name!r} ({reason}); backends that can: {others}"


def _able(wanted: Can, interface: Interface) -> Iterable[str]:
    for each in available():
        says = each.declaration
        if says and says.offers(wanted, interface) and Can[interface.name] in says.can:
            yield each.name
