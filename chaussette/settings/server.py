"""What one worker is told: the settings of the `chaussette` runner.

Chaussette 1.3's options keep their names. `needs` names a capability of
`chaussette.backends.base.Can`: a value other than the default is refused on a
backend that lacks it.
"""

from __future__ import annotations

from chaussette.records import Record
from chaussette.settings.declare import setting
from chaussette.settings.kinds import (
    BOOL,
    PATH,
    SIZE,
    TEXT,
    WORDS,
    choice,
    constant,
    integer,
    list_of,
    seconds,
    size,
)
from chaussette.settings.networks import FIELD_NAMES, NETWORKS

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")
HELLO_APP = "chaussette.hello:application"

MOST_FIELDS = 128
"""As many as the parser has room for: PARSE_MAX_FIELDS of backends/native/parse.h."""

MOST_HEAD = 2**20
"""Each connection may hold a head of that size; nobody needs a larger one."""

_APPLICATION = "Application"
_LISTEN = "Where to listen"
_SERVER = "Server"
_LIMITS = "Time limits"
_REQUESTS = "Limits of a request"
_PROXY = "Behind a proxy"
_DEVELOPMENT = "Development"
_LOG = "Log"


class ServerSettings(Record, kw_only=True):
    """How one application is served."""

    application: str = setting(
        HELLO_APP,
        TEXT,
        "What to serve: module:name, module.name, module:factory() or paste:file.ini#name.",
        aliases=("wsgi_app",),
        group=_APPLICATION,
    )
    app_args: tuple[str, ...] = setting(
        (), WORDS, "Arguments left in sys.argv for the application.", group=_APPLICATION
    )
    interface: str = setting(
        "auto",
        choice("auto", "wsgi", "asgi", "asgi2"),
        "How the application is called; auto looks at it.",
        flags=("--interface",),
        group=_APPLICATION,
    )
    backend: str | None = setting(
        None,
        TEXT,
        "The server that drives the application, see --list-backends; none: the best installed.",
        flags=("-k", "--backend", "--worker-class"),
        aliases=("worker_class",),
        group=_SERVER,
    )
    bind: tuple[str, ...] = setting(
        (),
        list_of(TEXT),
        "Where to listen: HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or fd://N. May be repeated.",
        flags=("-b", "--bind"),
        group=_LISTEN,
    )
    host: str = setting(
        "localhost",
        TEXT,
        "Host to listen on, or unix:PATH, or fd://N.",
        flags=("--host",),
        group=_LISTEN,
    )
    port: int = setting(
        8080, integer(0, 65535), "Port to listen on.", flags=("-p", "--port"), group=_LISTEN
    )
    fd: int | None = setting(
        None,
        integer(0),
        "Descriptor of a listening socket that this process inherited.",
        flags=("--fd",),
        group=_LISTEN,
    )
    address_family: int | None = setting(
        None,
        constant("AF_", ("AF_INET", "AF_INET6", "AF_UNIX")),
        "Family of the socket to bind; found out from the address when not given.",
        flags=("--address-family",),
        group=_LISTEN,
    )
    socket_type: int | None = setting(
        None,
        constant("SOCK_", ("SOCK_STREAM", "SOCK_SEQPACKET", "SOCK_DGRAM", "SOCK_RAW", "SOCK_RDM")),
        "Type of the socket; a web server needs SOCK_STREAM.",
        flags=("--socket-type",),
        group=_LISTEN,
    )
    backlog: int = setting(
        2048, integer(1), "Length of the queue of connections.", flags=("--backlog",), group=_LISTEN
    )
    reuse_port: bool = setting(
        False,
        BOOL,
        "Give each worker a socket of its own on the same port (SO_REUSEPORT).",
        flags=("--reuse-port",),
        group=_LISTEN,
    )
    workers: int = setting(
        1,
        integer(1),
        "Number of processes. More than one, or -w given, starts the embedded arbiter.",
        flags=("-w", "--workers"),
        group=_SERVER,
    )
    threads: int = setting(
        1,
        integer(1),
        "Threads that call the application in each worker.",
        flags=("--threads",),
        needs="THREADS",
        group=_SERVER,
    )
    spawn: int | None = setting(
        None,
        integer(1),
        "The most requests that one worker works on at a time: on most backends, connections; "
        "none: the backend's own limit.",
        flags=("--spawn", "--max-connections", "--worker-connections"),
        aliases=("max_connections", "worker_connections"),
        needs="SPAWN_LIMIT",
        group=_SERVER,
    )
    greenlet: str = setting(
        "batch",
        choice("batch", "spawn"),
        "How requests get greenlets: batch: they share them for as long as they leave no trace "
        "there; spawn: each has a gevent.Greenlet of its own.",
        flags=("--greenlet",),
        needs="GREENLET",
        group=_SERVER,
    )
    keepalive: float = setting(
        5.0,
        seconds(),
        "Seconds an idle connection is kept for the next request.",
        flags=("--keep-alive",),
        needs="KEEPALIVE_TIMEOUT",
        group=_SERVER,
    )
    timeout: float = setting(
        30.0,
        seconds(),
        "Seconds without a sign of life after which the arbiter replaces a worker; 0: never.",
        flags=("-t", "--timeout"),
        group=_LIMITS,
    )
    graceful_timeout: float = setting(
        30.0,
        seconds(),
        "Seconds that requests under way have to finish when the worker stops.",
        flags=("--graceful-timeout",),
        group=_LIMITS,
    )
    boot_timeout: float = setting(
        60.0,
        seconds(),
        "Seconds that a worker has to load the application; 0: no limit.",
        flags=("--boot-timeout",),
        group=_LIMITS,
    )
    header_timeout: float = setting(
        10.0,
        seconds(0.1),
        "Seconds that a client has for the whole head of a request; after that 408.",
        flags=("--header-timeout",),
        needs="LIMITS",
        group=_LIMITS,
    )
    body_timeout: float = setting(
        30.0,
        seconds(0.1),
        "Seconds without a byte of a request body that is due; after that 408.",
        flags=("--body-timeout",),
        needs="LIMITS",
        group=_LIMITS,
    )
    body_rate: int = setting(
        500,
        integer(0, 2**31 - 1),
        "Bytes per second that a request body must bring, on the average, from body_timeout on; "
        "below that 408; 0: any.",
        flags=("--body-rate",),
        needs="LIMITS",
        group=_LIMITS,
    )
    write_timeout: float = setting(
        60.0,
        seconds(0.1),
        "Seconds without a byte of a response that the client takes; then its connection is reset.",
        flags=("--write-timeout",),
        needs="LIMITS",
        group=_LIMITS,
    )
    ws_ping_interval: float = setting(
        20.0,
        seconds(),
        "Seconds without a byte on a WebSocket after which the client is sent a ping; another such "
        "time without an answer ends the connection; 0: no pings.",
        flags=("--ws-ping-interval",),
        needs="WEBSOCKET_LIMITS",
        group=_LIMITS,
    )
    limit_request_line: int = setting(
        8190,
        size(0, MOST_HEAD),
        "The longest request line, in bytes; past it 414; 0: as long as the head may be.",
        flags=("--limit-request-line",),
        needs="LIMITS",
        group=_REQUESTS,
    )
    limit_request_fields: int = setting(
        100,
        integer(1, MOST_FIELDS),
        "The most header fields of a request; past it 431.",
        flags=("--limit-request-fields",),
        needs="LIMITS",
        group=_REQUESTS,
    )
    limit_request_field_size: int = setting(
        16384,
        size(0, MOST_HEAD),
        "The longest header field, name and value, in bytes; past it 431; 0: as long as the head "
        "may be.",
        flags=("--limit-request-field-size", "--limit-request-field_size"),
        needs="LIMITS",
        group=_REQUESTS,
    )
    limit_request_head: int = setting(
        65536,
        size(1024, MOST_HEAD),
        "The longest head of a request, in bytes; past it 431.",
        flags=("--limit-request-head",),
        needs="LIMITS",
        group=_REQUESTS,
    )
    limit_request_body: int = setting(
        2**30,
        SIZE,
        "The longest body of a request, in bytes; past it 413; 0: no limit.",
        flags=("--limit-request-body",),
        needs="BODY_LIMIT",
        group=_REQUESTS,
    )
    ws_max_size: int = setting(
        2**24,
        SIZE,
        "The longest message of a WebSocket, in bytes, also when it was compressed; past it the "
        "connection is closed with 1009; 0: no limit.",
        flags=("--ws-max-size",),
        needs="WEBSOCKET_LIMITS",
        group=_REQUESTS,
    )
    body_memory: int = setting(
        2**18,
        size(0, 2**30),
        "Bytes of a request body that are kept in memory; past them all of it goes to a temporary "
        "file without a name, in TMPDIR.",
        flags=("--body-memory",),
        needs="LIMITS",
        group=_REQUESTS,
    )
    max_requests: int = setting(
        0,
        integer(0),
        "Requests after which a worker is replaced; 0: never.",
        flags=("--max-requests",),
        needs="GRACEFUL",
        group=_SERVER,
    )
    max_requests_jitter: int = setting(
        0,
        integer(0),
        "At most this many requests are added to max_requests, by chance, per worker.",
        flags=("--max-requests-jitter",),
        group=_SERVER,
    )
    use_reloader: bool = setting(
        False,
        BOOL,
        "Restart when a source file changes; for development.",
        flags=("--use-reloader", "--reload"),
        aliases=("reload",),
        group=_DEVELOPMENT,
    )
    no_monkey: bool = setting(
        False,
        BOOL,
        "Do not monkey-patch the standard library on backends that do so.",
        flags=("--no-monkey",),
        group=_SERVER,
    )
    pre_hook: str | None = setting(
        None,
        TEXT,
        "Callable run before the application is loaded; gets the settings.",
        flags=("--pre-hook",),
        group=_APPLICATION,
    )
    post_hook: str | None = setting(
        None,
        TEXT,
        "Callable run after the server has stopped; gets the settings.",
        flags=("--post-hook",),
        group=_APPLICATION,
    )
    python_path: tuple[str, ...] = setting(
        (),
        list_of(PATH, ":"),
        "Directories put before sys.path, separated by colons.",
        flags=("--python-path", "--pythonpath"),
        aliases=("pythonpath",),
        group=_APPLICATION,
    )
    chdir: str | None = setting(
        None,
        PATH,
        "Directory to change to before the application is loaded.",
        flags=("--chdir",),
        group=_APPLICATION,
    )
    root_path: str = setting(
        "",
        TEXT,
        "Where the application is mounted (SCRIPT_NAME, root_path).",
        flags=("--root-path",),
        group=_APPLICATION,
    )
    certfile: str | None = setting(
        None, PATH, "TLS certificate chain.", flags=("--certfile",), needs="TLS", group=_LISTEN
    )
    keyfile: str | None = setting(
        None, PATH, "TLS private key.", flags=("--keyfile",), needs="TLS", group=_LISTEN
    )
    log_level: str = setting(
        "info",
        choice(*LOG_LEVELS),
        "How much is logged.",
        flags=("--log-level",),
        aliases=("loglevel",),
        group=_LOG,
    )
    log_output: str = setting(
        "-",
        TEXT,
        "Where the log goes: a file, or - for standard error.",
        flags=("--log-output", "--error-logfile", "--log-file"),
        aliases=("errorlog",),
        group=_LOG,
    )
    accesslog: str | None = setting(
        None,
        TEXT,
        "Where one line per request goes: a file, or - for standard output; none: nowhere.",
        flags=("--access-logfile",),
        aliases=("access_logfile",),
        needs="ACCESS_LOG",
        group=_LOG,
    )
    access_log_format: str = setting(
        "combined",
        TEXT,
        "What a line holds: common, combined, json, or a text with atoms such as %(h)s.",
        flags=("--access-logformat", "--access-log-format"),
        needs="ACCESS_LOG",
        group=_LOG,
    )
    forwarded_allow_ips: str = setting(
        "127.0.0.1,::1",
        NETWORKS,
        "Proxies that are believed: addresses, networks, unix for unix sockets, * for any.",
        flags=("--forwarded-allow-ips",),
        needs="PROXY_HEADERS",
        group=_PROXY,
        variables=("FORWARDED_ALLOW_IPS",),
    )
    forwarded_fields: str = setting(
        "x-forwarded-for,x-forwarded-proto",
        FIELD_NAMES,
        "What they are believed: the header fields that each of them sets or removes.",
        flags=("--forwarded-fields",),
        needs="PROXY_HEADERS",
        group=_PROXY,
    )
    proxy_protocol: bool = setting(
        False,
        BOOL,
        "Connections begin with a PROXY header, version 1 or 2, that names the client.",
        flags=("--proxy-protocol",),
        needs="PROXY_PROTOCOL",
        group=_PROXY,
    )
    proxy_allow_ips: str = setting(
        "127.0.0.1,::1",
        NETWORKS,
        "Who may connect with a PROXY header, written as forwarded_allow_ips; others are refused.",
        flags=("--proxy-allow-from", "--proxy-allow-ips"),
        needs="PROXY_PROTOCOL",
        group=_PROXY,
    )
