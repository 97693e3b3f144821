/* Responses on the wire: the head, the body's framing (RFC 9112 sections 6 and 7), the end. */
#include <string.h>
#include <unistd.h>

#include "core.h"

static bool may_have_body(const struct exchange *exchange) {
    uint16_t status = exchange->head.status;

    return !exchange->is_head && status != 204 && status != 205 && status != 304;
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
    uint16_t status = exchange->head.status;

    if (status == 205)
        length = 0; /* RFC 9110 section 15.3.6 */
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
    if (!exchange->complete) { /* what is left of the body is not worth waiting for */
        exchange->keep_alive = false;
        exchange->conn->linger = true;
    }
    if (!exchange->keep_alive)
        out = put(out, "Connection: close\r\n", 19);
    else if (exchange->minor == 0)
        out = put(out, "Connection: keep-alive\r\n", 24);
    return put(out, "\r\n", 2);
}

/* Server, Date, unless the application has given them. */
static char *put_own_fields(char *out, const struct server *server, const struct head *head) {
    if (!head->has_server)
        out = put(out, "Server: " SERVER_NAME_TEXT "\r\n", 8 + sizeof SERVER_NAME_TEXT - 1 + 2);
    if (!head->has_date)
        out = put(out, server->date, server->date_len);
    return out;
}

size_t response_tail(const struct server *server, const struct head *head, char *out) {
    char *end = put(out, head->text, head->len);

    end = put_own_fields(end, server, head);
    return (size_t)(put(end, "\r\n", 2) - out);
}

static int head_into(struct lane *lane, struct exchange *exchange, int64_t length, PyObject *body) {
    const struct server *server = lane->server;
    const struct head *head = &exchange->head;
    size_t size = body ? (size_t)PyBytes_GET_SIZE(body) : 0;
    char *begin = out_room(lane, exchange->conn, head->len + server->date_len + size + 160);
    char *out = begin;

    if (begin == NULL) {
        conn_close(exchange->conn);
        return -1;
    }
    out = put(out, head->text, head->len);
    out = put_own_fields(out, server, head);
    out = put_framing(out, exchange, length);
    if (size > 0)
        out = put(out, PyBytes_AS_STRING(body), size);
    if (length >= 0) { /* from here on the application is held to it */
        exchange->head.has_length = true;
        exchange->head.length = (uint64_t)length;
    }
    exchange->sent += size;
    exchange->phase = RESPONSE_HEAD_SENT;
    out_wrote(lane, exchange->conn, (size_t)(out - begin));
    return 0;
}

int response_head(struct lane *lane, struct exchange *exchange, int64_t length) {
    const struct head *head = &exchange->head;

    exchange->no_body = !may_have_body(exchange);
    if (head->has_length)
        length = (int64_t)head->length;
    else if (exchange->no_body && (length == 0 || head->status == 304))
        length = -1; /* of the body that is not sent nothing is known (RFC 9110 section 8.6) */
    return head_into(lane, exchange, length, NULL);
}

/* What Content-Length leaves of a block. */
static size_t allowed(const struct exchange *exchange, size_t len) {
    uint64_t left;

    if (exchange->no_body)
        return 0;
    if (!exchange->head.has_length)
        return len;
    left = exchange->head.length - exchange->sent;
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
    const struct head *head = &exchange->head;

    if (exchange->conn->state == CONN_CLOSED)
        return -1;
    if (exchange->phase < RESPONSE_HEAD_SENT) {
        exchange->no_body = !may_have_body(exchange);
        if (whole && len <= SMALL && !exchange->no_body &&
            (!head->has_length || head->length == len))
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

int response_file(struct lane *lane, struct exchange *exchange, int fd, int64_t at, int64_t count) {
    if (exchange->head.has_length && (uint64_t)count > exchange->head.length)
        count = (int64_t)exchange->head.length;
    if (response_head(lane, exchange, count) < 0 || exchange->no_body || count == 0) {
        close(fd);
        return exchange->conn->state == CONN_CLOSED ? -1 : 0;
    }
    exchange->sent += (uint64_t)count;
    return out_send_file(lane, exchange->conn, fd, (uint64_t)at, (uint64_t)(at + count));
}

void response_end(struct lane *lane, struct exchange *exchange) {
    const struct head *head = &exchange->head;
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
    if (!exchange->no_body && head->has_length && exchange->sent < head->length)
        exchange->keep_alive = false;
    exchange->phase = RESPONSE_DONE;
    if (!exchange->keep_alive)
        conn->closing = true;
}
