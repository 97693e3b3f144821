"""Applications: from a name to a callable, and which interface it speaks.

`parse_spec` reads the name and runs nothing; `load` imports what it names;
`detect` looks at a callable without calling it. What the user's code raises is
told with the user's part of the traceback only. No server is known here.
"""

from __future__ import annotations

import enum
import functools
import importlib
import importlib.util
import keyword
import os
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType, TracebackType

from chaussette.errors import AppLoadError, AppNotFound, ConfigError, did_you_mean
from chaussette.records import Record

TYPE_CHECKING = False  # see chaussette/records.py
if TYPE_CHECKING:
    import ast
    from typing import Any

DEFAULT_NAMES = ("application", "app")
_CO_VARARGS, _CO_COROUTINE = 0x04, 0x80
"""Flags of a function's code, as inspect has them."""
_OURS = os.path.dirname(os.path.abspath(__file__))


class Interface(enum.Enum):
    """How an application is called."""

    WSGI = "wsgi"
    """PEP 3333."""
    ASGI = "asgi"
    """ASGI 3: `await app(scope, receive, send)`. ASGI 2 is adapted to this."""


class Application(Record):
    """One loaded application."""

    callable: Callable[..., Any]
    interface: Interface
    name: str


class Call(Record):
    """The literal arguments of a factory."""

    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()


class Spec(Record):
    """What a name says: a module, the way from it to an object, and a call or none.

    `dotted` leaves open where the module ends and the attributes begin.
    """

    module: str
    attributes: tuple[str, ...] = ()
    call: Call | None = None
    dotted: bool = False


_EXAMPLES_OF_13 = ("chaussette.util.hello_app", "chaussette.util.bench_app")
"""Applications of Chaussette 1.3, which many an example configuration names: our page."""


class PasteSpec(Record):
    """A PasteDeploy file and the name of an application in it."""

    path: str
    name: str = "main"


def parse_spec(text: str) -> Spec | PasteSpec:
    """What a name means. Raises AppNotFound when it is not a name at all."""
    text = text.strip()
    if text.replace(":", ".") in _EXAMPLES_OF_13:
        return Spec("chaussette.hello", ("application",))
    if text.startswith("paste:"):
        path, _, name = text[6:].partition("#")
        return PasteSpec(_file_name(path, text), name or "main")
    module, colon, expression = text.partition(":")
    if not _is_dotted(module):
        raise _malformed(text)
    if not colon:
        return Spec(module, dotted=True)
    return _read_expression(module, expression.strip(), text)


def _file_name(path: str, text: str) -> str:
    if not path or "\0" in path:
        raise AppNotFound(f"{text!r} is not paste:FILE.ini or paste:FILE.ini#NAME")
    return path


def _is_dotted(name: str) -> bool:
    return bool(name) and all(part.isidentifier() for part in name.split("."))


def _malformed(text: str) -> AppNotFound:
    hint = ""
    if text.partition(":")[0].endswith(".py") or "/" in text:
        hint = "; it is a module's name that is asked for, not a file's"
    return AppNotFound(f"{text!r} is not MODULE:NAME, MODULE.NAME or MODULE:FACTORY(){hint}")


def _read_expression(module: str, expression: str, text: str) -> Spec:
    names = tuple(expression.split("."))
    if expression.isascii() and all(map(_is_name, names)):
        return Spec(module, names)
    import ast  # with what it imports, half a megabyte that most names do not need

    try:
        node = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _malformed(text) from None
    if not isinstance(node, ast.Call):
        return Spec(module, _attribute_path(node, text))
    return Spec(module, _attribute_path(node.func, text), _read_call(node, text))


def _is_name(word: str) -> bool:
    return word.isidentifier() and not keyword.iskeyword(word)


def _attribute_path(node: ast.expr, text: str) -> tuple[str, ...]:
    import ast  # see _read_expression

    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise _malformed(text)
    return (node.id, *reversed(names))


def _read_call(node: ast.Call, text: str) -> Call:
    import ast  # see _read_expression

    try:
        args = tuple(ast.literal_eval(argument) for argument in node.args)
        kwargs = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise AppNotFound(f"{text!r}: a factory takes literal arguments only") from None
    named = tuple((key, value) for key, value in kwargs.items() if key is not None)
    if len(named) != len(node.keywords):
        raise AppNotFound(f"{text!r}: a factory takes literal arguments only, each given once")
    return Call(args, named)


def load(text: str, interface: str = "auto") -> Application:
    """Imports an application.

    Raises AppNotFound when the name leads to nothing that can be called, and
    AppLoadError, with the user's traceback, when the user's code raises.
    """
    spec = parse_spec(text)
    found = _load_paste(spec) if isinstance(spec, PasteSpec) else _load_module(spec, text)
    if not callable(found):
        raise AppNotFound(f"{text!r} is {_article(found)}, which cannot be called")
    return wrap(found, interface, text)


def wrap(app: Callable[..., Any], interface: str = "auto", name: str = "") -> Application:
    """An application that is loaded already, made one of the two interfaces."""
    speaks = detect(app) if interface == "auto" else interface
    if speaks == "asgi2":
        return Application(single_callable(app), Interface.ASGI, name)
    return Application(app, Interface(speaks), name or _name_of(app))


def load_object(text: str) -> Any:
    """What a name leads to, application or not: hooks are found this way."""
    spec = parse_spec(text)
    if isinstance(spec, PasteSpec):
        raise AppNotFound(f"{text!r}: expected the name of a callable")
    return _load_module(spec, text)


def _load_module(spec: Spec, text: str) -> Any:
    if spec.dotted:
        module, attributes = _import_dotted(spec.module, text)
        if attributes == ("py",):
            raise AppNotFound(f"{text!r}: name the module without .py: {module.__name__}")
    else:
        module, attributes = _import(spec.module, text), spec.attributes
    found = _walk(module, attributes or _default_name(module), text)
    return found if spec.call is None else _call(found, spec.call, text)


def _import_dotted(name: str, text: str) -> tuple[ModuleType, tuple[str, ...]]:
    """The longest part of a dotted name that is a module, and the names that are left."""
    parts = tuple(name.split("."))
    module = _import(parts[0], text)
    for end in range(1, len(parts)):
        deeper = ".".join(parts[: end + 1])
        if not hasattr(module, "__path__") or not _exists(deeper):
            return module, parts[end:]
        module = _import(deeper, text)
    return module, ()


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _import(name: str, text: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise AppLoadError(_no_module(error.name, text)) from None
        raise user_error(f"cannot import {text!r}", error) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - goes to the log as the boot error
        raise user_error(f"cannot import {text!r}", error) from None


def _no_module(name: str, text: str) -> str:
    parent = name.rpartition(".")[0]
    where = f"in {parent!r}" if parent else f"in {os.getcwd()} or on sys.path"
    return f"cannot import {text!r}: there is no module {name!r} {where}"


def _default_name(module: ModuleType) -> tuple[str, ...]:
    for name in DEFAULT_NAMES:
        if hasattr(module, name):
            return (name,)
    names = " or ".join(repr(name) for name in DEFAULT_NAMES)
    raise AppNotFound(
        f"module {module.__name__!r} has no {names}; say which with {module.__name__}:NAME"
    )


def _walk(found: Any, attributes: tuple[str, ...], text: str) -> Any:
    for name in attributes:
        try:
            found = getattr(found, name)
        except AttributeError:
            owner = (
                f"module {found.__name__!r}" if isinstance(found, ModuleType) else _article(found)
            )
            known = [known for known in dir(found) if not known.startswith("__")]
            raise AppNotFound(
                f"{text!r}: {owner} has no {name!r}{did_you_mean(name, known)}"
            ) from None
    return found


def _call(factory: Any, call: Call, text: str) -> Any:
    if not callable(factory):
        raise AppNotFound(f"{text!r}: the factory is {_article(factory)}, which cannot be called")
    try:
        return factory(*call.args, **dict(call.kwargs))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - goes to the log as the boot error
        raise user_error(f"the factory of {text!r} failed", error) from None


def _load_paste(spec: PasteSpec) -> Any:
    try:
        deploy = importlib.import_module("paste.deploy")
    except ImportError:
        raise ConfigError(
            "paste: needs PasteDeploy, which is not installed: pip install 'chaussette[paste]'"
        ) from None
    path = os.path.abspath(spec.path)
    if not os.path.exists(path):
        raise AppNotFound(f"paste: there is no file {path}")
    try:
        return deploy.loadapp(f"config:{path}", name=spec.name)
    except LookupError as error:
        raise AppNotFound(f"paste: {error}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - goes to the log as the boot error
        raise user_error(f"cannot load {spec.name!r} of {path}", error) from None


def user_error(what: str, error: BaseException) -> AppLoadError:
    """The error for an exception of the user's code: a line that sums up, and the traceback."""
    return AppLoadError(f"{what}: {one_line(error)}\n\n{user_traceback(error)}".rstrip())


def one_line(error: BaseException) -> str:
    """An exception in one line, as the last line of a traceback has it."""
    import traceback  # only when something is wrong

    return traceback.format_exception_only(type(error), error)[-1].strip()


def user_traceback(error: BaseException) -> str:
    """The traceback of an exception without the frames of ours that lead to the user's code."""
    import traceback  # see one_line

    tail = error.__traceback__
    while tail is not None and _is_ours(tail):
        tail = tail.tb_next
    return "".join(traceback.format_exception(type(error), error, tail))


def _is_ours(frame: TracebackType) -> bool:
    path = frame.tb_frame.f_code.co_filename
    return (
        os.path.dirname(os.path.abspath(path)) == _OURS
        or path == importlib.__file__
        or path.startswith("<frozen importlib")
    )


def _article(found: Any) -> str:
    name = type(found).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _name_of(app: Any) -> str:
    described = app if hasattr(app, "__qualname__") else type(app)
    return f"{getattr(described, '__module__', '')}:{described.__qualname__}"


def single_callable(app: Callable[..., Any]) -> Callable[..., Any]:
    """An ASGI 2 application (`app(scope)(receive, send)`) as an ASGI 3 one."""

    async def adapted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope)(receive, send)

    return adapted


def detect(app: Any) -> str:
    """`wsgi`, `asgi` or `asgi2`, from what a callable looks like; it is not called.

    A coroutine function is ASGI. Otherwise the number of positional parameters
    decides: environ and start_response, or scope, or scope, receive and send.
    What tells nothing is taken for WSGI, the older of the two.
    """
    if getattr(app, "_asgi_single_callable", False):  # asgiref's own marks
        return "asgi"
    if getattr(app, "_asgi_double_callable", False):
        return "asgi2"
    if not isinstance(app, type) and _is_async(app):
        return "asgi"
    return {1: "asgi2", 3: "asgi"}.get(_positional(app), "wsgi")


def _is_plain(app: Any) -> bool:
    """Whether a callable is a function without decorations, which tells all by its code."""
    return isinstance(app, FunctionType) and not app.__dict__


def _is_async(app: Any) -> bool:
    if _is_plain(app):
        return bool(app.__code__.co_flags & _CO_COROUTINE)
    import inspect  # a megabyte; who brings a framework has it already

    while isinstance(app, functools.partial):
        app = app.func
    candidates = (app, inspect.unwrap(app), getattr(app, "__call__", None))  # noqa: B004 - to look at
    return any(inspect.iscoroutinefunction(candidate) for candidate in candidates)


def _positional(app: Any) -> int:
    """How many positional arguments a callable needs; 0 when it does not tell."""
    if _is_plain(app):
        code = app.__code__
        needed = code.co_argcount - len(app.__defaults__ or ())
        return 0 if code.co_flags & _CO_VARARGS else needed
    import inspect  # see _is_async

    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return 0
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        return 0
    return sum(each.kind in positional and each.default is each.empty for each in parameters)


def extend_path(directories: tuple[str, ...]) -> None:
    """Puts directories, and the current one behind them, before all of sys.path."""
    wanted = [os.path.abspath(directory) for directory in (*directories, os.getcwd())]
    sys.path[:] = [*wanted, *(entry for entry in sys.path if entry not in wanted and entry != "")]
