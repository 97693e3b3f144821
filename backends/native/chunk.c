/* Chunked bodies, byte by byte but for the data (RFC 9112 section 7.1).
 *
 * The state holds all that was read so far, so a message may be cut anywhere. Where
 * the grammar allows "bad whitespace" (around ';' and '=' of an extension) there is
 * none here: nobody sends it, and readers disagree about it. */
#include <string.h>

#include "parse.h"
#include "scan.h"
#include "token.h"

#define SIZE_DIGITS 16

enum extension_part {
    EXT_NAME_FIRST,
    EXT_NAME,
    EXT_VALUE_FIRST,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_QUOTED_END,
};

enum trailer_part {
    TRAILER_FIRST, /* the first byte of a line: of a name, or the CR that ends it all */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    TRAILER_LAST_LF,
};

static bool fail(struct chunk_step *step, uint16_t status, const char *reason)
{
    step->status = status;
    step->reason = reason;
    return false;
}

void chunked_start(struct chunked *state)
{
    memset(state, 0, sizeof *state);
}

static void start_size(struct chunked *state)
{
    state->phase = CHUNK_SIZE;
    state->line = 0;
    state->digits = 0;
    state->left = 0;
}

/* One byte more on the size line. */
static bool count_line(struct chunked *state, const struct chunk_limits *limits,
                       struct chunk_step *step)
{
    return ++state->line <= limits->size_line || fail(step, 400, "a chunk's size line is too long");
}

static bool take_size(struct chunked *state, char c, const struct chunk_limits *limits,
                      struct chunk_step *step)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        if (state->digits == SIZE_DIGITS || state->left > (UINT64_C(1) << 59) - 1) {
            return fail(step, 400, "a chunk's size is too large");
        }
        state->digits++;
        state->left = state->left << 4 | (uint64_t)digit;
        return count_line(state, limits, step);
    }
    if (state->digits == 0) {
        return fail(step, 400, "a chunk without size");
    }
    if (c == '\r') {
        state->phase = CHUNK_SIZE_LF;
        return true;
    }
    if (c != ';') {
        return fail(step, 400, "a chunk's size is not a hexadecimal number");
    }
    state->phase = CHUNK_EXTENSION;
    state->part = EXT_NAME_FIRST;
    return ++state->extra <= limits->extensions
               ? count_line(state, limits, step)
               : fail(step, 400, "chunk extensions are too long");
}

/* What comes after `c`, which cannot belong to what `part` has read. -1: it may not. */
static int after_extension(char c, bool named)
{
    if (c == ';') {
        return EXT_NAME_FIRST;
    }
    return c == '=' && named ? EXT_VALUE_FIRST : -1;
}

/* The part that follows `part` and `c`, or -1: *( ";" token [ "=" ( token / quoted-string ) ] ). */
static int next_part(enum extension_part part, char c)
{
    switch (part) {
    case EXT_NAME_FIRST:
        return has_class(c, CLASS_TOKEN) ? EXT_NAME : -1;
    case EXT_NAME:
        return has_class(c, CLASS_TOKEN) ? EXT_NAME : after_extension(c, true);
    case EXT_VALUE_FIRST:
        return c == '"' ? EXT_QUOTED : has_class(c, CLASS_TOKEN) ? EXT_VALUE : -1;
    case EXT_VALUE:
        return has_class(c, CLASS_TOKEN) ? EXT_VALUE : after_extension(c, false);
    case EXT_QUOTED:
        if (c == '"' || c == '\\') {
            return c == '"' ? EXT_QUOTED_END : EXT_ESCAPED;
        }
        return has_class(c, CLASS_VALUE) ? EXT_QUOTED : -1;
    case EXT_ESCAPED:
        return has_class(c, CLASS_VALUE) ? EXT_QUOTED : -1;
    case EXT_QUOTED_END:
        return after_extension(c, false);
    }
    return -1;
}

static bool take_extension(struct chunked *state, char c, const struct chunk_limits *limits,
                           struct chunk_step *step)
{
    enum extension_part part = (enum extension_part)state->part;
    if (c == '\r' && (part == EXT_NAME || part == EXT_VALUE || part == EXT_QUOTED_END)) {
        state->phase = CHUNK_SIZE_LF;
        return true;
    }
    int next = next_part(part, c);
    if (next < 0) {
        return fail(step, 400, "a malformed chunk extension");
    }
    state->part = (uint8_t)next;
    return ++state->extra <= limits->extensions
               ? count_line(state, limits, step)
               : fail(step, 400, "chunk extensions are too long");
}

/* The LF of a size line: the size is known. */
static bool take_size_lf(struct chunked *state, char c, const struct chunk_limits *limits,
                         struct chunk_step *step)
{
    if (c != '\n') {
        return fail(step, 400, "a carriage return without line feed in a chunk's size line");
    }
    if (limits->body > 0 && (state->total > limits->body ||
                             state->left > limits->body - state->total)) {
        return fail(step, 413, "the body is too large");
    }
    state->phase = state->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
    state->part = TRAILER_FIRST;
    return true;
}

/* The first byte of a trailer line. */
static bool start_trailer(struct chunked *state, char c, const struct chunk_limits *limits,
                          struct chunk_step *step)
{
    if (c == '\r') {
        state->part = TRAILER_LAST_LF;
        return true;
    }
    if (!has_class(c, CLASS_TOKEN)) {
        return fail(step, 400, "a trailer field without name");
    }
    if (state->fields == limits->fields) {
        return fail(step, 431, "too many trailer fields");
    }
    state->fields++;
    state->part = TRAILER_NAME;
    return ++state->trailers <= limits->trailers || fail(step, 431, "the trailers are too large");
}

static bool take_trailer(struct chunked *state, char c, const struct chunk_limits *limits,
                         struct chunk_step *step)
{
    switch ((enum trailer_part)state->part) {
    case TRAILER_FIRST:
        return start_trailer(state, c, limits, step);
    case TRAILER_NAME:
        if (c == ':') {
            state->part = TRAILER_VALUE;
        } else if (!has_class(c, CLASS_TOKEN)) {
            return fail(step, 400, "a trailer field's name is not a token");
        }
        break;
    case TRAILER_VALUE:
        if (c == '\r') {
            state->part = TRAILER_LF;
        } else if (!has_class(c, CLASS_VALUE)) {
            return fail(step, 400, "a control character in a trailer field");
        }
        break;
    case TRAILER_LF:
        if (c != '\n') {
            return fail(step, 400, "a carriage return without line feed in a trailer field");
        }
        state->part = TRAILER_FIRST;
        break;
    case TRAILER_LAST_LF:
        if (c != '\n') {
            return fail(step, 400, "a carriage return without line feed behind the trailers");
        }
        state->phase = CHUNK_END;
        return true;
    }
    return ++state->trailers <= limits->trailers || fail(step, 431, "the trailers are too large");
}

/* One byte of framing. False when step has an error; the byte is not taken then. */
static bool take_byte(struct chunked *state, char c, const struct chunk_limits *limits,
                      struct chunk_step *step)
{
    switch ((enum chunk_phase)state->phase) {
    case CHUNK_SIZE:
        return take_size(state, c, limits, step);
    case CHUNK_EXTENSION:
        return take_extension(state, c, limits, step);
    case CHUNK_SIZE_LF:
        return take_size_lf(state, c, limits, step);
    case CHUNK_DATA_CR:
        if (c != '\r') {
            return fail(step, 400, "a chunk is longer than its size");
        }
        state->phase = CHUNK_DATA_LF;
        return true;
    case CHUNK_DATA_LF:
        if (c != '\n') {
            return fail(step, 400, "a carriage return without line feed behind a chunk");
        }
        start_size(state);
        return true;
    case CHUNK_TRAILER:
        return take_trailer(state, c, limits, step);
    case CHUNK_DATA:
    case CHUNK_END:
        break;
    }
    return true;
}

static void take_data(struct chunked *state, const char *data, size_t len, struct chunk_step *step)
{
    uint64_t run = len - step->used;
    run = run < state->left ? run : state->left;
    run = run < INT32_MAX ? run : INT32_MAX;
    step->data = (struct slice){data + step->used, (uint32_t)run};
    step->used += run;
    state->total += run;
    state->left -= run;
    if (state->left == 0) {
        state->phase = CHUNK_DATA_CR;
    }
}

struct chunk_step chunked_read(struct chunked *state, const char *data, size_t len,
                               const struct chunk_limits *limits)
{
    struct chunk_step step = {.data = {data, 0}};
    while (step.used < len && state->phase != CHUNK_END) {
        if (state->phase == CHUNK_DATA) {
            take_data(state, data, len, &step);
            return step;
        }
        if (!take_byte(state, data[step.used], limits, &step)) {
            return step;
        }
        step.used++;
    }
    step.done = state->phase == CHUNK_END;
    return step;
}
