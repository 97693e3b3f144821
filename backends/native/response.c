/* Responses: what start_response is given, checked and rendered; the head and the body's framing.
 *
 * A response head is rendered when start_response is called, so that a field that may not reach
 * the wire fails in the application's own stack (PEP 3333, RFC 9110 section 5.5).
 */
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "guard.h"

#define HEAD_MOST (64 * 1024)
#define KEPT 16 /* on the free list */

static PyTypeObject StartResponse_Type;
static struct start_response *kept[KEPT];
static int kept_count;

/* ---- rendering ------------------------------------------------------------------- */

static int grow(struct start_response *start, size_t more) {
    size_t wanted = start->head_len + more, room = start->head_room;
    char *grown;

    if (wanted <= room)
        return 0;
    if (wanted > HEAD_MOST) {
        PyErr_Format(PyExc_ValueError, "the response head is larger than %d bytes", HEAD_MOST);
        return -1;
    }
    while (room < wanted)
        room *= 2;
    grown = start->head == start->inline_head ? malloc(room) : realloc(start->head, room);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (start->head == start->inline_head)
        memcpy(grown, start->inline_head, start->head_len);
    start->head = grown;
    start->head_room = (uint32_t)room;
    return 0;
}

static void add(struct start_response *start, const char *text, size_t len) {
    memcpy(start->head + start->head_len, text, len);
    start->head_len += (uint32_t)len;
}

/* The bytes of a native string; TypeError or ValueError when it is none. */
static int native(PyObject *text, const char *what, const char **at, Py_ssize_t *len) {
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, not %.100s", what, Py_TYPE(text)->tp_name);
        return -1;
    }
    if (PyUnicode_READY(text) < 0)
        return -1;
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "%s has characters beyond latin-1: %.200R", what, text);
        return -1;
    }
    *at = (const char *)PyUnicode_1BYTE_DATA(text);
    *len = PyUnicode_GET_LENGTH(text);
    return 0;
}

static int render_status(struct start_response *start, PyObject *status) {
    const char *at;
    Py_ssize_t len;

    if (native(status, "the status", &at, &len) < 0)
        return -1;
    if (len < 3 || at[0] < '2' || at[0] > '9' || at[1] < '0' || at[1] > '9' || at[2] < '0' ||
        at[2] > '9' || (len > 3 && at[3] != ' ') || !is_field_value(at, (size_t)len)) {
        PyErr_Format(PyExc_ValueError,
                     "the status must be three digits from 200 on, a space and a reason, not %.200R",
                     status);
        return -1;
    }
    start->status = (uint16_t)((at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0'));
    if (grow(start, (size_t)len + 16) < 0)
        return -1;
    add(start, "HTTP/1.1 ", 9);
    add(start, at, (size_t)len);
    if (len == 3)
        add(start, " ", 1);
    add(start, "\r\n", 2);
    return 0;
}

static int read_length(struct start_response *start, struct slice value) {
    uint64_t length = 0;

    for (uint32_t i = 0; i < value.len && value.len <= 18; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            goto bad;
        length = length * 10 + (uint64_t)(value.at[i] - '0');
    }
    if (value.len == 0 || value.len > 18 || start->has_length)
        goto bad;
    start->has_length = true;
    start->length = length;
    return 0;
bad:
    PyErr_Format(PyExc_ValueError, start->has_length ? "Content-Length is there twice"
                                                     : "Content-Length is not a number");
    return -1;
}

/* Notices fields that matter to the server; -1 for those that are its own business. */
static int notice(struct start_response *start, struct slice name, struct slice value) {
    static const char *const hop_by_hop[] = {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "trailers", "transfer-encoding", "upgrade"};

    switch (name.at[0] | 0x20) {
    case 'c':
        if (slice_is(name, "content-length", 14))
            return read_length(start, value) < 0 ? -1 : 1;
        break;
    case 'd':
        start->has_date |= slice_is(name, "date", 4);
        return 0;
    case 's':
        start->has_server |= slice_is(name, "server", 6);
        return 0;
    case 'k':
    case 'p':
    case 't':
    case 'u':
        break;
    default:
        return 0;
    }
    for (size_t i = 0; i < sizeof hop_by_hop / sizeof *hop_by_hop; i++)
        if (slice_is(name, hop_by_hop[i], strlen(hop_by_hop[i]))) {
            PyErr_Format(PyExc_ValueError,
                         "%s is a hop-by-hop field, which is the server's own (PEP 3333)",
                         hop_by_hop[i]);
            return -1;
        }
    return 0;
}

static int render_field(struct start_response *start, PyObject *pair) {
    const char *name, *value;
    Py_ssize_t name_len, value_len;
    int noticed;

    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "a response header must be a (name, value) tuple, not %.200R",
                     pair);
        return -1;
    }
    if (native(PyTuple_GET_ITEM(pair, 0), "a header's name", &name, &name_len) < 0 ||
        native(PyTuple_GET_ITEM(pair, 1), "a header's value", &value, &value_len) < 0)
        return -1;
    if (!is_token(name, (size_t)name_len)) {
        PyErr_Format(PyExc_ValueError, "%.200R cannot be the name of a header",
                     PyTuple_GET_ITEM(pair, 0));
        return -1;
    }
    if (!is_field_value(value, (size_t)value_len)) {
        PyErr_Format(PyExc_ValueError, "the value of header %.200R has control characters: %.200R",
                     PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
        return -1;
    }
    noticed = notice(start, (struct slice){name, (uint32_t)name_len},
                     (struct slice){value, (uint32_t)value_len});
    if (noticed != 0) /* Content-Length is written when the framing is known */
        return noticed < 0 ? -1 : 0;
    if (grow(start, (size_t)(name_len + value_len) + 4) < 0)
        return -1;
    add(start, name, (size_t)name_len);
    add(start, ": ", 2);
    add(start, value, (size_t)value_len);
    add(start, "\r\n", 2);
    return 0;
}

static int render(struct start_response *start, PyObject *status, PyObject *headers) {
    start->head_len = 0;
    start->has_length = start->has_date = start->has_server = false;
    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "the response headers must be a list, not %.100s",
                     Py_TYPE(headers)->tp_name);
        return -1;
    }
    if (render_status(start, status) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++)
        if (render_field(start, PyList_GET_ITEM(headers, i)) < 0)
            return -1;
    return 0;
}

/* ---- start_response and write() ------------------------------------------------------- */

/* exc_info's rules: without it only the first call counts; with it the head is replaced as
 * long as it is not sent, and after that the exception goes on. */
static int check_exc_info(struct start_response *start, PyObject *exc_info) {
    PyObject *type, *value, *traceback;

    if (exc_info == NULL || exc_info == Py_None) {
        if (start->called)
            PyErr_SetString(PyExc_AssertionError,
                            "start_response was called a second time without exc_info");
        return start->called ? -1 : 0;
    }
    if (start->exchange->phase < RESPONSE_HEAD_SENT)
        return 0;
    if (!PyArg_ParseTuple(exc_info, "OOO;exc_info must be sys.exc_info()", &type, &value,
                          &traceback))
        return -1;
    PyErr_Restore(Py_NewRef(type), Py_NewRef(value), Py_NewRef(traceback));
    return -1;
}

static PyObject *call_start(struct start_response *start, PyObject *status, PyObject *headers,
                            PyObject *exc_info) {
    if (start->exchange == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "start_response was called after its request was over");
        return NULL;
    }
    if (check_exc_info(start, exc_info) < 0)
        return NULL;
    start->called = false;
    if (render(start, status, headers) < 0)
        return NULL;
    start->called = true;
    start->exchange->phase = RESPONSE_STARTED;
    return Py_NewRef((PyObject *)start);
}

/* write(): the head, and the data at once (PEP 3333). */
static PyObject *call_write(struct start_response *start, PyObject *data) {
    int sent;

    if (start->exchange == NULL || !start->called) {
        PyErr_SetString(PyExc_RuntimeError, "write() was called outside of its request");
        return NULL;
    }
    if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "write() takes bytes, not %.100s", Py_TYPE(data)->tp_name);
        return NULL;
    }
    guard_leave(start->lane); /* until the application goes on */
    sent = response_block(start->lane, start->exchange, data, false);
    out_flush(start->lane);
    guard_enter(start->lane);
    if (sent == 0)
        Py_RETURN_NONE;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ConnectionError, "the client has gone");
    return NULL;
}

static PyObject *start_response_call(PyObject *self, PyObject *const *args, size_t flags,
                                     PyObject *names) {
    struct start_response *start = (struct start_response *)self;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    PyObject *given[3] = {NULL, NULL, NULL};
    static const char *const known[3] = {"status", "headers", "exc_info"};

    if (count == 1 && named == 0)
        return call_write(start, args[0]);
    if (count > 3)
        goto wrong;
    for (Py_ssize_t i = 0; i < count; i++)
        given[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        int place = 2;
        while (place >= 0 &&
               PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), known[place]) != 0)
            place--;
        if (place < 0 || given[place] != NULL)
            goto wrong;
        given[place] = args[count + i];
    }
    if (given[0] == NULL || given[1] == NULL)
        goto wrong;
    return call_start(start, given[0], given[1], given[2]);
wrong:
    PyErr_SetString(PyExc_TypeError,
                    "start_response takes status, headers and exc_info=None; write takes bytes");
    return NULL;
}

static void start_response_dealloc(PyObject *self) {
    struct start_response *start = (struct start_response *)self;

    if (start->head != start->inline_head)
        free(start->head);
    PyObject_Free(self);
}

static PyTypeObject StartResponse_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "chaussette.backends.native.start_response",
    .tp_basicsize = sizeof(struct start_response),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(struct start_response, vectorcall),
    .tp_dealloc = start_response_dealloc,
    .tp_doc = "start_response(status, headers, exc_info=None); what it returns is write(data).",
};

int response_ready(void) { return PyType_Ready(&StartResponse_Type); }

struct start_response *start_response_new(struct lane *lane, struct exchange *exchange) {
    struct start_response *start;

    if (kept_count > 0)
        start = kept[--kept_count];
    else {
        start = PyObject_New(struct start_response, &StartResponse_Type);
        if (start == NULL)
            return NULL;
        start->vectorcall = start_response_call;
        start->head = start->inline_head;
        start->head_room = HEAD_INLINE;
    }
    start->exchange = exchange;
    start->lane = lane;
    start->called = false;
    start->head_len = 0;
    return start;
}

void start_response_release(struct start_response *start) {
    start->exchange = NULL;
    if (Py_REFCNT(start) == 1 && kept_count < KEPT && start->head == start->inline_head)
        kept[kept_count++] = start;
    else
        Py_DECREF(start);
}

/* ---- the wire --------------------------------------------------------------------------- */

static bool may_have_body(const struct exchange *exchange) {
    uint16_t status = exchange->start->status;

    return !exchange->is_head && status != 204 && status != 304;
}

static char *put(char *out, const char *text, size_t len) {
    memcpy(out, text, len);
    return out + len;
}

static char *put_number(char *out, uint64_t number) {
    char digits[20];
    int count = 0;

    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (count > 0)
        *out++ = digits[--count];
    return out;
}

/* How the end of the body is told; settles whether the connection stays. */
static char *put_framing(char *out, struct exchange *exchange, int64_t length) {
    const struct server *server = exchange->conn->server;
    uint16_t status = exchange->start->status;

    if (length >= 0 && status != 204) {
        out = put(out, "Content-Length: ", 16);
        out = put_number(out, (uint64_t)length);
        out = put(out, "\r\n", 2);
    } else if (!exchange->no_body && exchange->minor > 0) {
        exchange->out_chunked = true;
        out = put(out, "Transfer-Encoding: chunked\r\n", 28);
    } else if (!exchange->no_body) {
        exchange->keep_alive = false; /* only the end of the connection ends the body */
    }
    if (server->drain_asked || exchange->conn->ended)
        exchange->keep_alive = false;
    if (!exchange->keep_alive)
        out = put(out, "Connection: close\r\n", 19);
    else if (exchange->minor == 0)
        out = put(out, "Connection: keep-alive\r\n", 24);
    return put(out, "\r\n", 2);
}

static int head_into(struct lane *lane, struct exchange *exchange, int64_t length, PyObject *body) {
    const struct server *server = lane->server;
    const struct start_response *start = exchange->start;
    size_t size = body ? (size_t)PyBytes_GET_SIZE(body) : 0;
    char *begin = out_room(lane, exchange->conn, start->head_len + server->date_len + size + 160);
    char *out = begin;

    if (begin == NULL) {
        conn_close(exchange->conn);
        return -1;
    }
    out = put(out, start->head, start->head_len);
    if (!start->has_server)
        out = put(out, "Server: " SERVER_NAME_TEXT "\r\n", 8 + sizeof SERVER_NAME_TEXT - 1 + 2);
    if (!start->has_date)
        out = put(out, server->date, server->date_len);
    out = put_framing(out, exchange, length);
    if (size > 0)
        out = put(out, PyBytes_AS_STRING(body), size);
    exchange->sent += size;
    exchange->phase = RESPONSE_HEAD_SENT;
    out_wrote(lane, exchange->conn, (size_t)(out - begin));
    return 0;
}

int response_head(struct lane *lane, struct exchange *exchange, int64_t length) {
    const struct start_response *start = exchange->start;

    exchange->no_body = !may_have_body(exchange);
    if (start->has_length)
        length = (int64_t)start->length;
    return head_into(lane, exchange, length, NULL);
}

/* What Content-Length leaves of a block. */
static size_t allowed(const struct exchange *exchange, size_t len) {
    uint64_t left;

    if (exchange->no_body)
        return 0;
    if (!exchange->start->has_length)
        return len;
    left = exchange->start->length - exchange->sent;
    return len < left ? len : (size_t)left;
}

static int block_into(struct lane *lane, struct exchange *exchange, const char *data, size_t len) {
    char *begin = out_room(lane, exchange->conn, len + 24), *out = begin;

    if (begin == NULL) {
        conn_close(exchange->conn);
        return -1;
    }
    if (exchange->out_chunked)
        out += sprintf(out, "%zx\r\n", len);
    out = put(out, data, len);
    if (exchange->out_chunked)
        out = put(out, "\r\n", 2);
    out_wrote(lane, exchange->conn, (size_t)(out - begin));
    return 0;
}

static int large_block(struct lane *lane, struct exchange *exchange, PyObject *bytes, size_t len) {
    struct conn *conn = exchange->conn;
    char *out;

    if (exchange->out_chunked) {
        if ((out = out_room(lane, conn, 24)) == NULL)
            return -1;
        out_wrote(lane, conn, (size_t)sprintf(out, "%zx\r\n", len));
    }
    return out_send(lane, conn, bytes, PyBytes_AS_STRING(bytes), len, "\r\n",
                    exchange->out_chunked ? 2 : 0);
}

int response_block(struct lane *lane, struct exchange *exchange, PyObject *bytes, bool whole) {
    size_t len = (size_t)PyBytes_GET_SIZE(bytes);
    const struct start_response *start = exchange->start;

    if (exchange->conn->state == CONN_CLOSED)
        return -1;
    if (exchange->phase < RESPONSE_HEAD_SENT) {
        exchange->no_body = !may_have_body(exchange);
        if (whole && len <= SMALL && !exchange->no_body &&
            (!start->has_length || start->length == len))
            return head_into(lane, exchange, (int64_t)len, bytes);
        if (response_head(lane, exchange, whole ? (int64_t)len : -1) < 0)
            return -1;
    }
    len = allowed(exchange, len);
    if (len == 0)
        return 0;
    exchange->sent += len;
    if (len <= SMALL)
        return block_into(lane, exchange, PyBytes_AS_STRING(bytes), len);
    return large_block(lane, exchange, bytes, len);
}

void response_end(struct lane *lane, struct exchange *exchange) {
    const struct start_response *start = exchange->start;
    struct conn *conn = exchange->conn;
    char *out;

    if (conn->state == CONN_CLOSED)
        return;
    if (exchange->phase < RESPONSE_HEAD_SENT && response_head(lane, exchange, 0) < 0)
        return;
    if (exchange->out_chunked && (out = out_room(lane, conn, 5)) != NULL) {
        memcpy(out, "0\r\n\r\n", 5);
        out_wrote(lane, conn, 5);
    }
    /* Too few bytes: the end of the connection tells the client (RFC 9112 section 8). */
    if (!exchange->no_body && start->has_length && exchange->sent < start->length)
        exchange->keep_alive = false;
    exchange->phase = RESPONSE_DONE;
    if (!exchange->keep_alive)
        conn->closing = true;
}
