/* HTTP/1.1 request heads: bytes in, slices out.
 *
 * Pure C: no Python, no system call, no clock, no allocation. Nothing is copied
 * either: every slice points into the buffer that was parsed and lives as long
 * as that buffer stays where it is. The rules are those of RFC 9112 and RFC 9110;
 * what they leave ambiguous is refused.
 */
#ifndef CHAUSSETTE_PARSE_H
#define CHAUSSETTE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARSE_MAX_FIELDS 128 /* the upper bound of limits.fields */

struct slice {
    const char *at;
    uint32_t len;
};

struct field {
    struct slice name;  /* a token, as it came */
    struct slice value; /* without the whitespace around it; may be empty */
};

struct parse_limits {
    uint32_t request_line; /* bytes, without CRLF; 414 past it */
    uint32_t field_line;   /* bytes, without CRLF; 431 past it */
    uint32_t fields;       /* how many, at most PARSE_MAX_FIELDS; 431 past it */
    uint32_t head;         /* bytes of the whole head; 431 past it */
    bool drop_underscore;  /* fields whose name has '_': left out (true) or refused with 400 */
};

enum parse_result {
    PARSE_PARTIAL, /* nothing is wrong so far, the head is not complete */
    PARSE_DONE,
    PARSE_ERROR, /* see request.status and request.reason */
};

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

/* Fields that the server itself reads; known[] has their index + 1, or 0. */
enum known_field {
    KNOWN_HOST,
    KNOWN_CONTENT_LENGTH,
    KNOWN_CONTENT_TYPE,
    KNOWN_TRANSFER_ENCODING,
    KNOWN_CONNECTION,
    KNOWN_EXPECT,
    KNOWN_UPGRADE,
    KNOWN_COUNT
};

struct request {
    /* after PARSE_DONE */
    struct slice method;
    struct slice target; /* as it came */
    struct slice path;   /* of the target, still percent-encoded; "" of an authority, "*" of an asterisk */
    struct slice query;  /* without '?'; empty when there is none */
    struct slice host;   /* the effective authority: of the target if it has one, else Host's; may be empty */
    enum target_form form;
    uint8_t minor;      /* HTTP/1.<minor>: 0, or 1 for anything above */
    bool keep_alive;    /* the connection persists after this message, by version and Connection */
    bool chunked;       /* the body is chunked */
    bool expect;        /* Expect: 100-continue, from HTTP/1.1 */
    bool upgrade;       /* Connection: upgrade and Upgrade are there */
    int64_t length;     /* Content-Length; 0 when there is none; meaningless when chunked */
    bool has_length;    /* Content-Length was given */
    uint32_t head_len;  /* bytes of the head with its last CRLF, leading CRLFs counted */
    uint32_t count;     /* of fields[] */
    uint8_t known[KNOWN_COUNT];
    /* after PARSE_ERROR */
    uint16_t status;    /* 400, 414, 417, 431, 501 or 505 */
    const char *reason; /* one line for the log; static text */
    struct field fields[PARSE_MAX_FIELDS]; /* last: only the first `count` are ever written */
};

/* Parses one request head at the start of `data`. Reads no byte past `len`.
 *
 * On PARSE_PARTIAL call again with the same bytes and more behind them. A caller
 * that has been told PARTIAL may wait until the new bytes hold a line feed, or
 * until parse_overdue(): nothing else can change the answer but an error that
 * will be found then, too. An error is the same, whatever pieces the bytes came in. */
enum parse_result request_parse(struct request *request, const char *data, size_t len,
                                const struct parse_limits *limits);

/* Whether `len` unfinished bytes, of which the last `line` are an unfinished line,
 * are too many already, so that request_parse() should be asked now. */
bool parse_overdue(size_t len, size_t line, const struct parse_limits *limits);

/* ---- chunked bodies (RFC 9112 section 7.1) ------------------------------ */

enum chunk_phase {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER,
    CHUNK_END,
};

struct chunked {
    uint64_t left;     /* of the chunk under way */
    uint64_t total;    /* bytes of data so far */
    uint32_t line;     /* bytes of the size line or trailer line so far */
    uint32_t extra;    /* bytes of extensions so far, over all chunks */
    uint32_t trailers; /* bytes of the trailer section so far */
    uint16_t fields;   /* trailer fields so far */
    uint8_t digits;    /* of the chunk size so far */
    uint8_t phase;     /* enum chunk_phase */
    uint8_t part;      /* where within a trailer line or an extension */
};

struct chunk_limits {
    uint32_t size_line;  /* bytes of one size line with its extension; 400 */
    uint32_t extensions; /* bytes of extensions over the whole body; 400 */
    uint32_t trailers;   /* bytes of the trailer section; 431 */
    uint32_t fields;     /* trailer fields; 431 */
    uint64_t body;       /* bytes of data; 0: no limit; 413 */
};

struct chunk_step {
    size_t used;        /* bytes of the input that are done with */
    struct slice data;  /* body bytes within the input, or empty */
    bool done;          /* the body and its trailers are complete */
    uint16_t status;    /* 0, or the error: 400, 413 or 431 */
    const char *reason; /* static text, with status */
};

void chunked_start(struct chunked *state);

/* One step: some framing, and then at most one run of data. Call until `used` is
 * all of the input, `done` or `status`. Trailers are checked as strictly as fields, and dropped. */
struct chunk_step chunked_read(struct chunked *state, const char *data, size_t len,
                               const struct chunk_limits *limits);

/* ---- small things that both sides use ------------------------------------ */

/* Comparison with a lower-case constant of the same length, case-insensitive, ASCII only. */
bool slice_folds(struct slice text, const char *lower);

/* The same with the length looked at first: nearly all comparisons end there. */
static inline bool slice_is(struct slice text, const char *lower, size_t len)
{
    return text.len == len && slice_folds(text, lower);
}

/* Writes a name in lower case to `lower` (name.len bytes), and returns a hash of that: FNV-1a. */
uint32_t name_fold(struct slice name, char *lower);

/* Decodes %XX of a path into `out` (at least path.len bytes); the length written.
 * -1 when an escape is malformed or stands for NUL. */
int64_t path_decode(struct slice path, char *out);

/* Whether text is a token (RFC 9110 section 5.6.2). Empty is not. */
bool is_token(const char *text, size_t len);

/* Whether text is a legal field value (RFC 9110 section 5.5): no control character but HTAB. */
bool is_field_value(const char *text, size_t len);

#endif
