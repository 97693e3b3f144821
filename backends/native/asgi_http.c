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
static PyObject *CLIENT_GONE; /* what send() raises */

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
    CLIENT_GONE = PyErr_NewExceptionWithDoc("chaussette.backends.native.ClientDisconnected",
                                            "The client has gone: nothing can be sent to it.",
                                            PyExc_ConnectionError, NULL);
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

/* There is room for more of the body: the peer's time begins, or goes on. */
static void read_on(struct call *call) {
    struct conn *conn = call->exchange->conn;
    struct server *server = call->server;

    if (call->paused_ms != 0) {
        conn->started_ms += server->now_ms - call->paused_ms; /* our time, not the peer's */
        call->paused_ms = 0;
        if (conn->out == NULL)
            wheel_set(&server->wheel, &conn->timer, server->now_ms + server->options.body_ms);
    }
    conn_want(conn, conn->out != NULL ? WANT_BOTH : WANT_IN);
}

/* What has come of the body since the last time. */
static PyObject *take_body(struct call *call) {
    struct exchange *exchange = call->exchange;
    PyObject *body = exchange->bytes;
    int64_t size = (int64_t)exchange->body.size;

    exchange->bytes = NULL;
    if (body == NULL && size == 0)
        body = Py_NewRef(EMPTY);
    else if (body == NULL &&
             (body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size)) != NULL &&
             body_read(&exchange->body, 0, PyBytes_AS_STRING(body), (size_t)size) != size) {
        Py_CLEAR(body);
        PyErr_SetFromErrno(PyExc_OSError);
    }
    if (body == NULL)
        return NULL;
    if (exchange->complete || exchange->body.file >= 0)
        body_free(&exchange->body);
    exchange->body.size = 0;
    call->read_all = exchange->complete;
    if (!exchange->complete)
        read_on(call);
    return request_message(body, !exchange->complete);
}

/* The application wants more of a body than there is. */
static void ask_for_more(struct call *call) {
    struct exchange *exchange = call->exchange;
    struct server *server = call->server;

    if (exchange->expects && exchange->phase < RESPONSE_HEAD_SENT) {
        exchange_continue(server->lanes[0], exchange);
        exchange->conn->started_ms = server->now_ms; /* it was us that it waited for */
        wheel_set(&server->wheel, &exchange->conn->timer,
                  server->now_ms + server->options.body_ms);
    }
    if (exchange->conn->out != NULL)
        conn_want(exchange->conn, WANT_BOTH);
}

int http_receive(struct call *call, PyObject *unused, PyObject **result, PyObject **future) {
    struct exchange *exchange = call->exchange;
    bool has_body = exchange != NULL && !call->read_all &&
                    (exchange->complete || exchange->body.size > 0 || exchange->bytes != NULL);

    (void)unused;
    loop_refresh(call->server);
    if (has_body && (exchange->complete || !call->gone)) /* it may have gone since */
        *result = take_body(call);
    else if (call->gone || exchange == NULL)
        *result = disconnect();
    else {
        if (!exchange->complete)
            ask_for_more(call);
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

/* What websocket.accept may not bring along (ASGI WebSocket specification, Accept). */
static bool is_handshakes(const struct exchange *exchange, struct slice name) {
    return exchange->head.status == 101 &&
           (slice_is(name, "upgrade", 7) || slice_is(name, "content-length", 14) ||
            slice_is(name, "sec-websocket-accept", 20) ||
            slice_is(name, "sec-websocket-protocol", 22) ||
            slice_is(name, "sec-websocket-extensions", 24));
}

static int read_pair(struct exchange *exchange, PyObject *pair) {
    PyObject *fast = PySequence_Fast(pair, "a response header must be a (name, value) pair");
    PyObject *const *items = fast ? PySequence_Fast_ITEMS(fast) : NULL;
    int done = 0;

    if (fast == NULL)
        return -1;
    if (PySequence_Fast_GET_SIZE(fast) != 2 || !PyBytes_Check(items[0]) || !PyBytes_Check(items[1]))
        done = wrong("a response header must be a pair of bytes, not %.200R", pair);
    else if (is_handshakes(exchange, slice_of(items[0]))) {
        PyErr_Format(PyExc_ValueError, "header %R is the server's own in a WebSocket's handshake%s",
                     items[0], "; for a subprotocol there is the key subprotocol");
        done = -1;
    } else if (!is_servers_own(exchange, slice_of(items[0]), slice_of(items[1])))
        done = head_field(&exchange->head, slice_of(items[0]), slice_of(items[1]));
    Py_DECREF(fast);
    return done;
}

int read_headers(struct exchange *exchange, PyObject *headers) {
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

int raise_gone(void) {
    PyErr_SetString(CLIENT_GONE, "the client has gone");
    return -1;
}

/* The connection broke under the response. */
static int broken(struct call *call) {
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    call_lost(call);
    PyErr_Restore(type, value, traceback);
    return type != NULL ? -1 : raise_gone();
}

bool is_of_the_peer(PyObject *error) {
    PyObject *each = Py_NewRef(error), *before;
    bool found = false;

    for (int i = 0; each != NULL && i < 16; i++) { /* frameworks wrap it */
        found = PyErr_GivenExceptionMatches(each, CLIENT_GONE);
        before = found || !PyExceptionInstance_Check(each) ? NULL : PyException_GetContext(each);
        Py_SETREF(each, before);
    }
    Py_XDECREF(each);
    return found;
}

static int not_started(void) {
    PyErr_SetString(PyExc_RuntimeError, "http.response.start was not sent yet");
    return -1;
}

/* A new reference to bytes, or NULL with an exception. */
static PyObject *bytes_of(PyObject *body) {
    if (body == NULL)
        return Py_NewRef(EMPTY);
    if (PyObject_CheckBuffer(body))
        return PyBytes_FromObject(body);
    wrong("the body must be bytes, not %.200R", body);
    return NULL;
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
    if ((body = bytes_of(body)) == NULL)
        return -1;
    if (PyBytes_GET_SIZE(body) > 0 || (!more && is_first))
        done = response_block(lane, exchange, body, !more && is_first);
    else if (is_first)
        done = response_head(lane, exchange, -1);
    Py_DECREF(body);
    if (done < 0)
        return broken(call);
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
    if (!S_ISREG(facts.st_mode)) {
        close(fd);
        return wrong("%.200R is not a regular file", path);
    }
    if (response_file(lane, exchange, fd, 0, facts.st_size) < 0)
        return broken(call);
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

/* Whether the application may go on: little enough waits for the peer. */
static bool is_far_behind(const struct conn *conn) { return conn->out_memory > HIGH_WATER; }

int http_send(struct call *call, PyObject *message, PyObject **result, PyObject **future) {
    bool lost = call->exchange != NULL && call->exchange->conn->state == CONN_CLOSED;

    if (lost || (call->exchange == NULL && call->gone))
        return lost ? broken(call) : raise_gone();
    if (message != NULL && call->exchange == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the response is complete already");
        return -1;
    }
    loop_refresh(call->server);
    if (message != NULL && send_message(call, message) < 0)
        return -1;
    out_settle(call->server);
    if (call->exchange != NULL && is_far_behind(call->exchange->conn)) {
        *future = wait_in(call->server, &call->sender);
        return *future ? 0 : -1;
    }
    *result = Py_NewRef(Py_None);
    return 1;
}
