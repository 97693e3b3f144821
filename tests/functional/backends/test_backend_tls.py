"""TLS where it is declared, for both interfaces."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from backend_choice import backends, need
from backend_client import Wire
from backend_server import Nursery

from chaussette.backends.base import Can

PAIRS = [
    *((name, "validated") for name in backends(Can.WSGI | Can.TLS)),
    *((name, "asgi") for name in backends(Can.ASGI | Can.TLS)),
]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with a key and a certificate of `localhost`, made for this run."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(
        [*command.split(), *subject, *files], cwd=folder, check=True, capture_output=True
    )
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "certificate.pem").read_bytes())
    return str(both)


def secure(wire: Wire, certificate: str) -> None:
    context = ssl.create_default_context(cafile=certificate)
    wire.socket = context.wrap_socket(wire.socket, server_hostname="localhost")


@pytest.mark.parametrize("pair", PAIRS, ids=["-".join(each) for each in PAIRS])
def test_tls(nest: Nursery, pair: tuple[str, str], certificate: str) -> None:
    need(pair[0])
    server = nest.serve(*pair, "--certfile", certificate, "--keyfile", certificate)
    with server.connect() as wire:
        secure(wire, certificate)
        assert wire.get("/hello").body == b"hello", server.log()
        shown = wire.get("/environ" if pair[1] == "validated" else "/scope").body
        assert b'"https"' in shown
    server.terminate()
    assert server.wait_exit() == 0, server.log()


@pytest.mark.parametrize("pair", PAIRS, ids=["-".join(each) for each in PAIRS])
def test_certificate_that_is_none(nest: Nursery, pair: tuple[str, str], tmp_path: Path) -> None:
    need(pair[0])
    (tmp_path / "bad.pem").write_text("nonsense")
    server = nest.start(*pair, "--certfile", str(tmp_path / "bad.pem"))
    assert server.wait_exit() == 1
    assert "bad.pem" in server.log()
    assert "Traceback" not in server.log()
