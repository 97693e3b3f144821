/* Character classes of HTTP, and scanners that find the first byte outside of one.
 *
 * Every scanner takes [at, end), reads no byte at or past `end`, and returns the
 * first byte that is not of its class, or `end`. `floor` is the first byte that may be
 * read, at most `at`: the last bytes are looked at together with those before them
 * when there are sixteen. On x86-64 they look at sixteen
 * bytes at a time with SSE2, which every such processor has, so nothing is chosen at
 * run time; the *_scalar twins are the reference, what other processors run, and
 * what the tests compare with.
 */
#ifndef CHAUSSETTE_SCAN_H
#define CHAUSSETTE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__SSE2__) && !defined(SCAN_SCALAR)
#include <emmintrin.h>
#endif

enum char_class {
    CLASS_TOKEN = 1,    /* tchar, RFC 9110 section 5.6.2 */
    CLASS_PLAIN = 2,    /* letters, digits and '-': what nearly every field name is made of */
    CLASS_VALUE = 4,    /* HTAB, SP, VCHAR and obs-text, RFC 9110 section 5.5 */
    CLASS_TARGET = 8,   /* VCHAR without '#' */
    CLASS_REG_NAME = 16, /* unreserved and sub-delims, RFC 3986 section 3.2.2 */
    CLASS_HEX = 32,
    CLASS_DIGIT = 64,
};

extern const uint8_t char_classes[256];

static inline bool has_class(char c, enum char_class class)
{
    return (char_classes[(uint8_t)c] & (unsigned)class) != 0;
}

static inline const char *scan_class(const char *at, const char *end, enum char_class class)
{
    while (at < end && has_class(*at, class)) {
        at++;
    }
    return at;
}

static inline const char *scan_plain_scalar(const char *at, const char *end)
{
    return scan_class(at, end, CLASS_PLAIN);
}

static inline const char *scan_value_scalar(const char *at, const char *end)
{
    return scan_class(at, end, CLASS_VALUE);
}

/* Up to any control character; unlike scan_value_scalar, HTAB as well. */
static inline const char *scan_visible_scalar(const char *at, const char *end)
{
    while (at < end && *at != '\t' && has_class(*at, CLASS_VALUE)) {
        at++;
    }
    return at;
}

static inline const char *scan_target_scalar(const char *at, const char *end)
{
    return scan_class(at, end, CLASS_TARGET);
}

#if defined(__SSE2__) && !defined(SCAN_SCALAR)

static inline __m128i load16(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/* Per byte 0xff where low <= byte <= low + span, unsigned. */
static inline __m128i in_range(__m128i bytes, char low, char span)
{
    __m128i shifted = _mm_sub_epi8(bytes, _mm_set1_epi8(low));
    return _mm_cmpeq_epi8(_mm_min_epu8(shifted, _mm_set1_epi8(span)), shifted);
}

/* Bits of the bytes that are neither letter, digit nor '-'. */
static inline unsigned not_plain(__m128i bytes)
{
    __m128i letters = in_range(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 25);
    __m128i digits = in_range(bytes, '0', 9);
    __m128i hyphens = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));
    __m128i plain = _mm_or_si128(_mm_or_si128(letters, digits), hyphens);
    return (unsigned)_mm_movemask_epi8(plain) ^ 0xffffu;
}

/* Bits of the bytes that are control characters. */
static inline unsigned is_control(__m128i bytes)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i dels = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, dels));
}

/* Bits of the bytes that are not '!'..'~', or are '#'. Signed: 0x80.. are below. */
static inline unsigned not_target(__m128i bytes)
{
    __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x21));
    __m128i dels = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    __m128i hashes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, dels), hashes));
}

#define SCAN_WITH(not_of_class, scalar)                            \
    for (; end - at >= 16; at += 16) {                             \
        unsigned outside = not_of_class(load16(at));               \
        if (outside != 0) {                                        \
            return at + __builtin_ctz(outside);                    \
        }                                                          \
    }                                                              \
    if (at == end) {                                               \
        return end;                                                \
    }                                                              \
    if (end - floor < 16) {                                        \
        return scalar(at, end);                                    \
    }                                                              \
    unsigned tail = not_of_class(load16(end - 16)) >> (16 - (end - at)); \
    return tail != 0 ? at + __builtin_ctz(tail) : end

static inline const char *scan_plain(const char *floor, const char *at, const char *end)
{
    SCAN_WITH(not_plain, scan_plain_scalar);
}

static inline const char *scan_to_control(const char *floor, const char *at, const char *end)
{
    SCAN_WITH(is_control, scan_visible_scalar);
}

/* HTAB is rare: it is cheaper to stop there and go on than to look for it everywhere. */
static inline const char *scan_value(const char *floor, const char *at, const char *end)
{
    while ((at = scan_to_control(floor, at, end)) < end && *at == '\t') {
        at++;
    }
    return at;
}

static inline const char *scan_target(const char *floor, const char *at, const char *end)
{
    SCAN_WITH(not_target, scan_target_scalar);
}

#undef SCAN_WITH

#else

static inline const char *scan_plain(const char *floor, const char *at, const char *end)
{
    (void)floor;
    return scan_plain_scalar(at, end);
}

static inline const char *scan_value(const char *floor, const char *at, const char *end)
{
    (void)floor;
    return scan_value_scalar(at, end);
}

static inline const char *scan_target(const char *floor, const char *at, const char *end)
{
    (void)floor;
    return scan_target_scalar(at, end);
}

#endif

#endif
