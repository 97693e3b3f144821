"""The plugins that look at something, each beside a real arbiter."""

from __future__ import annotations

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from arbiter_under_test import SLEEP, Arbiters, Ended, watcher
from statsd_server import Statsd
from test_plugin_runner import section

CIRCUS = "circus.plugins"


def test_statsd_counts_events(arbiters: Arbiters, statsd: Statsd) -> None:
    arbiter = arbiters.ready(
        watcher("my job", SLEEP),
        section(
            "s", f"{CIRCUS}.statsd.StatsdEmitter", port=statsd.port, host="127.0.0.1",
            application_name="shop",
        ),
    )  # fmt: skip
    arbiter.settled("plugin:s", "my job")
    arbiter.must("restart", name="my job", waiting=True)
    assert statsd.wait("circus.shop.watcher.my_job.reap") == "circus.shop.watcher.my_job.reap:1|c"
    statsd.wait("circus.shop.watcher.my_job.spawn:1|c")


def test_full_stats(arbiters: Arbiters, statsd: Statsd) -> None:
    arbiter = arbiters.ready(
        watcher("job", SLEEP, numprocesses=2),
        section(
            "s", f"{CIRCUS}.statsd.FullStats", port=statsd.port, host="127.0.0.1", loop_rate=0.1
        ),
    )
    arbiter.settled("job", "plugin:s")
    prefix = "circus.app.watcher._stats.job"
    statsd.wait(f"{prefix}.watchers_num:2|g")
    for name in ("cpu_max", "cpu_sum", "mem_pct_max", "mem_pct_sum", "mem_max", "mem_sum"):
        line = statsd.wait(f"{prefix}.{name}:")
    assert float(line.partition(":")[2].partition("|")[0]) > 100_000
    assert not [line for line in statsd.seen if "plugin" in line]


def test_resource_watcher_replaces_the_offender_alone(arbiters: Arbiters, statsd: Statsd) -> None:
    burn = arbiters.shell("burn", '[ "$1" = 1 ] && while :; do :; done\nexec sleep 1000')
    arbiter = arbiters.ready(
        watcher("job", f"{burn} $(circus.wid)", numprocesses=2),
        section(
            "r", f"{CIRCUS}.resource_watcher.ResourceWatcher", port=statsd.port, watcher="job",
            host="127.0.0.1", loop_rate=0.3, max_cpu=15, max_count=2, health_threshold=0,
        ),
    )  # fmt: skip
    first, other = arbiter.settled("job", "plugin:r")
    offender = Ended(first)
    arbiter.wait(rf"process {first} is over cpu for the 3th time", 40)
    statsd.wait("circus.app.watcher._resource_watcher.job.over_cpu:1|c")
    statsd.wait("circus.app.watcher._resource_watcher.job.restarting:1|c")
    offender.wait()
    assert other in arbiter.pids("job")


def test_resource_watcher_signals_a_child(arbiters: Arbiters) -> None:
    burn = arbiters.shell("burn", "sh -c 'while :; do :; done' & echo child $!; wait; sleep 1000")
    arbiter = arbiters.ready(
        watcher("job", burn),
        section(
            "r", f"{CIRCUS}.resource_watcher.ResourceWatcher", watcher="job", loop_rate=0.3,
            max_cpu=15, max_count=1, health_threshold=0, process_children=True,
            child_signal="KILL",
        ),
    )  # fmt: skip
    child = int(arbiter.wait(r"child (\d+)")[1])
    ended = Ended(child)
    parents = arbiter.settled("job", "plugin:r")
    ended.wait(40)
    assert arbiter.pids("job") == parents


def test_watchdog_ends_all_that_are_silent(arbiters: Arbiters) -> None:
    arbiter = arbiters.ready(
        watcher("web", SLEEP, numprocesses=3),
        watcher("other", SLEEP),
        section(
            "dog", f"{CIRCUS}.watchdog.WatchDog", port=0, loop_rate=0.4, max_count=3,
            watchers_regex="web", watchers_stop_signal="KILL",
        ),
    )  # fmt: skip
    others = arbiter.settled("other", "web")
    port = int(arbiter.wait(r"listens for heartbeats at 127.0.0.1:(\d+)")[1])
    alive, *silent = arbiter.pids("web")
    ended = {pid: Ended(pid) for pid in silent}
    done = threading.Event()

    def beat() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heart:
            heart.sendto(b"rubbish", ("127.0.0.1", port))
            while not done.wait(0.1):
                heart.sendto(b"%d;1234.5" % alive, ("127.0.0.1", port))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        for one in ended.values():
            one.wait()
        # In one look: Circus's ends one process per look, and fails.
        arbiter.wait(r"has not been heard for 1.2s(\n.*)+?has not been heard for 1.2s")
        assert alive in arbiter.pids("web")
        assert arbiter.pids("other") == others
    finally:
        done.set()
        thread.join()


def test_command_reloader(arbiters: Arbiters) -> None:
    script = arbiters.folder / "worker.py"
    command = arbiters.script(
        "worker.py", "import signal\nprint('one', flush=True)\nsignal.pause()"
    )
    arbiter = arbiters.ready(
        watcher("job", command),
        section("r", f"{CIRCUS}.command_reloader.CommandReloader", loop_rate=0.1),
    )
    (first,) = arbiter.settled("job", "plugin:r")
    arbiter.wait("^one")
    ended = Ended(first)
    fresh = Path(f"{script}.new")
    fresh.write_text(script.read_text().replace("one", "two"))
    fresh.rename(script)
    arbiter.wait("worker.py has changed; restarting")
    arbiter.wait("^two")
    ended.wait()


class _Answers(BaseHTTPRequestHandler):
    codes: list[int] = []

    def do_GET(self) -> None:
        self.send_response(self.codes.pop(0) if self.codes else 200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        del args


def test_http_observer(arbiters: Arbiters, statsd: Statsd) -> None:
    _Answers.codes = [200, 503]
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            arbiter = arbiters.ready(
                watcher("web", SLEEP),
                section(
                    "h", f"{CIRCUS}.http_observer.HttpObserver", port=statsd.port,
                    host="127.0.0.1", loop_rate=0.2, restart_on_error="web",
                    check_url=f"http://127.0.0.1:{server.server_address[1]}/health",
                ),
            )  # fmt: skip
            (first,) = arbiter.settled("web", "plugin:h")
            ended = Ended(first)
            prefix = "circus.http_observer.watcher.http_stats"
            assert statsd.wait(f"{prefix}.request_time:").endswith("|ms")
            statsd.wait(f"{prefix}.error:1|c")
            statsd.wait(f"{prefix}.error.503:1|c")
            statsd.wait(f"{prefix}.restart_on_error:1|c")
            ended.wait()
        finally:
            server.shutdown()
            thread.join()


def test_redis_observer(arbiters: Arbiters, statsd: Statsd, redis_server: str) -> None:
    (pytest.importorskip if not os.environ.get("CI") else __import__)("redis")
    place = arbiters.folder / "redis.sock"
    arbiter = arbiters.ready(
        watcher(
            "redis",
            f"{redis_server} --port 0 --unixsocket {place} --save '' --appendonly no"
            f" --dir {arbiters.folder}",
        ),
        section(
            "r", f"{CIRCUS}.redis_observer.RedisObserver", port=statsd.port, host="127.0.0.1",
            redis_url=f"unix://{place}", loop_rate=0.2, restart_on_timeout="redis", timeout=1,
        ),
    )  # fmt: skip
    (first,) = arbiter.settled("redis", "plugin:r")
    prefix = "circus.redis_observer.watcher.redis_stats"
    assert float(statsd.wait(f"{prefix}.used_memory:").split(":")[1][:-2]) > 100_000
    ended = Ended(first)
    arbiter.must("signal", name="redis", signum="STOP")
    statsd.wait(f"{prefix}.error:1|c")
    statsd.wait(f"{prefix}.restart_on_error:1|c")
    ended.wait()  # the arbiter's stop wakes it up
