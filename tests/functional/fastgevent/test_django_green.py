"""Django as it is, in greenlets."""

from __future__ import annotations

import time

import pytest
from greenlet_server import Nest

pytest.importorskip("django")


def test_views_wait_together_and_keep_apart(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("django_green:application", "--greenlet", greenlet)
    languages = ["de", "fr", "it", "es", "nl"] * 10
    wires = [server.connect() for _ in languages]
    began = time.monotonic()
    for wire, name in zip(wires, languages, strict=True):
        wire.ask(f"/language?to={name}")
    assert [wire.read().body.decode() for wire in wires] == languages, server.log()
    assert time.monotonic() - began < 2.5  # one after the other they would take that


def test_streams_do_not_mix(nest: Nest, greenlet: str) -> None:
    server = nest.serve_greenlets("django_green:application", "--greenlet", greenlet)
    wires = {name: server.connect() for name in "abcdefgh"}
    for name, wire in wires.items():
        wire.ask(f"/stream?name={name}")
    for name, wire in wires.items():
        expected = "".join(f"{name}{number}," for number in range(10)).encode()
        assert wire.read().body == expected, server.log()
