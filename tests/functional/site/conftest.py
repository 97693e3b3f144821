"""The example site for tests: once inside this process, once as a running stack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import townhall_browser
from django.core.management import call_command
from django.test import override_settings
from django.test.utils import setup_test_environment, teardown_test_environment
from townhall_setup import SITE, VAR
from townhall_stack import Nginx, Stack, find_nginx


def pytest_unconfigure() -> None:
    shutil.rmtree(VAR, ignore_errors=True)


@pytest.fixture(scope="session")
def django_site() -> Iterator[None]:
    """Tables made, mails and hosts as Django's test runner has them."""
    from django.db import connections

    setup_test_environment(debug=False)
    call_command("migrate", verbosity=0)
    with override_settings(
        STORAGES={
            "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        }
    ):
        yield
    teardown_test_environment()
    connections.close_all()


@pytest.fixture
def db(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty tables; what the test leaves in them is removed."""
    request.getfixturevalue("django_site")
    yield
    call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(autouse=True)
def close_browsers() -> Iterator[None]:
    """Closes the connections of a test, whoever opened them."""
    yield
    while townhall_browser.opened:
        townhall_browser.opened.pop().close()


@pytest.fixture(scope="session")
def template_var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A var/ with tables, data and static files, to be copied for each stack."""
    var = tmp_path_factory.mktemp("site") / "var"
    env = {**os.environ, "TOWNHALL_VAR": str(var)}
    for command in ("migrate", "seed", "collectstatic --noinput"):
        subprocess.run(
            [sys.executable, "manage.py", *command.split(), "--verbosity", "0"],
            cwd=SITE,
            env=env,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
    return var


@pytest.fixture(scope="module")
def stack(template_var: Path) -> Iterator[Stack]:
    """The shipped circus.ini under circusd, on a free port, behind nobody."""
    with tempfile.TemporaryDirectory(prefix="th-") as prefix:
        shutil.copytree(template_var, Path(prefix, "var"))
        with Stack(SITE, Path(prefix)) as running:
            yield running


@pytest.fixture(scope="module")
def nginx(stack: Stack) -> Iterator[Nginx]:
    """The shipped nginx.conf in front of `stack`."""
    if find_nginx() is None:
        pytest.skip("nginx is not installed")
    with Nginx(SITE, stack.prefix, stack.address) as running:
        yield running
