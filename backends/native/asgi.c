/* The driver: one call of the application per request, in a task of its own. */
#include "asgi.h"

#define BODY_AHEAD (256 * 1024) /* bytes of a body that wait for the application to read */

static PyTypeObject Call_Type;

/* ---- the call ---------------------------------------------------------------------- */

static struct call *call_new(struct server *server, struct exchange *exchange) {
    struct call *call = PyObject_GC_New(struct call, &Call_Type);

    if (call == NULL)
        return NULL;
    call->server = (struct server *)Py_NewRef((PyObject *)server);
    call->exchange = exchange;
    call->conn = NULL;
    call->socket = NULL;
    call->receiver = call->sender = NULL;
    call->read_all = call->gone = false;
    PyObject_GC_Track((PyObject *)call);
    return call;
}

static int call_traverse(PyObject *self, visitproc visit, void *arg) {
    struct call *call = (struct call *)self;

    Py_VISIT(call->server);
    Py_VISIT(call->receiver);
    Py_VISIT(call->sender);
    return 0;
}

static int call_clear(PyObject *self) {
    struct call *call = (struct call *)self;

    Py_CLEAR(call->receiver);
    Py_CLEAR(call->sender);
    return 0;
}

static void call_dealloc(PyObject *self) {
    struct call *call = (struct call *)self;

    PyObject_GC_UnTrack(self);
    call_clear(self);
    Py_CLEAR(call->server);
    PyObject_GC_Del(self);
}

static PyTypeObject Call_Type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "chaussette.backends.native.call",
    .tp_basicsize = sizeof(struct call),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = call_traverse,
    .tp_clear = call_clear,
    .tp_dealloc = call_dealloc,
};

int asgi_ready(void) {
    if (PyType_Ready(&Call_Type) < 0 || awaitables_ready() < 0 || http_ready() < 0 ||
        tasks_ready() < 0)
        return -1;
    return scopes_ready();
}

/* ---- its end -------------------------------------------------------------------------- */

/* Takes the exchange from the call and counts it; the connection is told by the caller. */
static struct conn *release(struct call *call) {
    struct exchange *exchange = call->exchange;
    struct server *server = call->server;
    struct conn *conn = exchange->conn;

    call->exchange = NULL;
    slot_add(server, SLOT_IN_FLIGHT, -1);
    slot_add(server, SLOT_REQUESTS, 1);
    slot_add(server, SLOT_SENT, (int64_t)exchange->sent);
    exchange_log(exchange, exchange->head.status);
    exchange_close(exchange);
    return conn;
}

void call_finish(struct call *call) {
    struct conn *conn = release(call);

    conn_answered(conn);
    if (conn->state == CONN_HEAD && conn->in_len > 0)
        loop_resume(conn);
    wake(&call->receiver);
}

void call_lost(struct call *call) {
    struct conn *conn;

    call->gone = true;
    if (call->exchange != NULL) {
        conn = call->exchange->conn;
        conn_close(conn);
        release(call);
        conn_answered(conn);
    }
    wake(&call->receiver);
    wake(&call->sender);
}

static void report(struct server *server, PyObject *error, PyObject *scope) {
    PyObject *done =
        PyObject_CallFunctionObjArgs(server->on_error, error, scope ? scope : Py_None, NULL);

    if (done == NULL)
        PyErr_WriteUnraisable(server->on_error);
    Py_XDECREF(done);
}

/* The application ended without a complete response, which is its fault, told or not. */
static void report_incomplete(struct call *call) {
    PyObject *error = PyObject_CallFunction(PyExc_RuntimeError, "s",
                                            "the application ended before its response did");

    if (error != NULL)
        report(call->server, error, call->exchange->environ);
    else
        PyErr_Clear();
    Py_XDECREF(error);
}

void call_ended(struct call *call, PyObject *error) {
    struct exchange *exchange = call->exchange;
    struct lane *lane = call->server->lanes[0];

    loop_refresh(call->server);
    if (error != NULL)
        report(call->server, error, exchange ? exchange->environ : NULL);
    if (exchange == NULL)
        return;
    if (error == NULL && !call->gone)
        report_incomplete(call);
    if (exchange->phase < RESPONSE_HEAD_SENT && exchange->conn->state != CONN_CLOSED) {
        exchange->head.status = 500;
        conn_refuse(lane, exchange->conn, 500, "Internal Server Error");
        call_finish(call);
        return;
    }
    slot_add(call->server, SLOT_ERRORS, 1);
    out_flush(lane); /* what there is of it; the missing end tells the client */
    call_lost(call);
}

/* ---- the driver's functions ---------------------------------------------------------------- */

static PyObject *receive(PyObject *self, PyObject *unused) {
    (void)unused;
    return operation_new(http_receive, (struct call *)self, NULL);
}

static PyObject *send_(PyObject *self, PyObject *message) {
    return operation_new(http_send, (struct call *)self, message);
}

static PyMethodDef receive_method = {"receive", receive, METH_NOARGS, "The next message."};
static PyMethodDef send_method = {"send", send_, METH_O, "Sends a message."};

static int asgi_head(struct lane *lane, struct exchange *exchange, struct request *request,
                     const char **reason) {
    struct server *server = lane->server;
    struct forwarded said, *known = NULL;
    int status;

    if (server->trust != NULL && trusts(server->trust, &exchange->conn->peer)) {
        if ((status = forwarded_read(&said, request, server->trust, reason)) != 0)
            return status;
        known = &said;
    }
    exchange->environ = scope_build(server, exchange->conn, request, known);
    if (exchange->environ != NULL)
        return 0;
    *reason = "The request target is malformed.";
    status = PyErr_ExceptionMatches(PyExc_ValueError) ? 400 : 503;
    PyErr_Clear();
    return status;
}

static void asgi_run(struct lane *lane, struct exchange *exchange) {
    struct server *server = lane->server;
    struct call *call = call_new(server, exchange);
    PyObject *scope = Py_NewRef(exchange->environ);

    if (++server->requests == server->options.max_requests)
        server->drain_asked = true; /* and this response announces it already */
    slot_add(server, SLOT_IN_FLIGHT, 1);
    lane->calls++;
    if (call == NULL) {
        PyErr_Clear();
        slot_add(server, SLOT_IN_FLIGHT, -1);
        conn_close(exchange->conn);
        exchange_close(exchange);
        conn_answered(exchange->conn);
    } else {
        exchange->call = Py_NewRef((PyObject *)call);
        task_start(lane, call, scope, &receive_method, &send_method);
        Py_DECREF(call);
    }
    Py_DECREF(scope);
}

static void asgi_more(struct lane *lane, struct exchange *exchange) {
    struct call *call = (struct call *)exchange->call;

    (void)lane;
    if (!exchange->complete && exchange->body.size > BODY_AHEAD)
        conn_want(exchange->conn, WANT_NOTHING);
    wake(&call->receiver);
}

static void asgi_gone(struct conn *conn) {
    struct call *call = conn->exchange ? (struct call *)conn->exchange->call : NULL;

    if (call == NULL)
        return;
    call->gone = true;
    wake(&call->receiver);
    if (conn->state == CONN_CLOSED)
        wake(&call->sender);
}

static void asgi_drained(struct lane *lane, struct conn *conn) {
    (void)lane;
    if (conn->exchange != NULL && conn->exchange->call != NULL)
        wake(&((struct call *)conn->exchange->call)->sender);
}

static size_t asgi_raw(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    (void)lane;
    (void)conn;
    (void)data;
    return len;
}

const struct driver ASGI_DRIVER = {.head = asgi_head,
                                   .run = asgi_run,
                                   .more = asgi_more,
                                   .raw = asgi_raw,
                                   .gone = asgi_gone,
                                   .drained = asgi_drained};
