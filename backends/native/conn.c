/* One connection: from bytes to requests, and what becomes of it between them.
 *
 * A connection owns no buffer while it is idle. Bytes are read into the lane's buffer and
 * parsed there; only an unfinished head, or what was pipelined behind an answer that the
 * peer does not read, is kept.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core.h"
#include "input.h"
#include "status.h"

#define RAW_MS 3600000 /* between two looks at an upgraded connection that is not asked */
#define LINGER_MS 5000
#define TURN_MS 8     /* of one connection's pipelined requests, before others have a turn */
#define UNREAD_MS 500 /* until a deadline is looked at again, when it is us who are late */
#define LINGER_BYTES (16u << 20)
/* RFC 6455 section 4.4, RFC 9110 section 15.5.22 */
#define VERSIONS "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

/* ---- memory ------------------------------------------------------------------ */

static int slab_add(struct server *server) {
    struct conn *slab = calloc(SLAB, sizeof *slab);
    struct conn **slabs = realloc(server->slabs, (server->slab_count + 1) * sizeof *slabs);

    if (slabs != NULL)
        server->slabs = slabs;
    if (slab == NULL || slabs == NULL) {
        free(slab);
        return -1;
    }
    slabs[server->slab_count++] = slab;
    for (int i = SLAB - 1; i >= 0; i--) {
        slab[i].state = CONN_CLOSED;
        slab[i].next = server->free;
        server->free = &slab[i];
    }
    return 0;
}

static void conn_bury(struct conn *conn) {
    conn->next = conn->server->dead;
    conn->server->dead = conn;
}

void conns_bury(struct server *server) {
    while (server->dead != NULL) {
        struct conn *conn = server->dead;
        server->dead = conn->next;
        Py_CLEAR(conn->addr);
        Py_CLEAR(conn->port);
        conn->next = server->free;
        server->free = conn;
    }
}

struct conn *conn_open(struct server *server, int fd, uint32_t listener) {
    struct conn *conn;

    if (server->free == NULL && slab_add(server) < 0) {
        close(fd);
        return NULL;
    }
    conn = server->free;
    server->free = conn->next;
    memset(conn, 0, sizeof *conn);
    conn->server = server;
    conn->fd = fd;
    conn->listener = (uint8_t)listener;
    conn->state = server->options.proxy_protocol ? CONN_PROXY : CONN_HEAD;
    conn->want = WANT_NOTHING;
    conn->out_end = &conn->out;
    server->conns++;
    live_add(LIVE_CONNS, 1);
    wheel_set(&server->wheel, &conn->timer, server->now_ms + server->options.head_ms);
    return conn;
}

void conn_close(struct conn *conn) {
    struct exchange *exchange = conn->exchange;
    /* The application gives its exchange back itself. */
    bool in_app = conn->state == CONN_APP || conn->state == CONN_RAW;

    if (conn->state == CONN_CLOSED)
        return;
    conn->state = CONN_CLOSED;
    close(conn->fd); /* leaves the epoll set with it */
    wheel_cancel(&conn->server->wheel, &conn->timer);
    out_clear(conn);
    free(conn->in);
    conn->in = NULL;
    conn->in_len = conn->in_room = 0;
    conn->server->conns--;
    live_add(LIVE_CONNS, -1);
    if (exchange != NULL && in_app) {
        if (conn->server->driver->closed != NULL)
            conn->server->driver->closed(conn);
        return;
    }
    conn->exchange = NULL;
    if (exchange != NULL)
        exchange_close(exchange);
    conn_bury(conn);
}

/* Without SO_LINGER the kernel would go on holding what the peer does not take (tcp(7)). */
void conn_reset(struct conn *conn) {
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    conn_close(conn);
}

void conn_left(struct conn *conn) {
    conn->state = CONN_CLOSED;
    close(conn->fd);
    wheel_cancel(&conn->server->wheel, &conn->timer);
    conn->server->conns--;
    live_add(LIVE_CONNS, -1);
    conn_bury(conn);
}

void conn_free_all(struct server *server) {
    for (uint32_t i = 0; i < server->slab_count; i++) {
        for (int j = 0; j < SLAB; j++)
            conn_close(&server->slabs[i][j]);
        conns_bury(server);
        free(server->slabs[i]);
    }
    free(server->slabs);
    server->slabs = NULL;
    server->slab_count = 0;
    server->free = server->dead = NULL;
}

void conns_shorten(struct server *server, uint64_t due_ms) {
    for (uint32_t i = 0; i < server->slab_count; i++)
        for (int j = 0; j < SLAB; j++) {
            struct conn *conn = &server->slabs[i][j];
            bool is_idle = conn->state == CONN_HEAD && conn->in_len == 0;
            if ((is_idle || conn->state == CONN_RAW) && conn->timer.due > due_ms)
                wheel_set(&server->wheel, &conn->timer, due_ms);
        }
}

/* ---- waiting ------------------------------------------------------------------- */

void conn_want(struct conn *conn, enum conn_want want) {
    static const uint32_t events[] = {0, EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT};
    struct epoll_event event = {.events = events[want], .data.ptr = conn};
    int operation = EPOLL_CTL_MOD;

    if (conn->want == want || conn->state == CONN_CLOSED)
        return;
    /* A descriptor without events would still report a hang-up, again and again. */
    if (want == WANT_NOTHING)
        operation = EPOLL_CTL_DEL;
    else if (conn->want == WANT_NOTHING)
        operation = EPOLL_CTL_ADD;
    conn->want = (uint8_t)want;
    if (epoll_ctl(conn->server->epoll, operation, conn->fd, &event) < 0)
        conn_close(conn); /* ENOSPC, ENOMEM: nobody would ever hear of it again */
}

void conn_await(struct conn *conn) {
    switch ((enum conn_state)conn->state) {
    case CONN_PROXY:
    case CONN_HEAD:
    case CONN_BODY:
        conn_want(conn, WANT_IN);
        break;
    case CONN_APP:
        if (conn->server->driver->more != NULL)
            conn_want(conn, WANT_IN);
        break;
    case CONN_RAW:
    case CONN_SEND:
    case CONN_LINGER:
    case CONN_CLOSED:
        break;
    }
}

/* Nothing more is read for now. */
static void want_no_more(struct conn *conn) {
    conn_want(conn, conn->out != NULL ? WANT_OUT : WANT_NOTHING);
}

static void wait_until(struct conn *conn, uint32_t ms) {
    wheel_set(&conn->server->wheel, &conn->timer, conn->server->now_ms + ms);
}

/* ---- the end --------------------------------------------------------------------- */

/* All is sent, and nothing more will be. */
static void finish(struct conn *conn) {
    if (!conn->linger || conn->ended || shutdown(conn->fd, SHUT_WR) < 0) {
        conn_close(conn);
        return;
    }
    /* Closing now could reset the connection before the peer has read the answer
     * (RFC 9112 section 9.6). */
    conn->state = CONN_LINGER;
    conn_want(conn, WANT_IN);
    wait_until(conn, LINGER_MS);
}

static void linger(struct lane *lane, struct conn *conn) {
    ssize_t got = recv(conn->fd, lane->in, READ_SIZE, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    conn->lingered += got > 0 ? (uint64_t)got : 0;
    if (got <= 0 || conn->lingered > LINGER_BYTES)
        conn_close(conn);
}

void conn_refuse(struct lane *lane, struct conn *conn, int status, const char *reason) {
    struct server *server = conn->server;
    bool in_app = conn->state == CONN_APP;
    bool has_body = conn->exchange == NULL || !conn->exchange->is_head;
    char text[128];
    int body, room = 512, len;
    char *out = out_room(lane, conn, (size_t)room); /* first: it may send what is waiting */

    conn->closing = conn->linger = true;
    slot_add(server, SLOT_ERRORS, 1);
    if (!in_app && conn->exchange != NULL) {
        exchange_log(conn->exchange, status);
        exchange_close(conn->exchange);
        conn->exchange = NULL;
    }
    if (conn->state == CONN_CLOSED || out == NULL)
        return;
    body = snprintf(text, sizeof text, "%s\n", reason);
    if (body >= (int)sizeof text)
        body = (int)sizeof text - 1;
    len = snprintf(out, (size_t)room,
                   "HTTP/1.1 %d %s\r\nServer: " SERVER_NAME_TEXT "\r\n%.*s%s"
                   "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
                   "Connection: close\r\n\r\n%.*s",
                   status, status_phrase(status), (int)server->date_len, server->date,
                   status == 426 ? VERSIONS : "", body, has_body ? body : 0, text);
    out_wrote(lane, conn, (size_t)len);
    if (!in_app)
        conn->state = CONN_SEND;
}

void conn_sent(struct conn *conn) {
    if (conn->exchange != NULL || conn->state == CONN_CLOSED)
        return;
    if (conn->out != NULL)
        conn->state = CONN_SEND;
    else if (conn->closing)
        finish(conn);
}

void conn_answered(struct conn *conn) {
    conn->exchange = NULL;
    if (conn->state == CONN_CLOSED) {
        conn_bury(conn);
        return;
    }
    conn->seen = true;
    conn->handed = false;
    conn->started_ms = 0;
    conn->state = CONN_HEAD;
    if (conn->out != NULL || (conn->closing && conn->pending)) {
        conn->state = CONN_SEND;
        if (conn->want == WANT_BOTH)
            conn_want(conn, WANT_OUT);
    } else if (conn->closing)
        finish(conn);
    else {
        wait_until(conn, conn->server->options.idle_ms);
        conn_want(conn, WANT_IN);
    }
}

/* ---- bodies ------------------------------------------------------------------------- */

/* Hands the request to the application: once, with as much of its body as came with its head. */
static void begin_app(struct lane *lane, struct exchange *exchange) {
    exchange->begun = true;
    exchange->conn->state = CONN_APP;
    exchange->conn->server->driver->run(lane, exchange);
}

static void body_complete(struct lane *lane, struct exchange *exchange) {
    exchange->complete = true;
    if (exchange->begun)
        exchange->conn->server->driver->more(lane, exchange);
    else
        begin_app(lane, exchange);
}

/* What comes of the body is none, or not in time. An application that is at work on it already
 * hears that the client has gone; what it has sent is cut off. */
static void body_refuse(struct lane *lane, struct conn *conn, int status, const char *reason) {
    struct exchange *exchange = conn->exchange;

    if (!exchange->begun) {
        conn_refuse(lane, conn, status, reason);
        return;
    }
    exchange->failed = true;
    if (exchange->phase >= RESPONSE_HEAD_SENT) {
        slot_add(conn->server, SLOT_ERRORS, 1);
        out_flush(lane);
        conn_reset(conn);
        return;
    }
    exchange->head.status = (uint16_t)status;
    conn_refuse(lane, conn, status, reason);
    conn->server->driver->gone(conn);
}

/* 0, or the status to refuse with. */
static int body_take(struct exchange *exchange, const char *data, size_t len) {
    const struct options *options = &exchange->conn->server->options;

    exchange->received += len;
    if (body_append(&exchange->body, data, len, exchange->body_left, options->body_memory,
                    options->directory) < 0)
        return errno == ENOSPC ? 503 : 500;
    return 0;
}

static size_t feed_sized(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    struct exchange *exchange = conn->exchange;
    size_t taken = len < exchange->body_left ? len : (size_t)exchange->body_left;
    bool whole = taken == exchange->body_left && exchange->body.size == 0 &&
                 taken <= conn->server->options.body_memory;
    int status = 0;

    if (!whole)
        status = body_take(exchange, data, taken);
    else if ((exchange->bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)taken)) == NULL) {
        PyErr_Clear(); /* no memory: never an empty body instead of this one */
        status = 500;
    }
    exchange->body_left -= taken;
    conn->linger = len > taken;
    if (status != 0)
        body_refuse(lane, conn, status, "The request body could not be stored.");
    else if (exchange->body_left == 0)
        body_complete(lane, exchange);
    return taken;
}

static size_t feed_chunked(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    struct exchange *exchange = conn->exchange;
    size_t used = 0;

    while (used < len) {
        struct chunk_step step =
            chunked_read(&exchange->chunked, data + used, len - used, &conn->server->options.chunks);
        int status = step.status;
        used += step.used;
        if (status == 0 && step.data.len > 0)
            status = body_take(exchange, step.data.at, step.data.len);
        if (status != 0) {
            body_refuse(lane, conn, status, step.reason ? step.reason : "The body is too large.");
            return used;
        }
        if (step.done) {
            conn->linger = len > used;
            body_complete(lane, exchange);
            return used;
        }
    }
    return used;
}

/* The average counts from body_timeout on: a client may well be silent for nearly as long. */
static bool too_slow(const struct conn *conn) {
    const struct server *server = conn->server;
    uint64_t spent = server->now_ms - conn->started_ms;

    return server->options.min_rate != 0 && spent > server->options.body_ms &&
           conn->exchange->received * 1000 / spent < server->options.min_rate;
}

static size_t feed_body(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    if (too_slow(conn)) {
        body_refuse(lane, conn, 408, "The request body comes too slowly.");
        return len;
    }
    wait_until(conn, conn->server->options.body_ms);
    if (conn->exchange->is_chunked)
        return feed_chunked(lane, conn, data, len);
    return feed_sized(lane, conn, data, len);
}

static void begin_body(struct lane *lane, struct conn *conn, bool expects, bool is_here) {
    conn->state = CONN_BODY;
    conn->started_ms = conn->server->now_ms;
    conn->exchange->expects = expects && !is_here;
    wait_until(conn, conn->server->options.body_ms);
    if (conn->server->driver->more == NULL) /* else when the application reads */
        exchange_continue(lane, conn->exchange);
}

/* ---- heads --------------------------------------------------------------------------- */

/* 0, or the status to refuse a well-formed request with. */
static int begin_status(const struct server *server, const struct request *request,
                        const char **reason) {
    uint64_t limit = server->options.max_body;

    if (request->form == TARGET_AUTHORITY) { /* no application opens tunnels */
        *reason = "CONNECT is not for this server.";
        return 501;
    }
    if (limit == 0 || request->chunked || (uint64_t)request->length <= limit)
        return 0;
    *reason = "The request body is too large.";
    return 413;
}

/* A complete head: opens the exchange, and runs it when it has no body. */
static void begin_request(struct lane *lane, struct conn *conn, const char *head, size_t rest) {
    struct request *request = &lane->request;
    const char *reason = "Out of memory.";
    struct exchange *exchange = exchange_open(conn->server, conn);
    int status;

    if (exchange == NULL) {
        conn_refuse(lane, conn, 503, reason);
        return;
    }
    conn->exchange = exchange;
    exchange->minor = request->minor;
    exchange->keep_alive = request->keep_alive && conn->server->options.idle_ms > 0;
    exchange->is_head = slice_equals(request->method, "HEAD");
    exchange->is_chunked = request->chunked;
    exchange->has_body = request->chunked || request->length > 0;
    exchange->body_left = request->chunked ? 0 : (uint64_t)request->length;
    chunked_start(&exchange->chunked);
    conn->linger = rest > 0; /* closing right behind the answer could reset it */
    conn->state = CONN_APP;  /* what follows may run Python: no other lane may read on */
    status = exchange_keep(exchange, request, head) < 0
                 ? 503
                 : begin_status(conn->server, request, &reason);
    if (status == 0)
        status = conn->server->driver->head(lane, exchange, request, &reason);
    if (status != 0) {
        conn->state = CONN_HEAD;
        conn_refuse(lane, conn, status, reason);
        return;
    }
    if (exchange->has_body)
        begin_body(lane, conn, request->expect, rest > 0);
    else
        body_complete(lane, exchange);
}

static size_t feed_head(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    struct request *request = &lane->request;

    switch (request_parse(request, data, len, &conn->server->options.head)) {
    case PARSE_PARTIAL:
        if (conn->started_ms == 0) { /* a deadline for all of the head, whatever comes of it */
            conn->started_ms = conn->server->now_ms;
            wait_until(conn, conn->server->options.head_ms);
        }
        return 0;
    case PARSE_ERROR:
        conn_refuse(lane, conn, request->status, request->reason);
        return len;
    case PARSE_DONE:
        begin_request(lane, conn, data, len - request->head_len);
        return request->head_len;
    }
    return len;
}

static size_t feed_proxy(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    size_t used = 0;
    const char *reason;

    (void)lane;
    if (!trusts(conn->server->proxy_trust, &conn->peer)) {
        conn_close(conn);
        return len;
    }
    switch (proxy_read(data, len, &conn->peer, &used, &reason)) {
    case PROXY_PARTIAL:
        return 0;
    case PROXY_ERROR:
        conn_close(conn);
        return len;
    case PROXY_DONE:
        conn->state = CONN_HEAD;
        return used;
    }
    return len;
}

/* Whether the connection could use another byte right now. */
static bool is_hungry(const struct conn *conn) {
    switch ((enum conn_state)conn->state) {
    case CONN_PROXY:
    case CONN_HEAD:
    case CONN_BODY:
    case CONN_RAW:
        return !conn->closing;
    case CONN_APP: /* the rest of a body that a driver takes as it comes */
        return conn->exchange != NULL && conn->exchange->begun && !conn->exchange->complete &&
               conn->server->driver->more != NULL;
    case CONN_SEND:
    case CONN_LINGER:
    case CONN_CLOSED:
        break;
    }
    return false;
}

static size_t feed_once(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    switch ((enum conn_state)conn->state) {
    case CONN_PROXY:
        return feed_proxy(lane, conn, data, len);
    case CONN_HEAD:
        return feed_head(lane, conn, data, len);
    case CONN_BODY:
    case CONN_APP:
        return feed_body(lane, conn, data, len);
    case CONN_RAW:
        return conn->server->driver->raw(lane, conn, data, len);
    case CONN_SEND:
    case CONN_LINGER:
    case CONN_CLOSED:
        break;
    }
    return 0;
}

/* The rest of what was pipelined waits until the other connections had their turn: its socket
 * can be written to, so that it comes with the next batch. */
static void end_turn(struct conn *conn) {
    conn->state = CONN_SEND;
    conn_want(conn, WANT_OUT);
    wait_until(conn, conn->server->options.write_ms);
}

/* Hands bytes to whatever waits for them; how many are done with. */
static size_t feed(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    uint64_t began = conn->server->now_ms;
    size_t used = 0;

    while (used < len && is_hungry(conn)) {
        size_t step = feed_once(lane, conn, data + used, len - used);
        if (step == 0)
            break;
        used += step;
        if (used < len && conn->state == CONN_HEAD && conn->server->now_ms - began > TURN_MS) {
            end_turn(conn);
            break;
        }
    }
    /* A driver that takes bodies as they come begins with what came along with the head. */
    if (conn->state == CONN_BODY && conn->server->driver->more != NULL)
        begin_app(lane, conn->exchange);
    else if (conn->state == CONN_APP && conn->exchange != NULL && conn->exchange->begun &&
             !conn->exchange->complete && used > 0)
        conn->server->driver->more(lane, conn->exchange);
    return used;
}

/* ---- bytes that wait -------------------------------------------------------------------- */

static int keep_room(struct conn *conn, size_t len) {
    size_t room = conn->in_room ? conn->in_room : 512;
    char *grown;

    while (room < len)
        room *= 2;
    if (room == conn->in_room)
        return 0;
    if ((grown = realloc(conn->in, room)) == NULL)
        return -1;
    conn->in = grown;
    conn->in_room = (uint32_t)room;
    return 0;
}

static void count_line(struct conn *conn) {
    const char *end = conn->in + conn->in_len;
    const char *feed_at = memrchr(conn->in, '\n', conn->in_len);

    conn->in_line = (uint32_t)(feed_at ? end - feed_at - 1 : end - conn->in);
}

/* Keeps what nobody could use yet. `data` may lie within conn->in. */
static void keep(struct conn *conn, const char *data, size_t len) {
    if (conn->state == CONN_CLOSED)
        return;
    if (len == 0 || conn->closing) {
        free(conn->in);
        conn->in = NULL;
        conn->in_len = conn->in_room = 0;
        return;
    }
    if (conn->in == NULL && keep_room(conn, len) < 0) {
        conn_close(conn);
        return;
    }
    memmove(conn->in, data, len);
    conn->in_len = (uint32_t)len;
    count_line(conn);
}

static void feed_and_keep(struct lane *lane, struct conn *conn, const char *data, size_t len) {
    size_t used = feed(lane, conn, data, len);

    keep(conn, data + used, len - used);
}

/* Adds bytes to an unfinished head; whether it is worth parsing again. */
static bool add_to_head(struct conn *conn, const char *data, size_t len) {
    bool has_line = memchr(data, '\n', len) != NULL;

    if (keep_room(conn, conn->in_len + len) < 0) {
        conn_close(conn);
        return false;
    }
    memcpy(conn->in + conn->in_len, data, len);
    conn->in_len += (uint32_t)len;
    conn->in_line = (uint32_t)(conn->in_line + len);
    if (has_line)
        count_line(conn);
    return has_line || conn->state != CONN_HEAD ||
           parse_overdue(conn->in_len, conn->in_line, &conn->server->options.head);
}

/* ---- events ------------------------------------------------------------------------------- */

static void conn_ended(struct conn *conn) {
    conn->ended = true;
    if (conn->state == CONN_RAW) {
        conn_close(conn);
        return;
    }
    if (conn->exchange != NULL && conn->exchange->begun && !conn->exchange->complete) {
        slot_add(conn->server, SLOT_ERRORS, 1);
        conn_close(conn); /* a body that was cut short */
        return;
    }
    if (conn->exchange != NULL && conn->exchange->begun) { /* it may still be answered */
        want_no_more(conn);
        conn->server->driver->gone(conn);
        return;
    }
    if (conn->in_len > 0 || conn->state == CONN_BODY) /* a message that was cut short */
        slot_add(conn->server, SLOT_ERRORS, 1);
    if (conn->exchange != NULL) {
        exchange_close(conn->exchange);
        conn->exchange = NULL;
    }
    conn_close(conn);
}

/* The next request has come while this one is under way: it waits, and so does the peer. */
static void read_ahead(struct conn *conn, const char *data, size_t len) {
    want_no_more(conn);
    if (keep_room(conn, conn->in_len + len) < 0) {
        conn_close(conn);
        return;
    }
    memcpy(conn->in + conn->in_len, data, len);
    conn->in_len += (uint32_t)len;
    count_line(conn);
}

static void conn_read(struct lane *lane, struct conn *conn) {
    ssize_t got = recv(conn->fd, lane->in, READ_SIZE, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        conn_ended(conn);
    else if (conn->state == CONN_APP && conn->exchange->complete)
        read_ahead(conn, lane->in, (size_t)got);
    else if (conn->in_len == 0)
        feed_and_keep(lane, conn, lane->in, (size_t)got);
    else if (add_to_head(conn, lane->in, (size_t)got))
        feed_and_keep(lane, conn, conn->in, conn->in_len);
}

/* Whether more may be read while the application is at work. */
static bool reads_on(const struct conn *conn) {
    const struct exchange *exchange = conn->exchange;

    if (conn->server->driver->more == NULL || conn->ended || conn->in_len > 0)
        return false;
    return exchange == NULL || exchange->complete || exchange->body.size <= BODY_AHEAD;
}

void conn_taken(struct lane *lane, struct conn *conn) {
    const struct driver *driver = conn->server->driver;

    if (conn->state == CONN_APP || conn->state == CONN_RAW) {
        conn_want(conn, reads_on(conn) ? WANT_IN : WANT_NOTHING);
        if (conn->state == CONN_RAW && !conn->server->draining)
            conn_watch(conn);
        if (driver->drained != NULL)
            driver->drained(lane, conn);
        return;
    }
    wait_until(conn, conn->state == CONN_BODY ? conn->server->options.body_ms
                                              : conn->server->options.head_ms);
    conn_want(conn, WANT_IN);
}

void conn_take(struct lane *lane, struct conn *conn) {
    feed_and_keep(lane, conn, conn->in, conn->in_len);
}

void conn_resume(struct lane *lane, struct conn *conn) {
    if (conn->closing) {
        finish(conn);
        return;
    }
    conn->state = CONN_HEAD;
    conn->started_ms = 0;
    wait_until(conn, conn->server->options.idle_ms);
    conn_want(conn, WANT_IN);
    if (conn->in_len > 0)
        feed_and_keep(lane, conn, conn->in, conn->in_len);
}

void conn_event(struct lane *lane, struct conn *conn, uint32_t events) {
    switch ((enum conn_state)conn->state) {
    case CONN_PROXY:
    case CONN_HEAD:
    case CONN_BODY:
        if (conn->out != NULL || conn->want == WANT_OUT) /* earlier answers go first */
            out_continue(lane, conn);
        else
            conn_read(lane, conn);
        break;
    case CONN_APP: /* its next request waits until it is done */
    case CONN_RAW:
        if (conn->out != NULL && (events & ~(uint32_t)EPOLLIN))
            out_continue(lane, conn);
        else if (conn->server->driver->more != NULL)
            conn_read(lane, conn);
        else
            conn_want(conn, WANT_NOTHING);
        break;
    case CONN_SEND:
        if (!conn->pending) /* its end is on its way in this batch */
            out_continue(lane, conn);
        break;
    case CONN_LINGER:
        linger(lane, conn);
        break;
    case CONN_CLOSED: /* by an event before this one in the batch */
        break;
    }
}

/* Whether bytes have come that nobody has read: then the delay is not the peer's. */
static bool is_unread(const struct conn *conn) {
    char byte;

    return conn->want == WANT_IN && recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The time that the application takes is not the connection's, but its peer has to read, and to
 * send what was asked of it. */
static void app_expired(struct lane *lane, struct conn *conn) {
    const struct exchange *exchange = conn->exchange;
    bool sends = exchange != NULL && exchange->begun && !exchange->complete && !exchange->expects &&
                 conn->want == WANT_IN;

    if (conn->out != NULL) {
        if (conn->server->driver->gone != NULL)
            conn_reset(conn);
    } else if (sends && is_unread(conn))
        wait_until(conn, UNREAD_MS);
    else if (sends)
        body_refuse(lane, conn, 408, "The request body did not come in time.");
    else
        wait_until(conn, conn->server->options.write_ms);
}

void conn_watch(struct conn *conn) {
    uint32_t ping_ms = conn->server->options.ping_ms;

    wait_until(conn, ping_ms != 0 ? ping_ms : RAW_MS);
}

/* An upgraded connection was silent, or has been left long enough in a drain. */
static void raw_expired(struct conn *conn) {
    const struct driver *driver = conn->server->driver;
    uint32_t ping_ms = conn->server->options.ping_ms;

    if (conn->out == NULL && conn->server->draining) {
        driver->leave(conn);
    } else if (is_unread(conn)) {
        wait_until(conn, UNREAD_MS);
    } else if (conn->out != NULL || (ping_ms != 0 && !driver->idle(conn))) {
        conn_reset(conn);
    } else if (conn->out == NULL) { /* else the ping has its own time */
        conn_watch(conn);
    }
}

void conn_expired(struct lane *lane, struct conn *conn) {
    bool reads = conn->state <= CONN_BODY;

    if (reads && conn->out != NULL) { /* the peer does not read */
        conn_reset(conn);
        return;
    }
    if (reads && is_unread(conn)) {
        wait_until(conn, UNREAD_MS);
        return;
    }
    switch ((enum conn_state)conn->state) {
    case CONN_HEAD:
        if (conn->in_len > 0)
            conn_refuse(lane, conn, 408, "The request head did not come in time.");
        else
            conn_close(conn);
        break;
    case CONN_BODY:
        conn_refuse(lane, conn, 408, "The request body did not come in time.");
        break;
    case CONN_RAW:
        raw_expired(conn);
        break;
    case CONN_APP:
        app_expired(lane, conn);
        break;
    case CONN_SEND: /* the peer does not read */
        conn_reset(conn);
        break;
    case CONN_PROXY:
    case CONN_LINGER:
    case CONN_CLOSED:
        conn_close(conn);
        break;
    }
}
