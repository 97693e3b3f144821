"""The API: POST /documents, GET /documents/N, GET /previews/N.png."""

import json
import re

import jobs

server = jobs.connect()
LONGEST = 1_000_000


def application(environ, start_response):
    """A WSGI application."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if method == "POST" and path == "/documents":
        return take(environ, start_response)
    if method == "GET" and (match := re.fullmatch(r"/documents/(\d+)", path)):
        return tell(match[1], start_response)
    if method == "GET" and (match := re.fullmatch(r"/previews/(\d+)\.png", path)):
        preview = jobs.PLACE / f"{match[1]}.png"
        if preview.exists():
            return answer(start_response, "200 OK", preview.read_bytes(), "image/png")
    return say(start_response, "404 Not Found", {"error": "nothing here"})


def take(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 < length <= LONGEST:
        return say(start_response, "413 Content Too Large", {"error": f"1 to {LONGEST} bytes"})
    text = environ["wsgi.input"].read(length).decode("utf-8", "replace")
    number = jobs.submit(server, text)
    return say(start_response, "202 Accepted", {"document": number, "state": "queued"})


def tell(number, start_response):
    found = server.hgetall(f"document:{number}")
    if not found:
        return say(start_response, "404 Not Found", {"error": f"no document {number}"})
    found.pop("text", None)
    typed = {key: int(text) if text.isdecimal() else text for key, text in found.items()}
    return say(start_response, "200 OK", {"document": int(number), **typed})


def say(start_response, status, content):
    return answer(start_response, status, json.dumps(content).encode(), "application/json")


def answer(start_response, status, body, kind):
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
