"""What a worker pays for: the backend it uses, and no other one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from backend_choice import backends, need
from backend_server import CHECKOUT, WAIT, Nursery

from chaussette.backends import registry
from chaussette.backends.base import Can

LIBRARIES = {
    name: found.requirement.module
    for name in registry.names()
    if (found := registry.probe(name).declaration) and found.requirement
}

BUILT_ON = {"fastgevent": {"chaussette.backends.native"}}


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has after running some code."""
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    path = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=True,
        timeout=WAIT,
        text=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", registry.names())
def test_backend_imports_no_other(name: str) -> None:
    need(name)
    modules = loaded(f"from chaussette.backends import registry; registry.get({name!r})")
    others = {f"chaussette.backends.{each}" for each in registry.names() if each != name}
    assert others & modules == BUILT_ON.get(name, set())
    assert set(LIBRARIES.values()) & modules == set()  # not even its own, before it is built


def test_probing_imports_no_library() -> None:
    modules = loaded("from chaussette.backends import registry; registry.available()")
    assert set(LIBRARIES.values()) & modules == set()


@pytest.mark.parametrize("name", backends(Can.MONKEY_PATCH))
@pytest.mark.parametrize("flags", [(), ("--no-monkey",)])
def test_monkey_patching_can_be_left_out(nest: Nursery, name: str, flags: tuple[str, ...]) -> None:
    need(name)
    server = nest.serve(name, "wsgi", *flags)
    with server.connect() as wire:
        patched = wire.get("/socket-module").body != b"socket"
    assert patched == (not flags)
