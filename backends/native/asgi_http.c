/* http: what `receive` and `send` do with the messages of the ASGI HTTP specification. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asgi.h"
#include "status.h"

#define HIGH_WATER (256 * 1024) /* bytes that wait for the peer before send() waits, too */

static PyObject *text(const char *literal) { return PyUnicode_InternFromString(literal); }

/* Interned once: message keys and types. */
static PyObject *TYPE, *BODY, *MORE, *STATUS, *HEADERS, *PATH, *REQUEST, *DISCONNECT, *EMPTY;
static PyObject *START, *CHUNK, *PATHSEND;

int http_ready(void) {
    TYPE = text("type");
    BODY = text("body");
    MORE = text("more_body");
    STATUS = text("status");
    HEADERS = text("headers");
    PATH = text("path");
    REQUEST = text("http.request");
    DISCONNECT = text("http.disconnect");
    START = text("http.response.start");
    CHUNK = text("http.response.body");
    PATHSEND = text("http.response.pathsend");
    EMPTY = PyBytes_FromStringAndSize(NULL, 0);
    return PyErr_Occurred() ? -1 : 0;
}

/* ---- receive ------------------------------------------------------------------------- */

static PyObject *disconnect(void) {
    PyObject *message = PyDict_New();

    if (message != NULL && PyDict_SetItem(message, TYPE, DISCONNECT) < 0)
        Py_CLEAR(message);
    return message;
}

/* http.request. Steals `body`. */
static PyObject *request_message(PyObject *body, bool more) {
    PyObject *message = body ? PyDict_New() : NULL;

    if (message != NULL &&
        (PyDict_SetItem(message, TYPE, REQUEST) < 0 || PyDict_SetItem(message, BODY, body) < 0 ||
         PyDict_SetItem(message, MORE, more ? Py_True : Py_False) < 0))
        Py_CLEAR(message);
    Py_XDECREF(body);
    return message;
}

/* What has come of the body since the last time. */
static PyObject *take_body(struct call *call) {
    struct exchange *exchange = call->exchange;
    PyObject *body = exchange->bytes;

    exchange->bytes = NULL;
    if (body == NULL && exchange->body.size == 0)
        body = Py_NewRef(EMPTY);
    else if (body == NULL)
        body = PyBytes_FromStringAndSize(exchange->body.data, (Py_ssize_t)exchange->body.size);
    exchange->body.size = 0;
    call->read_all = exchange->complete;
    if (!exchange->complete)
        conn_want(exchange->conn, WANT_IN); /* there is room again */
    return request_message(body, !exchange->complete);
}

int http_receive(struct call *call, PyObject *unused, PyObject **result, PyObject **future) {
    struct exchange *exchange = call->exchange;

    (void)unused;
    loop_refresh(call->server);
    if (call->gone || exchange == NULL)
        *result = disconnect();
    else if (!call->read_all &&
             (exchange->complete || exchange->body.size > 0 || exchange->bytes != NULL))
        *result = take_body(call);
    else {
        exchange_continue(call->server->lanes[0], exchange);
        out_settle(call->server);
        *future = wait_in(call->server, &call->receiver);
        return *future ? 0 : -1;
    }
    return *result ? 1 : -1;
}

/* ---- send ------------------------------------------------------------------------------ */

static int wrong(const char *format, PyObject *what) {
    PyErr_Format(PyExc_TypeError, format, what);
    return -1;
}

static struct slice slice_of(PyObject *bytes) {
    return (struct slice){PyBytes_AS_STRING(bytes), (uint32_t)PyBytes_GET_SIZE(bytes)};
}

/* Fields about the connection are the server's own: one of them says what the application
 * would like, the other is to be ignored (ASGI HTTP specification, Response Start). */
static bool is_servers_own(struct exchange *exchange, struct slice name, struct slice value) {
    if (slice_is(name, "connection", 10)) {
        if (slice_is(value, "close", 5))
            exchange->keep_alive = false;
        return true;
    }
    return slice_is(name, "transfer-encoding", 17);
}

static int read_pair(struct exchange *exchange, PyObject *pair) {
    PyObject *fast = PySequence_Fast(pair, "a response header must be a (name, value) pair");
    PyObject *const *items = fast ? PySequence_Fast_ITEMS(fast) : NULL;
    int done = 0;

    if (fast == NULL)
        return -1;
    if (PySequence_Fast_GET_SIZE(fast) != 2 || !PyBytes_Check(items[0]) || !PyBytes_Check(items[1]))
        done = wrong("a response header must be a pair of bytes, not %.200R", pair);
    else if (!is_servers_own(exchange, slice_of(items[0]), slice_of(items[1])))
        done = head_field(&exchange->head, slice_of(items[0]), slice_of(items[1]));
    Py_DECREF(fast);
    return done;
}

static int read_headers(struct exchange *exchange, PyObject *headers) {
    PyObject *iterator, *pair;
    int done = 0;

    if (headers == NULL || headers == Py_None)
        return 0;
    if (PyList_CheckExact(headers)) {
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++)
            if (read_pair(exchange, PyList_GET_ITEM(headers, i)) < 0)
                return -1;
        return 0;
    }
    if ((iterator = PyObject_GetIter(headers)) == NULL)
        return -1;
    while (done == 0 && (pair = PyIter_Next(iterator)) != NULL) {
        done = read_pair(exchange, pair);
        Py_DECREF(pair);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : done;
}

static int send_start(struct call *call, PyObject *message) {
    struct exchange *exchange = call->exchange;
    PyObject *status = PyDict_GetItem(message, STATUS);
    char line[64];
    long code;
    int len;

    if (exchange->phase != RESPONSE_NONE) {
        PyErr_SetString(PyExc_RuntimeError, "http.response.start was sent already");
        return -1;
    }
    if (status == NULL || !PyLong_Check(status))
        return wrong("the status must be an int, not %.200R", status ? status : Py_None);
    if ((code = PyLong_AsLong(status)) == -1 && PyErr_Occurred())
        return -1;
    len = snprintf(line, sizeof line, "%ld %s", code, status_phrase((int)code));
    if (head_status(&exchange->head, line, (size_t)len) < 0 ||
        read_headers(exchange, PyDict_GetItem(message, HEADERS)) < 0)
        return -1;
    exchange->phase = RESPONSE_STARTED;
    return 0;
}

static int not_started(void) {
    PyErr_SetString(PyExc_RuntimeError, "http.response.start was not sent yet");
    return -1;
}

static int send_body(struct call *call, PyObject *message) {
    struct exchange *exchange = call->exchange;
    struct lane *lane = call->server->lanes[0];
    PyObject *body = PyDict_GetItem(message, BODY), *flag = PyDict_GetItem(message, MORE);
    int more = flag ? PyObject_IsTrue(flag) : 0, done = 0;
    bool is_first = exchange->phase == RESPONSE_STARTED;

    if (more < 0)
        return -1;
    if (exchange->phase == RESPONSE_NONE)
        return not_started();
    body = body == NULL ? Py_NewRef(EMPTY) : PyBytes_FromObject(body);
    if (body == NULL)
        return -1;
    if (PyBytes_GET_SIZE(body) > 0 || (!more && is_first))
        done = response_block(lane, exchange, body, !more && is_first);
    else if (is_first)
        done = response_head(lane, exchange, -1);
    Py_DECREF(body);
    if (done < 0) { /* the connection broke: receive() tells */
        call_lost(call);
        return PyErr_Occurred() ? -1 : 0;
    }
    if (!more) {
        response_end(lane, exchange);
        call_finish(call);
    }
    return 0;
}

/* The extension http.response.pathsend: a file by sendfile(2). */
static int send_path(struct call *call, PyObject *message) {
    struct exchange *exchange = call->exchange;
    struct lane *lane = call->server->lanes[0];
    PyObject *path = PyDict_GetItem(message, PATH), *name = NULL;
    struct stat facts;
    int fd;

    if (exchange->phase != RESPONSE_STARTED)
        return not_started();
    if (path == NULL || !PyUnicode_FSConverter(path, &name))
        return PyErr_Occurred() ? -1 : wrong("%S is missing", PATH);
    fd = open(PyBytes_AS_STRING(name), O_RDONLY | O_CLOEXEC);
    Py_DECREF(name);
    if (fd < 0 || fstat(fd, &facts) < 0) {
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (response_file(lane, exchange, fd, 0, facts.st_size) < 0) {
        call_lost(call);
        return 0;
    }
    response_end(lane, exchange);
    call_finish(call);
    return 0;
}

static int send_message(struct call *call, PyObject *message) {
    PyObject *type = PyDict_Check(message) ? PyDict_GetItem(message, TYPE) : NULL;

    if (type == NULL || !PyUnicode_Check(type))
        return wrong("a message must be a dict with a type, not %.200R", message);
    if (type == START || PyUnicode_Compare(type, START) == 0)
        return send_start(call, message);
    if (type == CHUNK || PyUnicode_Compare(type, CHUNK) == 0)
        return send_body(call, message);
    if (PyUnicode_Compare(type, PATHSEND) == 0)
        return send_path(call, message);
    PyErr_Format(PyExc_ValueError, "a message of type %R cannot be sent on http", type);
    return -1;
}

int http_send(struct call *call, PyObject *message, PyObject **result, PyObject **future) {
    if (message != NULL && call->exchange == NULL) {
        PyErr_SetString(call->gone ? PyExc_ConnectionError : PyExc_RuntimeError,
                        call->gone ? "the client has gone" : "the response is complete already");
        return -1;
    }
    loop_refresh(call->server);
    if (message != NULL && send_message(call, message) < 0)
        return -1;
    out_settle(call->server);
    if (call->exchange != NULL && call->exchange->conn->out_memory > HIGH_WATER) {
        *future = wait_in(call->server, &call->sender);
        return *future ? 0 : -1;
    }
    *result = Py_NewRef(Py_None);
    return 1;
}
