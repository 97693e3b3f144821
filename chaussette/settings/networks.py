"""Lists of who is trusted, and with which fields: one text each, checked here.

The text is what the server compiles (`backends/native/trust.c`), so it stays a
text; an empty one trusts nobody, which a list could not say on a command line.
"""

from __future__ import annotations

from collections.abc import Callable

from chaussette.settings.kinds import Kind

FIELDS = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "forwarded",
)
"""The fields by which a proxy says something of its client."""


def _texts(check: Callable[[str], object]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        for part in parts:
            check(part)
        return ",".join(parts)

    return parse


def _check_network(text: str) -> None:
    """Raises ValueError; a network with bits set behind its prefix is a slip."""
    address, slash, bits = text.partition("/")
    if slash and not (bits.isascii() and bits.isdecimal()):
        raise ValueError(text)
    if text not in {"*", "unix"}:
        if "%" in address:
            raise ValueError(text)
        import ipaddress  # only where a list is given: it is a quarter of a megabyte

        ipaddress.ip_network(text)


def _check_field(text: str) -> None:
    if text.lower() not in FIELDS:
        raise ValueError(text)


NETWORKS: Kind[str] = Kind(
    "NETWORKS",
    "addresses and networks such as 10.0.0.0/8, `unix` or `*`, separated by ','",
    _texts(_check_network),
)
FIELD_NAMES: Kind[str] = Kind(
    "FIELDS", f"some of {', '.join(FIELDS)}, separated by ','", _texts(_check_field)
)
