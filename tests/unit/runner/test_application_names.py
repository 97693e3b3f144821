"""Names of applications, and telling WSGI from ASGI; nothing is served."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaussette import application
from chaussette.application import Call, Interface, PasteSpec, Spec, parse_spec
from chaussette.errors import AppLoadError, AppNotFound, ChaussetteError


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("site.wsgi:application", Spec("site.wsgi", ("application",))),
        ("m:a.b.c", Spec("m", ("a", "b", "c"))),
        ("pkg.mod.obj", Spec("pkg.mod.obj", dotted=True)),
        ("pkg", Spec("pkg", dotted=True)),
        ("m:make()", Spec("m", ("make",), Call())),
        ("m:make('x', n=2)", Spec("m", ("make",), Call(("x",), (("n", 2),)))),
        ("m:Class.make([1, {'k': None}])", Spec("m", ("Class", "make"), Call(([1, {"k": None}],)))),
        ("chaussette.util.hello_app", Spec("chaussette.hello", ("application",))),
        ("chaussette.util:bench_app", Spec("chaussette.hello", ("application",))),
        ("paste:site.ini", PasteSpec("site.ini")),
        ("paste:a/site.ini#blog", PasteSpec("a/site.ini", "blog")),
    ],
)
def test_names_that_mean_something(text: str, spec: Spec | PasteSpec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize(
    "text",
    ["", ":", "m:", ":app", "m:f(g())", "m:f(x)", "m:f(*[1])", "m:f(**{'a': 1})", "m:f()()", "m:1",
     "m:a[0]", "a b", "a..b", "paste:", "m:f(", "m:lambda: 1", "./m.py:app"],
)  # fmt: skip
def test_names_that_mean_nothing(text: str) -> None:
    with pytest.raises(AppNotFound):
        parse_spec(text)


@given(st.one_of(st.text(), st.from_regex(r"[a-z.]{1,9}:[a-z().,=\[\]'0-9]{0,20}", fullmatch=True)))
def test_any_text_is_a_name_or_an_error_of_ours(text: str) -> None:
    try:
        parse_spec(text)
    except ChaussetteError as error:
        assert error.exit_code == 4


class WsgiInstance:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...


class AsgiInstance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class AwaitableClass:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Iterator[None]:
        yield


class DoubleClass:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


def wsgi_function(environ: Any, start_response: Any) -> Any: ...


def double_function(scope: Any) -> Any: ...


async def asgi_function(scope: Any, receive: Any, send: Any) -> None: ...


async def asgi_with_setting(setting: Any, scope: Any, receive: Any, send: Any) -> None: ...


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def bare(*args: Any, **kwargs: Any) -> Any: ...


def wsgi_with_options(environ: Any, start_response: Any, a: int = 1, *, b: int) -> Any: ...


def compiled_asgi(scope: Any, receive: Any, send: Any) -> Any: ...


@pytest.mark.parametrize(
    ("app", "interface"),
    [
        (wsgi_function, "wsgi"),
        (WsgiInstance(), "wsgi"),
        (WsgiInstance().__call__, "wsgi"),
        (WsgiClass, "wsgi"),
        (wrapped(wsgi_function), "wsgi"),
        (functools.partial(wsgi_function), "wsgi"),
        (bare, "wsgi"),
        (wsgi_with_options, "wsgi"),
        (dict, "wsgi"),
        (asgi_function, "asgi"),
        (AsgiInstance(), "asgi"),
        (AsgiInstance().__call__, "asgi"),
        (AwaitableClass, "asgi"),
        (wrapped(asgi_function), "asgi"),
        (functools.partial(asgi_with_setting, 1), "asgi"),
        (functools.partial(AsgiInstance()), "asgi"),
        (compiled_asgi, "asgi"),
        (DoubleClass, "asgi2"),
        (double_function, "asgi2"),
    ],
)
def test_interfaces_are_told_apart(app: Any, interface: str) -> None:
    assert application.detect(app) == interface


def test_the_interface_that_is_said_wins() -> None:
    assert application.wrap(wsgi_function, "asgi").interface is Interface.ASGI


def test_asgi_2_is_called_as_asgi_3() -> None:
    calls: list[Any] = []

    def app(scope: Any) -> Any:
        async def instance(receive: Any, send: Any) -> None:
            calls.append((scope, receive, send))

        return instance

    coroutine = application.wrap(app).callable("scope", "receive", "send")
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert calls == [("scope", "receive", "send")]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes modules, and forgets them afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


APP = "def application(environ, start_response): ...\n"


def test_dotted_names_find_the_end_of_the_module_themselves(module: Any) -> None:
    module("zpack/__init__.py", "")
    module("zpack/inner.py", APP + "class Holder:\n    app = staticmethod(application)\n")
    names = (
        "zpack.inner",
        "zpack.inner.application",
        "zpack.inner.Holder.app",
        "zpack.inner:Holder.app",
    )
    found = {application.load(name).callable for name in names}
    assert len(found) == 1


def test_a_module_without_a_name_gives_application_or_app(module: Any) -> None:
    module("zapp.py", "def app(environ, start_response): ...\n")
    assert application.load("zapp").callable.__name__ == "app"


def test_factories_get_their_literals(module: Any) -> None:
    module(
        "zfactory.py",
        "def make(*args, **kw):\n    def app(e, s): return args, kw\n    return app\n",
    )
    app = application.load("zfactory:make('x', n=(1, 2))").callable
    assert app({}, None) == (("x",), {"n": (1, 2)})


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("zbroken:aplication", 4, "did you mean 'application'?"),
        ("zbroken:number", 4, "an int, which cannot be called"),
        ("zbroken:number()", 4, "the factory is an int"),
        ("zbroken:boom()", 3, "ValueError: bang"),
        ("zbroken:leave()", 3, "SystemExit: 7"),
        ("zbroken.py", 4, "without .py"),
        ("zempty", 4, "say which with zempty:NAME"),
        ("zmissing", 3, "there is no module 'zmissing'"),
        ("zempty.deeper:app", 3, "there is no module 'zempty.deeper' in 'zempty'"),
        ("zlacks", 3, "No module named 'zother'"),
        ("zsyntax", 3, "SyntaxError"),
    ],
)
def test_errors_say_what_is_wrong(module: Any, name: str, code: int, words: str) -> None:
    module("zempty.py", "")
    module("zlacks.py", "import zother\n")
    module("zsyntax.py", "def (\n")
    module(
        "zbroken.py",
        APP
        + "import sys\nnumber = 1\n"
        + "def boom(): raise ValueError('bang')\ndef leave(): sys.exit(7)\n",
    )
    with pytest.raises(AppLoadError) as caught:
        application.load(name)
    assert caught.value.exit_code == code
    assert words in str(caught.value)


def test_a_traceback_has_the_user_s_frames_only(module: Any) -> None:
    module("zdeep.py", "import json\njson.loads('{')\n")
    with pytest.raises(AppLoadError) as caught:
        application.load("zdeep")
    text = str(caught.value)
    assert "zdeep.py" in text and "decoder.py" in text
    assert "application.py" not in text and "importlib" not in text
