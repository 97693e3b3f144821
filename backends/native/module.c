/* The Python side of the native server: one type, `Server`. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "asgi.h"
#include "greenlets.h"
#include "guard.h"
#include "input.h"

/* ---- options --------------------------------------------------------------------------- */

/* One number of the options: where it goes, and as what. */
struct number {
    const char *name;
    size_t at;
    enum { U32, U64, SIZE } kind;
};

#define NUMBER(name, member, kind) {name, offsetof(struct options, member), kind}

static const struct number NUMBERS[] = {
    NUMBER("request_line", head.request_line, U32),
    NUMBER("field_line", head.field_line, U32),
    NUMBER("fields", head.fields, U32),
    NUMBER("head", head.head, U32),
    NUMBER("chunk_line", chunks.size_line, U32),
    NUMBER("chunk_extensions", chunks.extensions, U32),
    NUMBER("trailers", chunks.trailers, U32),
    NUMBER("trailer_fields", chunks.fields, U32),
    NUMBER("body", max_body, U64),
    NUMBER("body_memory", body_memory, SIZE),
    NUMBER("out_memory", out_memory, SIZE),
    NUMBER("out_file", out_file, U64),
    NUMBER("head_ms", head_ms, U32),
    NUMBER("body_ms", body_ms, U32),
    NUMBER("idle_ms", idle_ms, U32),
    NUMBER("write_ms", write_ms, U32),
    NUMBER("ping_ms", ping_ms, U32),
    NUMBER("ws_message", ws_message, U64),
    NUMBER("min_rate", min_rate, U32),
    NUMBER("connections", max_conns, U32),
    NUMBER("requests", max_requests, U64),
    NUMBER("beat_ms", beat_ms, U32),
    NUMBER("drain_ms", drain_ms, U32),
    NUMBER("grace_ms", grace_ms, U32),
};

static int read_number(struct options *options, const struct number *number, PyObject *dict) {
    PyObject *value = PyDict_GetItemString(dict, number->name);
    uint64_t read = value ? PyLong_AsUnsignedLongLong(value) : 0;
    char *at = (char *)options + number->at;

    if (value == NULL)
        PyErr_Format(PyExc_KeyError, "option %s is missing", number->name);
    if (PyErr_Occurred())
        return -1;
    switch (number->kind) {
    case U32:
        if (read > UINT32_MAX) {
            PyErr_Format(PyExc_OverflowError, "option %s is too large", number->name);
            return -1;
        }
        *(uint32_t *)(void *)at = (uint32_t)read;
        break;
    case U64:
        *(uint64_t *)(void *)at = read;
        break;
    case SIZE:
        *(size_t *)(void *)at = (size_t)read;
        break;
    }
    return 0;
}

static int read_flag(PyObject *dict, const char *name, bool *flag) {
    PyObject *value = PyDict_GetItemString(dict, name);
    int is_true = value ? PyObject_IsTrue(value) : 0;

    *flag = is_true > 0;
    return is_true < 0 ? -1 : 0;
}

static int read_options(struct server *server, PyObject *dict) {
    struct options *options = &server->options;
    PyObject *directory;

    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        if (read_number(options, &NUMBERS[i], dict) < 0)
            return -1;
    options->chunks.body = options->max_body;
    if (read_flag(dict, "drop_underscore", &options->head.drop_underscore) < 0 ||
        read_flag(dict, "shared", &options->shared) < 0 ||
        read_flag(dict, "proxy_protocol", &options->proxy_protocol) < 0)
        return -1;
    directory = PyDict_GetItemString(dict, "directory");
    if (directory == NULL || !PyUnicode_Check(directory)) {
        PyErr_SetString(PyExc_KeyError, "option directory is missing");
        return -1;
    }
    options->directory = strdup(PyUnicode_AsUTF8(directory));
    return options->directory ? 0 : (PyErr_NoMemory(), -1);
}

/* ---- texts that are compiled --------------------------------------------------------------- */

static int bad_text(const char *what, const char *error, size_t at) {
    PyErr_Format(PyExc_ValueError, "%s: %s (at character %zu)", what, error, at + 1);
    return -1;
}

static int read_trust(PyObject *dict, const char *name, struct trust **trust) {
    PyObject *value = PyDict_GetItemString(dict, name);
    const char *text, *error;
    Py_ssize_t len;
    size_t at;

    if (value == NULL || value == Py_None)
        return 0;
    if ((text = PyUnicode_AsUTF8AndSize(value, &len)) == NULL)
        return -1;
    *trust = trust_compile(text, (size_t)len, &error, &at);
    return *trust ? 0 : bad_text(name, error, at);
}

static int read_believed(struct server *server, PyObject *dict) {
    PyObject *value = PyDict_GetItemString(dict, "believe");
    const char *text, *error;
    uint32_t what;
    Py_ssize_t len;
    size_t at;

    if (value == NULL || server->trust == NULL)
        return 0;
    if ((text = PyUnicode_AsUTF8AndSize(value, &len)) == NULL)
        return -1;
    if (!believe_compile(text, (size_t)len, &what, &error, &at))
        return bad_text("forwarded_fields", error, at);
    trust_believe(server->trust, what);
    return 0;
}

static int read_log(struct server *server, PyObject *dict) {
    PyObject *format = PyDict_GetItemString(dict, "log_format");
    PyObject *fd = PyDict_GetItemString(dict, "log_fd");
    const char *text, *error;
    Py_ssize_t len;
    size_t at;

    if (format == NULL || format == Py_None)
        return 0;
    if ((text = PyUnicode_AsUTF8AndSize(format, &len)) == NULL)
        return -1;
    server->log_format = log_compile(text, (size_t)len, &error, &at);
    if (server->log_format == NULL)
        return bad_text("access_log_format", error, at);
    if (fd == NULL || (server->log = logbuf_open((int)PyLong_AsLong(fd))) == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* ---- making one -------------------------------------------------------------------------------- */

static struct lane *lane_new(struct server *server) {
    struct lane *lane = calloc(1, sizeof *lane);

    if (lane == NULL)
        return NULL;
    lane->server = server;
    lane->in = malloc(READ_SIZE);
    lane->out = malloc(OUT_SIZE);
    if (lane->in != NULL && lane->out != NULL)
        return lane;
    free(lane->in);
    free(lane->out);
    free(lane);
    return NULL;
}

static int make_lanes(struct server *server, uint32_t count) {
    server->lanes = calloc(count, sizeof *server->lanes);
    if (server->lanes == NULL)
        return -1;
    for (; server->lane_count < count; server->lane_count++)
        if ((server->lanes[server->lane_count] = lane_new(server)) == NULL)
            return -1;
    server->leader = server->lanes[0];
    return 0;
}

/* listeners: a list of (fd, is_unix, environ template). */
static int make_listeners(struct server *server, PyObject *list) {
    Py_ssize_t count = PyList_Size(list);

    if (count < 0)
        return -1;
    if (count > UINT8_MAX) {
        PyErr_SetString(PyExc_ValueError, "a server has at most 255 listening sockets");
        return -1;
    }
    server->listeners = calloc((size_t)count + 1, sizeof *server->listeners);
    if (server->listeners == NULL)
        return PyErr_NoMemory(), -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        struct listener *listener = &server->listeners[i];
        int is_unix;
        PyObject *template;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "ipO!", &listener->fd, &is_unix,
                              &PyDict_Type, &template))
            return -1;
        listener->is_unix = is_unix;
        listener->template_ = Py_NewRef(template);
        server->listener_count++;
    }
    return 0;
}

static int make_epoll(struct server *server) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = server};

    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->epoll < 0 || server->wake < 0 ||
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->wake, &event) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* Where the loop is another's: what tells it of the core's deadlines, and whom the core tells
 * that it is finished. */
static int make_guest(struct server *server, PyObject *dict) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &server->timer};

    server->on_finished = Py_XNewRef(PyDict_GetItemString(dict, "on_finished"));
    server->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (server->timer >= 0 && epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->timer, &event) == 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* Serves WSGI in gevent's greenlets: {"hub": .., ..} of the options, see greenlets.h. */
static int make_greenlets(struct server *server, PyObject *dict) {
    if (PyDict_GetItemString(dict, "hub") == NULL)
        return 0;
    return greenlets_start(server, dict) < 0 ? -1 : make_guest(server, dict);
}

/* Serves ASGI on an asyncio loop: {"loop": .., "state": .., "on_finished": ..} of the options. */
static int make_asgi(struct server *server, PyObject *dict) {
    PyObject *loop = PyDict_GetItemString(dict, "loop");
    PyObject *state = PyDict_GetItemString(dict, "state");

    if (loop == NULL)
        return 0;
    if (asgi_ready() < 0)
        return -1;
    server->driver = &ASGI_DRIVER;
    server->loop = Py_NewRef(loop);
    server->state = Py_XNewRef(state);
    server->scopes = scope_cache_new();
    return server->scopes ? make_guest(server, dict) : (PyErr_NoMemory(), -1);
}

static PyObject *server_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    struct server *server = (struct server *)type->tp_alloc(type, 0);

    (void)args;
    (void)named;
    if (server != NULL)
        server->epoll = server->wake = server->timer = -1;
    return (PyObject *)server;
}

static int server_init(PyObject *self, PyObject *args, PyObject *named) {
    static char *names[] = {"app", "on_error", "listeners", "options", "slot", "lanes", NULL};
    struct server *server = (struct server *)self;
    PyObject *app, *on_error, *listeners, *options, *slot;
    unsigned lanes;

    if (server->epoll >= 0) {
        PyErr_SetString(PyExc_RuntimeError, "a Server is made once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, named, "OOO!O!OI:Server", names, &app, &on_error,
                                     &PyList_Type, &listeners, &PyDict_Type, &options, &slot,
                                     &lanes))
        return -1;
    server->app = Py_NewRef(app);
    server->driver = &WSGI_DRIVER;
    server->on_error = Py_NewRef(on_error);
    if (PyObject_GetBuffer(slot, &server->slot_view, PyBUF_WRITABLE) < 0)
        return -1;
    server->slot = server->slot_view.buf;
    server->pid = getpid();
    server->accepting = true;
    server->now_ms = clock_ms();
    wheel_start(&server->wheel, server->now_ms);
    if (server->slot_view.len < (Py_ssize_t)(8 * sizeof(uint64_t)) || lanes == 0) {
        PyErr_SetString(PyExc_ValueError, "a slot has eight words, and a server a lane");
        return -1;
    }
    if (make_epoll(server) < 0 || make_listeners(server, listeners) < 0 ||
        read_options(server, options) < 0 || read_trust(options, "trust", &server->trust) < 0 ||
        read_believed(server, options) < 0 ||
        read_trust(options, "proxy_trust", &server->proxy_trust) < 0 ||
        read_log(server, options) < 0 || make_asgi(server, options) < 0 ||
        make_greenlets(server, options) < 0)
        return -1;
    server->names = names_new();
    if (server->names == NULL || make_lanes(server, lanes) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static void server_close(struct server *server) {
    guard_stop(server);
    greenlets_stop(server);
    calls_close(server);
    conn_free_all(server);
    exchanges_free(server);
    for (uint32_t i = 0; i < server->lane_count; i++) {
        free(server->lanes[i]->in);
        free(server->lanes[i]->out);
        free(server->lanes[i]);
    }
    free(server->lanes);
    server->lanes = NULL;
    server->lane_count = 0;
    for (uint32_t i = 0; i < server->listener_count; i++)
        Py_CLEAR(server->listeners[i].template_);
    free(server->listeners);
    server->listeners = NULL;
    server->listener_count = 0;
    names_free(server->names);
    server->names = NULL;
    free(server->options.directory);
    server->options.directory = NULL;
    log_free(server->log_format);
    server->log_format = NULL;
    if (server->log != NULL)
        logbuf_close(server->log);
    server->log = NULL;
    trust_free(server->trust);
    trust_free(server->proxy_trust);
    server->trust = server->proxy_trust = NULL;
    if (server->epoll >= 0)
        close(server->epoll);
    if (server->wake >= 0)
        close(server->wake);
    if (server->timer >= 0)
        close(server->timer);
    server->epoll = server->wake = server->timer = -1;
    scope_cache_free(server->scopes);
    server->scopes = NULL;
    free(server->resumed);
    server->resumed = NULL;
    server->resumed_count = server->resumed_room = 0;
    live_check();
}

static int server_traverse(PyObject *self, visitproc visit, void *arg) {
    struct server *server = (struct server *)self;

    Py_VISIT(server->app);
    Py_VISIT(server->on_error);
    Py_VISIT(server->on_finished);
    Py_VISIT(server->loop);
    Py_VISIT(server->state);
    for (uint32_t i = 0; i < server->listener_count; i++)
        Py_VISIT(server->listeners[i].template_);
    return 0;
}

static int server_clear(PyObject *self) {
    struct server *server = (struct server *)self;

    Py_CLEAR(server->app);
    Py_CLEAR(server->on_error);
    Py_CLEAR(server->on_finished);
    Py_CLEAR(server->loop);
    Py_CLEAR(server->state);
    return 0;
}

static void server_dealloc(PyObject *self) {
    struct server *server = (struct server *)self;

    PyObject_GC_UnTrack(self);
    server_close(server);
    server_clear(self);
    if (server->slot_view.obj != NULL)
        PyBuffer_Release(&server->slot_view);
    Py_TYPE(self)->tp_free(self);
}

/* ---- methods ------------------------------------------------------------------------------------ */

static PyObject *server_open(PyObject *self, PyObject *args) {
    struct server *server = (struct server *)self;
    int queue_read = -1, queue_write = -1;

    if (!PyArg_ParseTuple(args, "|ii:open", &queue_read, &queue_write) ||
        guard_start(server, queue_read, queue_write) < 0)
        return NULL;
    listeners_arm(server);
    Py_RETURN_NONE;
}

static PyObject *server_run(PyObject *self, PyObject *index) {
    struct server *server = (struct server *)self;
    unsigned long lane = PyLong_AsUnsignedLong(index);

    if (PyErr_Occurred())
        return NULL;
    if (lane >= server->lane_count) {
        PyErr_SetString(PyExc_IndexError, "there is no such lane");
        return NULL;
    }
    if (loop_run(server->lanes[lane]) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *server_stop(PyObject *self, PyObject *unused) {
    struct server *server = (struct server *)self;
    const uint64_t one = 1;

    (void)unused;
    server->drain_asked = true;
    if (server->wake >= 0 && write(server->wake, &one, sizeof one) < 0 && errno != EAGAIN)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *server_shut(PyObject *self, PyObject *unused) {
    (void)unused;
    server_close((struct server *)self);
    Py_RETURN_NONE;
}

static PyObject *server_reopen(PyObject *self, PyObject *path) {
    struct server *server = (struct server *)self;
    const char *text = PyUnicode_AsUTF8(path);

    if (text == NULL)
        return NULL;
    if (server->log != NULL && logbuf_reopen(server->log, text) < 0)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, text);
    Py_RETURN_NONE;
}

static PyObject *server_visit(PyObject *self, PyObject *unused) {
    (void)unused;
    if (loop_visit((struct server *)self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *server_greenlets(PyObject *self, PyObject *unused) {
    (void)unused;
    return greenlets_list((struct server *)self);
}

static PyObject *server_cut(PyObject *self, PyObject *unused) {
    (void)unused;
    return asgi_cut((struct server *)self);
}

static PyObject *server_fileno(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(((struct server *)self)->epoll);
}

static PyMethodDef server_methods[] = {
    {"open", server_open, METH_VARARGS, "Begins to accept."},
    {"visit", server_visit, METH_NOARGS, "Handles what is ready; for a loop that is another's."},
    {"greenlets", server_greenlets, METH_NOARGS, "Those that are at work on requests."},
    {"cut", server_cut, METH_NOARGS, "Ends what is under way; the tasks, which are cancelled."},
    {"fileno", server_fileno, METH_NOARGS, "Readable when a visit is due."},
    {"run", server_run, METH_O, "Runs one lane until the server is finished."},
    {"stop", server_stop, METH_NOARGS, "Begins the drain; may be called at any time."},
    {"close", server_shut, METH_NOARGS, "Closes all connections; no lane may be running."},
    {"reopen_log", server_reopen, METH_O, "Opens the access log anew, by its path."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject Server_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "chaussette.backends.native._core.Server",
    .tp_basicsize = sizeof(struct server),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = server_new,
    .tp_init = server_init,
    .tp_dealloc = server_dealloc,
    .tp_traverse = server_traverse,
    .tp_clear = server_clear,
    .tp_methods = server_methods,
    .tp_doc = "An HTTP/1.1 server for one WSGI application; see _core.pyi.",
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "chaussette.backends.native._core",
    .m_doc = "The native server; see the package.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__core(void) {
    PyObject *self = PyModule_Create(&module);

    if (self == NULL)
        return NULL;
    if (names_ready() < 0 || start_response_ready() < 0 || input_ready(self) < 0 ||
        PyType_Ready(&Server_Type) < 0 || PyModule_AddType(self, &Server_Type) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}
