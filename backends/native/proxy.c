/* PROXY protocol headers, version 1 (text) and 2 (binary), as HAProxy's proxy-protocol.txt has them. */
#include "address.h"

#include <string.h>

#define V1_MAX 107 /* section 2.1: with CRLF */
#define V2_HEAD 16

static const char V1_START[] = "PROXY ";
static const char V2_START[] = "\r\n\r\n\0\r\nQUIT\n";

static enum proxy_result refuse(const char **reason, const char *why)
{
    *reason = why;
    return PROXY_ERROR;
}

/* ---- version 1 ------------------------------------------------------------------ */

/* "203.0.113.7 198.51.100.1 5555 80": client, server, and their ports; one blank each. */
static bool read_v1_pair(struct slice rest, bool want_four, struct peer *client)
{
    struct peer server;
    bool client_four, server_four;
    struct slice from = slice_cut(&rest, ' '), to = slice_cut(&rest, ' ');
    struct slice from_port = slice_cut(&rest, ' ');
    int32_t port = port_read(from_port);
    if (!address_read(from, client, &client_four) || !address_read(to, &server, &server_four))
        return false;
    if (client_four != want_four || server_four != want_four || port < 0 || port_read(rest) < 0)
        return false;
    client->port = (uint16_t)port;
    return true;
}

static enum proxy_result read_v1(const char *data, size_t len, struct peer *client, size_t *used,
                                 const char **reason)
{
    size_t most = len < V1_MAX ? len : V1_MAX;
    const char *cr = memchr(data, '\r', most), *lf = memchr(data, '\n', most);
    /* Whichever comes first, so that the answer is the same in whatever pieces they come. */
    if (lf && (!cr || lf < cr))
        return refuse(reason, "PROXY: a line that does not end in CRLF");
    if (cr && (size_t)(cr - data) + 1 < most && cr[1] != '\n')
        return refuse(reason, "PROXY: a carriage return within the line");
    if (!lf)
        return len < V1_MAX ? PROXY_PARTIAL : refuse(reason, "PROXY: a line of more than 107 bytes");

    struct slice rest = {data + 6, (uint32_t)(cr - data - 6)};
    struct slice kind = slice_cut(&rest, ' ');
    struct peer peer = {0};
    *used = (size_t)(lf - data) + 1;
    if (slice_same(kind, (struct slice){"UNKNOWN", 7}))
        return PROXY_DONE; /* whatever follows it (section 2.1) */
    bool four = slice_same(kind, (struct slice){"TCP4", 4});
    if (!four && !slice_same(kind, (struct slice){"TCP6", 4}))
        return refuse(reason, "PROXY: neither TCP4, TCP6 nor UNKNOWN");
    if (!read_v1_pair(rest, four, &peer))
        return refuse(reason, "PROXY: malformed addresses or ports");
    *client = peer;
    return PROXY_DONE;
}

/* ---- version 2 ------------------------------------------------------------------ */

static uint32_t two_bytes(const uint8_t *at) { return (uint32_t)(at[0] << 8 | at[1]); }

/* CRC32c (Castagnoli) bit by bit: a header is short, and few bring a checksum. */
static uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t len)
{
    while (len--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

/* The checksum is computed with zeros in its own place (section 2.2.3). */
static bool is_sound(const uint8_t *header, size_t len, size_t at)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(~0u, header, at);
    crc = ~crc32c(crc32c(crc, zeros, 4), header + at + 4, len - at - 4);
    return crc == (two_bytes(header + at) << 16 | two_bytes(header + at + 2));
}

/* Type-length-value triples from `at` to the end: skipped, but they must fit. */
static bool skip_values(const uint8_t *header, size_t len, size_t at, const char **reason)
{
    const uint8_t crc_type = 0x03;
    while (at < len) {
        size_t size = len - at < 3 ? len : two_bytes(header + at + 1);
        if (size > len - at - 3 || len - at < 3) {
            *reason = "PROXY: a value that is longer than the header";
            return false;
        }
        if (header[at] == crc_type && (size != 4 || !is_sound(header, len, at + 3))) {
            *reason = "PROXY: a wrong checksum";
            return false;
        }
        at += 3 + size;
    }
    return true;
}

/* The address block of a family (the high half of the byte; the low half is the transport,
 * and STREAM is the only one that HTTP/1 comes by). Its length, or 0 when it is not known. */
static size_t read_block(const uint8_t *block, uint8_t family, struct peer *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    switch (family) {
    case 0x11:
        memcpy(peer->address, mapped, sizeof mapped);
        memcpy(peer->address + 12, block, 4);
        peer->port = (uint16_t)two_bytes(block + 8);
        return 12;
    case 0x21:
        memcpy(peer->address, block, 16);
        peer->port = (uint16_t)two_bytes(block + 32);
        return 36;
    case 0x31:
        peer->is_unix = true;
        return 216;
    }
    return 0;
}

static size_t block_size(uint8_t family)
{
    return family == 0x11 ? 12 : family == 0x21 ? 36 : family == 0x31 ? 216 : 0;
}

static enum proxy_result read_v2_body(const uint8_t *header, size_t len, struct peer *client,
                                      const char **reason)
{
    struct peer peer = {0};
    uint8_t command = header[12] & 15, family = header[13];
    if (command > 1)
        return refuse(reason, "PROXY: neither LOCAL nor PROXY");
    if (command == 0 || family == 0) /* the rest is to be skipped, whatever it is */
        return PROXY_DONE;
    size_t block = block_size(family);
    if (!block)
        return refuse(reason, "PROXY: an address family or transport that HTTP does not come by");
    if (len - V2_HEAD < block)
        return refuse(reason, "PROXY: too short for its addresses");
    read_block(header + V2_HEAD, family, &peer);
    if (!skip_values(header, len, V2_HEAD + block, reason))
        return PROXY_ERROR;
    peer_describe(&peer);
    *client = peer;
    return PROXY_DONE;
}

static enum proxy_result read_v2(const char *data, size_t len, struct peer *client, size_t *used,
                                 const char **reason)
{
    const uint8_t *header = (const uint8_t *)data;
    if (len > 12 && header[12] >> 4 != 2)
        return refuse(reason, "PROXY: a version other than 1 and 2");
    if (len < V2_HEAD)
        return PROXY_PARTIAL;
    size_t whole = V2_HEAD + two_bytes(header + 14);
    if (whole > PROXY_MAX)
        return refuse(reason, "PROXY: a header of more than 4112 bytes");
    if (len < whole)
        return PROXY_PARTIAL;
    *used = whole;
    return read_v2_body(header, whole, client, reason);
}

enum proxy_result proxy_read(const char *data, size_t len, struct peer *client, size_t *used,
                             const char **reason)
{
    size_t one = len < 6 ? len : 6, two = len < 12 ? len : 12;
    *used = 0;
    if (!len)
        return PROXY_PARTIAL;
    if (!memcmp(data, V1_START, one))
        return one < 6 ? PROXY_PARTIAL : read_v1(data, len, client, used, reason);
    if (!memcmp(data, V2_START, two))
        return two < 12 ? PROXY_PARTIAL : read_v2(data, len, client, used, reason);
    return refuse(reason, "PROXY: the connection does not begin with a PROXY header");
}
