/* permessage-deflate over zlib (RFC 7692 section 7.2): see websocket.h.
 *
 * Built with CHAUSSETTE_ZLIB where zlib is there. Without it ws_has_deflate() says so, no
 * extension is agreed on, and the rest is never called. */
#include "ws_parts.h"

#ifndef CHAUSSETTE_ZLIB

bool ws_has_deflate(void)
{
    return false;
}

enum ws_inflated ws_inflate(struct ws_receiver *receiver, const uint8_t *data, size_t len,
                            bool last)
{
    (void)receiver, (void)data, (void)len, (void)last;
    return WS_INFLATE_BAD;
}

void ws_inflater_free(struct ws_inflater *inflater)
{
    (void)inflater;
}

struct ws_deflater *ws_deflater_new(uint8_t bits, struct ws_deflate_level level)
{
    (void)bits, (void)level;
    return NULL;
}

void ws_deflater_free(struct ws_deflater *deflater)
{
    (void)deflater;
}

uint8_t ws_deflater_bits(const struct ws_deflater *deflater)
{
    (void)deflater;
    return 0;
}

bool ws_deflate(struct ws_deflater *deflater, const uint8_t *data, size_t len, bool takeover,
                struct ws_buffer *out)
{
    (void)deflater, (void)data, (void)len, (void)takeover, (void)out;
    return false;
}

#else

#define ZLIB_CONST
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { RUN = 1 << 30, LEAST_ROOM = 1024, BLOCK_TYPE = 128, UNUSED_BITS = 63 };

static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff}; /* RFC 7692 section 7.2.1 */

struct ws_inflater {
    z_stream stream;
    bool ended; /* the last block had BFINAL, and nothing came behind it */
};

struct ws_deflater {
    z_stream stream;
    uint8_t bits;
};

bool ws_has_deflate(void)
{
    return true;
}

/* ---- receiving -------------------------------------------------------------- */

static struct ws_inflater *inflater_new(uint8_t bits)
{
    struct ws_inflater *inflater = calloc(1, sizeof *inflater);
    /* A window of 256 bytes is what zlib's own deflate does not keep to: 512 are as good. */
    int window = bits < 9 ? 9 : bits;
    if (inflater != NULL && inflateInit2(&inflater->stream, -window) != Z_OK) {
        free(inflater);
        return NULL;
    }
    return inflater;
}

void ws_inflater_free(struct ws_inflater *inflater)
{
    if (inflater != NULL) {
        inflateEnd(&inflater->stream);
        free(inflater);
    }
}

/* One call of inflate() into the message, or past its limit into nothing. zlib's result, or
 * Z_VERSION_ERROR when the limit is passed, or Z_MEM_ERROR. */
static int inflate_some(struct ws_receiver *receiver, z_stream *stream)
{
    struct ws_buffer *message = &receiver->message;
    uint64_t allowed = receiver->limit - message->len;
    uint8_t spare;
    uInt room = 1;
    if (allowed == 0) {
        stream->next_out = &spare;
    } else {
        uint64_t wanted = LEAST_ROOM + 2 * (uint64_t)stream->avail_in;
        wanted = wanted < allowed ? wanted : allowed;
        if (message->len == message->room && !ws_buffer_reserve(message, (size_t)wanted)) {
            return Z_MEM_ERROR;
        }
        uint64_t have = message->room - message->len;
        have = have < allowed ? have : allowed;
        room = have < RUN ? (uInt)have : RUN;
        stream->next_out = message->at + message->len;
    }
    stream->avail_out = room;
    int result = inflate(stream, Z_SYNC_FLUSH);
    if (allowed == 0) {
        return stream->avail_out == 0 ? Z_VERSION_ERROR : result;
    }
    message->len += room - stream->avail_out;
    return result;
}

/* The bytes at stream->next_in to their end. */
static enum ws_inflated inflate_all(struct ws_receiver *receiver, struct ws_inflater *inflater)
{
    z_stream *stream = &inflater->stream;
    for (;;) {
        switch (inflate_some(receiver, stream)) {
        case Z_STREAM_END: /* BFINAL: what follows is DEFLATE again, and may refer to the window */
            if (inflateResetKeep(stream) != Z_OK) {
                return WS_INFLATE_BAD;
            }
            inflater->ended = stream->avail_in == 0;
            if (inflater->ended) {
                return WS_INFLATED;
            }
            break;
        case Z_OK:
            if (stream->avail_in == 0 && stream->avail_out > 0) {
                return WS_INFLATED;
            }
            break;
        case Z_BUF_ERROR:
            return WS_INFLATED;
        case Z_VERSION_ERROR:
            return WS_INFLATE_TOO_BIG;
        case Z_MEM_ERROR:
            return WS_INFLATE_NO_MEMORY;
        default:
            return WS_INFLATE_BAD;
        }
    }
}

static enum ws_inflated inflate_run(struct ws_receiver *receiver, const uint8_t *data, uInt len)
{
    struct ws_inflater *inflater = receiver->inflater;
    if (len == 0) {
        return WS_INFLATED;
    }
    inflater->ended = false;
    inflater->stream.next_in = data;
    inflater->stream.avail_in = len;
    return inflate_all(receiver, inflater);
}

/* The end of a message: with the bytes that its sender left out it has to end with a block. */
static enum ws_inflated inflate_end(struct ws_receiver *receiver)
{
    struct ws_inflater *inflater = receiver->inflater;
    if (!inflater->ended) {
        enum ws_inflated result = inflate_run(receiver, tail, sizeof tail);
        int state = inflater->stream.data_type;
        if (result != WS_INFLATED) {
            return result;
        }
        if ((state & BLOCK_TYPE) == 0 || (state & UNUSED_BITS) != 0) {
            return WS_INFLATE_BAD;
        }
    }
    inflater->ended = false;
    if (!receiver->takeover) {
        inflateReset(&inflater->stream);
    }
    return WS_INFLATED;
}

enum ws_inflated ws_inflate(struct ws_receiver *receiver, const uint8_t *data, size_t len,
                            bool last)
{
    if (receiver->inflater == NULL) {
        receiver->inflater = inflater_new(receiver->bits);
    }
    if (receiver->inflater == NULL) {
        return WS_INFLATE_NO_MEMORY;
    }
    enum ws_inflated result = WS_INFLATED;
    for (size_t at = 0; at < len && result == WS_INFLATED;) {
        uInt run = len - at < RUN ? (uInt)(len - at) : RUN;
        result = inflate_run(receiver, data + at, run);
        at += run;
    }
    return last && result == WS_INFLATED ? inflate_end(receiver) : result;
}

/* ---- sending ---------------------------------------------------------------- */

struct ws_deflater *ws_deflater_new(uint8_t bits, struct ws_deflate_level level)
{
    struct ws_deflater *deflater = calloc(1, sizeof *deflater);
    if (deflater == NULL) {
        return NULL;
    }
    deflater->bits = bits;
    if (deflateInit2(&deflater->stream, level.level, Z_DEFLATED, -bits, level.memory,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(deflater);
        return NULL;
    }
    return deflater;
}

void ws_deflater_free(struct ws_deflater *deflater)
{
    if (deflater != NULL) {
        deflateEnd(&deflater->stream);
        free(deflater);
    }
}

uint8_t ws_deflater_bits(const struct ws_deflater *deflater)
{
    return deflater->bits;
}

/* Up to RUN bytes; `flush` is how they end. False without memory. */
static bool deflate_run(z_stream *stream, const uint8_t *data, uInt len, int flush,
                        struct ws_buffer *out)
{
    stream->next_in = data;
    stream->avail_in = len;
    do {
        uLong wanted = deflateBound(stream, stream->avail_in) + LEAST_ROOM;
        if (!ws_buffer_reserve(out, wanted)) {
            return false;
        }
        size_t room = out->room - out->len;
        stream->next_out = out->at + out->len;
        stream->avail_out = room < RUN ? (uInt)room : RUN;
        uInt before = stream->avail_out;
        int result = deflate(stream, flush);
        out->len += before - stream->avail_out;
        if (result != Z_OK && result != Z_BUF_ERROR) { /* the latter: there was nothing to do */
            return false;
        }
    } while (stream->avail_out == 0);
    return true;
}

bool ws_deflate(struct ws_deflater *deflater, const uint8_t *data, size_t len, bool takeover,
                struct ws_buffer *out)
{
    size_t start = out->len, at = 0;
    do {
        uInt run = len - at < RUN ? (uInt)(len - at) : RUN;
        int flush = at + run == len ? Z_SYNC_FLUSH : Z_NO_FLUSH;
        if (!deflate_run(&deflater->stream, data + at, run, flush, out)) {
            out->len = start;
            return false;
        }
        at += run;
    } while (at < len);
    if (out->len - start > sizeof tail) {
        out->len -= sizeof tail;
    } else { /* an empty message behind another one: RFC 7692 section 7.2.3.6 */
        out->len = start;
        out->at[out->len++] = 0;
    }
    return takeover || deflateReset(&deflater->stream) == Z_OK;
}

#endif
