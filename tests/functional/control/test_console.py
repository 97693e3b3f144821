"""circusctl as people use it: the shell, completion, events, ssh."""

from __future__ import annotations

import getpass
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from arbiter_under_test import BOUND, ROOT, SLEEP, Arbiters, ArbiterUnderTest, watcher
from ssh_server import ssh_on_path

CTL = [sys.executable, "-m", "chaussette.cli.circusctl"]


def ctl(
    arbiter: ArbiterUnderTest | None, *words: str, stdin: str = "", **environ: str
) -> tuple[int, str, str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    if arbiter is not None:
        env.setdefault("CIRCUSCTL_ENDPOINT", arbiter.endpoint)
    done = subprocess.run(
        [*CTL, *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
        env=env,
    )
    return done.returncode, done.stdout, done.stderr


def test_lines_from_a_pipe(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("web", SLEEP))
    arbiter.settled("web")
    code, out, err = ctl(arbiter, stdin="list\nbla 'x\nlits\n\nhelp incr\nnumwatchers\nexit\n")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("circusctl ")
    assert lines[1] == "web: active"
    assert lines[2] == "(circusctl) web"
    assert "circusctl incr <watcher>" in out
    assert "did you mean 'list'" in err
    assert lines[-1].endswith("(circusctl) 1") or "(circusctl) 1" in out


def test_the_shell_completes_and_remembers(arbiters: Arbiters, folder: Path) -> None:
    arbiter = arbiters.ready(watcher("website", SLEEP))
    arbiter.settled("website")
    pid, fd = pty.fork()
    if pid == 0:  # pragma: no cover - another program from here on
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
        env.update(CIRCUSCTL_HISTORY=f"{folder}/history", CIRCUSCTL_ENDPOINT=arbiter.endpoint)
        os.execve(sys.executable, CTL, env)
    terminal = Terminal(fd)
    try:
        terminal.expect("(circusctl) ")
        os.write(fd, b"numproc\tweb\t\n")
        terminal.expect("numprocesses website")
        terminal.expect("1\r\n(circusctl) ")
        os.write(fd, b"get website graceful_\t\n")
        terminal.expect("graceful_timeout: 30\r\n(circusctl) ")
        os.write(fd, b"\x04")
        pidfd = os.pidfd_open(pid)
        while pidfd not in (ready := select.select([pidfd, fd], [], [], BOUND)[0]):
            assert ready, "the shell does not end"
            expect_any(fd)
        os.close(pidfd)
    finally:
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == 0
        os.close(fd)
    assert "numprocesses website" in (folder / "history").read_text()


def test_words_for_bash(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("web", SLEEP), watcher("worker", SLEEP))

    def words(line: str) -> list[str]:
        at = str(len(line.split(" ")) - 1)
        _, out, _ = ctl(arbiter, AUTO_COMPLETE="1", COMP_WORDS=line, COMP_CWORD=at)
        return out.split()

    assert words("circusctl re") == ["reload", "reloadconfig", "restart"]
    assert words("circusctl --js") == ["--json"]
    assert words("circusctl reload --b") == ["--batch"]
    assert ctl(None, "--completion", "bash")[1].startswith("_circusctl()")
    code, out, _ = ctl(arbiter, AUTO_COMPLETE="1", COMP_WORDS="circusctl\nstop\nwo", COMP_CWORD="2")
    assert (code, out.split()) == (1, ["worker"])


def test_events_are_printed_as_text(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(watcher("web", SLEEP), watcher("job", SLEEP))
    arbiter.settled("web", "job")
    events = arbiter.endpoint.replace("control", "events")
    for endpoint in (arbiter.endpoint, events):
        listener = arbiters.run([*CTL, "--endpoint", endpoint, "listen", "watcher.web"])
        deadline = time.monotonic() + BOUND
        # Until the subscription has come through, events go by.
        while "watcher.web.kill: {" not in listener.log and time.monotonic() < deadline:
            arbiter.must("kill", name="job", waiting=True)
            arbiter.must("kill", name="web", waiting=True)
            listener._read(time.monotonic())
        line = next(one for one in listener.log.splitlines() if one.startswith("watcher.web.kill"))
        assert json.loads(line.partition(": ")[2])["process_pid"]
        assert "watcher.job" not in listener.log
        listener.send(signal.SIGINT)
        assert listener.wait_end() in (0, 1)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--endpoint", "ipc:///no/such", "--timeout", "0.1", "status"), 1),
        (("--endpoint", "nonsense", "status"), 1),
        (("--timeout", "x", "status"), 2),
        (("--nope", "status"), 2),
        (("statsu",), 2),
        (("set", "web", "cmd"), 2),
        (("--completion", "tcsh"), 2),
    ],
)
def test_exit_codes(words: tuple[str, ...], code: int) -> None:
    assert ctl(None, *words)[0] == code


def test_through_ssh(arbiters: Arbiters, sshd: tuple[int, Path], folder: Path) -> None:
    port, key = sshd
    arbiter = arbiters.ready(watcher("web", SLEEP))
    arbiter.settled("web")
    path = ssh_on_path(folder)
    where = f"{getpass.getuser()}@127.0.0.1:{port}"
    code, out, err = ctl(arbiter, "--ssh", where, "--ssh_keyfile", str(key), "status", PATH=path)
    assert (code, out.strip()) == (0, "web: active"), err
    code, out, err = ctl(arbiter, "--ssh", where, "--ssh_keyfile", "/no/key", "status", PATH=path)
    assert code == 2
    assert "ssh:" in err


class Terminal:
    """What a terminal shows, read on from where the last expectation was met.

    One read may bring more than was waited for: what is behind it is kept.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._seen = b""

    def expect(self, text: str) -> None:
        """Reads until the text has been shown, or fails."""
        deadline = time.monotonic() + BOUND
        while text.encode() not in self._seen:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._fd], [], [], left)[0]
            assert ready, f"{text!r} not in {self._seen!r}"
            self._seen += os.read(self._fd, 4096)
        self._seen = self._seen.partition(text.encode())[2]


def expect_any(fd: int) -> None:
    """Reads what there is, until the other side has gone."""
    if select.select([fd], [], [], BOUND)[0]:
        try:
            os.read(fd, 4096)
        except OSError:
            return
