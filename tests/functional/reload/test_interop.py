"""One half of the stack with the other half of somebody else: workers and managers mix."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from reload_needs import missing

from benchmarks.ops import peers
from benchmarks.ops.apps import write_app
from benchmarks.ops.daemon import Daemon, free_port
from benchmarks.ops.load import Load, Mix
from benchmarks.ops.managers import Circusd, PeerCircus, checkout_env, ini, supervisord
from chaussette.backends import registry

pytestmark = [pytest.mark.interop, pytest.mark.timeout(360)]
MIX = Mix(new=2, kept=2, slow=2)
OURS = (("waitress", "demo:application"), ("uvicorn", "demo:asgi"))


def python_of(peer: peers.Peer) -> Path:
    """The peer's interpreter; it is installed when it is first needed."""
    try:
        return peers.python_of(peer)
    except peers.PeerUnavailable as error:
        missing(f"{peer.name} cannot be installed here: {error}")
        raise


def our_command(backend: str, fd: str, app: str) -> str:
    """Our runner on an inherited socket."""
    found = registry.probe(backend)
    if not found.installed:
        missing(found.reason)
    return f"{sys.executable} -m chaussette --fd {fd} --backend {backend} {app}"


def wait_bound(daemon: Daemon, port: int) -> None:
    """Until the manager has bound its socket."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except ConnectionRefusedError:
            daemon.rest(0.05)
        else:
            return


def assert_serves(daemon: Daemon, port: int) -> None:
    """Answers are whole and right."""
    with Load(("127.0.0.1", port), MIX) as load:
        load.wait_answers(5)
    assert not load.tally().failures, f"{load.tally()}\n{daemon.log()}"


@pytest.mark.parametrize(("backend", "app"), OURS)
def test_our_workers_under_circus_019(folder: Path, backend: str, app: str) -> None:
    port = free_port()
    write_app(folder)
    sections = ini("socket:web", host="127.0.0.1", port=port) + ini(
        "watcher:web",
        cmd=our_command(backend, "$(circus.sockets.web)", app),
        working_dir=folder,
        numprocesses=2,
        use_sockets=True,
        copy_env=True,
    )
    python = python_of(peers.CIRCUS)
    # circus gets the path, too: its workers inherit its environment.
    with PeerCircus(python, folder, sections, env=checkout_env()) as circus:
        wait_bound(circus, port)
        assert_serves(circus, port)
        # Circus tells the old ones to end and waits for no new one: the worker's
        # own drain is all that keeps its requests.
        with Load(("127.0.0.1", port), MIX) as load:
            load.wait_answers(3)
            write_app(folder, 2)
            done = circus.ctl("reload", "--waiting", "web")
            assert done.returncode == 0, done.stdout + done.stderr
            load.wait_answers(3)
        assert not load.tally().failures, f"{load.tally()}\n{circus.log()}"
        assert "2" in {sample.version for sample in load.samples()}


@pytest.mark.parametrize(("backend", "app"), OURS)
def test_our_workers_under_supervisord(folder: Path, backend: str, app: str) -> None:
    port = free_port()
    write_app(folder)
    section = ini(
        "fcgi-program:web",
        socket=f"tcp://127.0.0.1:{port}",
        command=our_command(backend, "0", app),
        directory=folder,
        numprocs=2,
        process_name="web_%(process_num)d",
        stdout_logfile="NONE",
        stderr_logfile="NONE",
    )
    with supervisord(python_of(peers.SUPERVISOR), folder, section, env=checkout_env()) as daemon:
        wait_bound(daemon, port)
        assert_serves(daemon, port)


@pytest.mark.parametrize(
    ("backend", "readiness"),
    [
        ("wsgiref", {"readiness": "alive"}),
        ("meinheld", {"readiness": "alive"}),
        # It is called chaussette, but never says that it is ready: it lives, and that counts.
        ("wsgiref", {"boot_timeout": 2}),
    ],
)
def test_pypi_workers_under_our_circusd(
    folder: Path, backend: str, readiness: dict[str, object]
) -> None:
    peer = peers.CIRCUS if backend == "wsgiref" else peers.MEINHELD
    program = python_of(peer).with_name("chaussette")
    port = free_port()
    write_app(folder)
    sections = (
        ini("socket:web", host="127.0.0.1", port=port)
        + ini(
            "watcher:web",
            cmd=f"{program} --fd $(circus.sockets.web) --backend {backend} demo.application",
            working_dir=folder,
            numprocesses=2,
            use_sockets=True,
            copy_env=True,
            **readiness,
        )
        + ini("env:web", PYTHONPATH=folder)
    )
    with Circusd(folder, sections) as circusd:
        circusd.ask("start", "web", "--waiting")
        assert_serves(circusd, port)
