/* What the unit tests and the fuzzers of the parser share: memory that ends at an
 * unreadable page, and the properties that hold for any input. */
#ifndef PARSE_CHECK_H
#define PARSE_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "parse.h"

enum { GUARDED_MAX = 1 << 18, SPLIT_EVERYWHERE = 600, FEW_SPLITS = 23 };

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* A copy of the bytes behind which the next byte is a SIGSEGV. Valid until the next call. */
static inline const char *guarded(const void *data, size_t len)
{
    static char *end;
    if (end == NULL) {
        size_t page = 4096;
        char *map = mmap(NULL, GUARDED_MAX + page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(map != MAP_FAILED);
        end = map + GUARDED_MAX;
        CHECK(mprotect(end, page, PROT_NONE) == 0);
    }
    CHECK(len <= GUARDED_MAX);
    if (len > 0) {
        memcpy(end - len, data, len);
    }
    return end - len;
}

static const struct parse_limits WIDE = {8190, 8190, 100, 65536, true};
static const struct parse_limits NARROW = {40, 30, 4, 120, false};

static inline bool inside(struct slice slice, const char *data, size_t len)
{
    return slice.len == 0 || (slice.at >= data && slice.at + slice.len <= data + len);
}

static inline bool same_slice(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* What holds for every complete head. */
static inline void check_request(const struct request *r, const char *data, size_t len,
                                 const struct parse_limits *limits)
{
    CHECK(r->status == 0 && r->reason == NULL);
    CHECK(r->head_len <= len && r->head_len <= limits->head);
    CHECK(memcmp(data + r->head_len - 4, "\r\n\r\n", 4) == 0);
    CHECK(is_token(r->method.at, r->method.len));
    CHECK(inside(r->method, data, len) && inside(r->target, data, len));
    CHECK(inside(r->path, data, len) && inside(r->query, data, len) && inside(r->host, data, len));
    CHECK(r->target.len > 0 && r->minor <= 1 && r->length >= 0);
    CHECK(r->form == TARGET_AUTHORITY ? r->path.len == 0 : r->path.len > 0);
    CHECK(r->form != TARGET_ORIGIN || r->path.at[0] == '/');
    CHECK(r->form == TARGET_ORIGIN || r->form == TARGET_ASTERISK || r->host.len > 0);
    CHECK(!(r->chunked && r->has_length) && !(r->chunked && r->minor == 0));
    CHECK(r->minor == 0 || r->known[KNOWN_HOST] != 0);
    CHECK(r->count <= limits->fields && r->count <= PARSE_MAX_FIELDS);
    for (int i = 0; i < KNOWN_COUNT; i++) {
        CHECK(r->known[i] <= r->count);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        struct slice name = r->fields[i].name, value = r->fields[i].value;
        CHECK(inside(name, data, r->head_len) && inside(value, data, r->head_len));
        CHECK(is_token(name.at, name.len) && memchr(name.at, '_', name.len) == NULL);
        CHECK(is_field_value(value.at, value.len));
        CHECK(value.len == 0 || (value.at[0] != ' ' && value.at[0] != '\t' &&
                                 value.at[value.len - 1] != ' ' && value.at[value.len - 1] != '\t'));
    }
}

static inline void check_same(const struct request *a, const struct request *b)
{
    CHECK(same_slice(a->method, b->method) && same_slice(a->target, b->target));
    CHECK(same_slice(a->path, b->path) && same_slice(a->query, b->query));
    CHECK(same_slice(a->host, b->host) && a->form == b->form && a->minor == b->minor);
    CHECK(a->keep_alive == b->keep_alive && a->chunked == b->chunked && a->expect == b->expect);
    CHECK(a->upgrade == b->upgrade && a->length == b->length && a->has_length == b->has_length);
    CHECK(a->head_len == b->head_len && a->count == b->count);
    CHECK(memcmp(a->known, b->known, sizeof a->known) == 0);
    for (uint32_t i = 0; i < a->count; i++) {
        CHECK(same_slice(a->fields[i].name, b->fields[i].name));
        CHECK(same_slice(a->fields[i].value, b->fields[i].value));
    }
}

static inline size_t unfinished_line(const uint8_t *data, size_t len)
{
    size_t line = 0;
    while (line < len && data[len - 1 - line] != '\n') {
        line++;
    }
    return line;
}

/* Parses data, and then every beginning of it (of a long one some), each in memory that
 * ends where the bytes do: once an answer is there, more bytes must not change it. */
static inline enum parse_result parse_all_ways(struct request *whole, const uint8_t *data,
                                               size_t len, const struct parse_limits *limits)
{
    static struct request part;
    static uint8_t kept[GUARDED_MAX]; /* what the slices of `whole` point into */
    CHECK(len <= sizeof kept);
    if (len > 0) {
        memcpy(kept, data, len);
    }
    enum parse_result result = request_parse(whole, (const char *)kept, len, limits);
    CHECK((result == PARSE_ERROR) == (whole->status != 0 && whole->reason != NULL));
    if (result == PARSE_DONE) {
        check_request(whole, (const char *)kept, len, limits);
    }
    size_t step = len <= SPLIT_EVERYWHERE ? 1 : len / FEW_SPLITS;
    size_t start = result == PARSE_DONE ? whole->head_len : len;
    for (size_t n = 0; n <= len; n += n + step > len && n < len ? len - n : step) {
        enum parse_result got = request_parse(&part, guarded(data, n), n, limits);
        CHECK(got == PARSE_PARTIAL || got == result);
        CHECK(got != PARSE_DONE || n >= start);
        CHECK(n < start || got == result);
        CHECK(got != PARSE_PARTIAL || !parse_overdue(n, unfinished_line(data, n), limits));
        if (got == PARSE_DONE) {
            check_same(whole, &part);
        } else if (got == PARSE_ERROR) {
            CHECK(part.status == whole->status && part.reason == whole->reason);
        }
    }
    return result;
}

/* ---- chunked ------------------------------------------------------------- */

static const struct chunk_limits WIDE_CHUNKS = {4096, 16384, 65536, 100, 0};
static const struct chunk_limits NARROW_CHUNKS = {20, 24, 30, 2, 40};

struct body {
    uint8_t bytes[GUARDED_MAX];
    size_t len;
    size_t used; /* of the input, up to the end or the error */
    uint16_t status;
    const char *reason;
    bool done;
};

/* Reads pieces of [0, first), and then of `piece` bytes each. */
static inline void read_chunks(struct body *body, const uint8_t *data, size_t len, size_t first,
                               size_t piece, const struct chunk_limits *limits)
{
    struct chunked state;
    chunked_start(&state);
    body->len = body->used = 0;
    body->status = 0;
    body->reason = NULL;
    body->done = false;
    for (size_t from = 0, size = first; from < len && !body->done && body->status == 0;
         from += size, size = piece) {
        size = size < len - from ? size : len - from;
        const char *input = guarded(data + from, size);
        for (size_t at = 0; at < size;) {
            struct chunk_step step = chunked_read(&state, input + at, size - at, limits);
            CHECK(step.used <= size - at && inside(step.data, input + at, step.used));
            CHECK(step.used > 0 || step.status != 0);
            CHECK((step.status != 0) == (step.reason != NULL) && !(step.done && step.status != 0));
            if (step.data.len > 0) {
                memcpy(body->bytes + body->len, step.data.at, step.data.len);
                body->len += step.data.len;
            }
            at += step.used;
            body->used += step.used;
            body->status = step.status;
            body->reason = step.reason;
            body->done = step.done;
            if (step.done || step.status != 0) {
                break;
            }
        }
    }
    CHECK(body->len == state.total);
    CHECK(limits->body == 0 || body->len <= limits->body);
    CHECK(!body->done || memcmp(data + body->used - 2, "\r\n", 2) == 0);
}

static inline void check_same_body(const struct body *a, const struct body *b)
{
    CHECK(a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
    CHECK(a->used == b->used && a->done == b->done);
    CHECK(a->status == b->status && a->reason == b->reason);
}

/* The same body whole, byte by byte, and cut at every byte (of a long one at some). */
static inline void dechunk_all_ways(struct body *whole, const uint8_t *data, size_t len,
                                    const struct chunk_limits *limits)
{
    static struct body part;
    read_chunks(whole, data, len, len, len, limits);
    read_chunks(&part, data, len, 1, 1, limits);
    check_same_body(whole, &part);
    size_t step = len <= SPLIT_EVERYWHERE ? 1 : len / FEW_SPLITS;
    for (size_t cut = 1; cut < len; cut += step) {
        read_chunks(&part, data, len, cut, len, limits);
        check_same_body(whole, &part);
    }
}

#endif
