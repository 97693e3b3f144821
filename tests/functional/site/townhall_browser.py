"""A small browser: one connection, cookies, forms with their CSRF token."""

from __future__ import annotations

import http.client
import http.cookies
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

TIMEOUT = 30.0
opened: list[Browser] = []
"""All that were made and not closed yet; a fixture closes them after each test."""
Files = Mapping[str, tuple[str, str, bytes]]


@dataclass(frozen=True)
class Page:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def find(self, pattern: str) -> str:
        """The first group of the first match; the page is shown when there is none."""
        match = re.search(pattern, self.text)
        assert match, f"nothing matches {pattern!r} in:\n{self.text}"
        return match[1]


class Browser:
    """Talks to (host, port), or to the unix socket of a path."""

    def __init__(self, address: tuple[str, int] | str, headers: Mapping[str, str]) -> None:
        self._address = address
        self._headers = {"Host": "localhost", **headers}
        self._cookies = http.cookies.SimpleCookie()
        self._connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
        opened.append(self)

    def get(self, path: str, **headers: str) -> Page:
        return self.send("GET", path, headers=headers)

    def open(self, path: str) -> http.client.HTTPResponse:
        """The response with its body not read yet."""
        return self._ask("GET", path, None, {})

    def submit(self, path: str, fields: Mapping[str, object], files: Files | None = None) -> Page:
        """Opens the page of a form and sends the form with its token."""
        token = self.get(path).find(r'name="csrfmiddlewaretoken" value="([^"]+)"')
        everything = {"csrfmiddlewaretoken": token, **fields}
        if files is None:
            kind, body = "application/x-www-form-urlencoded", urlencode(everything, True).encode()
        else:
            kind, body = multipart(everything, files)
        return self.send("POST", path, body, {"Content-Type": kind})

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Page:
        with self._ask(method, path, body, headers) as response:
            page = Page(response.status, response.headers, response.read())
        if response.will_close:
            self._connection.close()
        return page

    def close(self) -> None:
        self._connection.close()

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        if self._connection.sock is None:
            self._connection.sock = self._connect()
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in self._cookies.items())
        given = {**self._headers, **({"Cookie": cookies} if cookies else {}), **headers}
        self._connection.request(method, path, body, given)
        response = self._connection.getresponse()
        for value in response.headers.get_all("Set-Cookie", []):
            self._cookies.load(value)
        return response

    def _connect(self) -> socket.socket:
        if isinstance(self._address, tuple):
            return socket.create_connection(self._address, TIMEOUT)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT)
        connection.connect(self._address)
        return connection


def multipart(fields: Mapping[str, object], files: Files) -> tuple[str, bytes]:
    """Content type and body of a form with files: name to (file name, type, content)."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, given in fields.items()
        for value in (given if isinstance(given, list) else [given])
    ]
    for name, (filename, kind, content) in files.items():
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; '
            f'filename="{filename}"\r\nContent-Type: {kind}\r\n\r\n'
        )
        parts.append(head.encode() + content + b"\r\n")
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    return f"multipart/form-data; boundary={boundary}", body
