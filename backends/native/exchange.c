/* One request and its response: the memory of it, and its line in the access log. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

#define LINE_ROOM (16 * 1024)
#ifdef CHAUSSETTE_DEBUG
#define KEPT_EXCHANGES 0 /* so that tools see whose memory it is */
#else
#define KEPT_EXCHANGES 64 /* on the free list; more of them are freed */
#endif

struct exchange *exchange_open(struct server *server, struct conn *conn) {
    struct exchange *exchange = server->exchanges;

    if (exchange != NULL) {
        char *kept = exchange->kept;
        size_t room = exchange->kept_room;
        server->exchanges = exchange->next;
        server->exchange_count--;
        memset(exchange, 0, offsetof(struct exchange, head));
        exchange->kept = kept;
        exchange->kept_room = room;
    } else if ((exchange = calloc(1, sizeof *exchange)) == NULL) {
        return NULL;
    }
    live_add(LIVE_EXCHANGES, 1);
    exchange->conn = conn;
    body_start(&exchange->body);
    head_start(&exchange->head);
    return exchange;
}

static void exchange_free(struct exchange *exchange) {
    free(exchange->kept);
    free(exchange);
}

void exchange_close(struct exchange *exchange) {
    struct server *server = exchange->conn->server;

    live_add(LIVE_EXCHANGES, -1);
    if (exchange->start != NULL) /* first: what dies with the environ may still call it */
        start_response_release(exchange->start);
    exchange->start = NULL;
    Py_CLEAR(exchange->environ);
    Py_CLEAR(exchange->bytes);
    Py_CLEAR(exchange->call);
    body_free(&exchange->body);
    head_free(&exchange->head);
    free(exchange->fields);
    exchange->fields = NULL;
    if (exchange->is_small || server->exchange_count == KEPT_EXCHANGES) {
        exchange_free(exchange);
        return;
    }
    exchange->next = server->exchanges;
    server->exchanges = exchange;
    server->exchange_count++;
}

struct exchange *exchange_shrink(struct exchange *exchange) {
    uint16_t status = exchange->head.status;
    struct conn *conn = exchange->conn;
    struct exchange *small;

    if (conn->server->log_format != NULL) /* its line may want the fields */
        return exchange;
    head_free(&exchange->head);
    exchange->head.status = status;
    exchange->head.text = NULL;
    exchange->head.room = 0;
    exchange->is_small = true;
    small = realloc(exchange, offsetof(struct exchange, head.inline_text));
    if (small == NULL)
        return exchange;
    conn->exchange = small;
    return small;
}

void exchanges_free(struct server *server) {
    while (server->exchanges != NULL) {
        struct exchange *exchange = server->exchanges;
        server->exchanges = exchange->next;
        exchange_free(exchange);
    }
    server->exchange_count = 0;
}

int exchange_describe(struct server *server, struct exchange *exchange,
                      const struct request *request, describe *describe, const char **reason) {
    struct forwarded said, *known = NULL;
    int status;

    if (server->trust != NULL && trusts(server->trust, &exchange->conn->peer)) {
        if ((status = forwarded_read(&said, request, server->trust, reason)) != 0)
            return status;
        known = &said;
    }
    exchange->environ = describe(server, exchange->conn, request, known);
    if (exchange->environ != NULL)
        return 0;
    *reason = "The request target is malformed.";
    status = PyErr_ExceptionMatches(PyExc_ValueError) ? 400 : 503;
    PyErr_Clear();
    return status;
}

void exchange_continue(struct lane *lane, struct exchange *exchange) {
    static const char reply[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char *out;

    if (!exchange->expects)
        return;
    exchange->expects = false;
    if ((out = out_room(lane, exchange->conn, sizeof reply - 1)) != NULL) {
        memcpy(out, reply, sizeof reply - 1);
        out_wrote(lane, exchange->conn, sizeof reply - 1);
    }
}

/* ---- the access log ---------------------------------------------------------------- */

static struct slice moved(struct slice text, const char *from, const char *to) {
    if (text.len > 0)
        text.at = to + (text.at - from);
    return text;
}

static int keep_fields(struct exchange *exchange, const struct request *request, const char *from) {
    exchange->fields = malloc((request->count + 1) * sizeof *exchange->fields);
    if (exchange->fields == NULL)
        return -1;
    exchange->field_count = request->count;
    for (uint32_t i = 0; i < request->count; i++) {
        exchange->fields[i].name = moved(request->fields[i].name, from, exchange->kept);
        exchange->fields[i].value = moved(request->fields[i].value, from, exchange->kept);
    }
    return 0;
}

static struct slice field_named(const struct request *request, const char *name) {
    size_t len = strlen(name);

    for (uint32_t i = 0; i < request->count; i++)
        if (slice_is(request->fields[i].name, name, len))
            return request->fields[i].value;
    return (struct slice){0};
}

int exchange_keep(struct exchange *exchange, const struct request *request, const char *head) {
    const struct server *server = exchange->conn->server;
    char *copy = exchange->kept;

    if (server->log == NULL)
        return 0;
    if (exchange->kept_room < request->head_len) {
        if ((copy = realloc(copy, request->head_len)) == NULL)
            return -1;
        exchange->kept = copy;
        exchange->kept_room = request->head_len;
    }
    memcpy(copy, head, request->head_len);
    exchange->began_ns = clock_ns();
    exchange->wall_ns = wall_ns();
    exchange->method = moved(request->method, head, copy);
    exchange->target = moved(request->target, head, copy);
    exchange->path = moved(request->path, head, copy);
    exchange->query = moved(request->query, head, copy);
    exchange->referer = moved(field_named(request, "referer"), head, copy);
    exchange->agent = moved(field_named(request, "user-agent"), head, copy);
    exchange->authorization = moved(field_named(request, "authorization"), head, copy);
    return log_wants(server->log_format, LOG_REQUEST_FIELD) ? keep_fields(exchange, request, head)
                                                            : 0;
}

static struct slice request_field(const struct exchange *exchange, struct slice name) {
    for (uint32_t i = 0; i < exchange->field_count; i++) {
        const struct field *field = &exchange->fields[i];
        if (field->name.len == name.len && strncasecmp(field->name.at, name.at, name.len) == 0)
            return field->value;
    }
    return (struct slice){0};
}

static struct slice response_field(const struct exchange *exchange, struct slice name) {
    const char *at = exchange->head.text, *end = at + exchange->head.len;

    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        const char *line = ++at, *stop = memchr(at, '\r', (size_t)(end - at));
        if (stop == NULL || (size_t)(stop - line) < name.len + 2u)
            continue;
        if (line[name.len] == ':' && strncasecmp(line, name.at, name.len) == 0)
            return (struct slice){line + name.len + 2, (uint32_t)(stop - line - name.len - 2)};
    }
    return (struct slice){0};
}

/* Looks a key up in capitals, as CGI's are, and then as it is written ("wsgi.url_scheme"). */
static PyObject *environ_get(PyObject *environ, struct slice name) {
    PyObject *key = PyUnicode_DecodeUTF8(name.at, name.len, "replace");
    PyObject *upper = key ? PyObject_CallMethod(key, "upper", NULL) : NULL;
    PyObject *value = upper ? PyDict_GetItem(environ, upper) : NULL;

    if (value == NULL && key != NULL)
        value = PyDict_GetItem(environ, key);
    Py_XDECREF(upper);
    Py_XDECREF(key);
    return value;
}

static struct slice environ_value(const struct exchange *exchange, struct slice name) {
    PyObject *value = exchange->environ ? environ_get(exchange->environ, name) : NULL;
    struct slice found = {0};
    Py_ssize_t len;

    if (value != NULL && PyUnicode_Check(value) &&
        (found.at = PyUnicode_AsUTF8AndSize(value, &len)) != NULL)
        found.len = (uint32_t)len;
    PyErr_Clear();
    return found;
}

static struct slice find(void *context, enum log_source source, struct slice name) {
    const struct exchange *exchange = context;

    switch (source) {
    case LOG_REQUEST_FIELD:
        return request_field(exchange, name);
    case LOG_RESPONSE_FIELD:
        return response_field(exchange, name);
    case LOG_ENVIRON:
        return environ_value(exchange, name);
    }
    return (struct slice){0};
}

static void write_line(struct exchange *exchange, int status) {
    const struct conn *conn = exchange->conn;
    struct server *server = conn->server;
    size_t room = LINE_ROOM;
    char *line;
    struct log_facts facts = {
        .remote = {conn->peer.text, conn->peer.text_len},
        .authorization = exchange->authorization,
        .method = exchange->method,
        .target = exchange->target,
        .path = exchange->path,
        .query = exchange->query,
        .referer = exchange->referer,
        .agent = exchange->agent,
        .minor = exchange->minor,
        .status = (uint16_t)status,
        .sent = exchange->sent,
        .wall_ns = exchange->wall_ns,
        .pid = server->pid,
        .find = find,
        .context = exchange,
    };

    facts.duration_ns = (int64_t)(clock_ns() - exchange->began_ns);
    if ((line = logbuf_reserve(server->log, &room)) != NULL)
        logbuf_commit(server->log, log_render(server->log_format, &facts, line, room));
}

void exchange_log(struct exchange *exchange, int status) {
    if (exchange->conn->server->log != NULL)
        write_line(exchange, status);
}
