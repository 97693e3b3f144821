/* What the parts of the WebSocket codec have among themselves: see websocket.h. */
#ifndef CHAUSSETTE_WS_PARTS_H
#define CHAUSSETTE_WS_PARTS_H

#include "websocket.h"

/* ---- ws_mask.c -------------------------------------------------------------- */

/* Copies len bytes, XORed with the mask (RFC 6455 section 5.3), and turns the mask so that it fits
 * the byte behind them. `to` is `from` or does not overlap it. True when the result is ASCII. */
bool ws_unmask(uint8_t *to, const uint8_t *from, size_t len, uint8_t mask[4]);

/* ---- ws_utf8.c -------------------------------------------------------------- */

/* Checks more of a text (RFC 3629). *state is 0 at its start and after each whole character.
 * False at the first byte that no further bytes can make good; *state is of no use then. */
bool ws_utf8(uint32_t *state, const uint8_t *at, size_t len);

/* ---- ws_deflate.c ----------------------------------------------------------- */

enum ws_inflated {
    WS_INFLATED,
    WS_INFLATE_BAD,     /* no DEFLATE data, or not complete */
    WS_INFLATE_TOO_BIG, /* message would be longer than limit */
    WS_INFLATE_NO_MEMORY,
};

/* Appends what more of a compressed message holds to receiver->message, also before an error, and
 * never more than the limit. `last`: the message ends here. */
enum ws_inflated ws_inflate(struct ws_receiver *receiver, const uint8_t *data, size_t len,
                            bool last);

void ws_inflater_free(struct ws_inflater *inflater); /* NULL is fine */

/* Appends a whole message, compressed, to `out`. False without memory. */
bool ws_deflate(struct ws_deflater *deflater, const uint8_t *data, size_t len, bool takeover,
                struct ws_buffer *out);

uint8_t ws_deflater_bits(const struct ws_deflater *deflater);

/* ---- ws_sha1.c -------------------------------------------------------------- */

/* SHA-1 (FIPS 180-4) of `len` bytes. */
void ws_sha1(const uint8_t *data, size_t len, uint8_t out[20]);

#endif
