"""Ten reloads and more under load, one to a version that cannot be imported: nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from reload_needs import missing
from reload_stack import MIX, ReloadStack, find_nginx, in_front, versions

from benchmarks.ops.load import Load
from chaussette.backends import registry

BACKENDS = ("waitress", "gevent", "meinheld", "uvicorn")
PATHS = ("direct", "nginx")
RELOADS = 11
FAILING = 5
"""Which of them is the one to a version that does not come up."""


def need(backend: str, path: str) -> None:
    """Backend and nginx must be here."""
    found = registry.probe(backend)
    if not found.installed:
        missing(found.reason)
    if (backend, path) == ("bjoern", "direct"):
        pytest.skip("bjoern cuts busy connections off: see the notes in its declaration")
    if path == "nginx" and find_nginx() is None:
        missing("nginx is not installed")


def reload_ok(stack: ReloadStack, load: Load) -> None:
    """A reload to a new version, which then answers all."""
    version = stack.new_version()
    done = stack.ctl("reload", "web", "--waiting")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{stack.log()}"
    before = versions(load)
    load.wait_answers(2)
    after = versions(load)
    assert after[version] > before[version], f"{version} does not serve: {after}"


def reload_fails(stack: ReloadStack, load: Load) -> None:
    """A reload that is refused, and says why; those that served go on."""
    pids, good = stack.pids("web"), str(stack.version)
    stack.break_version()
    done = stack.ctl("reload", "web", "--waiting")
    assert done.returncode != 0, f"reported as good: {done.stdout}\n{stack.log()}"
    assert "generation" in stack.log()
    assert "a_module_that_is_nowhere" in stack.log()
    assert stack.pids("web") == pids
    before = versions(load)
    load.wait_answers(2)
    assert versions(load)[good] > before[good]


def run(folder: Path, backend: str, path: str, reloads: int, action: str = "reload") -> None:
    """So many actions under load; the test's verdict."""
    with ReloadStack(folder, backend) as stack, in_front(stack, path) as (address, nginx):
        with Load(address, MIX) as load:
            load.wait_answers(3)
            for number in range(1, reloads + 1):
                if number % reloads == FAILING:
                    reload_fails(stack, load)
                elif action == "restart":
                    stack.ask("restart", "web", "--waiting")
                else:
                    reload_ok(stack, load)
            load.wait_answers(3)
        tally = load.tally()
        assert not tally.failures, f"{dict(tally.failures)} of {tally.requests}\n{stack.log()}"
        assert tally.requests > 20 * reloads
        assert len(stack.pids("web")) == 2
        if nginx is not None:
            assert not nginx.second_tries(), f"{nginx.second_tries()[:5]}\n{nginx.errors()}"
            assert "upstream" not in nginx.errors(), nginx.errors()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_reloads_lose_nothing(folder: Path, backend: str, path: str) -> None:
    need(backend, path)
    run(folder, backend, path, RELOADS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_restarts_lose_nothing(folder: Path, backend: str) -> None:
    need(backend, "direct")
    run(folder, backend, "direct", 3, action="restart")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("backend", [name for name in registry.names() if name != "wsgiref"])
def test_many_reloads_lose_nothing(folder: Path, backend: str, path: str) -> None:
    need(backend, path)
    run(folder, backend, path, 50)
