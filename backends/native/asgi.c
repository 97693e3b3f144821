/* The driver: one call of the application per request, in a task of its own. */
#include "asgi_ws.h"

#define NO_ANSWER 499 /* in the access log: the client has gone before there was one */

static PyTypeObject Call_Type;

/* ---- the call ---------------------------------------------------------------------- */

static struct call *call_new(struct server *server, struct exchange *exchange) {
    struct call *call = PyObject_GC_New(struct call, &Call_Type);

    if (call == NULL)
        return NULL;
    call->server = (struct server *)Py_NewRef((PyObject *)server);
    call->exchange = exchange;
    call->socket = NULL;
    call->receiver = call->sender = call->task = NULL;
    call->next = NULL;
    call->link = NULL;
    call->paused_ms = 0;
    call->read_all = call->gone = false;
    PyObject_GC_Track((PyObject *)call);
    return call;
}

static int call_traverse(PyObject *self, visitproc visit, void *arg) {
    struct call *call = (struct call *)self;

    Py_VISIT(call->server);
    Py_VISIT(call->receiver);
    Py_VISIT(call->sender);
    Py_VISIT(call->task);
    return 0;
}

static int call_clear(PyObject *self) {
    struct call *call = (struct call *)self;

    Py_CLEAR(call->receiver);
    Py_CLEAR(call->sender);
    Py_CLEAR(call->task);
    return 0;
}

static void call_dealloc(PyObject *self) {
    struct call *call = (struct call *)self;

    PyObject_GC_UnTrack(self);
    call_clear(self);
    ws_free(call->socket);
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
        ws_ready() < 0 ||
        tasks_ready() < 0)
        return -1;
    return scopes_ready();
}

/* ---- those that are under way ---------------------------------------------------------- */

void call_waits(struct call *call, PyObject *task) {
    struct server *server = call->server;

    call->task = Py_NewRef(task);
    call->next = server->calls;
    call->link = &server->calls;
    if (call->next != NULL)
        call->next->link = &call->next;
    server->calls = (struct call *)Py_NewRef((PyObject *)call);
    server->in_flight++; /* also behind its response: a drain waits for it */
}

static void leave_list(struct call *call) {
    if (call->link == NULL)
        return;
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    call->link = NULL;
    call->next = NULL;
    call->server->in_flight--;
    Py_CLEAR(call->task);
    Py_DECREF(call);
}

PyObject *asgi_cut(struct server *server) {
    PyObject *tasks = PyList_New(0), *done;

    for (struct call *call = server->calls; tasks != NULL && call != NULL; call = call->next)
        if (PyList_Append(tasks, call->task) < 0)
            Py_CLEAR(tasks);
    for (struct call *call = server->calls; call != NULL; call = call->next)
        if (call->exchange != NULL)
            call_lost(call);
    for (Py_ssize_t i = 0; tasks != NULL && i < PyList_GET_SIZE(tasks); i++) {
        if ((done = PyObject_CallMethod(PyList_GET_ITEM(tasks, i), "cancel", NULL)) == NULL)
            Py_CLEAR(tasks);
        Py_XDECREF(done);
    }
    return tasks;
}

void calls_close(struct server *server) {
    while (server->calls != NULL) {
        struct call *call = server->calls;
        if (call->exchange != NULL)
            call_lost(call);
        call->gone = true;
        leave_list(call);
    }
}

/* ---- its end -------------------------------------------------------------------------- */

/* Lets the loop have another look, if there is something for it to do. */
static void poke(struct server *server) {
    if (!server->in_step && (server->drain_asked || server->dead != NULL))
        loop_poke(server);
}

/* Takes the exchange from the call and counts it; the connection goes on without. */
static struct conn *release(struct call *call) {
    struct exchange *exchange = call->exchange;
    struct server *server = call->server;
    struct conn *conn = exchange->conn;

    call->exchange = NULL;
    slot_add(server, SLOT_IN_FLIGHT, -1);
    slot_add(server, SLOT_REQUESTS, 1);
    slot_add(server, SLOT_SENT, (int64_t)exchange->sent);
    exchange_log(exchange, exchange->head.status ? exchange->head.status : NO_ANSWER);
    exchange_close(exchange);
    conn_answered(conn);
    return conn;
}

void call_finish(struct call *call) {
    struct conn *conn = release(call);

    if (conn->state == CONN_HEAD && conn->in_len > 0)
        loop_resume(conn);
    wake(&call->receiver);
    poke(call->server);
}

void call_lost(struct call *call) {
    call->gone = true;
    conn_close(call->exchange->conn);
    release(call);
    wake(&call->receiver);
    wake(&call->sender);
    poke(call->server);
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

/* Half a response: the missing end tells the client, or a reset where only the connection's
 * end is that of the body. */
static void cut_off(struct lane *lane, struct exchange *exchange) {
    struct conn *conn = exchange->conn;

    slot_add(lane->server, SLOT_ERRORS, 1);
    out_flush(lane);
    if (!exchange->out_chunked && !exchange->head.has_length && !exchange->no_body)
        conn_reset(conn);
    conn->closing = true;
    conn->linger = false;
}

static void end_response(struct call *call, PyObject *error) {
    struct exchange *exchange = call->exchange;
    struct lane *lane = call->server->lanes[0];

    if (call->socket != NULL && !call->gone && exchange->conn->state != CONN_CLOSED) {
        ws_ended(call, error != NULL);
        return;
    }
    exchange->failed = true;
    if (exchange->conn->state == CONN_CLOSED || (call->gone && error == NULL)) {
        call_lost(call);
        return;
    }
    if (exchange->phase < RESPONSE_HEAD_SENT) {
        exchange->head.status = 500;
        conn_refuse(lane, exchange->conn, 500, "Internal Server Error");
    } else {
        cut_off(lane, exchange);
    }
    call_finish(call);
}

void call_ended(struct call *call, PyObject *error) {
    struct exchange *exchange = call->exchange;

    loop_refresh(call->server);
    if (error != NULL && !(call->gone && is_of_the_peer(error)))
        report(call->server, error, exchange ? exchange->environ : NULL);
    else if (exchange != NULL && error == NULL && !call->gone && !ws_is_open(call))
        report_incomplete(call);
    if (call->exchange != NULL)
        end_response(call, error);
    leave_list(call);
    poke(call->server);
}

/* ---- the driver's functions ---------------------------------------------------------------- */

static PyObject *receive(PyObject *self, PyObject *unused) {
    (void)unused;
    return operation_new(http_receive, (struct call *)self, NULL);
}

static PyObject *send_(PyObject *self, PyObject *message) {
    return operation_new(http_send, (struct call *)self, message);
}

static PyObject *receive_ws(PyObject *self, PyObject *unused) {
    (void)unused;
    return operation_new(ws_receive, (struct call *)self, NULL);
}

static PyObject *send_ws(PyObject *self, PyObject *message) {
    return operation_new(ws_send, (struct call *)self, message);
}

static PyMethodDef receive_ws_method = {"receive", receive_ws, METH_NOARGS, "The next message."};
static PyMethodDef send_ws_method = {"send", send_ws, METH_O, "Sends a message."};
static PyMethodDef receive_method = {"receive", receive, METH_NOARGS, "The next message."};
static PyMethodDef send_method = {"send", send_, METH_O, "Sends a message."};

static int asgi_head(struct lane *lane, struct exchange *exchange, struct request *request,
                     const char **reason) {
    int status = exchange_describe(lane->server, exchange, request, scope_build, reason);

    if (status != 0 || !ws_is_upgrade(request))
        return status;
    return ws_head(lane, exchange, request, reason);
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
        ws_free(lane->upgrade);
        lane->upgrade = NULL;
        slot_add(server, SLOT_IN_FLIGHT, -1);
        conn_close(exchange->conn);
        exchange_close(exchange);
        conn_answered(exchange->conn);
    } else {
        exchange->call = Py_NewRef((PyObject *)call);
        call->socket = lane->upgrade;
        lane->upgrade = NULL;
        if (call->socket != NULL)
            task_start(lane, call, scope, &receive_ws_method, &send_ws_method);
        else
            task_start(lane, call, scope, &receive_method, &send_method);
        Py_DECREF(call);
    }
    Py_DECREF(scope);
}

static void asgi_more(struct lane *lane, struct exchange *exchange) {
    struct call *call = (struct call *)exchange->call;
    struct conn *conn = exchange->conn;

    (void)lane;
    if (!exchange->complete && exchange->body.size > BODY_AHEAD) {
        conn_want(conn, conn->out != NULL ? WANT_OUT : WANT_NOTHING);
        call->paused_ms = conn->server->now_ms;
    }
    wake(&call->receiver);
}

/* The call of a connection, or NULL. */
static struct call *call_of(struct conn *conn) {
    return conn->exchange ? (struct call *)conn->exchange->call : NULL;
}

/* It has sent its last byte, and may still read; or its body is refused, and answered. */
static void asgi_gone(struct conn *conn) {
    struct call *call = call_of(conn);

    if (call == NULL)
        return;
    if (call->socket != NULL) {
        ws_gone(call);
        return;
    }
    call->gone = true;
    if (conn->exchange->failed && conn->state != CONN_CLOSED) {
        release(call);
        wake(&call->sender);
    }
    wake(&call->receiver);
}

/* The exchange stays until the application asks: who closes the connection may still need it. */
static void asgi_closed(struct conn *conn) {
    struct call *call = call_of(conn);

    if (call == NULL)
        return;
    if (call->socket != NULL) {
        ws_gone(call);
        return;
    }
    call->gone = true;
    wake(&call->receiver);
    wake(&call->sender);
}

static void asgi_drained(struct lane *lane, struct conn *conn) {
    struct call *call = call_of(conn);

    (void)lane;
    if (call != NULL)
        wake(&call->sender);
}

/* send() waits by itself, so that the loop goes on. */
static int asgi_hold(struct conn *conn) {
    (void)conn;
    return 0;
}

static bool asgi_idle(struct conn *conn) {
    struct call *call = call_of(conn);

    return call == NULL || call->socket == NULL || ws_idle(call);
}

static void asgi_leave(struct conn *conn) {
    struct call *call = call_of(conn);

    if (call != NULL && call->socket != NULL)
        ws_leave(call);
}

const struct driver ASGI_DRIVER = {.head = asgi_head,
                                   .run = asgi_run,
                                   .more = asgi_more,
                                   .raw = ws_raw,
                                   .idle = asgi_idle,
                                   .leave = asgi_leave,
                                   .gone = asgi_gone,
                                   .drained = asgi_drained,
                                   .closed = asgi_closed,
                                   .hold = asgi_hold};
