"""The texts that say who is trusted, and with which fields."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaussette.cli.chaussette import make_parser, read_settings
from chaussette.errors import ConfigError
from chaussette.settings import flags
from chaussette.settings.networks import FIELD_NAMES, NETWORKS
from chaussette.settings.server import ServerSettings


def read(*argv: str, **environ: str) -> ServerSettings:
    namespace, words = make_parser().read(argv)
    return read_settings(namespace, words, environ)[0]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("  ", ""),
        ("127.0.0.1, ::1", "127.0.0.1,::1"),
        ("*", "*"),
        ("unix,10.0.0.0/8", "unix,10.0.0.0/8"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_lists_are_texts_without_blanks(text: str, kept: str) -> None:
    assert NETWORKS.parse(text) == kept


@pytest.mark.parametrize(
    "text",
    "localhost 10.0.0.1/8 10.0.0.0/33 1.2.3 1.2.3.4, , 10.0.0.0/255.0.0.0 fe80::1%eth0 [::1] "
    "1.2.3.4:80 Unix ::1/ 010.0.0.1 ::/129 1.2.3.4/-1".split(),
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        NETWORKS.parse(text)


def test_field_names_are_known_ones() -> None:
    assert FIELD_NAMES.parse("Forwarded, x-forwarded-ssl") == "Forwarded,x-forwarded-ssl"
    with pytest.raises(ConfigError, match="expected some of x-forwarded-for, x-forwarded-proto"):
        read("--forwarded-fields=x-real-ip")


def test_nobody_is_trusted_when_the_list_is_empty_also_after_a_round_trip() -> None:
    wanted = read("--forwarded-allow-ips=")
    assert wanted.forwarded_allow_ips == ""
    argv = flags.to_argv(wanted)
    assert argv == ["--forwarded-allow-ips="]
    assert read(*argv) == wanted


def test_the_variable_of_gunicorn_and_uvicorn_is_read_after_our_own() -> None:
    assert read(FORWARDED_ALLOW_IPS="10.0.0.1").forwarded_allow_ips == "10.0.0.1"
    ours = read(FORWARDED_ALLOW_IPS="10.0.0.1", CHAUSSETTE_FORWARDED_ALLOW_IPS="10.0.0.2")
    assert ours.forwarded_allow_ips == "10.0.0.2"
    given = read("--forwarded-allow-ips", "*", FORWARDED_ALLOW_IPS="10.0.0.1")
    assert given.forwarded_allow_ips == "*"
    assert read(FORWARDED_ALLOW_IPS="").forwarded_allow_ips == "127.0.0.1,::1"
    with pytest.raises(ConfigError, match="environment variable FORWARDED_ALLOW_IPS: "):
        read(FORWARDED_ALLOW_IPS="proxy.example")


@given(st.ip_addresses(network=None))
def test_every_address_is_one(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert NETWORKS.parse(str(address)) == str(address)
