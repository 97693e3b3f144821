/* websocket: what `receive` and `send` do with the messages of the ASGI WebSocket specification.
 *
 * The codec is websocket.h's. Messages that the application has not asked for yet wait in a
 * list; past a limit the connection is not read on, and the client waits.
 */
#include "asgi_ws.h"

#include <stdlib.h>

#include "guard.h"

#define QUEUE_BYTES (256 * 1024) /* of messages that wait for the application */
#define QUEUE_COUNT 256
#define DEFLATE_FROM 128         /* bytes; shorter messages gain nothing */
#define OUT_PIECE (16 * 1024)    /* a payload up to this is copied behind its head */

enum ws_state { WS_CONNECTING, WS_OPEN, WS_CLOSED };

struct websocket {
    uint8_t state;           /* enum ws_state */
    bool said_end;           /* and websocket.disconnect */
    bool gave_way;           /* since then, before it has it again */
    bool said_connect;       /* the application has had websocket.connect */
    bool pinged;             /* a ping is not answered yet */
    bool heard;              /* something came since the last look */
    uint16_t code;           /* of websocket.disconnect */
    PyObject *reason;        /* owned, or NULL: "" */
    PyObject *queue;         /* owned: a list of messages */
    uint64_t queued;         /* bytes of them */
    struct ws_receiver receiver;
    struct ws_sender sender;
    struct ws_buffer out;    /* a compressed message on its way */
    char accept[WS_ACCEPT_LEN];
    struct ws_extension extension;
};

static const struct ws_deflate_limits DEFLATE = {.server_bits = 12, .client_bits = 15};
static const struct ws_deflate_level LEVEL = {.level = 6, .memory = 5};

static PyObject *TYPE, *BYTES, *TEXT, *CODE, *REASON, *SUBPROTOCOL, *HEADERS, *SUBPROTOCOLS;
static PyObject *CONNECT, *RECEIVE, *DISCONNECT, *SCHEME, *WS, *WSS, *HTTPS, *WEBSOCKET, *METHOD;
static PyObject *EXTENSIONS;

static PyObject *word(const char *text) { return PyUnicode_InternFromString(text); }

int ws_ready(void) {
    TYPE = word("type");
    BYTES = word("bytes");
    TEXT = word("text");
    CODE = word("code");
    REASON = word("reason");
    SUBPROTOCOL = word("subprotocol");
    SUBPROTOCOLS = word("subprotocols");
    HEADERS = word("headers");
    CONNECT = word("websocket.connect");
    RECEIVE = word("websocket.receive");
    DISCONNECT = word("websocket.disconnect");
    SCHEME = word("scheme");
    WS = word("ws");
    WSS = word("wss");
    HTTPS = word("https");
    WEBSOCKET = word("websocket");
    METHOD = word("method");
    EXTENSIONS = word("extensions");
    return PyErr_Occurred() ? -1 : 0;
}

/* Steals `value`. */
static int put(PyObject *message, PyObject *key, PyObject *value) {
    int done = value ? PyDict_SetItem(message, key, value) : -1;

    Py_XDECREF(value);
    return done;
}

/* ---- the handshake ------------------------------------------------------------------ */

void ws_free(struct websocket *socket) {
    if (socket == NULL)
        return;
    Py_XDECREF(socket->queue);
    Py_XDECREF(socket->reason);
    ws_receiver_free(&socket->receiver);
    ws_sender_free(&socket->sender);
    ws_buffer_free(&socket->out);
    free(socket);
}

/* The request's scope made that of a WebSocket. 0, or -1 with an exception. */
static int make_scope(PyObject *scope, const struct ws_handshake *handshake) {
    PyObject *names = PyList_New(0), *scheme = PyDict_GetItem(scope, SCHEME);
    bool secure = scheme != NULL && PyUnicode_Compare(scheme, HTTPS) == 0;
    int done = names ? 0 : -1;

    for (uint32_t i = 0; done == 0 && i < handshake->subprotocol_count; i++) {
        struct slice text = handshake->subprotocols[i];
        PyObject *name = PyUnicode_DecodeLatin1(text.at, text.len, NULL);
        done = name ? PyList_Append(names, name) : -1;
        Py_XDECREF(name);
    }
    if (done == 0 && (PyDict_SetItem(scope, TYPE, WEBSOCKET) < 0 ||
                      PyDict_SetItem(scope, SCHEME, secure ? WSS : WS) < 0 ||
                      PyDict_SetItem(scope, SUBPROTOCOLS, names) < 0 ||
                      put(scope, EXTENSIONS, PyDict_New()) < 0 ||
                      PyDict_DelItem(scope, METHOD) < 0))
        done = -1;
    Py_XDECREF(names);
    return done;
}

int ws_head(struct lane *lane, struct exchange *exchange, const struct request *request,
            const char **reason) {
    struct ws_handshake handshake;
    struct websocket *socket;

    if (!ws_handshake_read(&handshake, request, &DEFLATE)) {
        *reason = handshake.reason;
        return handshake.status;
    }
    if (exchange->has_body) {
        *reason = "A WebSocket's handshake has no body.";
        return 400;
    }
    if ((socket = calloc(1, sizeof *socket)) == NULL ||
        (socket->queue = PyList_New(0)) == NULL || make_scope(exchange->environ, &handshake) < 0) {
        ws_free(socket);
        PyErr_Clear();
        return 503;
    }
    memcpy(socket->accept, handshake.accept, sizeof socket->accept);
    socket->extension = handshake.extension;
    lane->upgrade = socket;
    return 0;
}

/* ---- messages to the application --------------------------------------------------------- */

static PyObject *message_of(PyObject *type) {
    PyObject *message = PyDict_New();

    if (message != NULL && PyDict_SetItem(message, TYPE, type) < 0)
        Py_CLEAR(message);
    return message;
}

static PyObject *disconnect(const struct websocket *socket) {
    PyObject *message = message_of(DISCONNECT);

    if (message != NULL &&
        (put(message, CODE, PyLong_FromLong(socket->code)) < 0 ||
         put(message, REASON, socket->reason ? Py_NewRef(socket->reason) : word("")) < 0))
        Py_CLEAR(message);
    return message;
}

static PyObject *data_message(const struct ws_event *event) {
    PyObject *message = message_of(RECEIVE), *data;
    const char *at = (const char *)event->data;

    if (message == NULL)
        return NULL;
    if (event->kind == WS_TEXT)
        data = PyUnicode_DecodeUTF8(at, (Py_ssize_t)event->len, NULL);
    else
        data = PyBytes_FromStringAndSize(at, (Py_ssize_t)event->len);
    if (put(message, event->kind == WS_TEXT ? TEXT : BYTES, data) < 0)
        Py_CLEAR(message);
    return message;
}

static bool is_full(const struct websocket *socket) {
    return socket->queued > QUEUE_BYTES || PyList_GET_SIZE(socket->queue) >= QUEUE_COUNT;
}

static PyObject *take(struct call *call) {
    struct websocket *socket = call->socket;
    PyObject *message = Py_NewRef(PyList_GET_ITEM(socket->queue, 0));
    bool was_full = is_full(socket);

    if (PyList_SetSlice(socket->queue, 0, 1, NULL) < 0)
        PyErr_Clear();
    if (PyList_GET_SIZE(socket->queue) == 0)
        socket->queued = 0;
    if (was_full && !is_full(socket) && call->exchange != NULL) { /* reads on */
        struct conn *conn = call->exchange->conn;
        if (conn->out == NULL)
            conn_want(conn, WANT_IN);
        if (conn->in_len > 0)
            loop_resume(conn);
    }
    return message;
}

int ws_receive(struct call *call, PyObject *unused, PyObject **result, PyObject **future) {
    struct websocket *socket = call->socket;

    (void)unused;
    loop_refresh(call->server);
    if (!socket->said_connect) {
        socket->said_connect = true;
        *result = message_of(CONNECT);
    } else if (PyList_GET_SIZE(socket->queue) > 0) {
        *result = take(call);
    } else if (call->gone || call->exchange == NULL || socket->state == WS_CLOSED) {
        /* Who asks for more and more behind the end must not keep the loop for that. */
        if (socket->said_end && !socket->gave_way) {
            socket->gave_way = true;
            return 0;
        }
        socket->said_end = true;
        socket->gave_way = false;
        *result = disconnect(socket);
    } else {
        *future = wait_in(call->server, &call->receiver);
        return *future ? 0 : -1;
    }
    return *result ? 1 : -1;
}

/* ---- frames to the client ------------------------------------------------------------------ */

static void put_control(struct lane *lane, struct conn *conn, const uint8_t *frame, size_t len) {
    char *out = out_room(lane, conn, len);

    if (out == NULL)
        return;
    memcpy(out, frame, len);
    out_wrote(lane, conn, len);
}

/* Sends the close frame; what comes after it is the end of the connection. */
static void put_close(struct call *call, uint16_t code, const char *reason, size_t len) {
    struct conn *conn = call->exchange->conn;
    uint8_t frame[WS_CONTROL_ROOM];

    if (conn->state == CONN_CLOSED)
        return;
    put_control(call->server->lanes[0], conn, frame, ws_write_close(frame, code, reason, len));
}

/* The conversation is over on this side: the application hears of it, the connection goes. */
static void end(struct call *call, uint16_t code, PyObject *reason, bool linger) {
    struct websocket *socket = call->socket;
    struct conn *conn = call->exchange->conn;

    socket->state = WS_CLOSED;
    socket->code = code;
    Py_XSETREF(socket->reason, Py_XNewRef(reason));
    conn->closing = true;
    conn->linger = linger;
    call_finish(call);
    wake(&call->sender);
}

static void pong(struct call *call, const struct ws_event *event) {
    uint8_t frame[WS_CONTROL_ROOM];

    put_control(call->server->lanes[0], call->exchange->conn, frame,
                ws_write_control(frame, WS_OP_PONG, event->data, event->len));
}

/* ---- what the client sends -------------------------------------------------------------------- */

static void took_data(struct call *call, const struct ws_event *event) {
    PyObject *message = data_message(event);

    if (message == NULL || PyList_Append(call->socket->queue, message) < 0) {
        PyErr_Clear();
        put_close(call, WS_CODE_INTERNAL, "", 0);
        end(call, WS_CODE_INTERNAL, NULL, true);
    }
    Py_XDECREF(message);
    call->socket->queued += event->len;
    wake(&call->receiver);
}

static void took_close(struct call *call, const struct ws_event *event) {
    PyObject *reason =
        PyUnicode_DecodeUTF8((const char *)event->data, (Py_ssize_t)event->len, "replace");

    if (reason == NULL)
        PyErr_Clear();
    call->gone = true;
    put_close(call, event->code, "", 0);
    end(call, event->code, reason, false);
    Py_XDECREF(reason);
}

static void took_error(struct call *call, const struct ws_event *event) {
    call->gone = true;
    put_close(call, event->code, event->reason, strlen(event->reason));
    slot_add(call->server, SLOT_ERRORS, 1);
    end(call, event->code, NULL, true);
}

static void took(struct call *call, const struct ws_event *event) {
    switch (event->kind) {
    case WS_TEXT:
    case WS_BINARY:
        took_data(call, event);
        break;
    case WS_PING:
        pong(call, event);
        break;
    case WS_CLOSE:
        took_close(call, event);
        break;
    case WS_ERROR:
        took_error(call, event);
        break;
    case WS_PONG:
    case WS_NOTHING:
        break;
    }
}

size_t ws_raw(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    struct call *call = conn->exchange ? (struct call *)conn->exchange->call : NULL;
    struct websocket *socket = call ? call->socket : NULL;
    size_t used = 0;

    (void)lane;
    if (socket == NULL)
        return len;
    socket->heard = true;
    socket->pinged = false;
    while (used < len && call->exchange != NULL && !is_full(socket)) {
        struct ws_event event;
        size_t step;
        ws_read(&socket->receiver, (uint8_t *)data + used, len - used, &step, &event);
        used += step;
        took(call, &event);
    }
    ws_settle(&socket->receiver);
    if (is_full(socket) && call->exchange != NULL)
        conn_want(conn, conn->out != NULL ? WANT_OUT : WANT_NOTHING);
    return used;
}

void ws_gone(struct call *call) {
    struct websocket *socket = call->socket;

    call->gone = true;
    if (socket->state != WS_CLOSED) {
        socket->state = WS_CLOSED;
        socket->code = WS_CODE_ABNORMAL;
    }
    wake(&call->receiver);
    wake(&call->sender);
}

bool ws_idle(struct call *call) {
    struct websocket *socket = call->socket;
    uint8_t frame[WS_CONTROL_ROOM];

    if (socket->state != WS_OPEN)
        return true;
    if (socket->pinged && !is_full(socket)) /* else it is us who do not read its answer */
        return false;
    if (!socket->heard) {
        socket->pinged = true;
        put_control(call->server->lanes[0], call->exchange->conn, frame,
                    ws_write_control(frame, WS_OP_PING, (const uint8_t *)"", 0));
    }
    socket->heard = false;
    return true;
}

void ws_leave(struct call *call) {
    if (call->socket->state == WS_OPEN) {
        call->gone = true;
        put_close(call, WS_CODE_RESTART, "", 0);
        end(call, WS_CODE_RESTART, NULL, true);
    }
}

/* ---- what the application sends ---------------------------------------------------------------- */

static int wrong(const char *format, PyObject *what) {
    PyErr_Format(PyExc_TypeError, format, what);
    return -1;
}

/* The server's part of the 101: everything but the fields that the application adds. */
static int put_accept(struct call *call, struct slice subprotocol) {
    struct exchange *exchange = call->exchange;
    struct websocket *socket = call->socket;
    struct lane *lane = call->server->lanes[0];
    struct ws_handshake handshake = {.extension = socket->extension};
    size_t room = WS_RESPONSE_ROOM + subprotocol.len + call->server->date_len +
                  exchange->head.len + 32, len;
    char *out = out_room(lane, exchange->conn, room);

    if (out == NULL)
        return -1;
    memcpy(handshake.accept, socket->accept, sizeof handshake.accept);
    len = ws_handshake_write(&handshake, subprotocol, out);
    len += response_tail(call->server, &exchange->head, out + len);
    out_wrote(lane, exchange->conn, len);
    return 0;
}

static int send_accept(struct call *call, PyObject *message) {
    struct exchange *exchange = call->exchange;
    struct websocket *socket = call->socket;
    PyObject *name = PyDict_GetItem(message, SUBPROTOCOL);
    struct slice subprotocol = {"", 0};
    Py_ssize_t len;

    if (name != NULL && name != Py_None) {
        if ((subprotocol.at = PyUnicode_AsUTF8AndSize(name, &len)) == NULL)
            return -1;
        subprotocol.len = (uint32_t)len;
        if (!is_token(subprotocol.at, subprotocol.len))
            return wrong("the subprotocol must be a token, not %R", name);
    }
    head_begin(&exchange->head, 101);
    if (read_headers(exchange, PyDict_GetItem(message, HEADERS)) < 0)
        return -1;
    if (put_accept(call, subprotocol) < 0)
        return wrong("the headers of %.200R are too long", message);
    call->exchange = exchange = exchange_shrink(exchange);
    exchange->phase = RESPONSE_HEAD_SENT;
    exchange->conn->state = CONN_RAW;
    ws_receiver_start(&socket->receiver, call->server->options.ws_message, &socket->extension);
    ws_sender_start(&socket->sender, &socket->extension, DEFLATE_FROM, LEVEL, NULL);
    socket->state = WS_OPEN;
    if (exchange->conn->in_len > 0) /* frames that came along with the handshake */
        loop_resume(exchange->conn);
    conn_want(exchange->conn, WANT_IN);
    if (!call->server->draining)
        conn_watch(exchange->conn);
    return 0;
}

static int send_frame(struct call *call, PyObject *bytes, enum ws_opcode opcode, const char *data,
                      size_t len) {
    struct websocket *socket = call->socket;
    struct lane *lane = call->server->lanes[0];
    struct conn *conn = call->exchange->conn;
    size_t head;
    char *out;

    call->exchange->sent += len;
    if (ws_will_deflate(&socket->sender, len)) {
        socket->out.len = 0;
        if (!ws_write_message(&socket->sender, opcode, (const uint8_t *)data, len, &socket->out)) {
            PyErr_NoMemory();
            return -1;
        }
        head = socket->out.len;
        out_send(lane, conn, NULL, (const char *)socket->out.at, head, "", 0);
        ws_buffer_free(&socket->out);
        return 0;
    }
    if ((out = out_room(lane, conn, WS_HEAD_ROOM + (len <= OUT_PIECE ? len : 0))) == NULL)
        return 0;
    head = ws_write_head((uint8_t *)out, opcode, true, false, len);
    if (len <= OUT_PIECE) {
        memcpy(out + head, data, len);
        out_wrote(lane, conn, head + len);
        return 0;
    }
    out_wrote(lane, conn, head);
    out_send(lane, conn, bytes, data, len, "", 0);
    return 0;
}

static int send_data(struct call *call, PyObject *message) {
    PyObject *text = PyDict_GetItem(message, TEXT), *bytes = PyDict_GetItem(message, BYTES);
    const char *data;
    Py_ssize_t len;
    int done;

    if (text != NULL && text != Py_None) {
        if (!PyUnicode_Check(text))
            return wrong("text must be a str, not %.200R", text);
        if ((data = PyUnicode_AsUTF8AndSize(text, &len)) == NULL)
            return -1;
        return send_frame(call, NULL, WS_OP_TEXT, data, (size_t)len);
    }
    if (bytes == NULL || bytes == Py_None)
        return wrong("websocket.send needs bytes or text, not %.200R", message);
    if ((bytes = PyBytes_FromObject(bytes)) == NULL)
        return -1;
    done = send_frame(call, bytes, WS_OP_BINARY, PyBytes_AS_STRING(bytes),
                      (size_t)PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return done;
}

/* Before the handshake is accepted: 403 (ASGI WebSocket specification, Close). */
static void refuse(struct call *call) {
    struct exchange *exchange = call->exchange;

    exchange->head.status = 403;
    conn_refuse(call->server->lanes[0], exchange->conn, 403, "Forbidden");
    end(call, WS_CODE_ABNORMAL, NULL, true);
}

static int send_close(struct call *call, PyObject *message) {
    PyObject *number = PyDict_GetItem(message, CODE), *reason = PyDict_GetItem(message, REASON);
    long code = number && number != Py_None ? PyLong_AsLong(number) : WS_CODE_NORMAL;
    const char *text = "";
    Py_ssize_t len = 0;

    if (code == -1 && PyErr_Occurred())
        return -1;
    if (reason != NULL && reason != Py_None &&
        (text = PyUnicode_AsUTF8AndSize(reason, &len)) == NULL)
        return -1;
    if (reason == Py_None)
        reason = NULL;
    if (call->socket->state != WS_OPEN) {
        refuse(call);
        return 0;
    }
    if (code < 0 || code > 4999 || !ws_code_is_legal((uint16_t)code)) {
        PyErr_Format(PyExc_ValueError, "%ld cannot be the code of a close frame", code);
        return -1;
    }
    put_close(call, (uint16_t)code, text, (size_t)len);
    end(call, (uint16_t)code, reason, true);
    return 0;
}

static int send_message(struct call *call, PyObject *message) {
    PyObject *type = PyDict_Check(message) ? PyDict_GetItem(message, TYPE) : NULL;
    bool is_open = call->socket->state == WS_OPEN;

    if (type == NULL || !PyUnicode_Check(type))
        return wrong("a message must be a dict with a type, not %.200R", message);
    if (is_open && PyUnicode_CompareWithASCIIString(type, "websocket.send") == 0)
        return send_data(call, message);
    if (!is_open && PyUnicode_CompareWithASCIIString(type, "websocket.accept") == 0)
        return send_accept(call, message);
    if (PyUnicode_CompareWithASCIIString(type, "websocket.close") == 0)
        return send_close(call, message);
    PyErr_Format(PyExc_RuntimeError, "a message of type %R cannot be sent %s", type,
                 is_open ? "on an open WebSocket" : "before websocket.accept");
    return -1;
}

int ws_send(struct call *call, PyObject *message, PyObject **result, PyObject **future) {
    struct exchange *exchange = call->exchange;

    if (message != NULL && call->gone)
        return raise_gone();
    if (message != NULL && exchange == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the WebSocket is closed already");
        return -1;
    }
    loop_refresh(call->server);
    if (message != NULL && send_message(call, message) < 0)
        return -1;
    out_settle(call->server);
    if (call->exchange != NULL && call->exchange->conn->out_memory > QUEUE_BYTES) {
        *future = wait_in(call->server, &call->sender);
        return *future ? 0 : -1;
    }
    *result = Py_NewRef(Py_None);
    return 1;
}

bool ws_is_open(const struct call *call) {
    return call->socket != NULL && call->socket->state == WS_OPEN;
}

void ws_ended(struct call *call, bool failed) {
    if (call->socket->state != WS_OPEN) {
        call->exchange->head.status = 500;
        conn_refuse(call->server->lanes[0], call->exchange->conn, 500, "Internal Server Error");
        end(call, WS_CODE_ABNORMAL, NULL, true);
        return;
    }
    put_close(call, failed ? WS_CODE_INTERNAL : WS_CODE_NORMAL, "", 0);
    end(call, failed ? WS_CODE_INTERNAL : WS_CODE_NORMAL, NULL, true);
}
