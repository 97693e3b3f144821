/* The opening handshake (RFC 6455 section 4.2): see websocket.h. */
#include <string.h>

#include "scan.h"
#include "token.h"
#include "ws_parts.h"

#define SLICE_IS(slice, text) slice_is(slice, text, sizeof(text) - 1)
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool refuse(struct ws_handshake *handshake, uint16_t status, const char *reason)
{
    handshake->status = status;
    handshake->reason = reason;
    return false;
}

bool ws_is_upgrade(const struct request *request)
{
    if (!request->upgrade) {
        return false;
    }
    for (uint32_t i = 0; i < request->count; i++) {
        struct slice rest = request->fields[i].value, element;
        if (!SLICE_IS(request->fields[i].name, "upgrade")) {
            continue;
        }
        while (next_element(&rest, &element)) {
            if (SLICE_IS(element, "websocket")) {
                return true;
            }
        }
    }
    return false;
}

/* Whether it is the base64 of 16 bytes (RFC 6455 section 4.1, item 7). */
static bool is_key(struct slice key)
{
    if (key.len != WS_KEY_LEN || memcmp(key.at + WS_KEY_LEN - 2, "==", 2) != 0) {
        return false;
    }
    for (int i = 0; i < WS_KEY_LEN - 2; i++) {
        if (key.at[i] == '\0' || strchr(base64, key.at[i]) == NULL) {
            return false;
        }
    }
    return true;
}

void ws_accept_key(const char key[WS_KEY_LEN], char out[WS_ACCEPT_LEN])
{
    uint8_t text[WS_KEY_LEN + sizeof GUID - 1], hash[21] = {0};
    memcpy(text, key, WS_KEY_LEN);
    memcpy(text + WS_KEY_LEN, GUID, sizeof GUID - 1);
    ws_sha1(text, sizeof text, hash);
    for (int from = 0, to = 0; from < 21; from += 3, to += 4) {
        uint32_t three =
            (uint32_t)hash[from] << 16 | (uint32_t)hash[from + 1] << 8 | hash[from + 2];
        for (int i = 0; i < 4; i++) {
            out[to + i] = base64[three >> (18 - 6 * i) & 63];
        }
    }
    out[WS_ACCEPT_LEN - 1] = '='; /* 20 bytes: the last of the 21 is not one of them */
}

/* Adds the elements of one Sec-WebSocket-Protocol. */
static bool add_subprotocols(struct ws_handshake *handshake, struct slice rest)
{
    struct slice element;
    while (next_element(&rest, &element)) {
        if (!is_token(element.at, element.len)) {
            return refuse(handshake, 400, "a subprotocol that is not a token");
        }
        for (uint32_t i = 0; i < handshake->subprotocol_count; i++) {
            struct slice other = handshake->subprotocols[i];
            if (other.len == element.len && memcmp(other.at, element.at, element.len) == 0) {
                return refuse(handshake, 400, "a subprotocol twice");
            }
        }
        if (handshake->subprotocol_count == WS_SUBPROTOCOLS_MAX) {
            return refuse(handshake, 400, "too many subprotocols");
        }
        handshake->subprotocols[handshake->subprotocol_count++] = element;
    }
    return true;
}

static bool add_extensions(struct ws_handshake *handshake, struct slice value,
                           const struct ws_deflate_limits *limits)
{
    const struct ws_deflate_limits *wanted = handshake->extension.deflate ? NULL : limits;
    return ws_negotiate(value, wanted, &handshake->extension) != WS_OFFERS_BAD ||
           refuse(handshake, 400, "a malformed Sec-WebSocket-Extensions");
}

/* What was found of the fields that have to be there once. */
struct once {
    struct slice key;
    struct slice version;
    bool has_key;
    bool has_version;
};

static bool read_field(struct ws_handshake *handshake, const struct field *field,
                       const struct ws_deflate_limits *limits, struct once *once)
{
    if (SLICE_IS(field->name, "sec-websocket-key")) {
        bool again = once->has_key;
        once->has_key = true;
        once->key = field->value;
        return !again || refuse(handshake, 400, "more than one Sec-WebSocket-Key");
    }
    if (SLICE_IS(field->name, "sec-websocket-version")) {
        bool again = once->has_version;
        once->has_version = true;
        once->version = field->value;
        return !again || refuse(handshake, 400, "more than one Sec-WebSocket-Version");
    }
    if (SLICE_IS(field->name, "sec-websocket-protocol")) {
        return add_subprotocols(handshake, field->value);
    }
    return !SLICE_IS(field->name, "sec-websocket-extensions") ||
           add_extensions(handshake, field->value, limits);
}

bool ws_handshake_read(struct ws_handshake *handshake, const struct request *request,
                       const struct ws_deflate_limits *limits)
{
    struct once once = {0};
    memset(&handshake->extension, 0, sizeof handshake->extension);
    handshake->subprotocol_count = 0;
    handshake->status = 0;
    handshake->reason = NULL;
    if (request->method.len != 3 || memcmp(request->method.at, "GET", 3) != 0) {
        return refuse(handshake, 405, "a WebSocket handshake with another method than GET");
    }
    if (!ws_is_upgrade(request)) {
        return refuse(handshake, 400, "no upgrade to websocket");
    }
    if (request->chunked || request->length > 0) {
        return refuse(handshake, 400, "a WebSocket handshake with a body");
    }
    for (uint32_t i = 0; i < request->count; i++) {
        if (!read_field(handshake, &request->fields[i], limits, &once)) {
            return false;
        }
    }
    if (!once.has_version || !SLICE_IS(once.version, "13")) {
        return refuse(handshake, 426, "a version of WebSocket that is not 13");
    }
    if (!is_key(once.key)) {
        return refuse(handshake, 400, "a Sec-WebSocket-Key that is not 16 bytes in base64");
    }
    ws_accept_key(once.key.at, handshake->accept);
    return true;
}

/* ---- the response ----------------------------------------------------------- */

static char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

#define PUT(out, text) put(out, text, sizeof(text) - 1)

static char *put_bits(char *out, uint8_t bits)
{
    if (bits > 9) {
        *out++ = '1';
    }
    *out++ = (char)('0' + bits % 10);
    return out;
}

static char *put_extension(char *out, const struct ws_extension *extension)
{
    out = PUT(out, "Sec-WebSocket-Extensions: permessage-deflate");
    if (extension->server_no_takeover) {
        out = PUT(out, "; server_no_context_takeover");
    }
    if (extension->client_no_takeover) {
        out = PUT(out, "; client_no_context_takeover");
    }
    if (extension->say_server_bits) {
        out = put_bits(PUT(out, "; server_max_window_bits="), extension->server_bits);
    }
    if (extension->say_client_bits) {
        out = put_bits(PUT(out, "; client_max_window_bits="), extension->client_bits);
    }
    return PUT(out, "\r\n");
}

size_t ws_handshake_write(const struct ws_handshake *handshake, struct slice subprotocol, char *out)
{
    char *at = PUT(out, "HTTP/1.1 101 Switching Protocols\r\n"
                        "Upgrade: websocket\r\n"
                        "Connection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: ");
    at = put(at, handshake->accept, WS_ACCEPT_LEN);
    at = PUT(at, "\r\n");
    if (subprotocol.len > 0) {
        at = PUT(at, "Sec-WebSocket-Protocol: ");
        at = put(at, subprotocol.at, subprotocol.len);
        at = PUT(at, "\r\n");
    }
    if (handshake->extension.deflate) {
        at = put_extension(at, &handshake->extension);
    }
    return (size_t)(at - out);
}
