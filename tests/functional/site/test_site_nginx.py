"""The site behind nginx with the shipped nginx.conf as it stands."""

from __future__ import annotations

import csv
import io
import tempfile
import threading
from pathlib import Path

import pytest
from test_site_pages import picture, proposal_fields
from townhall_browser import Browser
from townhall_setup import SITE
from townhall_stack import Nginx, Stack


@pytest.fixture
def browser(nginx: Nginx) -> Browser:
    return nginx.browser()


def test_pages_come_through_and_are_compressed(browser: Browser) -> None:
    page = browser.get("/", **{"Accept-Encoding": "gzip"})
    assert (page.status, page.headers["Server"]) == (200, "nginx")
    assert page.headers["Content-Encoding"] == "gzip"
    for path in ("/numbers/", "/jobs/", "/admin/login/", "/healthz"):
        assert browser.get(path).status == 200


def test_connections_to_the_workers_are_kept(nginx: Nginx, stack: Stack) -> None:
    for _ in range(20):
        assert nginx.browser().get("/healthz").status == 200
    assert "error" not in nginx.error_log(), nginx.error_log()
    assert stack.pids("web")


def test_static_files_come_from_nginx_itself(nginx: Nginx, browser: Browser) -> None:
    style = browser.get("/").find(r'href="(/static/events/site\.\w+\.css)"')
    page = browser.get(style, **{"Accept-Encoding": "gzip"})
    assert (page.status, page.headers["Content-Encoding"]) == (200, "gzip")
    assert page.headers["Content-Type"].startswith("text/css")
    assert "immutable" in page.headers["Cache-Control"]
    (line,) = (line for line in nginx.access_log().splitlines() if style in line)
    assert line.endswith("upstream - -")


@pytest.mark.usefixtures("nginx")
def test_static_files_that_nginx_has_not_come_from_the_site(stack: Stack) -> None:
    """A proxy that has only an empty var/, such as one on another machine."""
    with tempfile.TemporaryDirectory(prefix="th-") as prefix:
        Path(prefix, "var").mkdir()
        with Nginx(SITE, Path(prefix), stack.address) as bare:
            browser = bare.browser()
            style = browser.get("/").find(r'href="(/static/events/site\.\w+\.css)"')
            assert browser.get(style).status == 200
            assert "upstream 200" in bare.access_log()
            browser.close()


def test_a_form_with_its_token_goes_through(browser: Browser) -> None:
    event = browser.get("/").find(r'href="(/events/[\w-]+-\d+/)"')
    given = {"name": "Yves", "email": "yves@example.org", "party": 1}
    assert browser.submit(event, given).status == 302
    assert "seats are kept for Yves" in browser.get(event).text


def test_a_poster_goes_up_and_comes_back_from_nginx(
    nginx: Nginx, stack: Stack, browser: Browser
) -> None:
    venue = browser.get("/events/propose/").find(r'<option value="(\d+)">Corn Exchange')
    poster = picture(size=(800, 800))
    answer = browser.submit(
        "/events/propose/", proposal_fields(venue), {"poster": ("p.png", "image/png", poster)}
    )
    assert answer.status == 302, answer.text
    stack.wait_line(r"thumbnail \d+ done: 360 x 360 pixels")
    event = browser.get(answer.headers["Location"])
    path = event.find(r'href="(/media/posters/\w+\.png)"')
    page = browser.get(path)
    assert page.body == poster
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Disposition" not in page.headers
    (line,) = (line for line in nginx.access_log().splitlines() if path in line)
    assert line.endswith("upstream - -")


def test_what_is_no_picture_is_offered_as_a_download(nginx: Nginx, browser: Browser) -> None:
    path = nginx.prefix / "var" / "media" / "page.html"
    path.parent.mkdir(exist_ok=True)
    path.write_text("<script>alert(1)</script>")
    assert browser.get("/media/page.html").headers["Content-Disposition"] == "attachment"


def test_a_body_that_is_too_large_is_refused_by_nginx(browser: Browser) -> None:
    answer = browser.submit(
        "/events/propose/", {}, {"poster": ("p.png", "image/png", bytes(6 * 1024 * 1024 + 1))}
    )
    assert (answer.status, "nginx" in answer.text) == (413, True)


def test_the_csv_is_passed_on(browser: Browser) -> None:
    page = browser.get("/events.csv?when=all")
    assert len(list(csv.reader(io.StringIO(page.text)))) >= 241


def test_what_a_visitor_claims_of_the_scheme_and_host_is_replaced(nginx: Nginx) -> None:
    claims = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example;proto=https",
    }
    canonical = nginx.browser(**claims).get("/").find(r'rel="canonical" href="([^"]+)"')
    assert canonical == "http://localhost/"


def test_many_visitors_at_once_are_all_answered(nginx: Nginx) -> None:
    statuses: list[int] = []

    def visit() -> None:
        browser = nginx.browser()
        statuses.extend(browser.get("/healthz").status for _ in range(25))
        browser.close()

    visitors = [threading.Thread(target=visit) for _ in range(8)]
    for one in visitors:
        one.start()
    for one in visitors:
        one.join(60)
    assert statuses == [200] * 200


def test_a_reload_under_load_is_not_noticed_by_visitors(nginx: Nginx, stack: Stack) -> None:
    """The pool of idle connections meets workers that leave: no answer may fail."""
    statuses: list[int] = []
    end = threading.Event()

    def visit() -> None:
        browser = nginx.browser()
        while not end.is_set():
            statuses.append(browser.get("/healthz").status)
        browser.close()

    visitors = [threading.Thread(target=visit) for _ in range(3)]
    for one in visitors:
        one.start()
    try:
        stack.ctl("reload", "web", "--waiting")
    finally:
        end.set()
        for one in visitors:
            one.join(60)
    assert statuses and set(statuses) == {200}, nginx.error_log()


def test_the_addresses_that_ship_are_those_of_the_ini() -> None:
    upstream = (SITE / "nginx" / "upstream.conf").read_text()
    ini = (SITE / "circus.ini").read_text()
    assert upstream == "server 127.0.0.1:8000;\n"
    assert "host = 127.0.0.1\nport = 8000\n" in ini
