#include "address.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};

struct slice slice_cut(struct slice *rest, char sign)
{
    const char *found = rest->len ? memchr(rest->at, sign, rest->len) : NULL;
    struct slice head = *rest;
    if (found) {
        head.len = (uint32_t)(found - rest->at);
        rest->at += head.len + 1;
        rest->len -= head.len + 1;
    } else {
        rest->at += rest->len;
        rest->len = 0;
    }
    return head;
}

bool slice_same(struct slice a, struct slice b)
{
    return a.len == b.len && (!a.len || !memcmp(a.at, b.at, a.len));
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

bool slice_same_folded(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (uint32_t i = 0; i < a.len; i++)
        if (lower(a.at[i]) != lower(b.at[i]))
            return false;
    return true;
}

/* ---- text of an address --------------------------------------------------- */

static uint8_t describe_four(char *text, const uint8_t *bytes)
{
    char *at = text;
    for (int i = 0; i < 4; i++) {
        uint8_t part = bytes[i];
        if (part >= 100)
            *at++ = (char)('0' + part / 100);
        if (part >= 10)
            *at++ = (char)('0' + part / 10 % 10);
        *at++ = (char)('0' + part % 10);
        *at++ = '.';
    }
    at[-1] = 0;
    return (uint8_t)(at - 1 - text);
}

void peer_describe(struct peer *peer)
{
    if (peer->is_unix) {
        peer->text_len = 0;
    } else if (!memcmp(peer->address, MAPPED, sizeof MAPPED)) {
        peer->text_len = describe_four(peer->text, peer->address + 12);
    } else {
        /* Not a system call; it cannot fail: the text has room for any address. */
        inet_ntop(AF_INET6, peer->address, peer->text, sizeof peer->text);
        peer->text_len = (uint8_t)strlen(peer->text);
    }
}

/* ---- an address from text -------------------------------------------------- */

/* Four decimal numbers of 1 to 3 digits, without leading zeros: 010 is 8 to some. */
static bool read_four(struct slice text, uint8_t *bytes)
{
    uint32_t at = 0;
    for (int part = 0; part < 4; part++) {
        uint32_t value = 0, digits = 0;
        if (part && (at == text.len || text.at[at++] != '.'))
            return false;
        for (; at < text.len && text.at[at] >= '0' && text.at[at] <= '9'; at++, digits++) {
            value = value * 10 + (uint32_t)(text.at[at] - '0');
            if (value > 255 || (digits && value < 10))
                return false;
        }
        if (!digits)
            return false;
        bytes[part] = (uint8_t)value;
    }
    return at == text.len;
}

bool address_read(struct slice text, struct peer *peer, bool *is_four)
{
    char copy[INET6_ADDRSTRLEN];
    peer->port = 0;
    peer->is_unix = false;
    peer->text_len = 0;
    *is_four = text.len && !memchr(text.at, ':', text.len);
    if (*is_four) {
        memcpy(peer->address, MAPPED, sizeof MAPPED);
        if (!read_four(text, peer->address + 12))
            return false;
    } else {
        if (!text.len || text.len >= sizeof copy || memchr(text.at, 0, text.len))
            return false;
        memcpy(copy, text.at, text.len);
        copy[text.len] = 0;
        if (inet_pton(AF_INET6, copy, peer->address) != 1)
            return false;
    }
    peer_describe(peer);
    return true;
}

int32_t port_read(struct slice text)
{
    int32_t value = 0;
    if (!text.len || text.len > 5 || (text.len > 1 && text.at[0] == '0'))
        return -1;
    for (uint32_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        value = value * 10 + (text.at[i] - '0');
    }
    return value <= 65535 ? value : -1;
}

/* "fe80::1%eth0" without "%eth0"; a zone is 1 to 15 letters, digits, '-', '.', '_', '~'. */
static bool cut_zone(struct slice *text)
{
    struct slice zone = *text;
    *text = slice_cut(&zone, '%');
    if (!zone.len)
        return zone.at == text->at + text->len; /* no sign at all, rather than nothing behind it */
    for (uint32_t i = 0; i < zone.len; i++) {
        char c = lower(zone.at[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-._~", c)) || !c)
            return false;
    }
    return zone.len <= 15 && memchr(text->at, ':', text->len);
}

/* The part of an address and, behind it, that of a port; port.at is NULL when there is none. */
static bool split_node(struct slice text, struct slice *host, struct slice *port)
{
    *port = (struct slice){0};
    if (text.len && text.at[0] == '[') {
        struct slice rest = {text.at + 1, text.len - 1};
        *host = slice_cut(&rest, ']');
        if (rest.at == host->at + host->len || !memchr(host->at, ':', host->len))
            return false; /* no closing bracket, or no IPv6 address within */
        if (rest.len && rest.at[0] != ':')
            return false;
        if (rest.len)
            *port = (struct slice){rest.at + 1, rest.len - 1};
        return true;
    }
    const char *colon = text.len ? memchr(text.at, ':', text.len) : NULL;
    *host = text;
    if (colon && !memchr(colon + 1, ':', (size_t)(text.at + text.len - colon - 1))) {
        host->len = (uint32_t)(colon - text.at);
        *port = (struct slice){colon + 1, text.len - host->len - 1};
    }
    return true;
}

bool address_read_node(struct slice text, struct peer *peer)
{
    struct slice host, port;
    bool is_four;
    peer->text_len = 0;
    if (!split_node(text, &host, &port) || !cut_zone(&host) || !address_read(host, peer, &is_four))
        return false;
    int32_t number = port.at ? port_read(port) : 0;
    if (number < 0) {
        peer->text_len = 0;
        return false;
    }
    peer->port = (uint16_t)number;
    return true;
}
