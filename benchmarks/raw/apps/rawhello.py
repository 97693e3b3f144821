"""W1's hello in a module that imports nothing: what memory is measured of is the server's."""


def hello(environ, start):  # type: ignore[no-untyped-def]
    """Thirteen bytes."""
    del environ
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, World!"]
