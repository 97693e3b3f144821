"""Which servers there are: one entry each, with how it is started and what it leaves out.

`words` become the command; in them `{python}`, `{bin}` (its directory), `{port}`,
`{app}`, `{apps}` (the directory of the applications), `{threads}`, `{workers}`,
`{folder}`, `{floor}`, `{answer}` and `{block}` are filled in. The port is chosen
before, the process is the one that the command becomes: taskset execs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

WSGI, ASGI, THREADS, GREENLETS, FLOOR = "wsgi", "asgi", "threads", "greenlet", "floor"
OURS = ("native", "native-asgi", "native-t4", "fastgevent", "fastgevent-g")
"""What the others are compared with, where it is here."""


@dataclass(frozen=True)
class Server:
    """One way to start one server.

    `module` must be importable for it, `backend` be a backend of ours that can
    run; `many` are the words that ask for several workers (none: it cannot);
    `leaves_out` says what of the protocols it does not do, so that a lead over
    it can be read for what it is; `only` names the cases that it is for (none: all
    of its role); `excluded` names cases in which it does less
    work than the case is about, and why.
    """

    name: str
    role: str
    words: tuple[str, ...]
    package: str = ""
    module: str = ""
    backend: str = ""
    threads: int = 1
    many: tuple[str, ...] = ()
    leaves_out: str = ""
    only: tuple[str, ...] = ()
    excluded: Mapping[str, str] | None = None

    def command(self, values: Mapping[str, object], workers: int = 1) -> list[str]:
        """The command line. Raises ValueError when it cannot run that many workers."""
        if workers > 1 and not self.many:
            raise ValueError(f"{self.name} has no way to run {workers} workers")
        words = before_app(self.words, self.many if workers > 1 else ())
        filled = {**values, "threads": self.threads, "workers": workers}
        return [word.format(**filled) for word in words]


def before_app(words: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """The words with more of them, which come before the application where it is a word."""
    at = words.index("{app}") if "{app}" in words else len(words)
    return (*words[:at], *more, *words[at:])


def _launched(name: str, threads: int = 1) -> tuple[str, ...]:
    return ("{python}", "{apps}/launch.py", name, "{app}", "{port}", str(threads))


def _ours(backend: str, *more: str) -> tuple[str, ...]:
    head = ("{python}", "-m", "chaussette", "--backend", backend, "--log-level", "error")
    return (*head, "-b", "127.0.0.1:{port}", *more, "{app}")


def _gunicorn(kind: str, *more: str) -> tuple[str, ...]:
    return (
        "{python}", "-m", "gunicorn", "-k", kind, "-b", "127.0.0.1:{port}",
        "--log-level", "error", "--backlog", "4096", "--worker-connections", "16384",
        "--keep-alive", "65", *more, "{app}",
    )  # fmt: skip


def _granian(interface: str, *more: str) -> tuple[str, ...]:
    return (
        "{bin}/granian", "--interface", interface, "--host", "127.0.0.1", "--port", "{port}",
        "--log-level", "error", "--backlog", "4096", "--backpressure", "16384", "--no-ws",
        *more, "{app}",
    )  # fmt: skip


def _uwsgi(socket: str, *more: str) -> tuple[str, ...]:
    return (
        "{bin}/uwsgi", f"--{socket}", "127.0.0.1:{port}", "--module={app}",
        "--disable-logging", "--die-on-term", "--need-app",
        "--listen", "1024", *more,
    )  # fmt: skip


WORKERS = ("-w", "{workers}")
GRANIAN_WORKERS = ("--workers", "{workers}")
FASTWSGI_GAPS = (
    "buffers the whole answer before it sends, no close() on what is no generator, "
    "PATH_INFO not decoded, port in REMOTE_ADDR, duplicate fields lost, no write(), "
    "CR LF passes into fields, stalls on pipelining"
)
BJOERN_GAPS = (
    "no Date, no Server, duplicate fields joined without a comma, no write(), CR LF passes into "
    "fields, takes Content-Length with Transfer-Encoding, HEAD gets a body, pipelining broken, "
    "chunked answers wait 40 ms (Nagle)"
)
GRANIAN_GAPS = (
    "no write(); takes Content-Length with Transfer-Encoding; os.environ is in each environ"
)
UWSGI_GAPS = (
    "no Date, no Server, closes without saying so (http-socket) or ties a thread to a connection "
    "(http11-socket, which ignores Connection: close), no checks of request fields, CR LF passes"
)
SOCKETIFY_GAPS = (
    "buffers the answer, ends when the application raises, PATH_INFO not decoded, Content-Type "
    "twice, last duplicate field wins, wakes up while idle; ASGI POST under load ends it"
)
BUFFERS = "buffers the whole answer"

SERVERS: tuple[Server, ...] = (
    Server("floor", FLOOR, ("{floor}", "{port}", "{answer}", "{block}"),
           leaves_out="everything: a constant answer, the least a server can cost here"),
    Server("native", WSGI, _ours("native"), backend="native", many=WORKERS),
    Server("native-log", WSGI, _ours("native", "--access-logfile", "{folder}/access.log"),
           backend="native", only=("W1", "W1h")),
    Server("native-t4", THREADS, _ours("native", "--threads", "{threads}"), backend="native",
           threads=4, many=WORKERS),
    Server("native-asgi", ASGI, _ours("native", "--interface", "asgi"), backend="native",
           many=WORKERS),
    Server("fastgevent", WSGI, _ours("fastgevent"), backend="fastgevent", many=WORKERS),
    Server("fastgevent-spawn", WSGI, _ours("fastgevent", "--greenlet", "spawn"),
           backend="fastgevent", many=WORKERS, only=("W1",)),
    Server("fastgevent-g", GREENLETS, _ours("fastgevent"), backend="fastgevent", many=WORKERS),
    Server("fastgevent-spawn-g", GREENLETS, _ours("fastgevent", "--greenlet", "spawn"),
           backend="fastgevent", many=WORKERS),
    Server("gunicorn-gevent-g", GREENLETS, _gunicorn("gevent"), package="gunicorn",
           module="gevent", many=WORKERS),
    Server("pywsgi-g", GREENLETS, _launched("pywsgi_nodelay"), package="gevent", module="gevent"),
    Server("granian", WSGI, _granian("wsgi", "--blocking-threads", "1", "--runtime-mode", "st"),
           package="granian", module="granian", many=GRANIAN_WORKERS, leaves_out=GRANIAN_GAPS),
    Server("granian-bt4", WSGI, _granian("wsgi", "--blocking-threads", "4", "--runtime-mode", "st"),
           package="granian", module="granian", threads=4, many=GRANIAN_WORKERS,
           leaves_out=GRANIAN_GAPS),
    Server("granian-pf", WSGI,
           _granian("wsgi", "--blocking-threads", "1", "--runtime-mode", "st",
                    "--http1-pipeline-flush"),
           package="granian", module="granian", many=GRANIAN_WORKERS, leaves_out=GRANIAN_GAPS),
    Server("fastwsgi", WSGI, _launched("fastwsgi"), package="fastwsgi", module="fastwsgi",
           leaves_out=FASTWSGI_GAPS,
           excluded={"W5gen": BUFFERS, "W6": "never calls Django's close()",
                     "W6n": "never calls Django's close()", "W1p": "stalls"}),
    Server("bjoern", WSGI, _launched("bjoern"), package="bjoern", module="bjoern",
           leaves_out=BJOERN_GAPS, excluded={"W1p": "pipelining broken"}),
    Server("meinheld", WSGI, _launched("meinheld"), package="meinheld", module="meinheld",
           leaves_out="no write(), HEAD gets a body"),
    Server("socketify", WSGI,
           ("{python}", "-m", "socketify", "{app}", "--interface", "wsgi", "--host", "127.0.0.1",
            "--port", "{port}", "--workers", "1", "--disable-listen-log", "true"),
           package="socketify", module="socketify", leaves_out=SOCKETIFY_GAPS,
           excluded={"W5gen": BUFFERS}),
    Server("uwsgi-http-socket", WSGI, _uwsgi("http-socket"), package="pyuwsgi", module="pyuwsgi",
           many=("--processes", "{workers}", "--master"), leaves_out=UWSGI_GAPS,
           excluded={"W5gen": "closes each connection, waits for the loader"}),
    Server("uwsgi-http11", WSGI, _uwsgi("http11-socket", "--threads", "64"), package="pyuwsgi",
           module="pyuwsgi", threads=64, leaves_out=UWSGI_GAPS,
           excluded={"W2": "keeps the connection open"}),
    Server("waitress", WSGI,
           ("{python}", "-m", "waitress", "--listen", "127.0.0.1:{port}", "--threads", "4",
            "--asyncore-use-poll", "--connection-limit", "20000", "--backlog", "4096", "{app}"),
           package="waitress", module="waitress", threads=4),
    Server("gunicorn-sync", WSGI, _gunicorn("sync"), package="gunicorn", module="gunicorn",
           many=WORKERS, leaves_out="closes every connection"),
    Server("gunicorn-gthread", WSGI, _gunicorn("gthread", "--threads", "4"), package="gunicorn",
           module="gunicorn", threads=4, many=WORKERS),
    Server("gunicorn-gevent", WSGI, _gunicorn("gevent"),
           package="gunicorn", module="gevent", many=WORKERS),
    Server("cheroot", WSGI, _launched("cheroot", 10), package="cheroot", module="cheroot",
           threads=10, leaves_out="CR LF passes into fields, last duplicate field wins"),
    Server("pywsgi", WSGI, _launched("pywsgi"), package="gevent", module="gevent",
           leaves_out="head and body in two sends: 44 ms stalls on keep-alive (Nagle)"),
    Server("granian-t4", THREADS,
           _granian("wsgi", "--blocking-threads", "{threads}", "--runtime-mode", "st"),
           package="granian", module="granian", threads=4, many=GRANIAN_WORKERS,
           leaves_out=GRANIAN_GAPS),
    Server("waitress-t4", THREADS,
           ("{python}", "-m", "waitress", "--listen", "127.0.0.1:{port}", "--threads", "{threads}",
            "--asyncore-use-poll", "--connection-limit", "20000", "--backlog", "4096", "{app}"),
           package="waitress", module="waitress", threads=4),
    Server("gunicorn-gthread-t4", THREADS, _gunicorn("gthread", "--threads", "{threads}"),
           package="gunicorn", module="gunicorn", threads=4, many=WORKERS),
    Server("cheroot-t4", THREADS, _launched("cheroot", 4), package="cheroot", module="cheroot",
           threads=4, leaves_out="CR LF passes into fields, last duplicate field wins"),
    Server("uvicorn", ASGI,
           ("{python}", "-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--loop",
            "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error",
            "--backlog", "4096", "{app}"),
           package="uvicorn", module="uvicorn", many=("--workers", "{workers}")),
    Server("granian-asgi", ASGI,
           _granian("asgi", "--loop", "uvloop", "--runtime-mode", "st"), package="granian",
           module="granian", many=GRANIAN_WORKERS),
    Server("hypercorn", ASGI,
           ("{python}", "-m", "hypercorn", "-b", "127.0.0.1:{port}", "-k", "uvloop",
            "--log-level", "error", "--backlog", "4096", "{app}"),
           package="hypercorn", module="hypercorn", many=WORKERS),
    Server("socketify-asgi", ASGI,
           ("{python}", "-m", "socketify", "{app}", "--interface", "asgi", "--host", "127.0.0.1",
            "--port", "{port}", "--workers", "1", "--disable-listen-log", "true"),
           package="socketify", module="socketify", leaves_out=SOCKETIFY_GAPS),
    Server("gunicorn-asgi", ASGI, _gunicorn("asgi"), package="gunicorn", module="gunicorn",
           many=WORKERS),
)  # fmt: skip


def variant(text: str, known: Iterable[Server] = SERVERS) -> Server:
    """A server more, from `NAME=BASE: WORD WORD`: BASE with words before the application.

    Raises ValueError with what was expected.
    """
    name, _, rest = text.partition("=")
    base, _, words = rest.partition(":")
    names = {one.name: one for one in known}
    if not name or not words or base not in names:
        raise ValueError(f"{text!r}: expected NAME=BASE:WORDS with a BASE of {', '.join(names)}")
    server = names[base]
    return replace(server, name=name, words=before_app(server.words, tuple(words.split())))
