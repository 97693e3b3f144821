/* Masking (RFC 6455 section 5.3): sixteen bytes at a time with SSE2, which every x86-64 has, else
 * eight; the same pass finds out whether the result is ASCII, which most text is. */
#include <string.h>

#include "ws_parts.h"

#if defined(__SSE2__) && !defined(SCAN_SCALAR)
#include <emmintrin.h>
#define BLOCK 16
#else
#define BLOCK 8
#endif

#define HIGH_BITS UINT64_C(0x8080808080808080)

static uint64_t word_at(const void *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* XORs blocks of BLOCK bytes; whether one of them has a byte above 0x7f. */
static bool unmask_blocks(uint8_t *to, const uint8_t *from, size_t len, uint64_t mask)
{
#if BLOCK == 16
    __m128i wide = _mm_set1_epi64x((int64_t)mask), seen = _mm_setzero_si128();
    for (size_t i = 0; i < len; i += BLOCK) {
        __m128i block = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(from + i)), wide);
        seen = _mm_or_si128(seen, block);
        _mm_storeu_si128((__m128i *)(to + i), block);
    }
    return _mm_movemask_epi8(seen) != 0;
#else
    uint64_t seen = 0;
    for (size_t i = 0; i < len; i += BLOCK) {
        uint64_t block = word_at(from + i) ^ mask;
        seen |= block;
        memcpy(to + i, &block, sizeof block);
    }
    return (seen & HIGH_BITS) != 0;
#endif
}

bool ws_unmask(uint8_t *to, const uint8_t *from, size_t len, uint8_t mask[4])
{
    uint8_t twice[8];
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    uint64_t wide = word_at(twice), seen = 0;
    size_t at = len / BLOCK * BLOCK;
    bool high = at > 0 && unmask_blocks(to, from, at, wide);
#if BLOCK > 8
    if (len - at >= 8) {
        seen = word_at(from + at) ^ wide;
        memcpy(to + at, &seen, sizeof seen);
        at += 8;
    }
#endif
    for (; at < len; at++) {
        to[at] = from[at] ^ twice[at & 3];
        seen |= to[at];
    }
    memcpy(mask, twice + (len & 3), 4);
    return !high && (seen & HIGH_BITS) == 0;
}
