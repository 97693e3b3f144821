"""The table of responses: what the application gives, and what must be on the wire.

`/answer` makes the response that its query asks for, as JSON.
"""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import dataclass
from typing import Any

CHUNKED = {"transfer-encoding": "chunked", "content-length": ""}


def length(number: int) -> dict[str, str]:
    return {"content-length": str(number), "transfer-encoding": ""}


NO_FRAMING = {"content-length": "", "transfer-encoding": ""}


@dataclass(frozen=True)
class Given:
    """`fields` are what each of these fields must be; empty: it is not there.

    `ends`: the connection does; `complete`: the client can tell that the body is whole.
    """

    name: str
    asked: dict[str, Any]
    body: bytes
    fields: dict[str, str]
    status: int = 200
    method: str = "GET"
    version: str = "1.1"
    ends: bool = False
    complete: bool = True

    @property
    def target(self) -> str:
        return "/answer?" + urllib.parse.quote(json.dumps(self.asked))


def given(name: str, body: bytes, fields: dict[str, str], **more: Any) -> Given:
    """`asked` and the Given's own fields in one."""
    own = {key: more.pop(key) for key in ("method", "version", "ends", "complete") if key in more}
    status = int(more.get("status", "200")[:3])
    return Given(name, more, body, fields, status=status, **own)


AB = ["a", "", "b"]
LARGE = [["x", 20_000], ["y", 300_000]]
LARGE_BODY = b"x" * 20_000 + b"y" * 300_000
CL3 = [["Content-Length", "3"]]
ANSWERS = (
    *(
        given(f"blocks from a {how}", b"ab", length(2), how=how, blocks=AB)
        for how in ("list", "tuple", "bytes", "iterator")
    ),
    given("blocks from a generator", b"ab", CHUNKED, blocks=AB),
    given("a file that is none of the system's", b"ab", CHUNKED, how="file", blocks=AB),
    given("large blocks from a list", LARGE_BODY, length(320_000), how="list", blocks=LARGE),
    given("large blocks from a generator", LARGE_BODY, CHUNKED, blocks=LARGE),
    given("nothing from a list", b"", length(0), how="list"),
    given("nothing from a generator", b"", length(0)),
    given("empty blocks", b"", length(0), blocks=["", ""]),
    given("write", b"wab", CHUNKED, write=["w"], blocks=AB),
    given("write, then a list", b"wab", CHUNKED, write=["w"], blocks=AB, how="list"),
    given("write, then a file", b"wab", CHUNKED, write=["w"], blocks=AB, how="file"),
    given("write alone", b"w", CHUNKED, write=["w"], how="list"),
    given("write and a length", b"wab", length(3), write=["w"], blocks=AB, headers=CL3),
    given(
        "1.0 keeps the connection with a length",
        b"ab",
        length(2),
        version="1.0",
        blocks=AB,
        how="list",
    ),
    given(
        "1.0 ends without one",
        b"ab",
        {**NO_FRAMING, "connection": "close"},
        version="1.0",
        blocks=AB,
        ends=True,
    ),
    *(
        given(
            f"{how}: too much for Content-Length is cut",
            b"aby",
            length(3),
            how=how,
            blocks=["ab", "yz", "z"],
            headers=CL3,
        )
        for how in ("list", "generator", "tuple", "iterator")
    ),
    given(
        "one block: too much is cut", b"aby", length(3), how="list", blocks=["abyz"], headers=CL3
    ),
    given(
        "a large one, too",
        b"x" * 20_001,
        length(20_001),
        how="list",
        blocks=[["x", 300_000]],
        headers=[["content-length", "20001"]],
    ),
    *(
        given(
            f"{how}: too little ends the connection",
            b"a",
            length(3),
            how=how,
            blocks=["a"],
            headers=CL3,
            ends=True,
            complete=False,
        )
        for how in ("list", "generator", "bytes", "iterator")
    ),
    given(
        "length 0 and a body",
        b"",
        length(0),
        how="list",
        blocks=["a"],
        headers=[["Content-Length", "0"]],
    ),
    given("HEAD of a list", b"", length(2), method="HEAD", how="list", blocks=AB),
    given("HEAD with a length", b"", length(3), method="HEAD", headers=CL3),
    given("HEAD of a generator", b"", NO_FRAMING, method="HEAD", blocks=AB),
    given("HEAD of nothing says nothing, 9110 8.6", b"", NO_FRAMING, method="HEAD", how="list"),
    given("HEAD and write", b"", NO_FRAMING, method="HEAD", write=["w"], blocks=AB),
    given("204 has no body", b"", NO_FRAMING, status="204 No Content", how="list", blocks=AB),
    given("nor a length, 9110 8.6", b"", NO_FRAMING, status="204 No Content", headers=CL3),
    given("204 from a generator", b"", NO_FRAMING, status="204 No Content", blocks=AB),
    given("205 is empty, 9110 15.3.6", b"", length(0), status="205 Reset Content", blocks=AB),
    given("304 has no body", b"", NO_FRAMING, status="304 Not Modified", how="list", blocks=AB),
    given(
        "304 may have the length of another, 9110 15.4.5",
        b"",
        length(3),
        status="304 Not Modified",
        headers=CL3,
    ),
    given("304 of nothing says nothing", b"", NO_FRAMING, status="304 Not Modified", how="list"),
    given("a status without a reason", b"ab", length(2), status="200", how="list", blocks=AB),
    given("an unknown status", b"ab", length(2), status="299 Fine", how="list", blocks=AB),
    given(
        "fields come as they were given, in their order",
        b"",
        {"set-cookie": "a=1, b=2", "x": "\xe9", "empty": ""},
        how="list",
        headers=[["Set-Cookie", "a=1"], ["X", "\xe9"], ["Set-Cookie", "b=2"], ["Empty", ""]],
    ),
    given("a head of 32 KB", b"", {"x": "v" * 32_000}, how="list", headers=[["X", ["v", 32_000]]]),
    given(
        "Date and Server of the application",
        b"",
        {"date": "then", "server": "mine"},
        how="list",
        headers=[["Date", "then"], ["Server", "mine"]],
    ),
    given("Server has no version", b"", {"server": "Chaussette"}, how="list"),
)

EVIL = "evil\r\nSet-Cookie: owned=1\r\n\r\n<script>"
REFUSED: dict[str, dict[str, Any]] = {
    "CR LF in a value": {"headers": [["X", EVIL]]},
    "LF in a value": {"headers": [["X", "a\nb"]]},
    "CR in a value": {"headers": [["X", "a\rb"]]},
    "NUL in a value": {"headers": [["X", "a\0b"]]},
    "CR LF in a name": {"headers": [[EVIL, "x"]]},
    "a blank in a name": {"headers": [["X Y", "x"]]},
    "a colon in a name": {"headers": [["X:", "x"]]},
    "an empty name": {"headers": [["", "x"]]},
    "CR LF in the status": {"status": "200 " + EVIL},
    "a status that is no number": {"status": "OK"},
    "an interim status": {"status": "100 Continue"},
    "a status of two digits": {"status": "20 OK"},
    "an empty status": {"status": ""},
    "beyond Latin-1": {"headers": [["X", "\u20ac"]]},
    "a length that is no number": {"headers": [["Content-Length", "3x"]]},
    "a negative length": {"headers": [["Content-Length", "-1"]]},
    "an empty length": {"headers": [["Content-Length", ""]]},
    "two lengths": {"headers": [["Content-Length", "2"], ["content-length", "2"]]},
    "a head of 70 KB": {"headers": [["X", ["v", 70_000]]]},
    **{
        f"{name} is hop-by-hop": {"headers": [[name, "x"]]}
        for name in (
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authenticate",
            "proxy-authorization",
        )
    },
}
"""What may not reach the wire: 500, and nothing of it in there."""
