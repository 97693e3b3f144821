/* WSGI (PEP 3333): one call of the application per request, run to its end.
 *
 * The application never waits for the client: its body has been read before it is called, and
 * what the client does not take yet is queued. So no two requests are ever interleaved in one
 * thread, and what an application keeps per thread, such as database connections, is safe.
 */
#include <unistd.h>

#include "core.h"
#include "guard.h"
#include "input.h"

int wsgi_head(struct lane *lane, struct exchange *exchange, struct request *request,
              const char **reason) {
    return exchange_describe(lane->server, exchange, request, environ_build, reason);
}

/* Back from the application, which may have let others run meanwhile. */
static void leave(struct lane *lane) {
    guard_leave(lane);
    if (lane->server->driver->batch != NULL)
        loop_refresh(lane->server);
}

/* ---- errors -------------------------------------------------------------------------- */

/* Tells the exception that is set, and clears it. */
static void report(struct server *server, struct exchange *exchange) {
    PyObject *type, *value, *traceback, *done;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL)
        PyException_SetTraceback(value, traceback);
    done = PyObject_CallFunctionObjArgs(server->on_error, value ? value : Py_None,
                                        exchange->environ ? exchange->environ : Py_None, NULL);
    if (done == NULL)
        PyErr_WriteUnraisable(server->on_error);
    Py_XDECREF(done);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* The application failed: 500 while nothing is sent, and after that a response that is cut off. */
static void failed(struct lane *lane, struct exchange *exchange) {
    struct conn *conn = exchange->conn;

    report(lane->server, exchange);
    exchange->failed = true;
    if (exchange->phase < RESPONSE_HEAD_SENT)
        exchange->head.status = 500;
    if (conn->state == CONN_CLOSED)
        return;
    if (exchange->phase < RESPONSE_HEAD_SENT) {
        conn_refuse(lane, conn, 500, "Internal Server Error");
        return;
    }
    slot_add(lane->server, SLOT_ERRORS, 1);
    out_flush(lane);
    if (!exchange->out_chunked && !exchange->head.has_length && !exchange->no_body)
        conn_reset(conn); /* its end would look like that of the body */
    conn->closing = true;
    conn->linger = false;
    exchange->keep_alive = false;
    exchange->phase = RESPONSE_DONE;
}

static int not_bytes(PyObject *block) {
    PyErr_Format(PyExc_TypeError, "the application's iterable gave %.100s where bytes are expected",
                 Py_TYPE(block)->tp_name);
    return -1;
}

static int not_started(void) {
    PyErr_SetString(PyExc_AssertionError,
                    "the application gave a body, or ended, before it called start_response");
    return -1;
}

static bool is_started(const struct exchange *exchange) {
    return exchange->phase != RESPONSE_NONE;
}

/* ---- bodies ---------------------------------------------------------------------------- */

/* One block that is all there is, and no more code of the application runs. */
static int send_whole(struct lane *lane, struct exchange *exchange, PyObject *block) {
    if (!is_started(exchange))
        return not_started();
    if (!PyBytes_Check(block))
        return not_bytes(block);
    return response_block(lane, exchange, block, true);
}

/* Blocks that all exist already: their length is known, and no code runs between them. */
static int send_sequence(struct lane *lane, struct exchange *exchange, PyObject *sequence) {
    PyObject *const *blocks = PySequence_Fast_ITEMS(sequence);
    Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    int64_t total = 0;

    if (count == 1)
        return send_whole(lane, exchange, blocks[0]);
    if (!is_started(exchange))
        return not_started();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!PyBytes_Check(blocks[i]))
            return not_bytes(blocks[i]);
        total += PyBytes_GET_SIZE(blocks[i]);
    }
    if (exchange->phase < RESPONSE_HEAD_SENT && response_head(lane, exchange, total) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < count; i++)
        if (response_block(lane, exchange, blocks[i], false) < 0)
            return -1;
    return 0;
}

/* Whether the iterator is a list's or a tuple's own, such as that of Django's HttpResponse. */
static bool is_plain(PyObject *iterator) {
    return Py_IS_TYPE(iterator, &PyListIter_Type) || Py_IS_TYPE(iterator, &PyTupleIter_Type);
}

static PyObject *next_block(struct lane *lane, PyObject *iterator) {
    PyObject *block;

    guard_enter(lane);
    block = PyIter_Next(iterator);
    leave(lane);
    return block;
}

/* Each block is on its way before the next one is asked for. */
static int send_stream(struct lane *lane, struct exchange *exchange, PyObject *iterator) {
    PyObject *block;
    int result = 0;

    while (result == 0 && (block = next_block(lane, iterator)) != NULL) {
        if (!PyBytes_Check(block))
            result = not_bytes(block);
        else if (!is_started(exchange))
            result = not_started();
        else if (PyBytes_GET_SIZE(block) > 0) /* the head waits for the first byte (PEP 3333) */
            result = response_block(lane, exchange, block, false);
        Py_DECREF(block);
        if (result == 0) {
            out_flush(lane);
            result = out_throttle(exchange->conn);
        }
        if (exchange->no_body && exchange->phase >= RESPONSE_HEAD_SENT)
            break;
    }
    return result < 0 || PyErr_Occurred() ? -1 : 0;
}

static int send_iterable(struct lane *lane, struct exchange *exchange, PyObject *result) {
    PyObject *iterator, *sequence;
    int done;

    if ((iterator = PyObject_GetIter(result)) == NULL)
        return -1;
    if (!is_started(exchange) || !is_plain(iterator)) {
        done = send_stream(lane, exchange, iterator);
        Py_DECREF(iterator);
        return done;
    }
    sequence = PySequence_List(iterator);
    Py_DECREF(iterator);
    if (sequence == NULL)
        return -1;
    done = send_sequence(lane, exchange, sequence);
    Py_DECREF(sequence);
    return done;
}

/* 1: sent as a file; 0: it is none; -1: failed. */
static int send_file(struct lane *lane, struct exchange *exchange, PyObject *result) {
    int64_t offset, count;
    int fd, copy;

    if (exchange->phase != RESPONSE_STARTED || !file_wrapper_range(result, &fd, &offset, &count))
        return 0;
    if (exchange->head.has_length && (uint64_t)count > exchange->head.length)
        count = (int64_t)exchange->head.length;
    if (response_head(lane, exchange, count) < 0)
        return -1;
    if (exchange->no_body || count == 0)
        return 1;
    if ((copy = dup(fd)) < 0) { /* the file is closed when the application is done */
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    exchange->sent += (uint64_t)count;
    return out_send_file(lane, exchange->conn, copy, (uint64_t)offset, (uint64_t)(offset + count)) < 0
               ? -1
               : 1;
}

static int send_result(struct lane *lane, struct exchange *exchange, PyObject *result) {
    int done;

    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return send_sequence(lane, exchange, result);
    if (PyBytes_CheckExact(result)) /* legal, and a byte at a time if taken by the letter */
        return send_whole(lane, exchange, result);
    done = send_file(lane, exchange, result);
    if (done != 0)
        return done < 0 ? -1 : 0;
    return send_iterable(lane, exchange, result);
}

/* ---- the call ---------------------------------------------------------------------------- */

static PyObject *CLOSE;

/* result.close(), once and on every path (PEP 3333). */
static int close_result(struct lane *lane, PyObject *result) {
    PyObject *type, *value, *traceback, *method, *done;

    if (PyList_CheckExact(result) || PyTuple_CheckExact(result) || PyBytes_CheckExact(result))
        return 0;
    PyErr_Fetch(&type, &value, &traceback);
    if (CLOSE == NULL)
        CLOSE = PyUnicode_InternFromString("close");
    if (_PyObject_LookupAttr(result, CLOSE, &method) <= 0)
        done = Py_XNewRef(PyErr_Occurred() ? NULL : Py_None);
    else {
        guard_enter(lane);
        done = PyObject_CallNoArgs(method);
        leave(lane);
        Py_DECREF(method);
    }
    if (type != NULL) { /* the first exception is the one to tell */
        PyErr_Clear();
        PyErr_Restore(type, value, traceback);
    }
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int give_body(struct exchange *exchange) {
    int64_t length = exchange->is_chunked ? (int64_t)exchange->body.size : -1;
    PyObject *input;

    if (!exchange->has_body) /* not one for all: whoever wraps it may close it */
        return environ_add_body(exchange->environ, input_from_bytes(NULL), -1);
    if (exchange->bytes != NULL) {
        input = input_from_bytes(exchange->bytes);
        exchange->bytes = NULL;
    } else if (exchange->body.file < 0) {
        input = input_from_bytes(
            PyBytes_FromStringAndSize(exchange->body.data, (Py_ssize_t)exchange->body.size));
        body_free(&exchange->body);
    } else {
        input = input_from_body(&exchange->body);
    }
    return environ_add_body(exchange->environ, input, length);
}

static int call_and_send(struct lane *lane, struct exchange *exchange) {
    PyObject *args[3] = {NULL, exchange->environ, (PyObject *)exchange->start};
    PyObject *result;
    int done;

    guard_enter(lane);
    result = PyObject_Vectorcall(lane->server->app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                 NULL);
    leave(lane);
    if (result == NULL)
        return -1;
    done = send_result(lane, exchange, result);
    if (close_result(lane, result) < 0)
        done = -1;
    Py_DECREF(result);
    if (done == 0 && !is_started(exchange))
        done = not_started();
    return done;
}

void wsgi_run(struct lane *lane, struct exchange *exchange) {
    struct conn *conn = exchange->conn;
    struct server *server = lane->server;
    int done;

    conn->state = CONN_APP;
    if (++server->requests == server->options.max_requests)
        server->drain_asked = true; /* and this response announces it already */
    loop_before_app(lane);
    exchange->start = start_response_new(lane, exchange);
    done = exchange->start == NULL || give_body(exchange) < 0 ? -1 : call_and_send(lane, exchange);
    if (done == 0)
        response_end(lane, exchange);
    else if (PyErr_Occurred())
        failed(lane, exchange);
    else /* the connection broke under the response, which is nobody's fault */
        conn_close(conn);
    loop_after_app(lane);
    exchange_log(exchange, exchange->head.status);
    slot_add(server, SLOT_REQUESTS, 1);
    slot_add(server, SLOT_SENT, (int64_t)exchange->sent);
    exchange_close(exchange);
    conn_answered(conn);
}

const struct driver WSGI_DRIVER = {.head = wsgi_head, .run = wsgi_run};
