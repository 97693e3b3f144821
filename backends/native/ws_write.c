/* Writing frames, as a server does, without masks (RFC 6455 section 5): see websocket.h. */
#include <string.h>

#include "ws_parts.h"

enum { FIN = 0x80, RSV1 = 0x40 };

size_t ws_write_head(uint8_t out[WS_HEAD_ROOM], enum ws_opcode opcode, bool fin, bool compressed,
                     uint64_t len)
{
    out[0] = (uint8_t)((unsigned)opcode | (fin ? FIN : 0u) | (compressed ? RSV1 : 0u));
    if (len < 126) {
        out[1] = (uint8_t)len;
        return 2;
    }
    size_t more = len < 65536 ? 2 : 8;
    out[1] = more == 2 ? 126 : 127;
    for (size_t i = 0; i < more; i++) {
        out[2 + i] = (uint8_t)(len >> (8 * (more - 1 - i)));
    }
    return 2 + more;
}

size_t ws_write_control(uint8_t out[WS_CONTROL_ROOM], enum ws_opcode opcode, const uint8_t *data,
                        size_t len)
{
    size_t head = ws_write_head(out, opcode, true, false, len);
    if (len > 0) {
        memmove(out + head, data, len);
    }
    return head + len;
}

/* At most `most` bytes of UTF-8, not ending within a character. */
static size_t cut(const char *text, size_t len, size_t most)
{
    if (len <= most) {
        return len;
    }
    while (most > 0 && ((uint8_t)text[most] & 0xc0) == 0x80) {
        most--;
    }
    return most;
}

size_t ws_write_close(uint8_t out[WS_CONTROL_ROOM], uint16_t code, const char *reason, size_t len)
{
    if (code == WS_CODE_NONE) {
        return ws_write_head(out, WS_OP_CLOSE, true, false, 0);
    }
    len = cut(reason, len, WS_CONTROL_MAX - 2);
    size_t head = ws_write_head(out, WS_OP_CLOSE, true, false, len + 2);
    if (len > 0) {
        memmove(out + head + 2, reason, len);
    }
    out[head] = (uint8_t)(code >> 8);
    out[head + 1] = (uint8_t)code;
    return head + 2 + len;
}

void ws_sender_start(struct ws_sender *sender, const struct ws_extension *extension,
                     size_t threshold, struct ws_deflate_level level, struct ws_deflater *shared)
{
    *sender = (struct ws_sender){.threshold = threshold, .level = level};
    if (extension == NULL || !extension->deflate || !ws_has_deflate()) {
        return;
    }
    sender->deflate = true;
    sender->takeover = !extension->server_no_takeover;
    sender->bits = extension->server_bits;
    sender->shared = shared != NULL && !sender->takeover &&
                     ws_deflater_bits(shared) == extension->server_bits;
    sender->deflater = sender->shared ? shared : NULL;
}

void ws_sender_free(struct ws_sender *sender)
{
    if (!sender->shared) {
        ws_deflater_free(sender->deflater);
    }
    sender->deflater = NULL;
    sender->deflate = false;
}

static bool write_plain(enum ws_opcode opcode, const uint8_t *data, size_t len,
                        struct ws_buffer *out)
{
    if (len > PTRDIFF_MAX || !ws_buffer_reserve(out, len + WS_HEAD_ROOM)) {
        return false;
    }
    out->len += ws_write_head(out->at + out->len, opcode, true, false, len);
    if (len > 0) {
        memcpy(out->at + out->len, data, len);
    }
    out->len += len;
    return true;
}

bool ws_write_message(struct ws_sender *sender, enum ws_opcode opcode, const uint8_t *data,
                      size_t len, struct ws_buffer *out)
{
    if (!ws_will_deflate(sender, len)) {
        return write_plain(opcode, data, len, out);
    }
    if (sender->deflater == NULL &&
        (sender->deflater = ws_deflater_new(sender->bits, sender->level)) == NULL) {
        return false;
    }
    size_t start = out->len;
    if (!ws_buffer_reserve(out, WS_HEAD_ROOM)) {
        return false;
    }
    out->len += WS_HEAD_ROOM;
    if (!ws_deflate(sender->deflater, data, len, sender->takeover, out)) {
        out->len = start;
        return false;
    }
    size_t size = out->len - start - WS_HEAD_ROOM;
    if (!sender->takeover && size >= len) {
        out->len = start;
        return write_plain(opcode, data, len, out);
    }
    size_t head = ws_write_head(out->at + start, opcode, true, true, size);
    memmove(out->at + start + head, out->at + start + WS_HEAD_ROOM, size);
    out->len = start + head + size;
    return true;
}
