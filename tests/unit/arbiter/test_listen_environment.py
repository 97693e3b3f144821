"""LISTEN_FDS as processes get it, from what was given to them."""

from __future__ import annotations

from chaussette.arbiter.sockets import listen_environment


def test_descriptors_from_three_on_are_announced_in_their_order() -> None:
    assert listen_environment({"web": 3, "admin": 4}) == {
        "LISTEN_FDS": "2",
        "LISTEN_FDNAMES": "web:admin",
    }
    assert listen_environment({"web": 4, "admin": 3})["LISTEN_FDNAMES"] == "admin:web"


def test_nothing_is_said_where_it_would_not_be_true() -> None:
    """A gap, or a descriptor above: the protocol cannot express it."""
    assert listen_environment({}) == {}
    assert listen_environment({"web": 4}) == {}
    assert listen_environment({"web": 3, "admin": 5}) == {}


def test_a_colon_separates_names_and_so_cannot_be_in_one() -> None:
    assert listen_environment({"web:tls": 3})["LISTEN_FDNAMES"] == "web_tls"
