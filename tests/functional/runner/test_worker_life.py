"""The life of real workers: boot, drain, signals, hooks, logs and exit codes."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from chaussette.notify import BOOT_ERROR
from chaussette.scoreboard import Scoreboard, WorkerState

WSGIREF = ("--backend", "wsgiref", "-b", "127.0.0.1:0")
STUBBORN = """
import select, signal, sys
from chaussette.backends import registry
from chaussette.backends.wsgiref import WsgirefBackend
from chaussette.cli.chaussette import main

class Stubborn(WsgirefBackend):
    def serve(self, ready):
        ready()
        while True:
            select.select([], [], [], 0.05)  # a signal just before it waits for its end
    def stop(self):
        pass

registry.register("stubborn", Stubborn)
sys.exit(main())
"""


def own_port(worker: Any) -> int:
    line = worker.wait_said("(pid ")
    return int(line.split("http://")[1].split(" ")[0].rpartition(":")[2])


class SlowRequest:
    """A request that is in the application until `finish`."""

    def __init__(self, http_get: Any, port: int, gate: Any) -> None:
        self.body = b""
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(http_get, port))
        self._thread.start()
        self._gate = gate
        gate.wait_arrival()

    def _run(self, http_get: Any, port: int) -> None:
        try:
            self.body = http_get(port, "/slow")
        except (OSError, http.client.HTTPException) as error:
            self.error = error

    def finish(self) -> None:
        self._gate.open()
        self._thread.join(30)


def test_a_drain_answers_what_is_under_way(start: Any, http_get: Any, gate: Any) -> None:
    worker = start(*WSGIREF, "--threads", "2", "demo", environ={"GATE": gate.name})
    worker.wait_ready()
    slow = SlowRequest(http_get, own_port(worker), gate)
    worker.signal(signal.SIGTERM)
    worker.wait_told("STOPPING")
    slow.finish()
    assert slow.body == b"hello"
    assert worker.wait_exit() == 0


@pytest.mark.parametrize("hurry", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_second_signal_ends_a_drain_at_once(
    start: Any, http_get: Any, gate: Any, hurry: signal.Signals
) -> None:
    worker = start(*WSGIREF, "--threads", "2", "demo", environ={"GATE": gate.name})
    worker.wait_ready()
    slow = SlowRequest(http_get, own_port(worker), gate)
    worker.signal(signal.SIGINT)  # without an arbiter: ^C in a terminal
    worker.wait_told("STOPPING")
    worker.signal(hurry)
    assert worker.wait_exit() == 0
    slow.finish()
    assert slow.error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_an_arbiter_s_interrupt_means_at_once(
    start: Any, http_get: Any, gate: Any, number: signal.Signals
) -> None:
    environ = {"GATE": gate.name, "CHAUSSETTE_ARBITER": str(os.getpid())}
    worker = start(*WSGIREF, "--threads", "2", "demo", environ=environ)
    worker.wait_ready()
    slow = SlowRequest(http_get, own_port(worker), gate)
    worker.signal(number)
    assert worker.wait_exit() == 0
    slow.finish()
    assert slow.error


def test_a_backend_that_does_not_stop_is_stopped(start: Any) -> None:
    argv = ("--backend", "stubborn", "-b", "127.0.0.1:0", "--graceful-timeout", "0")
    worker = start(*argv, command=("-c", STUBBORN))
    worker.wait_ready()
    worker.signal(signal.SIGTERM)
    assert worker.wait_exit() == 1
    text = worker.everything()
    assert "Timeout (0:00:01)!" in text and "in serve" in text


def test_an_abort_leaves_the_stacks(start: Any) -> None:
    worker = start(*WSGIREF, "demo")
    worker.wait_ready()
    worker.signal(signal.SIGABRT)
    assert worker.wait_exit() == -signal.SIGABRT
    text = worker.everything()
    assert "Fatal Python error: Aborted" in text and "in serve" in text


def test_a_worker_that_boots_can_be_stopped(start: Any, tmp_path: Path, gate: Any) -> None:
    (tmp_path / "hangs.py").write_text("import demo\ndemo.wait_at_the_gate()\n")
    worker = start(*WSGIREF, "hangs", environ={"GATE": gate.name})
    gate.wait_arrival()
    assert worker.stop() == 0


def test_the_slot_tells_the_state(start: Any, http_get: Any, gate: Any) -> None:
    board = Scoreboard.create(2)
    os.set_inheritable(board.fd, True)
    environ = {"GATE": gate.name, "CHAUSSETTE_SCOREBOARD": board.environment(1)}
    worker = start(*WSGIREF, "--threads", "2", "demo", fds=(board.fd,), environ=environ)
    worker.wait_ready()
    assert board.slot(1).read().state is WorkerState.SERVING
    assert board.slot(1).read().pid == worker.process.pid
    slow = SlowRequest(http_get, own_port(worker), gate)
    worker.signal(signal.SIGTERM)
    worker.wait_told("STOPPING")
    assert board.slot(1).read().state is WorkerState.DRAINING
    slow.finish()
    assert worker.wait_exit() == 0
    os.close(board.fd)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("demo:aplication", 4, "did you mean 'application'?"),
        ("missing", 3, "there is no module 'missing'"),
        ("broken", 3, "ZeroDivisionError"),
    ],
)
def test_a_failed_boot_is_told_once(
    start: Any, tmp_path: Path, name: str, code: int, words: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    alone = start(*WSGIREF, name)
    assert alone.wait_exit() == code
    text = alone.everything()
    assert text.startswith("chaussette: error: ") and words in text
    assert text.count("chaussette: error") == 1
    under = start(*WSGIREF, name, environ={"CHAUSSETTE_ARBITER": str(os.getpid())})
    assert words in under.wait_told(BOOT_ERROR)[BOOT_ERROR]
    assert under.wait_exit() == code
    assert under.everything() == ""


def test_what_a_backend_cannot_do_is_refused(start: Any) -> None:
    worker = start("--backend", "wsgiref", "-b", "127.0.0.1:0", "--interface", "asgi", "demo")
    assert worker.wait_exit() == 1
    assert "not possible with the backend 'wsgiref'" in worker.everything()


def test_hooks_and_paths(start: Any, tmp_path: Path) -> None:
    library, place = tmp_path / "library", tmp_path / "place"
    library.mkdir()
    place.mkdir()
    (library / "hooks.py").write_text(
        "import pathlib\n"
        "def before(settings): pathlib.Path('before').write_text(settings.backend)\n"
        "def after(settings): pathlib.Path('after').write_text(settings.backend)\n"
    )
    (place / "here.py").write_text(
        "import pathlib, sys, hooks\n"
        "assert pathlib.Path('before').exists() and sys.argv[1:] == ['one', '--two']\n"
        "from chaussette.hello import application\n"
    )
    flags = ("--python-path", str(library), "--chdir", str(place))
    hooks = ("--pre-hook", "hooks.before", "--post-hook", "hooks:after")
    worker = start(*WSGIREF, *flags, *hooks, "--", "here", "one", "--two")
    worker.wait_ready()
    assert (place / "before").read_text() == "wsgiref"
    assert not (place / "after").exists()
    assert worker.stop() == 0
    assert (place / "after").read_text() == "wsgiref"


def test_a_pre_hook_that_fails_stops_the_boot(start: Any, tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text("def fail(settings): raise ValueError('no')\n")
    worker = start(*WSGIREF, "--pre-hook", "hooks:fail", "demo")
    assert worker.wait_exit() == 3
    assert "pre-hook 'hooks:fail' failed: ValueError: no" in worker.everything()


def test_usr1_reopens_the_log(start: Any, tmp_path: Path) -> None:
    log, rotated = tmp_path / "web.log", tmp_path / "web.log.1"
    worker = start(*WSGIREF, "--log-output", str(log), "demo")
    worker.wait_ready()
    log.rename(rotated)
    worker.signal(signal.SIGUSR1)
    assert worker.stop() == 0
    assert "serving demo" in rotated.read_text() and "draining" not in rotated.read_text()
    assert "draining" in log.read_text()


def test_a_full_disk_drops_lines_and_not_requests(start: Any, http_get: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        argv = ("--fd", str(fd), "--backend", "wsgiref", "--log-output", "/dev/full", "demo")
        worker = start(*argv, fds=(fd,))
        worker.wait_ready()
        assert http_get(listener.getsockname()[1]) == b"hello"
        assert worker.stop() == 0


def test_a_worker_imports_what_it_needs_only(
    start: Any, tmp_path: Path, http_get: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)  # what measures it would be found, too
    (tmp_path / "modules.py").write_text(
        "import sys\n"
        "def application(environ, start_response):\n"
        "    body = ' '.join(sys.modules).encode()\n"
        "    start_response('200 OK', [('Content-Length', str(len(body)))])\n"
        "    return [body]\n"
    )
    worker = start(*WSGIREF, "modules")
    worker.wait_ready()
    loaded = set(http_get(own_port(worker)).decode().split())
    heavy = {"zmq", "psutil", "asyncio", "concurrent.futures", "multiprocessing", "subprocess"}
    frameworks = {"django", "flask", "tornado", "uvicorn", "gevent", "waitress", "watchfiles"}
    ours = {"chaussette.reloader", "chaussette.server", "chaussette.arbiter", "chaussette.control"}
    assert not loaded & (heavy | frameworks | ours)


LEFT_OUT = """
argparse ast bz2 dataclasses encodings.idna inspect ipaddress logging lzma random re shlex
shutil string tempfile threading traceback typing
""".split()
"""What a worker does without as long as its application does: half of what it would weigh."""


@pytest.mark.parametrize("flags", [("--port", "0"), ("--bind=127.0.0.1:0", "--keep-alive=1.5s")])
def test_the_native_worker_of_a_small_application_is_small(
    start: Any,
    tmp_path: Path,
    http_get: Any,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
) -> None:
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)  # what measures it would be found, too
    bare = [sys.executable, "-c", "import sys; print(*sys.modules)"]
    before = set(subprocess.check_output(bare, text=True, timeout=30).split())
    (tmp_path / "modules.py").write_text(
        "import sys\n"
        "def application(environ, start_response):\n"
        "    body = ' '.join(sys.modules).encode()\n"
        "    start_response('200 OK', [('Content-Length', str(len(body)))])\n"
        "    return [body]\n"
    )
    worker = start("--backend=native", "--graceful-timeout", "10", *flags, "modules:application")
    worker.wait_ready()
    loaded = set(http_get(own_port(worker)).decode().split())
    assert not (loaded - before) & set(LEFT_OUT)


LOGGING = {
    "none": "",
    "loaded": "import logging\n",
    "its own": "import logging, logging.config\n"
    "logging.config.dictConfig({'version': 1, 'formatters': {'f': {'format': 'OWN %(message)s'}},"
    " 'handlers': {'h': {'class': 'logging.StreamHandler', 'formatter': 'f'}},"
    " 'loggers': {'chaussette': {'level': 'INFO', 'handlers': ['h'], 'propagate': False}}})\n",
    "disabling": "import logging.config\n"
    "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': True})\n",
}


@pytest.mark.parametrize("setup", LOGGING)
def test_lines_look_alike_with_logging_and_without(
    start: Any, tmp_path: Path, http_get: Any, setup: str
) -> None:
    (tmp_path / "failing.py").write_text(
        LOGGING[setup] + "def application(environ, start_response):\n    raise ValueError('oops')\n"
    )
    worker = start("--backend=native", "--port=0", "failing")
    worker.wait_ready()
    said = worker.wait_said("(pid")
    port = re.search(r"http://[^ ]*:(\d+) ", said)
    assert port
    with pytest.raises(AssertionError):
        http_get(int(port[1]))
    assert worker.stop() == 0
    said += worker.everything()
    begin = (
        r"OWN " if setup == "its own" else r"\[\d{4}-.{14} [+-]\d{4}\] \[\d+\] \[(INFO|ERROR)\] "
    )
    for text in ("serving failing", "the application failed at GET '/'", "draining"):
        assert re.search(f"^{begin}{text}", said, re.MULTILINE), said
    assert "\nTraceback (most recent call last):\n" in said
    assert said.count("\nValueError: oops\n") == 1


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["--list-backends"], 0),
        (["--print-config", "--port", "1"], 0),
        (["--completion", "bash"], 0),
        (["--check"], 0),
        (["--check", "chaussette.hello:nothing"], 4),
        (["--check", "no_such_module"], 3),
        (["--no-such-flag"], 1),
        (["--backend", "no_such_backend"], 1),
    ],
)
def test_questions_and_their_exit_codes(argv: list[str], code: int) -> None:
    command = [sys.executable, "-m", "chaussette", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert bool(done.stdout) == (code == 0)
    assert bool(done.stderr) == (code != 0)
