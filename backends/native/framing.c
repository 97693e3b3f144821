#include "framing.h"

#include <string.h>

#include "scan.h"
#include "token.h"

enum parse_result refuse(struct request *request, uint16_t status, const char *reason)
{
    request->status = status;
    request->reason = reason;
    return PARSE_ERROR;
}

#define PLACE(len, letter, which) [KNOWN_PLACE(len, letter)] = {KNOWN_KEY(len, letter), which}

/* No two share a place; the compiler warns of a second initializer. */
const struct known_place known_places[32] = {
    PLACE(4, 'h', KNOWN_HOST),
    PLACE(14, 'c', KNOWN_CONTENT_LENGTH),
    PLACE(12, 'c', KNOWN_CONTENT_TYPE),
    PLACE(17, 't', KNOWN_TRANSFER_ENCODING),
    PLACE(10, 'c', KNOWN_CONNECTION),
    PLACE(6, 'e', KNOWN_EXPECT),
    PLACE(7, 'u', KNOWN_UPGRADE),
};

static const char *const known_names[KNOWN_COUNT] = {
    [KNOWN_HOST] = "host",
    [KNOWN_CONTENT_LENGTH] = "content-length",
    [KNOWN_CONTENT_TYPE] = "content-type",
    [KNOWN_TRANSFER_ENCODING] = "transfer-encoding",
    [KNOWN_CONNECTION] = "connection",
    [KNOWN_EXPECT] = "expect",
    [KNOWN_UPGRADE] = "upgrade",
};

/* Whether four bytes of a token are these, which are lower-case letters or '-': with bit 5
 * set no other tchars are equal. */
static inline bool four_are(const char *token, const char *lower)
{
    uint32_t a, b;
    memcpy(&a, token, 4);
    memcpy(&b, lower, 4);
    return (a | UINT32_C(0x20202020)) == b;
}

enum known_field known_field_if(enum known_field which, struct slice name)
{
    const char *lower = known_names[which];
    uint32_t last = name.len - 4; /* the shortest has four */
    for (uint32_t i = 0; i < last; i += 4) {
        if (!four_are(name.at + i, lower + i)) {
            return KNOWN_COUNT;
        }
    }
    return four_are(name.at + last, lower + last) ? which : KNOWN_COUNT;
}

/* RFC 9112 section 3.2. An empty value is what a target without authority sends. */
static enum parse_result read_host(struct request *request, struct slice value)
{
    if (request->known[KNOWN_HOST] != 0) {
        return refuse(request, 400, "more than one Host field");
    }
    if (value.len > 0 && !is_authority(value, PORT_OPTIONAL)) {
        return refuse(request, 400, "Host is not a host with an optional port");
    }
    if (request->form == TARGET_ORIGIN || request->form == TARGET_ASTERISK) {
        request->host = value;
    }
    return PARSE_DONE;
}

/* RFC 9110 section 8.6: 1*DIGIT. Repeated ones are refused even when they agree. */
static enum parse_result read_length(struct request *request, struct slice value)
{
    if (request->known[KNOWN_CONTENT_LENGTH] != 0) {
        return refuse(request, 400, "more than one Content-Length field");
    }
    int64_t length = 0;
    for (uint32_t i = 0; i < value.len; i++) {
        if (!has_class(value.at[i], CLASS_DIGIT)) {
            return refuse(request, 400, "Content-Length is not a decimal number");
        }
        int digit = value.at[i] - '0';
        if (length > (INT64_MAX - digit) / 10) {
            return refuse(request, 400, "Content-Length is too large");
        }
        length = length * 10 + digit;
    }
    if (value.len == 0) {
        return refuse(request, 400, "Content-Length is empty");
    }
    request->length = length;
    request->has_length = true;
    return PARSE_DONE;
}

/* RFC 9112 sections 6.1 and 6.3: only "chunked", once, is understood. 501 when
 * chunked is last and codings stand before it, else the end of the body is unknown. */
static enum parse_result read_coding(struct request *request, struct slice value)
{
    if (request->known[KNOWN_TRANSFER_ENCODING] != 0) {
        return refuse(request, 400, "more than one Transfer-Encoding field");
    }
    if (slice_is(value, "chunked", 7)) {
        request->chunked = true;
        return PARSE_DONE;
    }
    struct slice coding;
    uint32_t codings = 0, chunked = 0;
    bool last = false;
    while (next_element(&value, &coding)) {
        if (!is_token(coding.at, coding.len)) {
            return refuse(request, 400, "Transfer-Encoding is not a list of codings");
        }
        last = slice_is(coding, "chunked", 7);
        chunked += last;
        codings++;
    }
    if (codings > 1 && last && chunked == 1) {
        return refuse(request, 501, "a transfer coding other than chunked");
    }
    return refuse(request, 400, "Transfer-Encoding does not end in one chunked");
}

/* RFC 9110 section 7.6.1. */
static enum parse_result read_connection(struct request *request,
                                         struct connection_options *options, struct slice value)
{
    struct slice option;
    while (next_element(&value, &option)) {
        if (!is_token(option.at, option.len)) {
            return refuse(request, 400, "Connection is not a list of tokens");
        }
        options->close |= slice_is(option, "close", 5);
        options->keep_alive |= slice_is(option, "keep-alive", 10);
        options->upgrade |= slice_is(option, "upgrade", 7);
    }
    return PARSE_DONE;
}

/* RFC 9110 section 10.1.1: ignored from HTTP/1.0. */
static enum parse_result read_expect(struct request *request, struct slice value)
{
    if (request->minor == 0) {
        return PARSE_DONE;
    }
    if (!slice_is(value, "100-continue", 12)) {
        return refuse(request, 417, "an expectation other than 100-continue");
    }
    request->expect = true;
    return PARSE_DONE;
}

enum parse_result framing_field(struct request *request, struct connection_options *options,
                                enum known_field which, struct slice value)
{
    switch (which) {
    case KNOWN_HOST:
        return read_host(request, value);
    case KNOWN_CONTENT_LENGTH:
        return read_length(request, value);
    case KNOWN_TRANSFER_ENCODING:
        return read_coding(request, value);
    case KNOWN_CONNECTION:
        return read_connection(request, options, value);
    case KNOWN_EXPECT:
        return read_expect(request, value);
    case KNOWN_CONTENT_TYPE:
        if (request->known[KNOWN_CONTENT_TYPE] != 0) {
            return refuse(request, 400, "more than one Content-Type field");
        }
        break;
    case KNOWN_UPGRADE:
    case KNOWN_COUNT:
        break;
    }
    return PARSE_DONE;
}

enum parse_result framing_end(struct request *request, const struct connection_options *options)
{
    bool version_1_1 = request->minor > 0;
    if (version_1_1 && request->known[KNOWN_HOST] == 0) {
        return refuse(request, 400, "no Host field");
    }
    if (request->chunked && request->has_length) {
        return refuse(request, 400, "both Content-Length and Transfer-Encoding");
    }
    if (request->chunked && !version_1_1) {
        return refuse(request, 400, "Transfer-Encoding in an HTTP/1.0 request");
    }
    request->keep_alive = !options->close && (version_1_1 || options->keep_alive);
    request->upgrade = version_1_1 && options->upgrade && request->known[KNOWN_UPGRADE] != 0;
    return PARSE_DONE;
}
