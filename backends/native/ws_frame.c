/* Receiving frames (RFC 6455 section 5): see websocket.h. */
#include <string.h>

#include "ws_parts.h"

enum ws_phase { PHASE_HEAD, PHASE_PAYLOAD, PHASE_OVER };

enum {
    FIN = 0x80,
    RSV1 = 0x40,
    RSV2_RSV3 = 0x30,
    OPCODE = 0x0f,
    CONTROL = 0x08,
    MASKED = 0x80,
    LENGTH = 0x7f,
    EAGER = 16384, /* room made for a frame that is announced, whatever of it has come */
};

struct frame {
    uint64_t len;
    const char *reason; /* of an error, with code */
    uint16_t code;
    uint8_t size; /* of the head; 0: it is not complete */
};

static void start(struct ws_receiver *receiver, uint64_t limit,
                  const struct ws_extension *extension)
{
    uint64_t most = PTRDIFF_MAX / 2;
    memset(receiver, 0, offsetof(struct ws_receiver, control));
    receiver->limit = limit == 0 || limit > most ? most : limit;
    receiver->deflate = extension != NULL && extension->deflate && ws_has_deflate();
}

void ws_receiver_start(struct ws_receiver *receiver, uint64_t limit,
                       const struct ws_extension *extension)
{
    start(receiver, limit, extension);
    receiver->masked = true;
    if (receiver->deflate) {
        receiver->bits = extension->client_bits;
        receiver->takeover = !extension->client_no_takeover;
    }
}

void ws_receiver_start_client(struct ws_receiver *receiver, uint64_t limit,
                              const struct ws_extension *extension)
{
    start(receiver, limit, extension);
    if (receiver->deflate) {
        receiver->bits = extension->server_bits;
        receiver->takeover = !extension->server_no_takeover;
    }
}

void ws_receiver_free(struct ws_receiver *receiver)
{
    ws_buffer_free(&receiver->message);
    ws_inflater_free(receiver->inflater);
    receiver->inflater = NULL;
    receiver->given = false;
}

static void release_message(struct ws_receiver *receiver)
{
    if (receiver->given) {
        receiver->message.len = 0;
        receiver->given = false;
    }
}

void ws_settle(struct ws_receiver *receiver)
{
    release_message(receiver);
    if (receiver->opcode != 0) {
        return;
    }
    if (receiver->message.room > WS_KEEP_ROOM) {
        ws_buffer_free(&receiver->message);
    }
    if (!receiver->takeover) {
        ws_inflater_free(receiver->inflater);
        receiver->inflater = NULL;
    }
}

static enum ws_kind fail(struct ws_receiver *receiver, struct ws_event *event, uint16_t code,
                         const char *reason)
{
    ws_receiver_free(receiver);
    receiver->phase = PHASE_OVER;
    *event = (struct ws_event){.kind = WS_ERROR, .code = code, .reason = reason};
    return WS_ERROR;
}

/* ---- heads ------------------------------------------------------------------ */

static const char *check_first(const struct ws_receiver *receiver, uint8_t first)
{
    uint8_t opcode = first & OPCODE;
    if ((first & RSV2_RSV3) != 0 || ((first & RSV1) != 0 && !receiver->deflate)) {
        return "a reserved bit is set";
    }
    if ((opcode & ~CONTROL) > WS_OP_BINARY) {
        return "an opcode that is not known";
    }
    if ((opcode & CONTROL) != 0) {
        return (first & FIN) == 0    ? "a control frame in fragments"
               : (first & RSV1) != 0 ? "a compressed control frame"
                                     : NULL;
    }
    if (opcode != WS_OP_CONTINUATION) {
        return receiver->opcode != 0 ? "a message within a message" : NULL;
    }
    return receiver->opcode == 0 ? "a continuation of no message"
           : (first & RSV1) != 0 ? "a continuation with the bit of a compressed message"
                                 : NULL;
}

/* Whether a frame of this length would make its message too big. A compressed one may be somewhat
 * longer than what it holds. */
static bool too_big(const struct ws_receiver *receiver, uint8_t first, uint64_t len)
{
    if ((first & CONTROL) != 0) {
        return false;
    }
    bool goes_on = (first & OPCODE) == WS_OP_CONTINUATION;
    bool compressed = goes_on ? receiver->compressed : (first & RSV1) != 0;
    uint64_t limit = receiver->limit;
    limit += compressed ? limit / 8 + 1024 : 0;
    return len > limit - (goes_on ? receiver->total : 0);
}

static uint64_t big_endian(const uint8_t *at, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

/* The extended length, of `len` bytes. */
static const char *check_length(uint64_t value, size_t len)
{
    if (value < (len == 2 ? 126 : 65536)) {
        return "a length that is not written in the shortest form";
    }
    return value >> 63 != 0 ? "a length of 64 bits" : NULL;
}

/* What `have` bytes of a head say: an error as soon as there is one. */
static struct frame read_head(const struct ws_receiver *receiver, const uint8_t *at, size_t have)
{
    struct frame frame = {.code = WS_CODE_PROTOCOL};
    if (have == 0 || (frame.reason = check_first(receiver, at[0])) != NULL || have < 2) {
        return frame;
    }
    size_t size = 2;
    if (((at[1] & MASKED) != 0) != receiver->masked) {
        frame.reason = receiver->masked ? "a frame that is not masked" : "a masked frame";
        return frame;
    }
    frame.len = at[1] & LENGTH;
    if (frame.len > WS_CONTROL_MAX) {
        if ((at[0] & CONTROL) != 0) {
            frame.reason = "a control frame that is too long";
            return frame;
        }
        size_t more = frame.len == 126 ? 2 : 8;
        size += more;
        if (have < size) {
            return frame;
        }
        frame.len = big_endian(at + 2, more);
        frame.reason = check_length(frame.len, more);
    }
    if (frame.reason == NULL && too_big(receiver, at[0], frame.len)) {
        frame.reason = "a message that is too big";
        frame.code = WS_CODE_TOO_BIG;
    }
    size += receiver->masked ? 4 : 0;
    frame.size = have >= size && frame.reason == NULL ? (uint8_t)size : 0;
    return frame;
}

static void start_frame(struct ws_receiver *receiver, const uint8_t *head, struct frame frame)
{
    receiver->first = head[0];
    receiver->left = frame.len;
    receiver->phase = PHASE_PAYLOAD;
    receiver->have = 0;
    if (receiver->masked) {
        memcpy(receiver->mask, head + frame.size - 4, 4);
    }
    if ((head[0] & CONTROL) != 0) {
        receiver->have_control = 0;
        return;
    }
    if ((head[0] & OPCODE) != WS_OP_CONTINUATION) {
        receiver->opcode = head[0] & OPCODE;
        receiver->compressed = (head[0] & RSV1) != 0;
        receiver->ascii = true;
        receiver->total = 0;
        receiver->utf8 = 0;
    }
    receiver->total += frame.len;
}

/* Takes bytes of a head off the input. WS_ERROR, or WS_NOTHING; the phase says whether it is
 * complete. */
static enum ws_kind take_head(struct ws_receiver *receiver, const uint8_t *data, size_t len,
                              size_t *at, struct ws_event *event)
{
    struct frame frame = {0};
    const uint8_t *head = data + *at;
    if (receiver->have == 0) {
        frame = read_head(receiver, head, len - *at);
        if (frame.size > 0) {
            *at += frame.size;
            start_frame(receiver, head, frame);
            return WS_NOTHING;
        }
    }
    head = receiver->head;
    while (frame.reason == NULL && *at < len) {
        receiver->head[receiver->have++] = data[(*at)++];
        frame = read_head(receiver, head, receiver->have);
        if (frame.size > 0) {
            start_frame(receiver, head, frame);
            return WS_NOTHING;
        }
    }
    return frame.reason == NULL ? WS_NOTHING : fail(receiver, event, frame.code, frame.reason);
}

/* ---- control frames --------------------------------------------------------- */

bool ws_code_is_legal(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_kind take_close(struct ws_receiver *receiver, uint8_t *payload, size_t len,
                               struct ws_event *event)
{
    uint32_t state = 0;
    uint16_t code = WS_CODE_NONE;
    if (len == 1) {
        return fail(receiver, event, WS_CODE_PROTOCOL, "a close frame with half a code");
    }
    if (len > 0) {
        code = (uint16_t)big_endian(payload, 2);
        if (!ws_code_is_legal(code)) {
            return fail(receiver, event, WS_CODE_PROTOCOL, "a close code that is not allowed");
        }
        payload += 2;
        len -= 2;
    }
    if (!ws_utf8(&state, payload, len) || state != 0) {
        return fail(receiver, event, WS_CODE_DATA, "a close reason that is not UTF-8");
    }
    ws_receiver_free(receiver);
    receiver->phase = PHASE_OVER;
    *event = (struct ws_event){.kind = WS_CLOSE, .code = code, .data = payload, .len = len};
    return WS_CLOSE;
}

static enum ws_kind take_control(struct ws_receiver *receiver, uint8_t *data, size_t len,
                                 struct ws_event *event)
{
    bool whole = receiver->have_control == 0 && len == receiver->left;
    uint8_t *payload = whole ? data : receiver->control;
    ws_unmask(payload + receiver->have_control, data, len, receiver->mask);
    receiver->have_control += (uint8_t)len;
    receiver->left -= len;
    if (receiver->left > 0) {
        return WS_NOTHING;
    }
    receiver->phase = PHASE_HEAD;
    size_t size = receiver->have_control;
    if ((receiver->first & OPCODE) == WS_OP_CLOSE) {
        return take_close(receiver, payload, size, event);
    }
    bool ping = (receiver->first & OPCODE) == WS_OP_PING;
    *event = (struct ws_event){.kind = ping ? WS_PING : WS_PONG, .data = payload, .len = size};
    return event->kind;
}

/* ---- messages --------------------------------------------------------------- */

/* Whether more of a message may be text, if it has to be. */
static bool check_text(struct ws_receiver *receiver, const uint8_t *at, size_t len, bool ascii)
{
    if (receiver->opcode != WS_OP_TEXT || (ascii && receiver->utf8 == 0)) {
        return true;
    }
    receiver->ascii = false;
    return ws_utf8(&receiver->utf8, at, len);
}

static bool is_ascii(const uint8_t *at, size_t len)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < len; i++) {
        seen |= at[i];
    }
    return seen < 0x80;
}

/* The message is complete, in [data, len) or, if that is NULL, in the buffer. */
static enum ws_kind give_message(struct ws_receiver *receiver, uint8_t *data, size_t len,
                                 struct ws_event *event)
{
    if (receiver->opcode == WS_OP_TEXT && receiver->utf8 != 0) {
        return fail(receiver, event, WS_CODE_DATA, "a text that ends within a character");
    }
    bool text = receiver->opcode == WS_OP_TEXT;
    *event = (struct ws_event){.kind = text ? WS_TEXT : WS_BINARY};
    event->ascii = text && receiver->ascii;
    event->buffered = data == NULL && receiver->message.at != NULL;
    event->data = data != NULL ? data : event->buffered ? receiver->message.at : receiver->control;
    event->len = data != NULL ? len : receiver->message.len;
    receiver->given = data == NULL;
    receiver->opcode = 0;
    return event->kind;
}

static enum ws_kind take_compressed(struct ws_receiver *receiver, uint8_t *data, size_t len,
                                    bool last, struct ws_event *event)
{
    size_t before = receiver->message.len;
    ws_unmask(data, data, len, receiver->mask);
    enum ws_inflated result = ws_inflate(receiver, data, len, last);
    if (receiver->opcode == WS_OP_TEXT && receiver->message.len > before) {
        const uint8_t *more = receiver->message.at + before;
        size_t size = receiver->message.len - before;
        if (!check_text(receiver, more, size, is_ascii(more, size))) {
            return fail(receiver, event, WS_CODE_DATA, "a text that is not UTF-8");
        }
    }
    switch (result) {
    case WS_INFLATE_BAD:
        return fail(receiver, event, WS_CODE_DATA, "compressed data that is not DEFLATE");
    case WS_INFLATE_TOO_BIG:
        return fail(receiver, event, WS_CODE_TOO_BIG, "a message that is too big");
    case WS_INFLATE_NO_MEMORY:
        return fail(receiver, event, WS_CODE_INTERNAL, "out of memory");
    case WS_INFLATED:
        break;
    }
    return last ? give_message(receiver, NULL, 0, event) : WS_NOTHING;
}

static enum ws_kind take_pieces(struct ws_receiver *receiver, uint8_t *data, size_t len, bool last,
                                struct ws_event *event)
{
    struct ws_buffer *message = &receiver->message;
    uint64_t rest = receiver->left + len;
    size_t room = rest < EAGER ? (size_t)rest : len;
    if (!ws_buffer_reserve(message, room)) {
        return fail(receiver, event, WS_CODE_INTERNAL, "out of memory");
    }
    if (len > 0) {
        uint8_t *to = message->at + message->len;
        bool ascii = ws_unmask(to, data, len, receiver->mask);
        message->len += len;
        if (!check_text(receiver, to, len, ascii)) {
            return fail(receiver, event, WS_CODE_DATA, "a text that is not UTF-8");
        }
    }
    return last ? give_message(receiver, NULL, 0, event) : WS_NOTHING;
}

/* `len` bytes, at most what is left, of a data frame's payload. */
static enum ws_kind take_data(struct ws_receiver *receiver, uint8_t *data, size_t len,
                              struct ws_event *event)
{
    bool untouched = receiver->message.len == 0;
    receiver->left -= len;
    receiver->phase = receiver->left == 0 ? PHASE_HEAD : PHASE_PAYLOAD;
    bool last = receiver->left == 0 && (receiver->first & FIN) != 0;
    if (receiver->compressed) {
        return take_compressed(receiver, data, len, last, event);
    }
    if (!last || !untouched) {
        return take_pieces(receiver, data, len, last, event);
    }
    bool ascii = ws_unmask(data, data, len, receiver->mask);
    if (!check_text(receiver, data, len, ascii)) {
        return fail(receiver, event, WS_CODE_DATA, "a text that is not UTF-8");
    }
    return give_message(receiver, data, len, event);
}

enum ws_kind ws_read(struct ws_receiver *receiver, uint8_t *data, size_t len, size_t *used,
                     struct ws_event *event)
{
    size_t at = 0;
    enum ws_kind kind = WS_NOTHING;
    release_message(receiver);
    event->kind = WS_NOTHING;
    while (len > 0 && kind == WS_NOTHING && receiver->phase != PHASE_OVER) {
        if (receiver->phase == PHASE_HEAD) {
            kind = take_head(receiver, data, len, &at, event);
        }
        if (receiver->phase != PHASE_PAYLOAD || (at == len && receiver->left > 0)) {
            break;
        }
        size_t run = receiver->left < len - at ? (size_t)receiver->left : len - at;
        uint8_t *payload = data + at;
        at += run;
        kind = (receiver->first & CONTROL) != 0 ? take_control(receiver, payload, run, event)
                                                : take_data(receiver, payload, run, event);
    }
    *used = kind == WS_NOTHING ? len : at;
    return kind;
}
