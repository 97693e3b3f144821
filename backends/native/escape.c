#include "escape.h"
#include "token.h"

#include <string.h>

#if defined(__SSE2__) && !defined(SCAN_SCALAR)
#include <emmintrin.h>
#endif

static const char HEX[] = "0123456789abcdef";

static bool plain(unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

/* Copies eight bytes when all are plain; true when it did. Needs eight bytes of room. */
static bool copy_eight(char *out, const char *from)
{
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    uint64_t word;
    memcpy(&word, from, 8);
    /* Each test may have false alarms above the first real hit, never below: enough to say "none". */
    uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\', del = word ^ ones * 0x7f;
    uint64_t hit = (word - ones * 0x20) | (quote - ones) | (slash - ones) | (del - ones);
    if ((hit | word) & high)
        return false;
    memcpy(out, &word, 8);
    return true;
}

/* Copies the leading run of plain bytes that fits; its length. */
static size_t copy_plain(char *out, size_t room, const char *from, size_t len)
{
    size_t at = 0, most = len < room ? len : room;
#if defined(__SSE2__) && !defined(SCAN_SCALAR)
    const __m128i low = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f);
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    for (; most - at >= 16; at += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(from + at));
        /* Signed: what is above 0x7f counts as negative, and is not greater than 0x1f. */
        __m128i good = _mm_cmpgt_epi8(block, low);
        __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(block, del),
                                   _mm_or_si128(_mm_cmpeq_epi8(block, quote),
                                                _mm_cmpeq_epi8(block, slash)));
        if (_mm_movemask_epi8(_mm_andnot_si128(bad, good)) != 0xffff)
            break;
        _mm_storeu_si128((__m128i *)(out + at), block);
    }
#endif
    for (; most - at >= 8 && copy_eight(out + at, from + at); at += 8)
        ;
    for (; at < most && plain((unsigned char)from[at]); at++)
        out[at] = from[at];
    return at;
}

/* An escape that does not fit is cut like everything else: what follows it then cannot fit. */
static char *put_escaped(char *out, const char *end, unsigned char c)
{
    char escape[4] = {'\\', 'x', HEX[c >> 4], HEX[c & 15]};
    size_t len = 4, room = (size_t)(end - out);
    if (c == '"' || c == '\\') {
        escape[1] = (char)c;
        len = 2;
    }
    len = len < room ? len : room;
    memcpy(out, escape, len);
    return out + len;
}

char *escape_text(char *out, const char *end, struct slice text)
{
    for (size_t at = 0; at < text.len; at++) {
        size_t run = copy_plain(out, (size_t)(end - out), text.at + at, text.len - at);
        out += run;
        at += run;
        if (at == text.len || out == end)
            return out;
        out = put_escaped(out, end, (unsigned char)text.at[at]);
    }
    return out;
}

char *escape_path(char *out, const char *end, struct slice path)
{
    while (path.len) {
        const char *sign = memchr(path.at, '%', path.len);
        uint32_t run = sign ? (uint32_t)(sign - path.at) : path.len;
        if (run) {
            out = escape_text(out, end, (struct slice){path.at, run});
        } else {
            int high = path.len > 2 ? hex_value(path.at[1]) : -1;
            int low = high < 0 ? -1 : hex_value(path.at[2]);
            run = low < 0 ? 1 : 3;
            char c = (char)(low < 0 ? '%' : high << 4 | low);
            out = escape_text(out, end, (struct slice){&c, 1});
        }
        path.at += run;
        path.len -= run;
    }
    return out;
}

/* Bytes of the UTF-8 sequence at text, 0 when it is none (RFC 3629: no overlong form, no
 * surrogate, nothing past U+10FFFF). */
static size_t utf8_len(const unsigned char *text, size_t len)
{
    unsigned char first = text[0];
    size_t need = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (need == 0 || need > len || first > 0xf4)
        return 0;
    for (size_t at = 1; at < need; at++)
        if ((text[at] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f))
        return 0;
    return need;
}

static char *put_unit(char *out, const char *end, unsigned char c)
{
    if (end - out < 6)
        return NULL;
    memcpy(out, "\\u00", 4);
    out[4] = HEX[c >> 4];
    out[5] = HEX[c & 15];
    return out + 6;
}

/* One character that is not plain; *used becomes its bytes. NULL when it does not fit. */
static char *put_json(char *out, const char *end, const char *text, size_t len, size_t *used)
{
    const unsigned char *byte = (const unsigned char *)text;
    size_t need = utf8_len(byte, len);
    *used = 1;
    if (byte[0] == '"' || byte[0] == '\\')
        return end - out < 2 ? NULL : put_escaped(out, end, byte[0]);
    if (need == 2 && byte[0] == 0xc2 && byte[1] < 0xa0) { /* C1: terminals obey them, too */
        *used = 2;
        return put_unit(out, end, byte[1]);
    }
    if (need < 2)
        return put_unit(out, end, byte[0]);
    if ((size_t)(end - out) < need)
        return NULL;
    *used = need;
    memcpy(out, text, need);
    return out + need;
}

char *escape_json(char *out, const char *end, struct slice text)
{
    size_t used;
    for (size_t at = 0; at < text.len; at += used) {
        size_t run = copy_plain(out, (size_t)(end - out), text.at + at, text.len - at);
        out += run;
        at += run;
        if (at == text.len || out == end)
            return out;
        char *next = put_json(out, end, text.at + at, text.len - at, &used);
        if (!next)
            return out;
        out = next;
    }
    return out;
}
