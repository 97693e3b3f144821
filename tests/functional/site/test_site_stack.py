"""The shipped circus.ini under circusd: everything a visitor does, without a proxy."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from test_site_pages import picture, proposal_fields
from townhall_browser import Browser
from townhall_setup import SITE
from townhall_stack import Stack

from chaussette.backends import registry


@pytest.fixture
def browser(stack: Stack) -> Browser:
    return stack.browser()


def upcoming_event(browser: Browser) -> str:
    return browser.get("/").find(r'href="(/events/[\w-]+-\d+/)"')


def test_the_pages_are_there(browser: Browser) -> None:
    for path in ("/", "/?topic=music&page=2", "/numbers/", "/jobs/", "/events/propose/"):
        assert browser.get(path).status == 200, path
    assert "Log in" in browser.get("/admin/login/").text
    assert browser.get("/nowhere/").status == 404


def test_both_web_workers_answer_on_one_socket(stack: Stack) -> None:
    assert len(stack.pids("web")) == 2
    assert len(stack.pids("jobs")) == 1


def test_static_files_come_from_the_site_itself(browser: Browser) -> None:
    style = browser.get("/").find(r'href="(/static/events/site\.\w+\.css)"')
    page = browser.get(style, **{"Accept-Encoding": "gzip"})
    assert (page.status, page.headers["Content-Encoding"]) == (200, "gzip")
    assert "immutable" in page.headers["Cache-Control"]


def test_seats_are_taken_by_a_form(browser: Browser) -> None:
    event = upcoming_event(browser)
    free = r'id="free">(\d+) of'
    before = int(browser.get(event).find(free))
    given = {"name": "Zoe", "email": "zoe@example.org", "party": 1}
    answer = browser.submit(event, given)
    assert (answer.status, answer.headers["Location"]) == (302, event)
    after = browser.get(event)
    assert "1 seats are kept for Zoe" in after.text
    assert int(after.find(free)) == before - 1
    assert browser.submit(event, given).status == 422


def test_a_form_without_its_token_is_refused(browser: Browser) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.send("POST", "/jobs/", b"month=2026-01", kind).status == 403


def test_the_csv_arrives_in_pieces_and_whole(browser: Browser) -> None:
    with browser.open("/events.csv?when=all") as answer:
        assert answer.getheader("Content-Length") is None
        lines = answer.read().count(b"\r\n")
    assert lines >= 240
    browser.close()


def test_an_uploaded_poster_becomes_a_thumbnail_in_the_second_watcher(
    stack: Stack, browser: Browser
) -> None:
    venue = browser.get("/events/propose/").find(r'<option value="(\d+)">Corn Exchange')
    answer = browser.submit(
        "/events/propose/",
        proposal_fields(venue),
        {"poster": ("kites.png", "image/png", picture(size=(1600, 900)))},
    )
    assert answer.status == 302, answer.text
    stack.wait_line(r"thumbnail \d+ done: 640 x 360 pixels")
    event = browser.get(answer.headers["Location"])
    small = browser.get(event.find(r'<img src="(/media/thumbnails/[^"]+)"'))
    assert (small.status, small.headers["Content-Type"]) == (200, "image/webp")
    original = browser.get(event.find(r'href="(/media/posters/\w+\.png)"'))
    assert original.body == picture(size=(1600, 900))


def test_an_upload_that_is_too_large_is_refused_by_the_site(browser: Browser) -> None:
    answer = browser.submit(
        "/events/propose/", {}, {"poster": ("p.png", "image/png", bytes(6 * 1024 * 1024 + 1))}
    )
    assert answer.status == 413
    assert "At most 5.0" in answer.text


def test_a_digest_is_written_by_the_second_watcher(stack: Stack, browser: Browser) -> None:
    answer = browser.submit("/jobs/", {"month": "2026-12"})
    job = answer.headers["Location"].strip("/").rpartition("/")[2]
    stack.wait_line(rf"digest {job} done")
    page = browser.get(answer.headers["Location"])
    assert "Town hall, December 2026" in browser.get(page.find(r'href="(/media/[^"]+)"')).text


def test_forwarded_headers_of_a_stranger_change_nothing(stack: Stack) -> None:
    claims = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    canonical = stack.browser(**claims).get("/").find(r'rel="canonical" href="([^"]+)"')
    assert canonical == "http://localhost/"


def test_a_host_that_is_not_ours_is_refused(stack: Stack) -> None:
    assert stack.browser(Host="evil.example").get("/").status == 400


def test_a_killed_worker_is_replaced_and_the_site_stays(stack: Stack, browser: Browser) -> None:
    before = stack.pids("web")
    ready = r"web: process \d+ is ready"
    victim = min(before)
    seen = stack.count_lines(ready)
    os.kill(victim, signal.SIGKILL)
    stack.wait_line(ready, seen + 1)
    assert browser.get("/healthz").status == 200
    assert victim not in stack.pids("web") and len(stack.pids("web")) == 2


def test_a_reload_brings_new_workers_and_loses_no_answer(stack: Stack, browser: Browser) -> None:
    before = stack.pids("web")
    assert browser.get("/healthz").status == 200
    stack.ctl("reload", "web", "--waiting")
    after = stack.pids("web")
    assert len(after) == 2 and not after & before
    assert stack.browser().get("/").status == 200


@pytest.mark.parametrize(
    ("backend", "flags", "module"),
    [
        ("waitress", "--threads 4", "wsgi"),
        ("gevent", "", "wsgi"),
        ("eventlet", "", "wsgi"),
        ("tornado", "", "wsgi"),
        ("meinheld", "", "wsgi"),
        ("bjoern", "", "wsgi"),
        ("wsgiref", "", "wsgi"),
        ("granian", "", "wsgi"),
        ("granian", "", "asgi"),
        ("uvicorn", "", "asgi"),
        ("hypercorn", "", "asgi"),
    ],
)
def test_the_site_runs_on_other_backends_and_on_a_socket_of_systemd(
    template_var: Path, backend: str, flags: str, module: str
) -> None:
    """Socket activation: the arbiter is handed a listening socket by its name."""
    found = registry.probe(backend)
    if not found.installed:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(found.reason)
    web = (
        "cmd = chaussette --fd $(circus.sockets.web) --backend "
        f"{backend} {flags} townhall.{module}:application\n"
    )
    with (
        tempfile.TemporaryDirectory(prefix="th-") as prefix,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        shutil.copytree(template_var, Path(prefix, "var"))
        duplicate = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ exec "$@"'
        passed = Stack(
            SITE,
            Path(prefix),
            web=web,
            env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"},
            launcher=("bash", "-c", duplicate, "launcher"),
            pass_fds=(listener.fileno(),),
        )
        with passed as stack:
            assert stack.address == listener.getsockname()
            browser = stack.browser()
            assert browser.get("/").status == 200
            assert browser.get("/numbers/").status == 200
            assert browser.get("/events.csv").text.startswith("starts_at,")
            assert browser.submit("/jobs/", {"month": "2026-01"}).status == 302
            stack.wait_line(r"digest \d+ done")
            browser.close()


def test_the_last_seats_are_given_away_once_though_two_workers_give(stack: Stack) -> None:
    event = stack.browser().get("/?q=Soldering").find(r'href="(/events/soldering[\w-]+)/"') + "/"
    free = int(stack.browser().get(event).find(r'id="free">(\d+) of'))
    seats = min(free, 6)
    if free > seats:
        fields = {"name": "Group", "party": 6}
        for number in range((free - seats) // 6):
            stack.browser().submit(event, {**fields, "email": f"group{number}@example.org"})
        seats += (free - seats) % 6
    statuses: list[int] = []

    def visit(number: int) -> None:
        given = {"name": "One", "email": f"one{number}@example.org", "party": 1}
        statuses.append(stack.browser().submit(event, given).status)

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(seats + 4)]
    for one in visitors:
        one.start()
    for one in visitors:
        one.join(60)
    assert sorted(statuses) == [302] * seats + [422] * 4
    assert 'id="free">full' in stack.browser().get(event).text
