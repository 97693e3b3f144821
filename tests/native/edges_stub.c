/* The edges of the native server for the tests, flat enough for ctypes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accesslog.h"
#include "address.h"
#include "logbuf.h"

/* A copy that ends where its memory ends, so that a sanitizer sees every byte read past it. */
static char *copy(const char *text, size_t len)
{
    char *made = malloc(len ? len : 1);
    memcpy(made, text, len);
    return made;
}

static const struct parse_limits LIMITS = {16384, 16384, 128, 65536, true};

/* What forwarded_read() makes of a request head; 0, its 400, -1 for a head or a list that is no
 * such thing. `out` gets the reason, or "client port hidden scheme host port prefix". */
int stub_forwarded(const char *list, const char *fields, const char *head, size_t len, char *out,
                   size_t room)
{
    const char *reason = "";
    size_t at;
    uint32_t what = 0;
    int status = -1;
    struct request *request = malloc(sizeof *request);
    struct forwarded said;
    char *data = copy(head, len);
    struct trust *trust = trust_compile(list, strlen(list), &reason, &at);
    if (!trust || !believe_compile(fields, strlen(fields), &what, &reason, &at))
        goto done;
    trust_believe(trust, what);
    reason = "not a head";
    if (request_parse(request, data, len, &LIMITS) != PARSE_DONE)
        goto done;
    status = forwarded_read(&said, request, trust, &reason);
done:
    if (status)
        snprintf(out, room, "%s", reason);
    else
        snprintf(out, room, "%.*s %u %s %s %.*s %u %.*s", said.client.text_len, said.client.text,
                 said.client.port, said.hidden ? "hidden" : "-",
                 !said.has_scheme ? "-" : said.https ? "https" : "http", (int)said.host.len,
                 said.host.at ? said.host.at : "", said.port, (int)said.prefix.len,
                 said.prefix.at ? said.prefix.at : "");
    trust_free(trust);
    free(data);
    free(request);
    return status;
}

/* The result of proxy_read(); `out` gets the reason, or "client port unix used". */
int stub_proxy(const char *text, size_t len, char *out, size_t room)
{
    struct peer client = {.text = "before", .text_len = 6, .port = 1};
    const char *reason = "";
    size_t used = 0;
    char *data = copy(text, len);
    enum proxy_result result = proxy_read(data, len, &client, &used, &reason);
    if (result == PROXY_ERROR)
        snprintf(out, room, "%s", reason);
    else
        snprintf(out, room, "%.*s %u %s %zu", client.text_len, client.text, client.port,
                 client.is_unix ? "unix" : "-", used);
    free(data);
    return (int)result;
}

/* 1 or 0: trusted or not; -1 with the offset in *at and the reason in `out`. */
int stub_trusts(const char *list, size_t len, const uint8_t *address, bool is_unix, size_t *at,
                char *out, size_t room)
{
    const char *error = "";
    struct peer peer = {.is_unix = is_unix};
    char *text = copy(list, len);
    struct trust *trust = trust_compile(text, len, &error, at);
    memcpy(peer.address, address, 16);
    int result = trust ? trusts(trust, &peer) : -1;
    if (!trust)
        snprintf(out, room, "%s", error);
    trust_free(trust);
    free(text);
    return result;
}

/* Length of the address's text in `out`, or -1; its port in *port. */
int stub_node(const char *text, size_t len, char *out, uint16_t *port, uint8_t *address)
{
    struct peer peer = {0};
    char *data = copy(text, len);
    bool good = address_read_node((struct slice){data, (uint32_t)len}, &peer);
    free(data);
    memcpy(out, peer.text, peer.text_len);
    memcpy(address, peer.address, 16);
    *port = peer.port;
    return good ? peer.text_len : -1;
}

/* A log_facts.find: context is a text of "0name=value" with \x1e behind each. */
struct slice stub_find(void *context, enum log_source source, struct slice name)
{
    for (const char *at = context, *end; (end = strchr(at, '\x1e')); at = end + 1)
        if (*at == '0' + (int)source && !strncmp(at + 1, name.at, name.len) &&
            at[1 + name.len] == '=') {
            const char *value = at + 2 + name.len;
            return (struct slice){value, (uint32_t)(end - value)};
        }
    return (struct slice){0};
}
