/* SHA-1 (FIPS 180-4 section 6.1), for the one thing that still wants it: see ws_handshake.c. */
#include <string.h>

#include "ws_parts.h"

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static void add_block(uint32_t hash[5], const uint8_t *block)
{
    uint32_t w[80];
    for (int t = 0; t < 16; t++) {
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
    }
    for (int t = 16; t < 80; t++) {
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }
    uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
    for (int t = 0; t < 80; t++) {
        uint32_t f = t < 20   ? ((b & c) ^ (~b & d)) + 0x5a827999
                     : t < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                     : t < 60 ? ((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdc
                              : (b ^ c ^ d) + 0xca62c1d6;
        uint32_t next = rotate(a, 5) + f + e + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    hash[0] += a;
    hash[1] += b;
    hash[2] += c;
    hash[3] += d;
    hash[4] += e;
}

void ws_sha1(const uint8_t *data, size_t len, uint8_t out[20])
{
    uint32_t hash[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t last[128] = {0};
    size_t whole = len / 64 * 64, rest = len - whole;
    for (size_t at = 0; at < whole; at += 64) {
        add_block(hash, data + at);
    }
    if (rest > 0) {
        memcpy(last, data + whole, rest);
    }
    last[rest] = 0x80;
    size_t size = rest < 56 ? 64 : 128;
    for (int i = 0; i < 8; i++) {
        last[size - 1 - (size_t)i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
    }
    for (size_t at = 0; at < size; at += 64) {
        add_block(hash, last + at);
    }
    for (int i = 0; i < 20; i++) {
        out[i] = (uint8_t)(hash[i / 4] >> (24 - i % 4 * 8));
    }
}
