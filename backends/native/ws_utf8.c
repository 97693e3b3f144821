/* UTF-8 (RFC 3629 section 4), in pieces, refused at the first byte that makes it wrong.
 *
 * The state is what an unfinished character needs: how many bytes are missing, and the bounds of
 * the next one, which are narrower than 0x80 to 0xbf behind some first bytes, so that overlong
 * forms, surrogates and what is above U+10FFFF never get further than that. */
#include <string.h>

#include "ws_parts.h"

#define STATE(missing, low, high) ((missing) | (uint32_t)(low) << 8 | (uint32_t)(high) << 16)
#define LAST STATE(1u, 0x80, 0xbf)

static const uint32_t after[64] = { /* by the first byte - 0xc0; 0: there is no such first byte */
    [0x02 ... 0x1f] = LAST,
    [0x20] = STATE(2u, 0xa0, 0xbf),
    [0x21 ... 0x2c] = STATE(2u, 0x80, 0xbf),
    [0x2d] = STATE(2u, 0x80, 0x9f),
    [0x2e ... 0x2f] = STATE(2u, 0x80, 0xbf),
    [0x30] = STATE(3u, 0x90, 0xbf),
    [0x31 ... 0x33] = STATE(3u, 0x80, 0xbf),
    [0x34] = STATE(3u, 0x80, 0x8f),
};

static inline uint32_t missing(uint32_t state)
{
    return state & 0xff;
}

static inline bool fits(uint32_t state, uint8_t c)
{
    return c >= (state >> 8 & 0xff) && c <= state >> 16;
}

static inline bool goes_on(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    for (uint64_t word; end - at >= 8; at += 8) {
        memcpy(&word, at, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
    }
    while (at < end && *at < 0x80) {
        at++;
    }
    return at;
}

/* Skips whole characters; stops before one that is not whole or not good. The length of each is
 * found by branches, not by the table, so that the next one need not wait for it. */
static const uint8_t *skip_characters(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 4) {
        if (*at < 0x80) {
            at = skip_ascii(at, end);
        } else if (*at < 0xe0) {
            if (*at < 0xc2 || !goes_on(at[1])) {
                break;
            }
            at += 2;
        } else if (*at < 0xf0) {
            if (!fits(after[*at - 0xc0], at[1]) || !goes_on(at[2])) {
                break;
            }
            at += 3;
        } else {
            if (*at > 0xf4 || !fits(after[*at - 0xc0], at[1]) || !goes_on(at[2]) ||
                !goes_on(at[3])) {
                break;
            }
            at += 4;
        }
    }
    return at;
}

bool ws_utf8(uint32_t *state, const uint8_t *at, size_t len)
{
    const uint8_t *end = at + len;
    uint32_t now = *state;
    while (at < end) {
        if (now == 0 && (at = skip_characters(at, end)) == end) {
            break;
        }
        uint8_t c = *at++;
        if (now != 0) {
            if (!fits(now, c)) {
                return false;
            }
            now = missing(now) > 1 ? STATE(missing(now) - 1, 0x80, 0xbf) : 0;
        } else if (c >= 0x80) {
            now = c >= 0xc0 ? after[c - 0xc0] : 0;
            if (now == 0) {
                return false;
            }
        }
    }
    *state = now;
    return true;
}
