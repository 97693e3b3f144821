"""Callables as hooks and objects as streams, in the dictionaries that get_arbiter takes."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaussette import Arbiter, CircusClient, QueueStream, get_arbiter
from chaussette.errors import ConfigError, SpawnError

BOUND = 20
QUICK = {"ready_after": 0.05}
SLEEP = ["sleep", "1000"]


def one(**options: Any) -> dict[str, Any]:
    return {"name": "w", "cmd": SLEEP, **QUICK, **options}


def test_a_queue_gets_output() -> None:
    out, err = QueueStream(), QueueStream()
    said = one(cmd="echo café; echo no >&2; exec sleep 1000", shell=True, copy_env=True)
    said.update(stdout_stream={"stream": out}, stderr_stream=err)
    with get_arbiter([said]) as arbiter:
        item = out.get(timeout=BOUND)
        assert (item["data"], item["name"]) == ("café\n".encode(), "stdout")
        assert item["pid"] in arbiter.watchers[0].pids()
        assert err.get(timeout=BOUND)["data"] == b"no\n"
        assert arbiter.watchers[0].stdout_stream is out


def test_a_queue_by_its_class_can_be_had_from_the_watcher() -> None:
    said = one(cmd=["echo", "hello"], respawn=False, stdout_stream={"class": "QueueStream"})
    with get_arbiter([said]) as arbiter:
        assert arbiter.get_watcher("w").stdout_stream.get(timeout=BOUND)["data"] == b"hello\n"


class Written:
    """Has `write` and nothing else; says when enough has come."""

    def __init__(self) -> None:
        self.data = b""
        self.came = threading.Event()

    def write(self, data: bytes) -> None:
        self.data += data
        self.came.set()


class Text(io.StringIO):
    """A text file; says when something has come."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()

    def write(self, text: str) -> int:
        self.came.set()
        return super().write(text)


@pytest.mark.parametrize("make", [Written, Text])
def test_whatever_can_be_written_to(make: Callable[[], Any]) -> None:
    stream = make()
    with get_arbiter([one(cmd=["echo", "hello"], respawn=False, stdout_stream=stream)]):
        assert stream.came.wait(BOUND)
    assert (stream.data if make is Written else stream.getvalue()) in (b"hello\n", "hello\n")


def test_callables_are_hooks(tmp_path: Path) -> None:
    """With Circus's keywords; they run in threads, and get the program's own objects."""
    seen: list[tuple[str, bool, bool]] = []
    up = threading.Event()

    def say(**given: Any) -> bool:
        right = given["watcher"].name == "w" and isinstance(given["arbiter"], Arbiter)
        seen.append((given["hook_name"], right, threading.current_thread() is here))
        if given["hook_name"] == "after_start":
            up.set()
        return True

    here = threading.current_thread()
    names = "before_start after_start before_spawn after_spawn before_stop after_stop".split()
    endpoint = f"ipc://{tmp_path}/c.sock"
    with get_arbiter([one(hooks=dict.fromkeys(names, say))], endpoint) as arbiter:
        arbiter.wait_ready(BOUND)
        assert up.wait(BOUND)
        with CircusClient(endpoint) as client:
            hooks = client.send_message("options", name="w")["options"]["hooks"]
            assert "say" in hooks["before_start"]
        assert arbiter.watchers[0].options()["hooks"]["before_start"].value is say
        arbiter.watchers[0].stop()
    assert [hook for hook, _, _ in seen] == [
        *"before_start before_spawn after_spawn after_start before_stop after_stop".split()
    ]
    assert all(right and not own for _, right, own in seen)


def test_a_callable_that_says_no_raises_or_hangs() -> None:
    released = threading.Event()

    def fail(**_: Any) -> bool:
        raise ValueError("out of order")

    def hang(**_: Any) -> bool:
        return released.wait(BOUND)

    watchers = [
        {**one(), "name": "no", "hooks": {"before_start": lambda **_: False}, "autostart": False},
        {**one(), "name": "fails", "hooks": {"before_start": fail}, "autostart": False},
        {**one(), "name": "ignored", "hooks": {"before_start": (fail, True)}},
        {**one(), "name": "hangs", "hooks": {"before_start": (hang, False)}, "hooks_timeout": 0.5,
         "autostart": False},
    ]  # fmt: skip
    with get_arbiter(watchers) as arbiter:
        arbiter.wait_ready(BOUND)
        assert arbiter.get_watcher("ignored").is_active()
        for name in ("no", "fails", "hangs"):
            with pytest.raises(SpawnError, match="before_start"):
                arbiter.get_watcher(name).start()
    released.set()
    for thread in threading.enumerate():
        if thread.name.startswith("hooks of"):
            thread.join(BOUND)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hooks": {"before_start": 5}}, "expected a dotted name or a callable"),
        ({"hooks": {"before_start": "nodots"}}, "expected module.function"),
        ({"stdout_stream": 5}, "can be called or written to"),
        ({"stdout_stream": {"stream": 5}}, "can be called or written to"),
    ],
)
def test_what_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_arbiter([one(**options)])
