"""What trusted proxies say: lists of networks, X-Forwarded-*, Forwarded, PROXY headers."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from edges import DONE, ERROR, PARTIAL, Refused, Said, forwarded, mapped, node, proxy, trusts
from hypothesis import example, given
from hypothesis import strategies as st

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NOTHING = Said("", 0, False, "", "", 0, "")
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def said(**values: object) -> Said:
    return Said(**{**vars(NOTHING), **values})


# --- lists of networks: the same as ipaddress ---------------------------------------


@st.composite
def networks(draw: st.DrawFn) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address = draw(st.ip_addresses())
    bits = draw(st.integers(0, address.max_prefixlen))
    return ipaddress.ip_network(f"{address}/{bits}", strict=False)


def as_128(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> ipaddress.IPv6Network:
    prefix = network.prefixlen + (96 if network.version == 4 else 0)
    return ipaddress.IPv6Network((mapped(network.network_address), prefix))


@given(st.lists(networks(), min_size=1, max_size=6), st.data())
def test_trust_is_what_ipaddress_says(
    listed: list[ipaddress.IPv4Network | ipaddress.IPv6Network], data: st.DataObject
) -> None:
    near = data.draw(st.sampled_from(listed))
    inside = near.network_address + data.draw(st.integers(0, near.num_addresses - 1))
    text = ", ".join(str(network) for network in listed)
    for peer in (inside, data.draw(st.ip_addresses())):
        expected = any(mapped(peer) in as_128(network) for network in listed)
        assert trusts(text, peer) is expected
    assert not trusts(text, None)


@given(st.text("0123456789abcdefx.:/*,-% []", max_size=24))
@example("010.0.0.1")
@example("1.2.3.4/032")
def test_lists_are_refused_where_ipaddress_refuses(text: str) -> None:
    def good(part: str) -> bool:
        address, slash, bits = part.partition("/")
        if slash and (not bits.isdecimal() or str(int(bits)) != bits):
            return False
        try:
            ipaddress.ip_network(part)
        except ValueError:
            return part == "*"
        return "%" not in address

    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    try:
        trusts(text, None)
    except Refused:
        assert not all(good(part) for part in parts)
    else:
        assert all(good(part) for part in parts)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("10.0.0.1,localhost", "9: expected an address, a network"),
        ("10.0.0.1/8", "0: the network has bits set behind its prefix"),
        ("10.0.0.0/33", "0: expected a prefix length from 0 to 32"),
        ("::/129", "0: expected a prefix length from 0 to 128"),
        ("::1, ", "5: an empty entry"),
        (",", "0: an empty entry"),
        ("127.0.0.1\0", "0: expected an address"),
    ],
)
def test_malformed_lists_are_refused_with_their_place(text: str, error: str) -> None:
    with pytest.raises(Refused, match=f"^{error}"):
        trusts(text, None)


def test_unix_peers_are_trusted_only_by_name() -> None:
    peer = ipaddress.ip_address("203.0.113.7")
    assert [trusts(text, None) for text in ("", "unix", "*", "0.0.0.0/0,::/0")] == [0, 1, 1, 0]
    assert [trusts(text, peer) for text in ("", "unix", "*", "0.0.0.0/0")] == [0, 0, 1, 1]
    assert trusts("127.0.0.1", ipaddress.ip_address("::ffff:127.0.0.1"))


# --- addresses as proxies write them ----------------------------------------------------


@given(st.ip_addresses(), st.none() | st.integers(0, 65535), st.sampled_from(["", "%eth0"]))
def test_addresses_are_read_and_shown_as_ipaddress_does(
    address: Address, port: int | None, zone: str
) -> None:
    text = str(address)
    if address.version == 6:
        zoned = text + zone
        text = zoned if port is None else f"[{zoned}]:{port}"
    elif port is not None:
        text = f"{text}:{port}"
    shown, number, raw = node(text.encode()) or pytest.fail(text)
    assert number == (port or 0) and raw == mapped(address).packed
    four = address.version == 4 or address.ipv4_mapped
    if four:
        assert shown == str(address if address.version == 4 else address.ipv4_mapped)
    else:
        assert ipaddress.ip_address(shown) == address


@given(st.binary(max_size=50))
@example(b"1.2.3.4.")
@example(b"[1.2.3.4]")
@example(b"1.2.3.4%eth0")
@example(b"[::1")
@example(b"[::1]x")
@example(b"[::1]:")
@example(b"1.2.3.4:65536")
@example(b"1.2.3.4:080")
@example(b"::1%")
@example(b"1.2.3")
@example(b"0x7f.1.1.1")
@example(b"1.2.3.04")
@example(b"")
def test_what_is_no_address_is_none(text: bytes) -> None:
    bare, _, zone = text.strip(b"[]").partition(b"%")
    try:
        ipaddress.ip_address(bare.decode("ascii"))
    except ValueError:
        head = bare.rpartition(b":")[0]
        try:
            ipaddress.ip_address(head.strip(b"[]").partition(b"%")[0].decode("ascii"))
        except ValueError:
            assert node(text) is None
        return
    if not zone and text[:1] != b"[" and b"%" not in text and b"]" not in text:
        assert node(text) is not None


# --- X-Forwarded-For ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "client", "port"),
    [
        ("203.0.113.7", "203.0.113.7", 0),
        ("203.0.113.7:4711", "203.0.113.7", 4711),
        ("2001:db8::7", "2001:db8::7", 0),
        ("[2001:DB8:0::7]:80", "2001:db8::7", 80),
        ("fe80::1%eth0", "fe80::1", 0),
        ("::ffff:203.0.113.7", "203.0.113.7", 0),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7", 0),
        ("6.6.6.6, 203.0.113.7, 10.1.1.1", "203.0.113.7", 0),
        ("6.6.6.6, 203.0.113.7, 10.1.1.1:5, ::1", "203.0.113.7", 0),
        ("10.9.9.9, 10.1.1.1", "10.9.9.9", 0),
        ('garbage, "x", 203.0.113.7', "203.0.113.7", 0),
        (", 203.0.113.7 ,, ", "203.0.113.7", 0),
        ("\t203.0.113.7\t", "203.0.113.7", 0),
    ],
)
def test_client_is_the_rightmost_that_is_not_trusted(value: str, client: str, port: int) -> None:
    assert forwarded(f"X-Forwarded-For: {value}") == said(client=client, client_port=port)


def test_lines_are_one_list_in_order() -> None:
    lines = ("X-Forwarded-For: 6.6.6.6", "Via: x", "x-forwarded-for: 203.0.113.7, 10.0.0.2")
    assert forwarded(*lines).client == "203.0.113.7"
    assert forwarded("X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 10.0.0.2").client == (
        "203.0.113.7"
    )


def test_star_trusts_the_peer_and_no_address_that_was_claimed() -> None:
    assert forwarded("X-Forwarded-For: 6.6.6.6, 203.0.113.7", trust="*").client == "203.0.113.7"
    everywhere = forwarded("X-Forwarded-For: 6.6.6.6, 203.0.113.7", trust="0.0.0.0/0")
    assert everywhere.client == "6.6.6.6"


@pytest.mark.parametrize("value", ["unknown", "UNKNOWN", "6.6.6.6, unknown, 10.0.0.1", "_abc"])
def test_a_client_that_is_hidden_has_no_address(value: str) -> None:
    assert forwarded(f"X-Forwarded-For: {value}") == said(hidden=True)


@pytest.mark.parametrize("value", ["", ","])
def test_nothing_said_is_nothing(value: str) -> None:
    assert forwarded(f"X-Forwarded-For: {value}") == NOTHING


@pytest.mark.parametrize(
    "value",
    'localhost|1.2.3|1.2.3.4 5.6.7.8|1.2.3.4:x|1.2.3.4:65536|"1.2.3.4"|[1.2.3.4]|203.0.113.7, x|'
    "x, 10.0.0.1|::1::|[::1|::1]|1.2.3.4\xa0|01.2.3.4|*".split("|"),
)
def test_what_counts_must_be_an_address(value: str) -> None:
    with pytest.raises(Refused, match="X-Forwarded-For: not an address"):
        forwarded(f"X-Forwarded-For: {value}")


# --- the others ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("X-Forwarded-Proto: https",), said(scheme="https")),
        (("X-Forwarded-Proto: HTTP",), said(scheme="http")),
        (("X-Forwarded-Proto: wss",), said(scheme="https")),
        (("X-Forwarded-Proto: https, https", "X-Forwarded-Proto: https"), said(scheme="https")),
        (("X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl"), said(scheme="https")),
        (("X-Forwarded-Ssl: off",), said(scheme="http")),
        (("X-Forwarded-Host: example.com:8443",), said(host="example.com:8443")),
        (("X-Forwarded-Host: [2001:db8::1]:80",), said(host="[2001:db8::1]:80")),
        (("X-Forwarded-Host: a.example, A.example",), said(host="A.example")),
        (("X-Forwarded-Port: 8443",), said(port=8443)),
        (("X-Forwarded-Prefix: /app/",), said(prefix="/app")),
        (("X-Forwarded-Prefix: /",), NOTHING),
        (("X-Forwarded-Prefix: /a/b%20c",), said(prefix="/a/b%20c")),
        (("X-Forwarded-Proto:", "X-Forwarded-Host:", "Forwarded:"), NOTHING),
    ],
)
def test_each_field_is_read(lines: tuple[str, ...], expected: Said) -> None:
    assert forwarded(*lines) == expected


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("X-Forwarded-Proto: ftp",), "neither http nor https"),
        (("X-Forwarded-Proto: https, http",), "contradictory schemes"),
        (("X-Forwarded-Proto: https", "X-Forwarded-Proto: http"), "contradictory schemes"),
        (("X-Forwarded-Proto: http", "X-Forwarded-Ssl: on"), "contradictory schemes"),
        (("X-Forwarded-Proto: http", "Forwarded: proto=https"), "contradictory schemes"),
        (("X-Forwarded-Ssl: 1",), "neither on nor off"),
        (("X-Forwarded-Host: a.example, b.example",), "contradictory forwarded hosts"),
        (("X-Forwarded-Host: a.example", "Forwarded: host=b.example"), "contradictory"),
        (("X-Forwarded-Host: user@a.example",), "not host"),
        (("X-Forwarded-Host: a.example/path",), "not host"),
        (("X-Forwarded-Host: a.example:99999",), "not host"),
        (("X-Forwarded-Host: a b",), "not host"),
        (("X-Forwarded-Port: 80, 443",), "contradictory forwarded ports"),
        (("X-Forwarded-Port: 0",), "not a port"),
        (("X-Forwarded-Port: +80",), "not a port"),
        (("X-Forwarded-Port: 65536",), "not a port"),
        (("X-Forwarded-Prefix: app",), "does not begin with /"),
        (("X-Forwarded-Prefix: //",), "not a plain path"),
        (("X-Forwarded-Prefix: /a//",), "not a plain path"),
        (("X-Forwarded-Prefix: //evil.example",), "not a plain path"),
        (("X-Forwarded-Prefix: /\\evil.example",), "not a plain path"),
        (("X-Forwarded-Prefix: /a/../b",), "not a plain path"),
        (("X-Forwarded-Prefix: /a?b",), "not a plain path"),
        (("X-Forwarded-Prefix: /a%2",), "not a plain path"),
        (("X-Forwarded-Prefix: /a%zz",), "not a plain path"),
        (("X-Forwarded-Prefix: /a%00",), "not a plain path"),
        (("X-Forwarded-Prefix: /a/%2E%2e/b",), "not a plain path"),
        (("X-Forwarded-Prefix: /%2fevil.example",), "not a plain path"),
        (("X-Forwarded-Prefix: /a\xe9",), "not a plain path"),
        (("X-Forwarded-Prefix: /a, /b",), "contradictory X-Forwarded-Prefix"),
    ],
)
def test_what_is_malformed_or_contradictory_is_refused(lines: tuple[str, ...], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        forwarded(*lines)


def test_only_fields_that_are_believed_are_read() -> None:
    lines = (
        "X-Forwarded-For: 203.0.113.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: a b",
        "X-Forwarded-Port: x",
        "X-Forwarded-Prefix: x",
        "X-Forwarded-Ssl: x",
        "X-Forwarded-Protocol: x",
        "Forwarded: x",
    )
    assert forwarded(*lines, fields="x-forwarded-for, X-Forwarded-Proto") == said(
        client="203.0.113.7", scheme="https"
    )
    assert forwarded(*lines, fields="") == NOTHING


# --- Forwarded (RFC 7239) ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # the examples of sections 4 and 7.1
        ('for="_gazonk"', said(hidden=True)),
        ('For="[2001:db8:cafe::17]:4711"', said(client="2001:db8:cafe::17", client_port=4711)),
        (
            "for=192.0.2.60;proto=http;by=203.0.113.43",
            said(client="192.0.2.60", scheme="http"),
        ),
        ("for=192.0.2.43, for=198.51.100.17", said(client="198.51.100.17")),
        ("for=192.0.2.43,for=10.51.100.17;by=10.0.0.4", said(client="192.0.2.43")),
        ("for=_hidden, for=_SEVKISEK", said(hidden=True)),
        ("for=unknown", said(hidden=True)),
        ('for="unknown:_x"', said(hidden=True)),
        # what belongs to the client's element, and only that
        (
            "for=6.6.6.6;host=evil.example;proto=http, for=203.0.113.7;host=a.example;proto=https"
            ", for=10.0.0.1;host=inner;proto=http",
            said(client="203.0.113.7", host="a.example", scheme="https"),
        ),
        ("for=10.0.0.2;host=a.example, for=10.0.0.1", said(client="10.0.0.2", host="a.example")),
        ("proto=https", said(scheme="https")),
        ('host="a.example:8080"', said(host="a.example:8080")),
        ('for="203.0.113.7:80"', said(client="203.0.113.7", client_port=80)),
        ('for="203.0.113.7:_obf"', said(client="203.0.113.7")),
        ('for="[2001:db8::1]:_obf"', said(client="2001:db8::1")),
        ('by="a,b;c";for=203.0.113.7', said(client="203.0.113.7")),
        ('ext="a\tb";for=203.0.113.7;;', said(client="203.0.113.7")),
        ("FOR=203.0.113.7 ; Proto=HTTPS", said(client="203.0.113.7", scheme="https")),
        (", ,for=203.0.113.7, ;,", said(client="203.0.113.7")),
        ('for="not an address", for=203.0.113.7', said(client="203.0.113.7")),
    ],
)
def test_forwarded_elements(value: str, expected: Said) -> None:
    assert forwarded(f"Forwarded: {value}") == expected


def test_forwarded_lines_are_one_list() -> None:
    lines = ("Forwarded: for=6.6.6.6", "Forwarded: for=203.0.113.7", "Forwarded: for=10.0.0.1")
    assert forwarded(*lines).client == "203.0.113.7"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("for", "expected name=value"),
        ("=x", "expected name=value"),
        ("for =x", "expected name=value"),
        ("for=", "without a value"),
        ("for= x", "without a value"),
        ('for="x', "without its end"),
        ('for="a\\"b"', "backslash"),
        ("for=1.2.3.4 proto=http", "expected ; or ,"),
        ('for="1.2.3.4"x', "expected ; or ,"),
        ("for=[::1]", "a parameter without a value"),
        ("for=1.2.3.4:80", "expected ; or ,"),
        ("for=1.2.3.4;for=1.2.3.4", "twice"),
        ("proto=http;host=a;PROTO=http", "twice"),
        ("for=example.com", "not an address"),
        ('for="::1"x', "expected ; or ,"),
        ("for=_a$b", "not an address"),
        ("proto=gopher", "neither http nor https"),
        ('host="a b"', "not host"),
        ("for=6.6.6.6;=, for=203.0.113.7", "expected name=value"),
    ],
)
def test_malformed_forwarded_is_refused(value: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        forwarded(f"Forwarded: {value}")


def test_forwarded_and_x_forwarded_for_must_agree() -> None:
    line = "X-Forwarded-For: 203.0.113.7"
    assert forwarded(line, 'Forwarded: for="203.0.113.7:99"').client_port == 99
    assert forwarded(line, "Forwarded: proto=https") == said(client="203.0.113.7", scheme="https")
    for other in ("203.0.113.8", "unknown"):
        with pytest.raises(Refused, match="contradict each other"):
            forwarded(line, f"Forwarded: for={other}")


FIELD_VALUES = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60
) | st.from_regex(r'((for|by|host|proto|x)=("?[\[\]:._a-z0-9]*"?)[;, ]?){0,5}', fullmatch=True)
LINES = st.lists(
    st.tuples(
        st.sampled_from(
            "Forwarded X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host X-Forwarded-Port "
            "X-Forwarded-Prefix X-Forwarded-Ssl".split()
        ),
        FIELD_VALUES,
    ),
    max_size=5,
)


@given(LINES)
def test_whatever_they_say_an_address_comes_out_or_a_refusal(lines: list[tuple[str, str]]) -> None:
    try:
        found = forwarded(*(f"{name}: {value}" for name, value in lines))
    except Refused as refused:
        assert str(refused)
        return
    if found.client:
        ipaddress.ip_address(found.client)
    assert not (found.hidden and found.client)
    assert found.prefix == "" or (found.prefix[0] == "/" and found.prefix[:2] != "//")
    assert not set(found.host) & set('/@ \\"<>')


# --- PROXY ----------------------------------------------------------------------------------


def v2(family: int, block: bytes, values: bytes = b"", command: int = 1) -> bytes:
    size = len(block) + len(values)
    return V2 + struct.pack("!BBH", 0x20 | command, family, size) + block + values


FOUR = socket.inet_aton("203.0.113.7") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 4711, 80)
SIX = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + struct.pack("!HH", 4711, 80)
)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_checksum(wrong: int = 0) -> bytes:
    blank = v2(0x11, FOUR, b"\x04\x00\x01x" + b"\x03\x00\x04" + bytes(4))
    return blank[:-4] + struct.pack("!I", crc32c(blank) ^ wrong)


GOOD = [
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n", "203.0.113.7 4711 -"),
    (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", "2001:db8::7 4711 -"),
    (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0 0 -"),
    (
        b"PROXY TCP6 "
        + b" ".join([b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] * 2)
        + b" 65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 -",
    ),
    (b"PROXY UNKNOWN\r\n", "before 1 -"),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", "before 1 -"),
    (v2(0x11, FOUR), "203.0.113.7 4711 -"),
    (v2(0x21, SIX), "2001:db8::7 4711 -"),
    (v2(0x31, bytes(216)), " 0 unix"),
    (v2(0x00, b""), "before 1 -"),
    (v2(0x00, b"whatever"), "before 1 -"),
    (v2(0x11, FOUR, command=0), "before 1 -"),
    (v2(0x00, b"", command=0), "before 1 -"),
    (v2(0x11, FOUR, b"\x04\x00\x00\x20\x00\x03abc"), "203.0.113.7 4711 -"),
    (v2(0x11, FOUR, b"\x04\x0f\xf1" + bytes(4081)), "203.0.113.7 4711 -"),
    (with_checksum(), "203.0.113.7 4711 -"),
]


@pytest.mark.parametrize(("header", "client"), GOOD)
def test_proxy_headers_and_every_beginning_of_them(header: bytes, client: str) -> None:
    for behind in (b"", b"G", b"GET / HTTP/1.1\r\n\r\n", b"\r\n", b"\0" * 200):
        assert proxy(header + behind) == (DONE, f"{client} {len(header)}")
    for size in range(len(header)):
        assert proxy(header[:size]) == (PARTIAL, "before 1 - 0"), header[:size]


BAD = [
    (b"GET / HTTP/1.1\r\n", "does not begin with"),
    (b"proxy", "does not begin with"),
    (b"PROXX", "does not begin with"),
    (b"\r\n\r\n\r\n", "does not begin with"),
    (b"\x16\x03\x01", "does not begin with"),
    (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "does not end in CRLF"),
    (b"PROXY TCP4 1.2.3.4\r1.2.3.4 1 2\r\n", "carriage return within"),
    (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", "carriage return within"),
    (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "more than 107"),
    (b"PROXY " + b"x" * 101, "more than 107"),
    (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "neither TCP4"),
    (b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "neither TCP4"),
    (b"PROXY \r\n", "neither TCP4"),
    (b"PROXY TCP4\r\n", "malformed"),
    (b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
    (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "malformed"),
    (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "malformed"),
    (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "malformed"),
    (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "malformed"),
    (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "malformed"),
    (b"PROXY TCP4 ::1 ::1 1 2\r\n", "malformed"),
    (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
    (b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n", "malformed"),
    (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "malformed"),
    (V2 + b"\x11", "version other than"),
    (V2 + b"\x31\x11", "version other than"),
    (v2(0x11, FOUR, command=2), "neither LOCAL nor PROXY"),
    (v2(0x12, FOUR), "address family or transport"),
    (v2(0x41, FOUR), "address family or transport"),
    (v2(0x01, FOUR), "address family or transport"),
    (v2(0x11, FOUR[:-1]), "too short"),
    (v2(0x21, FOUR), "too short"),
    (v2(0x31, bytes(215)), "too short"),
    (v2(0x11, FOUR, b"\x04"), "longer than the header"),
    (v2(0x11, FOUR, b"\x04\x00"), "longer than the header"),
    (v2(0x11, FOUR, b"\x04\x00\x01"), "longer than the header"),
    (v2(0x11, FOUR, b"\x04\xff\xffx"), "longer than the header"),
    (with_checksum(wrong=1), "wrong checksum"),
    (v2(0x11, FOUR, b"\x03\x00\x03abc"), "wrong checksum"),
    (V2 + b"\x21\x11\x10\x01", "more than 4112"),
]


@pytest.mark.parametrize(("header", "reason"), BAD)
def test_other_beginnings_are_refused(header: bytes, reason: str) -> None:
    result, why = proxy(header)
    assert result == ERROR and reason in why
    # Whatever the pieces: no beginning of it is complete, and once refused it stays so.
    results = [proxy(header[:size])[0] for size in range(len(header) + 1)]
    assert DONE not in results and results == sorted(results)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", V2, V2 + b"\x21\x11\x00"]), st.binary())
def test_any_bytes_give_the_same_answer_in_any_pieces(start: bytes, rest: bytes) -> None:
    data = start + rest
    result, text = proxy(data)
    earlier = [proxy(data[:size]) for size in range(len(data))]
    assert [each for each, _ in earlier] == sorted(each for each, _ in earlier)
    for each, what in earlier:
        assert each == PARTIAL or (each, what) == (result, text)
