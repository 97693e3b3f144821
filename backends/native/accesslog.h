/* Access log lines: a format compiled once, facts of one request in, a line out.
 *
 * Pure C: no Python, no system call, no clock but the times in the facts. Whatever
 * came from the network is escaped, so that no request can forge a line.
 */
#ifndef CHAUSSETTE_ACCESSLOG_H
#define CHAUSSETTE_ACCESSLOG_H

#include "parse.h"

/* Where facts come from that the log has not got itself, asked for only if the format wants them. */
enum log_source { LOG_REQUEST_FIELD, LOG_RESPONSE_FIELD, LOG_ENVIRON };

struct log_facts {
    struct slice remote; /* address without port, "-" when there is none */
    struct slice authorization; /* the field's value; the user of Basic credentials is shown */
    struct slice method, target, query;
    struct slice path; /* still percent-encoded: the log decodes it, as Gunicorn's %(U)s */
    uint8_t minor;
    struct slice referer, agent; /* empty: "-" */
    uint16_t status;
    uint64_t sent;       /* bytes of the response's body */
    int64_t wall_ns;     /* when the request's head was complete, CLOCK_REALTIME */
    int64_t duration_ns; /* until the response was handed to the kernel */
    int32_t pid;
    /* The value of a named field, header or environ key; a slice whose `at` is NULL when there is
     * none. The name is in lower case, whatever the key's is. May be NULL when nothing is wanted. */
    struct slice (*find)(void *context, enum log_source source, struct slice name);
    void *context;
};

struct log_format; /* compiled */

/* Compiles "common", "combined", "json" or a text with Gunicorn's atoms, %(h)s and so on.
 * Returns NULL with *error (static text) and *at (offset in text) set when it is malformed. */
struct log_format *log_compile(const char *text, size_t len, const char **error, size_t *at);
void log_free(struct log_format *format);

/* Whether the format asks for request fields other than referer and agent, response fields, environ. */
bool log_wants(const struct log_format *format, enum log_source source);

/* Renders one line with its '\n' into out. The date is local time at the end of the request.
 * Not for two threads at once with one format: its date is kept there for a second.
 * Returns the length, at most `room`: what does not fit is cut, and the line still ends
 * with '\n' (a json line stays valid json; it needs 321 bytes to say anything). */
size_t log_render(const struct log_format *format, const struct log_facts *facts, char *out,
                  size_t room);

#endif
