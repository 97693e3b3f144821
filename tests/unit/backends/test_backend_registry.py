"""Which backends there are, and what each refuses."""

from __future__ import annotations

import configparser
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from chaussette.application import Interface
from chaussette.backends import registry
from chaussette.backends.base import REASONS, Backend, Can, Declaration, Requirement
from chaussette.errors import BackendUnavailable, ConfigError
from chaussette.settings.declare import declared
from chaussette.settings.server import ServerSettings

SETUP_CFG = Path(__file__).parents[3] / "setup.cfg"
EVERY = registry.names()
OTHER_VALUES = {
    "threads": 4,
    "spawn": 7,
    "greenlet": "spawn",
    "keepalive": 1.0,
    "max_requests": 9,
    "certfile": "cert.pem",
    "keyfile": "key.pem",
    "accesslog": "-",
    "access_log_format": "json",
    "forwarded_allow_ips": "10.0.0.1",
    "forwarded_fields": "forwarded",
    "proxy_protocol": True,
    "proxy_allow_ips": "10.0.0.1",
    "header_timeout": 1.0,
    "body_timeout": 1.0,
    "body_rate": 0,
    "write_timeout": 1.0,
    "limit_request_line": 0,
    "limit_request_fields": 10,
    "limit_request_field_size": 0,
    "limit_request_head": 2048,
    "limit_request_body": 0,
    "body_memory": 0,
    "ws_ping_interval": 1.0,
    "ws_max_size": 1000,
}
"""A value that is not the default, for each setting that asks for a capability."""


class FakeSocket(socket.socket):
    """A socket of any family, that opens nothing of that family."""

    def __init__(self, family: int) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._family = family

    @property
    def family(self) -> int:  # type: ignore[override]
        return self._family


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with FakeSocket(socket.AF_INET) as made:
        yield made


@pytest.fixture
def unix() -> Iterator[socket.socket]:
    with FakeSocket(socket.AF_UNIX) as made:
        yield made


def declaration(name: str) -> Declaration:
    found = registry.probe(name).declaration
    assert found is not None
    return found


def installed(wanted: Can = Can.NOTHING) -> list[str]:
    """Backends that can run here and declare this."""
    return [
        each.name
        for each in registry.available()
        if each.declaration and wanted in each.declaration.can
    ]


def interfaces(name: str) -> list[Interface]:
    return [each for each in Interface if Can[each.name] in declaration(name).can]


def fake(can: Can, requirement: Requirement | None = None) -> type[Backend]:
    """A backend class that is never built."""

    class Fake:
        declaration: ClassVar[Declaration] = Declaration(can, requirement)

    return Fake  # type: ignore[return-value]


def test_built_in_table_is_what_setup_cfg_says() -> None:
    config = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    config.read(SETUP_CFG)
    lines = config["options.entry_points"]["chaussette.backends"].strip().splitlines()
    pairs = (line.split("=") for line in lines)
    points = {name.strip(): value.strip() for name, value in pairs}
    assert points == registry.BUILT_IN


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'waitres'; did you mean 'waitress'\?; known: .*bjoern"):
        registry.get("waitres")


def test_missing_library_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    requirement = Requirement("surely_not_there", "surely-not", "pip install surely-not")
    monkeypatch.setitem(registry._registered, "absent", fake(Can.WSGI, requirement))
    with pytest.raises(BackendUnavailable) as caught:
        registry.get("absent")
    message = str(caught.value)
    assert "\n" not in message
    assert "'absent' needs the package surely-not, which is not installed" in message
    assert "pip install surely-not" in message
    assert "backends that can run here: " in message
    assert "wsgiref" in message
    found = registry.probe("absent")
    assert (found.installed, found.version, found.install) == (False, "", "pip install surely-not")


def test_registered_backend_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    made = fake(Can.WSGI)
    registry.register("mine", made)
    assert "mine" in registry.names()
    assert registry.get("mine") is made


def test_third_party_that_cannot_be_imported_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = {**registry.BUILT_IN, "broken": "surely_not_there.module:Class"}
    monkeypatch.setattr(registry, "_entry_points", lambda: points)
    with pytest.raises(BackendUnavailable, match="'broken' cannot be imported"):
        registry.get("broken")
    assert not registry.probe("broken").installed
    assert "broken" not in [each.name for each in registry.available()]


@pytest.mark.parametrize("interface", list(Interface))
def test_default_is_the_first_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, interface: Interface
) -> None:
    requirement = Requirement("surely_not_there", "surely-not", "pip install surely-not")
    monkeypatch.setitem(registry._registered, "absent", fake(Can[interface.name], requirement))
    monkeypatch.setitem(registry._registered, "best", fake(Can[interface.name]))
    order = {interface: ("absent", "best", "wsgiref")}
    monkeypatch.setattr(registry, "PREFERENCE", order)
    assert registry.default_for(interface) == "best"


def test_no_default_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    requirement = Requirement("surely_not_there", "surely-not", "pip install surely-not")
    monkeypatch.setitem(registry._registered, "absent", fake(Can.ASGI, requirement))
    monkeypatch.setattr(registry, "PREFERENCE", {Interface.ASGI: ("absent",)})
    with pytest.raises(
        BackendUnavailable, match=r"ASGI .*: pip install surely-not installs absent"
    ):
        registry.default_for(Interface.ASGI)


def test_wsgi_has_a_default_without_any_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_is_installed", lambda _requirement: False)
    assert registry.default_for(Interface.WSGI) == "wsgiref"


@pytest.mark.parametrize("name", EVERY)
def test_declaration_is_whole(name: str) -> None:
    says = declaration(name)
    assert says.can & (Can.WSGI | Can.ASGI)
    expected = Can.WSGI | Can.ASGI | Can.THREADS | Can.TLS | Can.MANY_SOCKETS | Can.SPAWN_LIMIT
    expected |= Can.UNIX_SOCKET | Can.GRACEFUL | Can.STREAMING | Can.KEEPALIVE_TIMEOUT
    missing = [each for each in expected if each not in says.can]
    assert [each for each in missing if each not in says.limits] == []
    assert all(wanted in says.can for wanted in says.only_for)


@pytest.mark.parametrize("name", installed())
@pytest.mark.parametrize("field", sorted(OTHER_VALUES))
def test_setting_is_refused_where_it_could_only_be_ignored(
    name: str, field: str, tcp: socket.socket
) -> None:
    wanted = Can[declared(ServerSettings)[field][0].needs]
    values = {field: OTHER_VALUES[field]}
    if field == "keyfile":
        values["certfile"] = OTHER_VALUES["certfile"]
    for interface in interfaces(name):
        settings = ServerSettings(**values)  # type: ignore[arg-type]
        if declaration(name).offers(wanted, interface):
            registry.check(name, settings, interface, [tcp])
            continue
        with pytest.raises(ConfigError) as caught:
            registry.check(name, settings, interface, [tcp])
        message = str(caught.value)
        assert f"backend {name!r}" in message
        assert declaration(name).reason(wanted) in message
        assert wanted in {**REASONS, **declaration(name).limits}
        assert "backends that can: " in message


def test_every_setting_that_needs_something_is_tried_above() -> None:
    needy = {name for name, (what, _) in declared(ServerSettings).items() if what.needs}
    assert needy == set(OTHER_VALUES)


@pytest.mark.parametrize("name", installed())
def test_other_interface_is_refused(name: str, tcp: socket.socket) -> None:
    for interface in Interface:
        if interface in interfaces(name):
            registry.check(name, ServerSettings(), interface, [tcp])
            continue
        with pytest.raises(ConfigError, match=f"an {interface.name} application: not possible"):
            registry.check(name, ServerSettings(), interface, [tcp])


@pytest.mark.parametrize("name", installed())
def test_sockets_are_refused_where_they_cannot_be_served(
    name: str, tcp: socket.socket, unix: socket.socket
) -> None:
    cases = [(Can.TCP, [tcp]), (Can.UNIX_SOCKET, [unix]), (Can.MANY_SOCKETS, [tcp, tcp])]
    for wanted, sockets in cases:
        if wanted in declaration(name).can:
            registry.check(name, ServerSettings(), interfaces(name)[0], sockets)
            continue
        with pytest.raises(ConfigError, match="not possible with the backend"):
            registry.check(name, ServerSettings(), interfaces(name)[0], sockets)


def test_refusal_names_flag_reason_and_others(tcp: socket.socket) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.check("wsgiref", ServerSettings(keepalive=9.0), Interface.WSGI, [tcp])
    message = str(caught.value)
    assert message.startswith(
        "--keep-alive 9: not possible with the backend 'wsgiref' (one request"
    )
    assert "wsgiref" not in message.split("backends that can: ")[1]


def test_key_without_certificate_is_refused(
    monkeypatch: pytest.MonkeyPatch, tcp: socket.socket
) -> None:
    able = fake(Can.WSGI | Can.TCP | Can.TLS)
    monkeypatch.setitem(registry._registered, "able", able)
    with pytest.raises(ConfigError, match="--keyfile is given without --certfile"):
        registry.check("able", ServerSettings(keyfile="key.pem"), Interface.WSGI, [tcp])
