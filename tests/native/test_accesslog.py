"""Access log lines: Gunicorn's atoms, escaping, cutting, and the buffer in front of the file."""

from __future__ import annotations

import base64
import datetime
import json
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from edges import ENVIRON, REQUEST_FIELD, RESPONSE_FIELD, Format, Refused
from hypothesis import example, given
from hypothesis import strategies as st

GUNICORN_COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
WALL, TOOK = 1_790_000_000_999_999_000, 2_234_567_891
END = (WALL + TOOK) // 10**9


def basic(user: bytes, behind: bytes = b":secret") -> bytes:
    return b"Basic " + base64.b64encode(user + behind)


def clf(second: int) -> str:
    return time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(second))


# --- meaning --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("atom", "text"),
    [
        ("%(h)s", "203.0.113.7"),
        ("%(l)s", "-"),
        ("%(u)s", "-"),
        ("%(t)s", clf(END)),
        ("%(r)s", "GET /a%20b?x=1 HTTP/1.1"),
        ("%(m)s", "GET"),
        ("%(U)s", "/a b"),
        ("%(q)s", "x=1"),
        ("%(H)s", "HTTP/1.1"),
        ("%(s)s", "200"),
        ("%(st)s", "OK"),
        ("%(B)s", "5"),
        ("%(B)d", "5"),
        ("%(b)s", "5"),
        ("%(f)s", "-"),
        ("%(a)s", "curl/8"),
        ("%(T)s", "2"),
        ("%(T)d", "2"),
        ("%(M)s", "2234"),
        ("%(D)s", "2234567"),
        ("%(L)s", "2.234567"),
        ("%(p)s", "<42>"),
        ("%%", "%"),
        ("%%(h)s", "%(h)s"),
        ("%%%(m)s%%%%.", "%GET%%."),
        ("", ""),
        ("é\t|", "é\t|"),
    ],
)
def test_atoms_mean_what_gunicorns_do(atom: str, text: str) -> None:
    line = Format(atom).line(wall_ns=WALL, duration_ns=TOOK)
    assert line == text.encode() + b"\n"


def test_named_values_are_looked_up_in_lower_case() -> None:
    format = Format("%({X-Id}i)s %({ETag}o)s %({REMOTE_ADDR}e)s %({x-none}i)s %({x-empty}i)s|")
    assert format.wants() == [REQUEST_FIELD, RESPONSE_FIELD, ENVIRON]
    found = {
        (REQUEST_FIELD, "x-id"): b'7"',
        (RESPONSE_FIELD, "etag"): b"W/1",
        (ENVIRON, "remote_addr"): b"::1",
        (REQUEST_FIELD, "x-empty"): b"",
    }
    assert format.line(found=found) == b'7\\" W/1 ::1 - |\n'


@pytest.mark.parametrize("text", ["common", "combined", "json", "%({User-Agent}i)s%({referer}i)s"])
def test_formats_that_need_no_lookup(text: str) -> None:
    assert Format(text).wants() == []


def test_common_and_combined_are_the_texts() -> None:
    assert Format("combined").line() == Format(GUNICORN_COMBINED).line()
    short = GUNICORN_COMBINED.removesuffix(' "%(f)s" "%(a)s"')
    assert Format("common").line() == Format(short).line()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("%(zz)s", r"2: unknown atom: expected one of h l u"),
        ("ab %(h", r"3: %\( without its closing"),
        ("100%", r"3: expected %\(atom\)s, or %%"),
        ("%d", r"0: expected %\(atom\)s, or %%"),
        ("%(h)", r"4: expected s after"),
        ("%(h)d", r"4: expected s after"),
        ("%(T)x", r"4: expected s or d after"),
        ("%(h)5s", r"4: expected s after"),
        ("%({x}z)s", r"5: expected i \(request\)"),
        ("%({x)s", r"2: expected \{name\}i"),
        ("%({}i)s", r"2: expected \{name\}i"),
        ("%()s", r"2: unknown atom"),
        ("x" * 65536, r"0: longer than"),
    ],
)
def test_malformed_formats_are_refused_with_their_place(text: str, error: str) -> None:
    with pytest.raises(Refused, match=rf"^{error}"):
        Format(text)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati"])
def test_date_is_local_time(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        format = Format("%(t)s")
        for second in (0, 951_782_399, 951_782_400, 1_711_846_800, END, 4_102_444_799):
            line = format.line(wall_ns=second * 10**9, duration_ns=0)
            assert line.decode() == clf(second) + "\n"
            record = json.loads(Format("json").line(wall_ns=second * 10**9, duration_ns=0))
            assert datetime.datetime.fromisoformat(record["time"]).timestamp() == second
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("field", "user"),
    [
        (basic(b"aladdin"), "aladdin"),
        (basic(b"a b\xc3\xa9"), "a b\\xc3\\xa9"),
        (basic(b""), "-"),
        (basic(b"x" * 300), "x" * 256),
        (b"bAsIc   YTpi", "a"),
        (basic(b"no-colon-maybe-a-secret", b""), "-"),
        (b"Basic", "-"),
        (b"Basic ", "-"),
        (b"BasicYTpi", "-"),
        (b"Basic\tYTpi", "-"),
        (b"Basic !YTpi", "-"),
        (b"Basic YQ==", "-"),
        (b"Bearer YTpi", "-"),
        (b"", "-"),
    ],
)
def test_user_of_basic_credentials(field: bytes, user: str) -> None:
    assert Format("%(u)s").line(authorization=field).decode() == user + "\n"
    record = json.loads(Format("json").line(authorization=field))
    assert (record["user"] or "-").encode() == user.replace("\\xc3\\xa9", "é").encode()


# --- the same as Gunicorn ----------------------------------------------------------


class Captured:
    """Gunicorn's formatting without its handlers."""

    def __init__(self) -> None:
        glogging = pytest.importorskip("gunicorn.glogging")
        self.logger = glogging.Logger.__new__(glogging.Logger)
        self.safe = glogging.SafeAtoms

    def line(self, format: str, found: dict[tuple[int, str], bytes], facts: dict[str, Any]) -> str:
        texts = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in facts.items()
        }
        environ = {
            "REMOTE_ADDR": texts["remote"],
            "REQUEST_METHOD": texts["method"],
            "RAW_URI": texts["target"],
            "SERVER_PROTOCOL": f"HTTP/1.{texts['minor']}",
            "PATH_INFO": texts["path"],
            "QUERY_STRING": texts["query"],
        }
        headers = [(name, value.decode()) for (s, name), value in found.items() if s == 0]
        for field in ("referer", "user_agent", "authorization"):
            name = field.removeprefix("user_")
            if texts[name]:
                environ[f"HTTP_{field.upper()}"] = texts[name]
        environ |= {name.upper(): v.decode() for (s, name), v in found.items() if s == 2}
        response = SimpleNamespace(
            status=f"{texts['status']} OK",
            sent=texts["sent"],
            headers=[(name, value.decode()) for (s, name), value in found.items() if s == 1],
        )
        request = SimpleNamespace(headers=headers)
        took = datetime.timedelta(microseconds=facts["duration_ns"] // 1000)
        atoms = self.logger.atoms(response, request, environ, took)
        atoms["t"] = clf((facts["wall_ns"] + facts["duration_ns"]) // 10**9)
        atoms["p"] = f"<{facts['pid']}>"
        return str(format % self.safe(atoms)) + "\n"


ATOMS = ["h", "l", "u", "t", "r", "m", "U", "q", "H", "s", "B", "b", "f", "a", "T", "M", "D", "L"]
NAMED = ["{x-one}i", "{X-Two}o", "{SOME_KEY}e", "{x-none}i", "{x-none}o", "{none}e"]
# What Gunicorn does not escape and we do is left out: control characters, backslash, non-ASCII.
PRINTABLE = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\%?"), max_size=40
).map(str.encode)
SOME = PRINTABLE.filter(bool)


def good_user(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & set(":\\%")


@given(
    atoms=st.lists(
        st.sampled_from([f"%({name})s" for name in [*ATOMS, *NAMED, "p"]] + ["%%", " ", '"', "é"])
    ),
    one=PRINTABLE,
    facts=st.fixed_dictionaries(
        {
            "remote": SOME,
            "method": SOME,
            "target": SOME,
            "path": SOME,
            "query": PRINTABLE,
            "referer": PRINTABLE,
            "agent": PRINTABLE,
            "authorization": st.one_of(
                st.just(b""),
                st.builds(
                    basic,
                    st.text(max_size=40).filter(good_user).map(str.encode),
                    PRINTABLE.map(lambda text: b":" + text),
                ),
                st.sampled_from([b"Bearer abc", b"basic  YTpi", b"BASIC YTo=", b"Basic Og=="]),
            ),
            "minor": st.integers(0, 1),
            "status": st.integers(100, 999),
            "sent": st.integers(0, 2**63),
            "wall_ns": st.integers(0, 4 * 10**18),
            "duration_ns": st.integers(0, 86_399 * 10**9),
            "pid": st.integers(1, 2**22),
        }
    ),
)
def test_lines_are_gunicorns(atoms: list[str], one: bytes, facts: dict[str, Any]) -> None:
    text = "".join(atoms)
    found = {(0, "x-one"): one, (1, "x-two"): one, (2, "some_key"): one}
    ours = Format(text).line(found=found, **facts)
    assert ours.decode() == Captured().line(text, found, facts)


# --- log injection ---------------------------------------------------------------

HOSTILE = st.binary(max_size=300)


@given(text=HOSTILE, path=HOSTILE)
@example(b'" 200 5\n6.6.6.6 - - "', b"%0a%0D%00%22%5c%1b%zz%4")
def test_nothing_from_the_network_ends_a_line_or_a_quote(text: bytes, path: bytes) -> None:
    format = Format('"%(r)s" "%(U)s" "%(q)s" "%(f)s" "%(a)s" "%(u)s" "%({x}i)s"')
    line = format.line(
        method=text,
        target=text,
        path=path,
        query=text,
        referer=text,
        agent=text,
        authorization=basic(text.replace(b":", b"")),
        found={} if b"\x1e" in text or b"\0" in text else {(0, "x"): text},
    )
    assert re.fullmatch(rb'("([ !#-\[\]-~]|\\["\\]|\\x[0-9a-f]{2})*" ?){7}\n', line), line


def test_escapes_are_apaches() -> None:
    line = Format("%(a)s").line(agent=b'a"b\\c\nd\x7f\x1b[31m\xc3\xa9')
    assert line == b'a\\"b\\\\c\\x0ad\\x7f\\x1b[31m\\xc3\\xa9\n'
    assert Format("%(U)s").line(path=b"/%C3%A9%2f%0a%zz%2") == b"/\\xc3\\xa9/\\x0a%zz%2\n"


@given(st.text(max_size=100), HOSTILE)
def test_json_holds_what_was_sent(text: str, raw: bytes) -> None:
    line = Format("json").line(
        agent=text.encode(errors="surrogatepass"),
        referer=raw,
        authorization=basic(raw.replace(b":", b"")),
    )
    assert line.count(b"\n") == 1 and not re.search(
        rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", line
    )
    record = json.loads(line)
    if not re.search("[\ud800-\udfff]", text):
        assert (record["agent"] or "") == text
    try:
        wanted = raw.decode()
    except UnicodeDecodeError:
        return
    assert (record["referer"] or "") == wanted
    assert (record["user"] or "") == wanted.replace(":", "")[:256] or len(raw) > 256


def test_json_reads_invalid_utf8_as_latin_1() -> None:
    record = json.loads(Format("json").line(agent=b"\xff\xe9 \xc3\xa9 \xed\xa0\x80"))
    assert record["agent"] == "\xff\xe9 é \xed\xa0\x80"
    assert record == {
        "time": record["time"],
        "remote": "203.0.113.7",
        "user": None,
        "method": "GET",
        "target": "/a%20b?x=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 5,
        "seconds": 0.001234,
        "referer": None,
        "agent": "\xff\xe9 é \xed\xa0\x80",
        "pid": 42,
    }


# --- cutting -----------------------------------------------------------------------


@given(st.integers(0, 400), HOSTILE)
def test_a_line_that_is_cut_still_ends(room: int, text: bytes) -> None:
    whole = Format("combined").line(agent=text, referer=text, target=text)
    line = Format("combined").line(room, agent=text, referer=text, target=text)
    assert line == whole if len(whole) <= room else line.endswith(b"\n" if room else b"")
    assert whole.startswith(line[:-1])


@given(st.integers(0, 1200), HOSTILE)
def test_a_json_line_that_is_cut_is_still_json(room: int, text: bytes) -> None:
    big: dict[str, Any] = {
        "sent": 2**64 - 1,
        "duration_ns": 2**62,
        "wall_ns": 0,
        "status": 65535,
        "pid": 2**31 - 1,
    }
    line = Format("json").line(room, agent=text, referer=text, target=text * 4, method=text, **big)
    if room > 2:
        record = json.loads(line)
        assert line.endswith(b"\n") and (room < 321 or record["pid"] == 2**31 - 1)
    else:
        assert line == b"\n"[:room]
