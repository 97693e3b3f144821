/* Small texts: tokens, field values, lists, percent-encoding, hosts. */
#include "token.h"

#include <string.h>

#include "scan.h"

uint32_t name_fold(struct slice name, char *lower)
{
    uint32_t hash = 2166136261u;

    for (uint32_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c | 0x20);
        }
        lower[i] = c;
        hash = (hash ^ (uint8_t)c) * 16777619u;
    }
    return hash;
}

bool slice_folds(struct slice text, const char *lower)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c | 0x20);
        }
        if (c != lower[i]) {
            return false;
        }
    }
    return true;
}

bool is_token(const char *text, size_t len)
{
    return len > 0 && scan_class(text, text + len, CLASS_TOKEN) == text + len;
}

bool is_field_value(const char *text, size_t len)
{
    return len == 0 || scan_value(text, text, text + len) == text + len;
}

struct slice trimmed(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    while (end > at && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    return (struct slice){at, (uint32_t)(end - at)};
}

bool next_element(struct slice *rest, struct slice *element)
{
    while (rest->len > 0) {
        const char *end = rest->at + rest->len;
        const char *comma = memchr(rest->at, ',', rest->len);
        const char *next = comma == NULL ? end : comma + 1;
        *element = trimmed(rest->at, comma == NULL ? end : comma);
        *rest = (struct slice){next, (uint32_t)(end - next)};
        if (element->len > 0) {
            return true;
        }
    }
    return false;
}

int hex_value(char c)
{
    if (!has_class(c, CLASS_HEX)) {
        return -1;
    }
    return has_class(c, CLASS_DIGIT) ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The octet of the %XX at `at`, or -1. */
static int escaped_octet(const char *at, const char *end)
{
    if (end - at < 3 || hex_value(at[1]) < 0 || hex_value(at[2]) < 0) {
        return -1;
    }
    return hex_value(at[1]) * 16 + hex_value(at[2]);
}

int64_t path_decode(struct slice path, char *out)
{
    const char *at = path.at;
    const char *end = at + path.len;
    char *to = out;
    while (at < end) {
        const char *percent = memchr(at, '%', (size_t)(end - at));
        size_t plain = (size_t)((percent == NULL ? end : percent) - at);
        memcpy(to, at, plain);
        to += plain;
        if (percent == NULL) {
            break;
        }
        int octet = escaped_octet(percent, end);
        if (octet <= 0) {
            return -1;
        }
        *to++ = (char)octet;
        at = percent + 3;
    }
    return to - out;
}

/* Whether text is an IPv4address: four decimal octets without leading zeros. */
static bool is_ipv4(const char *at, const char *end)
{
    for (int octet = 0; octet < 4; octet++) {
        if (octet > 0 && (at == end || *at++ != '.')) {
            return false;
        }
        const char *first = at;
        int value = 0;
        while (at < end && at - first < 3 && has_class(*at, CLASS_DIGIT)) {
            value = value * 10 + (*at++ - '0');
        }
        if (at == first || value > 255 || (at - first > 1 && *first == '0')) {
            return false;
        }
    }
    return at == end;
}

/* Whether text is an IPv6address of RFC 3986 section 3.2.2: eight groups, or fewer
 * with one "::"; the last two may be an IPv4address. No zone. */
static bool is_ipv6(const char *at, const char *end)
{
    int groups = 0;
    bool gap = false;
    if (end - at >= 2 && at[0] == ':' && at[1] == ':') {
        gap = true;
        at += 2;
    }
    while (at < end) {
        const char *first = at;
        while (at < end && at - first < 4 && has_class(*at, CLASS_HEX)) {
            at++;
        }
        if (at == first) {
            return false;
        }
        if (at < end && *at == '.') {
            return is_ipv4(first, end) && (gap ? groups < 6 : groups == 6);
        }
        groups++;
        if (at == end) {
            break;
        }
        if (*at++ != ':' || at == end) {
            return false;
        }
        if (*at == ':') {
            if (gap) {
                return false;
            }
            gap = true;
            at++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

/* The end of the uri-host at the start of [at, end), or NULL when there is none. */
static const char *host_end(const char *at, const char *end)
{
    if (at < end && *at == '[') {
        const char *bracket = memchr(at, ']', (size_t)(end - at));
        return bracket != NULL && is_ipv6(at + 1, bracket) ? bracket + 1 : NULL;
    }
    const char *first = at;
    while ((at = scan_class(at, end, CLASS_REG_NAME)) < end && *at == '%') {
        if (escaped_octet(at, end) < 0) {
            return NULL;
        }
        at += 3;
    }
    return at == first ? NULL : at;
}

bool is_authority(struct slice text, enum authority_port wanted)
{
    const char *end = text.at + text.len;
    const char *at = host_end(text.at, end);
    if (at == NULL) {
        return false;
    }
    if (at == end) {
        return wanted == PORT_OPTIONAL;
    }
    if (*at++ != ':') {
        return false;
    }
    uint32_t port = 0;
    const char *first = at;
    while (at < end && has_class(*at, CLASS_DIGIT) && port <= 65535) {
        port = port * 10 + (uint32_t)(*at++ - '0');
    }
    return at == end && port <= 65535 && (at > first || wanted == PORT_OPTIONAL);
}
