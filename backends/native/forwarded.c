/* X-Forwarded-* and Forwarded, made one statement about the client or refused. */
#include "address.h"
#include "forwarded_field.h"
#include "token.h"

#include <string.h>

#define BAD_REQUEST 400

/* What has been read so far, and the first thing that was wrong. */
struct reading {
    struct forwarded *out;
    const struct trust *trust;
    const char *reason;
    bool has_client; /* said by X-Forwarded-For; the client may be hidden */
};

static bool refuse(struct reading *reading, const char *why)
{
    reading->reason = why;
    return false;
}

/* Whether it may be one of ours at all: rules nearly every field out without a comparison. */
static inline bool is_candidate(const struct field *field)
{
    return field->name.len >= 9 && (field->name.at[0] | 0x20) == 'x';
}

/* ---- the client --------------------------------------------------------------- */

/* A chain of nodes is walked from its end, where the proxy that we know wrote. */
enum hop { HOP_TRUSTED, HOP_CLIENT, HOP_HIDDEN, HOP_MALFORMED };

/* RFC 7239 section 6: "unknown" or an obfuscated name, with or without a port. */
static bool is_hidden(struct slice node)
{
    struct slice port = node, name = slice_cut(&port, ':');
    bool has_port = name.len < node.len;
    if (!slice_is(name, "unknown", 7) && !(name.len > 1 && name.at[0] == '_'))
        return false;
    for (uint32_t i = 0; i < name.len; i++) {
        char c = (char)(name.at[i] | 0x20);
        if (!(c >= 'a' && c <= 'z') && !(name.at[i] >= '0' && name.at[i] <= '9') &&
            name.at[i] != '.' && name.at[i] != '_' && name.at[i] != '-')
            return false;
    }
    return !has_port || port_read(port) >= 0 || (port.len > 1 && port.at[0] == '_');
}

/* "192.0.2.1:_obf": an obfuscated port (section 6.3) says nothing, and is cut off. */
static struct slice without_hidden_port(struct slice node)
{
    for (uint32_t at = node.len; at > 1; at--) {
        char c = node.at[at - 1];
        if (c == '_' && node.at[at - 2] == ':' && at < node.len)
            return (struct slice){node.at, at - 2};
        if (!is_token(&c, 1))
            break;
    }
    return node;
}

static enum hop read_hop(struct slice node, const struct trust *trust, struct peer *peer)
{
    if (!address_read_node(without_hidden_port(node), peer))
        return is_hidden(node) ? HOP_HIDDEN : HOP_MALFORMED;
    return trust_contains(trust, peer) ? HOP_TRUSTED : HOP_CLIENT;
}

/* Takes the text behind the last comma off *rest. */
static struct slice cut_last(struct slice *rest)
{
    uint32_t at = rest->len;
    while (at && rest->at[at - 1] != ',')
        at--;
    struct slice last = trimmed(rest->at + at, rest->at + rest->len);
    rest->len = at ? at - 1 : 0;
    return last;
}

/* One X-Forwarded-For line, from its end. *found: the client is known, or hidden. */
static bool read_for_line(struct reading *reading, struct slice rest, bool *found)
{
    while (!*found && rest.len) {
        struct peer peer;
        struct slice node = cut_last(&rest);
        if (!node.len)
            continue; /* RFC 9110 section 5.6.1: empty elements are skipped */
        enum hop hop = read_hop(node, reading->trust, &peer);
        if (hop == HOP_MALFORMED)
            return refuse(reading, "X-Forwarded-For: not an address");
        *found = hop != HOP_TRUSTED;
        reading->has_client = true;
        reading->out->hidden = hop == HOP_HIDDEN;
        if (hop != HOP_HIDDEN)
            reading->out->client = peer;
        else
            reading->out->client.text_len = 0;
    }
    return true;
}

static bool read_for(struct reading *reading, const struct request *request)
{
    bool found = false;
    for (uint32_t i = request->count; i-- && !found;)
        if (is_candidate(&request->fields[i]) &&
            slice_is(request->fields[i].name, "x-forwarded-for", 15) &&
            !read_for_line(reading, request->fields[i].value, &found))
            return false;
    return true;
}

/* ---- scheme, host, port, prefix -------------------------------------------------- */

static bool say_scheme(struct reading *reading, bool https)
{
    struct forwarded *out = reading->out;
    if (out->has_scheme && out->https != https)
        return refuse(reading, "contradictory schemes");
    out->has_scheme = true;
    out->https = https;
    return true;
}

static bool read_proto(struct reading *reading, struct slice value)
{
    if (slice_is(value, "https", 5) || slice_is(value, "wss", 3))
        return say_scheme(reading, true);
    if (slice_is(value, "http", 4) || slice_is(value, "ws", 2))
        return say_scheme(reading, false);
    return refuse(reading, "a forwarded scheme that is neither http nor https");
}

static bool read_protocol(struct reading *reading, struct slice value)
{
    return slice_is(value, "ssl", 3) ? say_scheme(reading, true) : read_proto(reading, value);
}

static bool read_ssl(struct reading *reading, struct slice value)
{
    if (slice_is(value, "on", 2))
        return say_scheme(reading, true);
    if (slice_is(value, "off", 3))
        return say_scheme(reading, false);
    return refuse(reading, "X-Forwarded-Ssl: neither on nor off");
}

static bool read_host(struct reading *reading, struct slice value)
{
    struct slice *host = &reading->out->host;
    if (!is_authority(value, PORT_OPTIONAL))
        return refuse(reading, "a forwarded host that is not host[:port]");
    if (host->len && !slice_same_folded(*host, value))
        return refuse(reading, "contradictory forwarded hosts");
    *host = value;
    return true;
}

static bool read_port(struct reading *reading, struct slice value)
{
    int32_t port = port_read(value);
    if (port < 1)
        return refuse(reading, "X-Forwarded-Port: not a port");
    if (reading->out->port && reading->out->port != port)
        return refuse(reading, "contradictory forwarded ports");
    reading->out->port = (uint16_t)port;
    return true;
}

/* Whether the three characters at `at` are %XX, and stand for nothing that would make other
 * segments of a path once they are decoded. */
static bool is_escape(const char *at, uint32_t left)
{
    int high = left < 3 ? -1 : hex_value(at[1]), low = left < 3 ? -1 : hex_value(at[2]);
    int c = high * 16 + low;
    return high >= 0 && low >= 0 && c >= ' ' && c != 0x7f && !strchr("./\\", c);
}

/* Segments of RFC 3986's pchar; none of them empty, "." or "..": "//host" would make an
 * application's redirects lead elsewhere. */
static bool is_prefix(struct slice path)
{
    struct slice segment;
    for (path.at++, path.len--; path.len;) {
        segment = slice_cut(&path, '/');
        if (!segment.len || slice_is(segment, ".", 1) || slice_is(segment, "..", 2))
            return false;
        for (uint32_t i = 0; i < segment.len; i++) {
            char c = segment.at[i];
            if (c <= ' ' || c >= 0x7f || strchr("\"#<>?[\\]^`{|}", c))
                return false;
            if (c == '%' && !is_escape(segment.at + i, segment.len - i))
                return false;
        }
    }
    return true;
}

static bool read_prefix(struct reading *reading, struct slice value)
{
    struct slice *prefix = &reading->out->prefix;
    if (value.at[0] != '/')
        return refuse(reading, "X-Forwarded-Prefix: does not begin with /");
    if (slice_is(value, "/", 1))
        return true;
    if (value.at[value.len - 1] == '/')
        value.len--;
    if (value.at[value.len - 1] == '/' || !is_prefix(value))
        return refuse(reading, "X-Forwarded-Prefix: not a plain path");
    if (prefix->len && !slice_same(*prefix, value))
        return refuse(reading, "contradictory X-Forwarded-Prefix");
    *prefix = value;
    return true;
}

/* ---- fields by name ----------------------------------------------------------------- */

struct reader {
    const char *name;
    uint32_t len, belief;
    bool (*read)(struct reading *, struct slice);
};

static const struct reader READERS[] = {
    {"x-forwarded-proto", 17, BELIEVE_PROTO, read_proto},
    {"x-forwarded-host", 16, BELIEVE_HOST, read_host},
    {"x-forwarded-port", 16, BELIEVE_PORT, read_port},
    {"x-forwarded-prefix", 18, BELIEVE_PREFIX, read_prefix},
    {"x-forwarded-protocol", 20, BELIEVE_PROTOCOL, read_protocol},
    {"x-forwarded-ssl", 15, BELIEVE_SSL, read_ssl},
};

/* Every value of a list must say the same: whose would count is not known. */
static bool read_list(struct reading *reading, const struct reader *reader, struct slice rest)
{
    struct slice value;
    while (next_element(&rest, &value))
        if (!reader->read(reading, value))
            return false;
    return true;
}

static bool read_field(struct reading *reading, const struct field *field, uint32_t beliefs)
{
    for (size_t i = 0; i < sizeof READERS / sizeof *READERS; i++) {
        const struct reader *reader = &READERS[i];
        if ((beliefs & reader->belief) && slice_is(field->name, reader->name, reader->len))
            return read_list(reading, reader, field->value);
    }
    return true;
}

/* ---- Forwarded ---------------------------------------------------------------------- */

/* Finds the element that speaks of the client: the rightmost whose node is not trusted, or the
 * first. Elements are read from the left, for a quoted string cannot be read from its end. */
static bool pick_element(struct reading *reading, const struct request *request,
                         struct forwarded_element *picked, struct peer *peer, enum hop *hop)
{
    bool any = false;
    for (uint32_t i = 0; i < request->count; i++) {
        struct slice rest = request->fields[i].value;
        struct forwarded_element element;
        enum element_result result;
        if (!slice_is(request->fields[i].name, "forwarded", 9))
            continue;
        while ((result = forwarded_element_read(&rest, &element, &reading->reason)) ==
               ELEMENT_READ) {
            struct peer node = {0};
            enum hop kind = element.node.at ? read_hop(element.node, reading->trust, &node)
                                            : HOP_CLIENT;
            if (!any || kind != HOP_TRUSTED) {
                *picked = element;
                *peer = node;
                *hop = kind;
            }
            any = true;
        }
        if (result == ELEMENT_MALFORMED)
            return false;
    }
    if (!any)
        memset(picked, 0, sizeof *picked);
    return true;
}

static bool merge_client(struct reading *reading, const struct peer *peer, enum hop hop)
{
    struct forwarded *out = reading->out;
    bool hidden = hop == HOP_HIDDEN;
    if (hop == HOP_MALFORMED)
        return refuse(reading, "Forwarded: not an address");
    if (reading->has_client &&
        (hidden != out->hidden ||
         (!hidden && memcmp(out->client.address, peer->address, sizeof peer->address))))
        return refuse(reading, "Forwarded and X-Forwarded-For contradict each other");
    out->hidden = hidden;
    if (!hidden && (!reading->has_client || peer->port))
        out->client = *peer;
    return true;
}

static bool read_forwarded(struct reading *reading, const struct request *request)
{
    struct forwarded_element element;
    struct peer peer = {0};
    enum hop hop = HOP_CLIENT;
    if (!pick_element(reading, request, &element, &peer, &hop))
        return false;
    if (element.node.at && !merge_client(reading, &peer, hop))
        return false;
    if (element.proto.at && !read_proto(reading, element.proto))
        return false;
    return !element.host.at || read_host(reading, element.host);
}

int forwarded_read(struct forwarded *out, const struct request *request, const struct trust *trust,
                   const char **reason)
{
    struct reading reading = {out, trust, NULL, false};
    uint32_t beliefs = trust_beliefs(trust);
    memset(out, 0, sizeof *out);
    bool good = !(beliefs & BELIEVE_FOR) || read_for(&reading, request);
    for (uint32_t i = 0; good && i < request->count; i++)
        good = !is_candidate(&request->fields[i]) ||
               read_field(&reading, &request->fields[i], beliefs);
    if (good && (beliefs & BELIEVE_FORWARDED))
        good = read_forwarded(&reading, request);
    *reason = reading.reason;
    return good ? 0 : BAD_REQUEST;
}
