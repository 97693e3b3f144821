"""What the API and the consumers share: the queue in Redis, and what a job is.

A job is a document whose preview is to be made: a picture of its first page, a
grey point for each character, as a PNG file.
"""

import os
import struct
import zlib
from pathlib import Path

import redis

PLACE = Path(os.environ.get("STACK_VAR", "var"))
QUEUE = "queue"
COLUMNS, ROWS = 80, 66


def connect():
    """The Redis of this stack; every call tries again for a while, should it be restarted."""
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), retries=100)
    return redis.Redis(
        unix_socket_path=str(PLACE / "redis.sock"),
        decode_responses=True,
        retry=retry,
        retry_on_error=[redis.ConnectionError, redis.TimeoutError, FileNotFoundError],
    )


def submit(server, text):
    """Queues a document; its number."""
    number = server.incr("documents")
    server.hset(f"document:{number}", mapping={"text": text, "state": "queued"})
    server.lpush(QUEUE, number)
    return number


def make_preview(text):
    """A picture of the first page, as a PNG file."""
    lines = [line.expandtabs()[:COLUMNS] for line in text.splitlines()[:ROWS]]
    rows = []
    for line in lines + [""] * (ROWS - len(lines)):
        grey = bytes(255 if one.isspace() else 40 + ord(one) % 100 for one in line)
        rows.append(b"\0" + grey.ljust(COLUMNS, b"\xff") * 1)
    header = struct.pack(">IIBBBBB", COLUMNS, ROWS, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
