/* What the unit tests and the fuzzers of the WebSocket codec share: the properties that hold for any
 * input, which comes in memory that ends at an unreadable page. */
#ifndef WEBSOCKET_CHECK_H
#define WEBSOCKET_CHECK_H

#include "parse_check.h"
#include "ws_parts.h"

enum { EVENTS_ROOM = 1 << 20, CUT_EVERYWHERE = 64 };

struct setting {
    struct ws_extension extension;
    uint64_t limit;
    bool of_client;
    bool settle;
};

/* Events behind each other: kind, ASCII, code, length, data. */
struct events {
    uint8_t bytes[EVENTS_ROOM];
    size_t len;
    enum ws_kind last;
};

/* RFC 3629 section 4, word for word. */
static inline bool is_utf8(const uint8_t *at, size_t len)
{
    for (size_t i = 0, more; i < len; i += 1 + more) {
        uint8_t c = at[i];
        uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || len - i <= more) {
            return false;
        }
        for (size_t k = 1; k <= more; k++) {
            if (at[i + k] < low || at[i + k] > high) {
                return false;
            }
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}

static inline bool all_ascii(const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (at[i] > 0x7f) {
            return false;
        }
    }
    return true;
}

static inline void check_event(const struct ws_receiver *receiver, const struct setting *setting,
                               const struct ws_event *event, const uint8_t *input, size_t len)
{
    CHECK((event->kind == WS_ERROR) == (event->reason != NULL));
    if (event->kind == WS_ERROR) {
        CHECK(strlen(event->reason) <= WS_CONTROL_MAX - 2 && ws_code_is_legal(event->code));
        CHECK(receiver->message.at == NULL && receiver->inflater == NULL);
        return;
    }
    bool in_place = event->data >= input && event->data + event->len <= input + len;
    bool in_control = event->data >= receiver->control &&
                      event->data + event->len <= receiver->control + WS_CONTROL_MAX;
    CHECK(event->data != NULL);
    CHECK(in_place || in_control || (event->buffered && event->data == receiver->message.at));
    CHECK(!event->ascii || event->kind == WS_TEXT);
    switch (event->kind) {
    case WS_TEXT:
        CHECK(event->ascii == all_ascii(event->data, event->len));
        CHECK(is_utf8(event->data, event->len));
        CHECK(setting->limit == 0 || event->len <= setting->limit);
        break;
    case WS_BINARY:
        CHECK(setting->limit == 0 || event->len <= setting->limit);
        break;
    case WS_CLOSE:
        CHECK(is_utf8(event->data, event->len) && event->len <= WS_CONTROL_MAX - 2);
        CHECK(ws_code_is_legal(event->code) || (event->code == WS_CODE_NONE && event->len == 0));
        break;
    case WS_PING:
    case WS_PONG:
        CHECK(event->len <= WS_CONTROL_MAX);
        break;
    case WS_ERROR:
    case WS_NOTHING:
        CHECK(false);
    }
}

static inline void add_event(struct events *events, struct ws_event *event)
{
    bool error = event->kind == WS_ERROR;
    uint64_t len = error ? strlen(event->reason) : event->len;
    uint8_t head[12] = {(uint8_t)event->kind, event->ascii, (uint8_t)(event->code >> 8),
                        (uint8_t)event->code};
    memcpy(head + 4, &len, sizeof len);
    CHECK(events->len + sizeof head + len <= EVENTS_ROOM);
    memcpy(events->bytes + events->len, head, sizeof head);
    if (len > 0) {
        memcpy(events->bytes + events->len + sizeof head,
               error ? (const uint8_t *)event->reason : event->data, len);
    }
    events->len += sizeof head + len;
    events->last = event->kind;
    if (!error && event->len > 0) {
        memset(event->data, 0xee, event->len); /* it may be written to */
    }
}

static inline void receive_piece(struct events *events, struct ws_receiver *receiver,
                                 const struct setting *setting, const uint8_t *data, size_t len)
{
    uint8_t *input = (uint8_t *)(uintptr_t)guarded(data, len);
    struct ws_event event;
    size_t at = 0, used = 0;
    while (ws_read(receiver, input + at, len - at, &used, &event) != WS_NOTHING) {
        CHECK(used <= len - at);
        CHECK(events->last != WS_CLOSE && events->last != WS_ERROR);
        check_event(receiver, setting, &event, input, len);
        add_event(events, &event);
        if (setting->settle) {
            ws_settle(receiver);
        }
        at += used;
    }
    CHECK(used == len - at && event.kind == WS_NOTHING);
    if (setting->settle) {
        ws_settle(receiver);
        CHECK(receiver->opcode != 0 || receiver->message.room <= WS_KEEP_ROOM);
    }
}

/* Reads a piece of `first` bytes, and then pieces of `piece` bytes each. */
static inline void receive(struct events *events, const struct setting *setting,
                           const uint8_t *data, size_t len, size_t first, size_t piece)
{
    struct ws_receiver receiver;
    (setting->of_client ? ws_receiver_start : ws_receiver_start_client)(&receiver, setting->limit,
                                                                        &setting->extension);
    events->len = 0;
    events->last = WS_NOTHING;
    for (size_t from = 0, size = first; from < len; from += size, size = piece) {
        size = size < len - from ? size : len - from;
        receive_piece(events, &receiver, setting, data + from, size);
    }
    ws_receiver_free(&receiver);
    ws_receiver_free(&receiver);
}

static inline void check_same_events(const struct events *a, const struct events *b)
{
    CHECK(a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
}

/* The same events whole, byte by byte, and cut at every byte (of a long input at some). */
static inline void receive_all_ways(struct events *whole, const struct setting *setting,
                                    const uint8_t *data, size_t len)
{
    static struct events part;
    receive(whole, setting, data, len, len, len);
    receive(&part, setting, data, len, 1, 1);
    check_same_events(whole, &part);
    size_t step = len <= CUT_EVERYWHERE ? 1 : len / FEW_SPLITS;
    for (size_t cut = 1; cut < len; cut += step) {
        receive(&part, setting, data, len, cut, len);
        check_same_events(whole, &part);
    }
}

/* Sends every message of `events` back and reads it as a client does. */
static inline void echo(const struct events *events, const struct setting *setting, size_t threshold)
{
    static struct events back;
    struct ws_sender sender;
    struct ws_receiver client;
    struct ws_buffer out = {0};
    struct setting wide = {.extension = setting->extension};
    ws_sender_start(&sender, &setting->extension, threshold, (struct ws_deflate_level){1, 1}, NULL);
    ws_receiver_start_client(&client, 0, &setting->extension);
    for (size_t at = 0, size; at < events->len; at += size) {
        uint64_t len;
        enum ws_kind kind = (enum ws_kind)events->bytes[at];
        memcpy(&len, events->bytes + at + 4, sizeof len);
        size = 12 + (size_t)len;
        if (kind != WS_TEXT && kind != WS_BINARY) {
            continue;
        }
        enum ws_opcode opcode = kind == WS_TEXT ? WS_OP_TEXT : WS_OP_BINARY;
        out.len = 0;
        CHECK(ws_write_message(&sender, opcode, events->bytes + at + 12, (size_t)len, &out));
        back.len = 0;
        back.last = WS_NOTHING;
        if (out.len <= GUARDED_MAX) {
            receive_piece(&back, &client, &wide, out.at, out.len);
            CHECK(back.len == size && memcmp(back.bytes, events->bytes + at, size) == 0);
        }
    }
    ws_buffer_free(&out);
    ws_sender_free(&sender);
    ws_receiver_free(&client);
}

#endif
